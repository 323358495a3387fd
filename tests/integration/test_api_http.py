"""The API server as HTTP clients meet it: credentials, formats, limits, errors, start and stop."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from emulator.api.errors import StartError
from emulator.apiserver.io.app import ApiServer
from emulator.config.settings import ClusterConfig
from emulator.io.clock import utc_now
from emulator.io.tasks import running
from emulator.pki.authority import Credentials, make_credentials
from tests.support.api import Api, api_server, eventually

SERVICES = "/api/v1/namespaces/default/services"
SERVICE: dict[str, Any] = {"metadata": {"name": "webapp"}, "spec": {"ports": [{"port": 8080}]}}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with api_server() as api:
        yield api


@pytest.fixture
async def http(api: Api) -> AsyncIterator[aiohttp.ClientSession]:
    async with api.session() as session:
        yield session


async def post(http: aiohttp.ClientSession, api: Api, path: str, body: Any, **headers: str) -> tuple[int, Any, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with http.post(
        api.url + path, data=io.BytesIO(raw), headers={"Content-Type": "application/json", **headers}
    ) as response:
        return response.status, await response.json(), response.headers


async def get(http: aiohttp.ClientSession, api: Api, path: str, **headers: str) -> tuple[int, Any]:
    async with http.get(api.url + path, headers=headers) as response:
        is_json = response.content_type == "application/json"
        return response.status, json.loads(await response.read()) if is_json else await response.text()


async def test_without_credentials_only_health_and_version_answer(api: Api) -> None:
    async with api.session(token="") as http:
        for path in ("/healthz", "/livez", "/readyz", "/version"):
            assert (await get(http, api, path))[0] == 200, path
        for path in ("/api", "/apis", "/api/v1", SERVICES, "/openapi/v3", "/"):
            status, body = await get(http, api, path)
            assert (status, body["reason"], body["message"]) == (401, "Unauthorized", "Unauthorized"), path
    async with api.session(token="wrong") as http:
        assert (await get(http, api, SERVICES))[0] == 401


async def test_a_client_certificate_is_enough(api: Api, tmp_path: Any) -> None:
    pair = tmp_path / "client.pem"
    pair.write_text(api.credentials.client.key + api.credentials.client.certificate)
    context = api.tls()
    context.load_cert_chain(pair)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http:
        assert (await get(http, api, SERVICES))[0] == 200


async def test_a_certificate_of_another_ca_is_refused(api: Api, tmp_path: Any) -> None:
    other = make_credentials([], name="other", token="x", at=utc_now())
    pair = tmp_path / "client.pem"
    pair.write_text(other.client.key + other.client.certificate)
    context = api.tls()
    context.load_cert_chain(pair)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http:
        with pytest.raises((aiohttp.ClientError, OSError)):
            await get(http, api, SERVICES)


async def test_the_certificate_covers_every_name_of_the_server(api: Api) -> None:
    config = api.server.config
    names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    names += ["kubernetes.default.svc.cluster.local", config.addresses.kubernetes]
    for name in names:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", api.server.port, ssl=api.tls(), server_hostname=name
        )
        writer.close()
        await writer.wait_closed()
        assert reader.at_eof() or True  # the handshake itself is the check
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", api.server.port, ssl=api.tls(), server_hostname="elsewhere")


async def test_create_get_list_delete(api: Api, http: aiohttp.ClientSession) -> None:
    status, created, _ = await post(http, api, SERVICES, SERVICE)
    assert (status, created["kind"], created["apiVersion"]) == (201, "Service", "v1")
    assert created["metadata"]["namespace"] == "default"
    assert (await get(http, api, f"{SERVICES}/webapp"))[1] == created
    _, listed = await get(http, api, SERVICES)
    assert listed["kind"] == "ServiceList"
    assert "webapp" in [item["metadata"]["name"] for item in listed["items"]]
    async with http.delete(f"{api.url}{SERVICES}/webapp") as response:
        assert (await response.json())["kind"] == "Service"
    assert (await get(http, api, f"{SERVICES}/webapp"))[0] == 404


async def test_tables_and_metadata_only(api: Api, http: aiohttp.ClientSession) -> None:
    await post(http, api, SERVICES, SERVICE)
    _, table = await get(http, api, f"{SERVICES}/webapp", Accept=TABLE)
    assert table["kind"] == "Table"
    assert table["columnDefinitions"][0]["format"] == "name"
    (row,) = table["rows"]
    assert row["cells"][:2] == ["webapp", "ClusterIP"]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    _, table = await get(http, api, f"{SERVICES}/webapp?includeObject=Object", Accept=TABLE)
    assert table["rows"][0]["object"]["kind"] == "Service"
    partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    _, listed = await get(http, api, SERVICES, Accept=partial)
    assert listed["kind"] == "PartialObjectMetadataList"
    assert "spec" not in listed["items"][0]
    status, body = await get(http, api, f"{SERVICES}?includeObject=All", Accept=TABLE)
    assert (status, body["reason"]) == (400, "BadRequest")
    assert (await get(http, api, SERVICES, Accept="text/html"))[0] == 406


async def test_yaml_in_and_out(api: Api, http: aiohttp.ClientSession) -> None:
    text = b"metadata: {name: webapp}\nspec:\n  ports:\n  - port: 8080\n"
    status, body, _ = await post(http, api, SERVICES, text, **{"Content-Type": "application/yaml"})
    assert (status, body["metadata"]["name"]) == (201, "webapp")
    async with http.get(f"{api.url}{SERVICES}/webapp", headers={"Accept": "application/yaml"}) as response:
        assert response.content_type == "application/yaml"
        assert "port: 8080" in await response.text()


async def test_a_body_over_three_mebibytes_is_413(api: Api, http: aiohttp.ClientSession) -> None:
    body = {**SERVICE, "metadata": {"name": "webapp", "annotations": {"a": "x" * (3 << 20)}}}
    status, answer, _ = await post(http, api, SERVICES, body)
    assert (status, answer["reason"]) == (413, "RequestEntityTooLarge")
    assert answer["message"] == "Request entity too large: limit is 3145728"

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 65536

    async with http.post(api.url + SERVICES, data=pieces(), headers={"Content-Type": "application/json"}) as response:
        assert response.status == 413


@pytest.mark.parametrize(
    ("raw", "type", "code", "reason"),
    [
        (b"{not json", "application/json", 400, "BadRequest"),
        (b"[]", "application/json", 400, "BadRequest"),
        (b'"text"', "application/json", 400, "BadRequest"),
        (b"\xff\xfe", "application/json", 400, "BadRequest"),
        (b"a: b: c", "application/yaml", 400, "BadRequest"),
        (b"k8s\x00\xff\xff", "application/vnd.kubernetes.protobuf", 400, "BadRequest"),
        (b"{}", "text/plain", 415, "UnsupportedMediaType"),
        (b"{}", "application/json", 422, "Invalid"),
        (b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}', "application/json", 400, "BadRequest"),
    ],
)
async def test_unreadable_bodies_are_the_clients_mistake(
    api: Api, http: aiohttp.ClientSession, raw: bytes, type: str, code: int, reason: str
) -> None:
    status, body, _ = await post(http, api, SERVICES, raw, **{"Content-Type": type})
    assert (status, body["reason"]) == (code, reason), body


async def test_unknown_fields_become_warnings(api: Api, http: aiohttp.ClientSession) -> None:
    body = {**SERVICE, "bogus": 1}
    status, _, headers = await post(http, api, f"{SERVICES}?dryRun=All", body)
    assert (status, headers["Warning"]) == (201, '299 - "unknown field \\"bogus\\""')
    status, answer, _ = await post(http, api, f"{SERVICES}?fieldValidation=Strict", body)
    assert (status, answer["reason"]) == (400, "BadRequest")
    status, _, headers = await post(http, api, f"{SERVICES}?fieldValidation=Ignore", body)
    assert status == 201
    assert "Warning" not in headers


async def test_every_request_for_endpoints_warns(api: Api, http: aiohttp.ClientSession) -> None:
    for path in ("/api/v1/endpoints", "/api/v1/namespaces/default/endpoints/none"):
        async with http.get(api.url + path) as response:
            assert "Endpoints is deprecated" in response.headers["Warning"], path


async def test_dry_run_stores_nothing(api: Api, http: aiohttp.ClientSession) -> None:
    assert (await post(http, api, f"{SERVICES}?dryRun=All", SERVICE))[0] == 201
    assert (await get(http, api, f"{SERVICES}/webapp"))[0] == 404


async def test_delete_collection(api: Api, http: aiohttp.ClientSession) -> None:
    for name in "ab":
        body = {"metadata": {"name": name, "labels": {"drop": "me"}}}
        await post(http, api, "/api/v1/namespaces/default/configmaps", body)
    url = f"{api.url}/api/v1/namespaces/default/configmaps?labelSelector=drop%3Dme"
    async with http.delete(url) as response:
        assert response.status == 200
    _, listed = await get(http, api, "/api/v1/namespaces/default/configmaps?labelSelector=drop%3Dme")
    assert listed["items"] == []


async def test_patch_types(api: Api, http: aiohttp.ClientSession) -> None:
    await post(http, api, SERVICES, SERVICE)
    url = f"{api.url}{SERVICES}/webapp"
    for type, body, code in (
        ("application/merge-patch+json", {"metadata": {"labels": {"a": "b"}}}, 200),
        ("application/strategic-merge-patch+json; charset=utf-8", {"metadata": {"labels": {"a": "c"}}}, 200),
        ("application/json-patch+json", [{"op": "remove", "path": "/metadata/labels"}], 200),
        ("application/merge-patch+json", [], 400),
        ("application/json-patch+json", {}, 400),
        ("application/json", {}, 415),
    ):
        async with http.patch(url, data=json.dumps(body), headers={"Content-Type": type}) as response:
            assert response.status == code, (type, await response.text())


async def raw_exchange(api: Api, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.server.port, ssl=api.tls())
    try:
        writer.write(text)
        async with asyncio.timeout(5):
            return await reader.read(4096)
    finally:
        writer.close()
        await writer.wait_closed()


LONG = b"a" * 100_000


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"NONSENSE\r\n\r\n", "400 Bad Request"),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", "400 Bad Request"),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400 Bad Request"),
        (b"GET /" + LONG + b" HTTP/1.1\r\nHost: a\r\n\r\n", "431 Request Header Fields Too Large"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + LONG + b"\r\n\r\n", "431 Request Header Fields Too Large"),
    ],
    ids=["no request", "no colon", "negative length", "long line", "long header"],
)
async def test_malformed_http_is_refused_and_harms_nobody(
    api: Api, text: bytes, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = (await raw_exchange(api, text)).decode()
    assert answer.partition(" ")[2].startswith(status), answer
    assert answer.endswith(f"\r\n\r\n{status}")
    assert "Traceback" not in caplog.text
    async with api.session() as http:
        assert (await get(http, api, SERVICES))[0] == 200


async def test_one_watch_too_many_is_429(api: Api, http: aiohttp.ClientSession) -> None:
    api.server._handlers.watch_slots.limit = 1
    async with http.get(f"{api.url}{SERVICES}?watch=true") as first:
        assert first.status == 200
        async with http.get(f"{api.url}{SERVICES}?watch=true") as second:
            assert (second.status, second.headers["Retry-After"]) == (429, "1")
            assert (await second.json())["message"] == "Too many requests, please try again later."
        assert (await get(http, api, SERVICES))[0] == 200  # other requests are not held back
    await eventually(lambda: _watch_is_served(http, api))


async def _watch_is_served(http: aiohttp.ClientSession, api: Api) -> bool:
    async with http.get(f"{api.url}{SERVICES}?watch=true") as response:
        return response.status == 200


async def test_one_request_too_many_is_429(api: Api, http: aiohttp.ClientSession) -> None:
    api.server._handlers.request_slots.limit = 0
    status, body = await get(http, api, SERVICES)
    assert (status, body["reason"], body["details"]) == (429, "TooManyRequests", {"retryAfterSeconds": 1})


async def test_one_connection_too_many_is_429(api: Api) -> None:
    assert api.server._web is not None
    api.server._web.max_connections = 1
    async with api.session() as http, api.session() as another:
        assert (await get(http, api, SERVICES))[0] == 200  # keeps its connection
        async with another.get(f"{api.url}{SERVICES}") as refused:
            assert (refused.status, (await refused.json())["code"]) == (429, 429)
        assert (await get(http, api, SERVICES))[0] == 200


async def test_a_failure_inside_is_told_without_its_traceback(
    api: Api, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(api.registry, "get", broken)
    status, body = await get(http, api, f"{SERVICES}/webapp")
    assert (status, body["reason"]) == (500, "InternalError")
    assert body["message"] == "Internal error occurred: the disk is on fire"
    assert "Traceback" not in json.dumps(body)
    assert "RuntimeError" in caplog.text


async def test_discovery_in_every_form(api: Api, http: aiohttp.ClientSession) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    async with http.get(f"{api.url}/apis", headers={"Accept": accept}) as response:
        assert response.headers["Content-Type"] == accept.split(",", maxsplit=1)[0]
        body = json.loads(await response.read())
        assert body["kind"] == "APIGroupDiscoveryList"
    for path, kind in (
        ("/api", "APIVersions"),
        ("/apis/", "APIGroupList"),
        ("/api/v1/", "APIResourceList"),
        ("/apis/discovery.k8s.io", "APIGroup"),
    ):
        assert (await get(http, api, path))[1]["kind"] == kind
    assert (await get(http, api, "/version/"))[1]["minor"] == "36"
    assert (await get(http, api, "/apis/nope.example.com/v1")) == (404, "404 page not found\n")


async def test_openapi_is_there_for_every_group(api: Api, http: aiohttp.ClientSession) -> None:
    _, index = await get(http, api, "/openapi/v3")
    for entry in index["paths"].values():
        status, document = await get(http, api, entry["serverRelativeURL"])
        assert status == 200
        assert document["openapi"].startswith("3.")
    assert (await get(http, api, "/openapi/v3/apis/nope/v1"))[0] == 404


@pytest.fixture
def credentials() -> Credentials:
    return make_credentials(["127.0.0.1"], name="x", token="t", at=utc_now())


async def test_a_taken_port_is_told_in_one_line(api: Api, credentials: Credentials) -> None:
    config = replace(ClusterConfig(), api_port=api.server.port)
    with pytest.raises(StartError, match=f"port {api.server.port} .*in use.*--api-port") as caught:
        async with running(ApiServer(api.registry, config, credentials)):
            pass
    assert "\n" not in str(caught.value)


async def test_plain_http_asks_no_credentials_but_refuses_browsers(api: Api, credentials: Credentials) -> None:
    server = ApiServer(api.registry, replace(ClusterConfig(), insecure_http=True), credentials)
    async with running(server), aiohttp.ClientSession() as http:
        assert server.url.startswith("http://")
        for headers, code in (
            ({}, 200),
            ({"Host": "localhost:1"}, 200),
            ({"Host": "evil.example"}, 403),
            ({"Origin": "http://evil.example"}, 403),
            ({"Authorization": "Bearer wrong"}, 401),
        ):
            async with http.get(f"{server.url}/api/v1/services", headers=headers) as response:
                assert response.status == code, headers


async def test_it_serves_sockets_it_is_handed(api: Api) -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    port = sock.getsockname()[1]
    api.server.add_listener(sock)
    async with api.session() as http, http.get(f"https://127.0.0.1:{port}{SERVICES}") as response:
        assert response.status == 200


async def test_stopping_refuses_new_connections(credentials: Credentials, api: Api) -> None:
    server = ApiServer(api.registry, ClusterConfig(), credentials)
    async with running(server):
        port = server.port
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)
