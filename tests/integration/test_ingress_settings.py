"""Settings of the ingress that come from ConfigMaps and Secrets, with real requests: headers, caches, retries, TLS to backends."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from emulator import Cluster
from emulator.cli.route import read_rules, request_of
from emulator.ingress.io.backends import CannotConnect
from emulator.ingress.io.http1_backends import Http1Upstreams
from emulator.ingress.io.upstream import Place, Question, Timeouts
from emulator.ingress.model import BackendTls, Redirect
from emulator.pki.authority import Credentials, KeyPair, make_credentials
from tests.integration.test_ingress import curl, ingress, routed, rule, told

Json = dict[str, Any]


def config_map(name: str, namespace: str = "default", **data: str) -> Json:
    keys = {key.replace("_", "-"): value for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": keys}


async def configured(cluster: Cluster, **data: str) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ingress-nginx"}}
    await cluster.apply([namespace, config_map("ingress-nginx-controller", "ingress-nginx", **data)])


async def until(ask: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(10):
        while not holds(found := await ask()):
            await asyncio.sleep(0.02)
    return found


async def about(cluster: Cluster, kind: str, namespace: str) -> list[Json]:
    """The Events about objects of a kind."""
    listed = await cluster.list("events", namespace=namespace)
    return [event for event in listed if event["involvedObject"]["kind"] == kind]


async def test_custom_headers_once_they_are_allowed(cluster: Cluster) -> None:
    async with cluster.serve("app", told):
        await cluster.apply(config_map("extra", X_Frame_Options="DENY"))
        await routed(cluster, ingress(rule("app"), custom_headers="default/extra"))
        assert (await curl(cluster, "http://app.test/"))[0] == 503
        (event,) = await until(lambda: about(cluster, "Ingress", "default"), bool)
        assert event["reason"] == "HeadersRefused"
        assert (
            "set global-allowed-response-headers of configmap ingress-nginx/ingress-nginx-controller"
            in event["message"]
        )
        await configured(cluster, global_allowed_response_headers="X-Frame-Options", no_such_key="x")
        status, headers, _ = await until(lambda: curl(cluster, "http://app.test/"), lambda found: found[0] == 200)
        assert (status, headers["x-frame-options"]) == (200, "DENY")
        (event,) = await until(lambda: about(cluster, "ConfigMap", "ingress-nginx"), bool)
        assert event["reason"] == "UnknownKey"


async def test_the_controllers_defaults(cluster: Cluster) -> None:
    await configured(
        cluster, http_redirect_code="301", force_ssl_redirect="true", hsts_max_age="5", hide_headers="X-Secret"
    )

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(text=request.headers["X-Forwarded-For"], headers={"X-Secret": "1", "X-Open": "2"})

    async with cluster.serve("app", answer):
        tls = [{"hosts": ["app.test"]}]
        await routed(cluster, ingress(rule("app"), tls=tls))
        assert (await curl(cluster, "http://app.test/x"))[0] == 301
        status, headers, body = await curl(cluster, "https://app.test/", "-H", "X-Forwarded-For: 192.0.2.7")
        assert (status, body, "x-secret" in headers, headers["x-open"]) == (200, "127.0.0.1", False, "2")
        assert headers["strict-transport-security"] == "max-age=5; includeSubDomains"
        await configured(cluster, use_forwarded_headers="true")
        believed = ("-H", "X-Forwarded-For: 192.0.2.7", "-H", "X-Forwarded-Proto: https")
        await until(
            lambda: curl(cluster, "http://app.test/", *believed),
            lambda found: (found[0], found[2]) == (200, "192.0.2.7"),
        )


async def test_kubemu_route_reads_the_config_map_too(cluster: Cluster) -> None:
    await configured(cluster, http_redirect_code="301", use_gzip="true")
    await routed(cluster, ingress(rule("app"), force_ssl_redirect="true"))
    client: Any = cluster.client
    rules = await read_rules(client)
    decision = rules.router.decide(request_of("http://app.test/x", "GET", (), "127.0.0.1"), rng=lambda limit: 0)
    assert isinstance(decision, Redirect)
    assert (decision.status, decision.location) == (301, "https://app.test/x")
    assert [str(problem.about) for problem in rules.router.problems] == ["ingress-nginx/ingress-nginx-controller"]


async def test_an_auth_servers_answer_is_remembered(cluster: Cluster) -> None:
    async def auth(request: web.BaseRequest) -> web.Response:
        return web.Response(status=200, headers={"X-User": request.headers.get("X-Token", "")})

    async with cluster.serve("auth", auth) as asked, cluster.serve("app", told) as served:
        url = "http://auth.default.svc.cluster.local:8080/check"
        more: Json = {
            "auth_cache_key": "$http_x_token",
            "auth_cache_duration": "200 1m",
            "auth_response_headers": "X-User",
        }
        await routed(cluster, ingress(rule("app"), auth_url=url, **more))
        for token in ("ann", "ann", "bob", "ann"):
            assert (await curl(cluster, "http://app.test/", "-H", f"X-Token: {token}"))[0] == 200
            assert served.requests[-1].headers["X-User"] == token
        assert [request.headers["x-token"] for request in asked.requests] == ["ann", "bob"]


def named(found: Json) -> str:
    return str(found["metadata"]["labels"]["kubernetes.io/service-name"])


def slice_of_app(found: Json) -> Json:
    """The same endpoints for the Service `app`."""
    metadata = {"name": f"app-{named(found)}", "labels": {"kubernetes.io/service-name": "app"}}
    ports = [{"port": port["port"], "protocol": "TCP", "name": ""} for port in found["ports"]]
    endpoints = [{"addresses": each["addresses"]} for each in found["endpoints"]]
    kind = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4"}
    return {**kind, "metadata": metadata, "endpoints": endpoints, "ports": ports}


async def test_another_endpoint_is_asked_after_an_answer_that_says_so(cluster: Cluster) -> None:
    async def broken(request: web.BaseRequest) -> web.Response:
        return web.Response(status=503, text="broken")

    async with cluster.serve("bad", broken) as bad, cluster.serve("good", told):
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "app"},
            "spec": {"ports": [{"port": 8080}]},
        }
        slices = [each for each in await cluster.list("endpointslices") if each["endpoints"]]
        both = [slice_of_app(each) for each in slices if named(each) in ("bad", "good")]
        assert len(both) == 2
        await cluster.apply([service, *both])
        await routed(cluster, ingress(rule("app"), proxy_next_upstream="http_503"))
        for _ in range(4):
            assert (await curl(cluster, "http://app.test/"))[0] == 200
        assert bad.requests
        posted = [(await curl(cluster, "http://app.test/", "-d", "x"))[0] for _ in range(4)]
        assert 503 in posted, "a POST is not sent again"


async def test_pages_of_errors_whoever_made_them(cluster: Cluster) -> None:
    async def page(request: web.BaseRequest) -> web.Response:
        sent = request.headers
        text = f"{sent['X-Code']} of {sent['X-Ingress-Name']} for {sent.get('X-Original-URI')}"
        return web.Response(status=int(sent["X-Code"]), text=text)

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=int(request.query["status"]), text="from the backend")

    none = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "none"}}
    await cluster.apply({**none, "spec": {"selector": {"app": "none"}, "ports": [{"port": 8080}]}})
    errors: Json = {"custom_http_errors": "403,404,413,500", "default_backend": "pages"}
    rules = [
        ingress(rule("app"), **errors, proxy_body_size="1"),
        ingress(rule("app", host="closed.test"), name="closed", denylist_source_range="127.0.0.0/8", **errors),
        ingress(rule("none", host="none.test"), name="none", **errors),
        ingress(rule("app", host="alone.test"), name="alone", custom_http_errors="500"),
    ]
    cases = [
        ("http://app.test/x?status=404", (404, "404 of app for /x?status=404")),
        ("http://app.test/x?status=502", (502, "from the backend")),
        ("http://closed.test/x", (403, "403 of closed for /x")),
        ("http://none.test/x", (503, "503 of none for None")),
    ]
    async with cluster.serve("pages", page), cluster.serve("app", answer):
        await routed(cluster, *rules)
        for url, wanted in cases:
            status, _, body = await curl(cluster, url)
            assert (status, body) == wanted
        status, _, body = await curl(cluster, "http://app.test/", "-d", "too much")
        assert (status, body) == (413, "413 of app for /")
        assert (await curl(cluster, "http://app.test/x?status=404", "-I"))[0] == 404
        status, _, body = await curl(cluster, "http://alone.test/x?status=500")
        assert (status, "404 Not Found" in body) == (404, True), "the controller's own default backend"


async def test_a_copy_is_sent_and_its_answer_dropped(cluster: Cluster) -> None:
    async def broken(request: web.BaseRequest) -> web.Response:
        await request.read()
        return web.Response(status=500)

    async with cluster.serve("copies", broken) as copies, cluster.serve("app", told) as served:
        target = "http://copies.default.svc.cluster.local:8080$request_uri"
        await routed(cluster, ingress(rule("app"), mirror_target=target))
        assert (await curl(cluster, "http://app.test/a?b=c", "-d", "hello", "-H", "X-A: b"))[0] == 200

        async def copied() -> Any:
            return list(copies.requests)

        (copy,) = await until(copied, bool)
        assert (copy.method, copy.path, copy.headers["X-A"], copy.body) == ("POST", "/a", "b", b"hello")
        assert copy.headers["Host"] == "copies.default.svc.cluster.local"
        assert len(served.requests) == 1
        silent = ingress(rule("app"), mirror_target="http://127.0.0.1:1/")
        await routed(cluster, silent)
        assert (await curl(cluster, "http://app.test/"))[0] == 200


# -- TLS to backends ---------------------------------------------------------------------------------------------


def context(credentials: Credentials, pair: KeyPair, folder: Path) -> ssl.SSLContext:
    """Of a server that wants to see a client's certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (folder / "pair.pem").write_text(pair.key + pair.certificate)
    made.load_cert_chain(folder / "pair.pem")
    made.load_verify_locations(cadata=credentials.ca)
    made.verify_mode = ssl.CERT_REQUIRED
    return made


@asynccontextmanager
async def backend(made: ssl.SSLContext) -> AsyncIterator[tuple[int, list[str | None]]]:
    """The port of a server that answers 200, and the names it is asked for."""
    names: list[str | None] = []
    made.sni_callback = lambda _, name, __: names.append(name)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=made)
    try:
        yield server.sockets[0].getsockname()[1], names
    finally:
        server.close()


async def dial(host: str, port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (host, port))
    return sock


NAME = "inner.example.com"
CASES: list[tuple[dict[str, Any], str | None, str]] = [
    ({}, None, ""),
    ({"verified_name": NAME}, None, ""),
    ({"verified_name": NAME, "server_name": NAME}, NAME, ""),
    ({"verified_name": "other.example.com"}, None, "its certificate is not for other.example.com"),
    ({"verified_name": NAME, "authority": b""}, None, "certificate verify failed"),
    ({"ciphers": "NO-SUCH"}, None, "No cipher can be selected"),
    ({"protocols": ("TLSv1.3",)}, None, ""),
]


@pytest.mark.parametrize(("fields", "name", "why"), CASES)
async def test_tls_to_a_backend(fields: dict[str, Any], name: str | None, why: str, tmp_path: Path) -> None:
    made = make_credentials([NAME], name="t", token="t", at=datetime.now(UTC))
    client = made.client
    tls = BackendTls(client.certificate.encode(), client.key.encode(), **{"authority": made.ca.encode(), **fields})
    upstreams = Http1Upstreams(dial)
    refused = pytest.raises(CannotConnect, match=why) if why else nullcontext()
    try:
        async with backend(context(made, made.server, tmp_path)) as (port, names):
            question = Question("GET", "/", [("Host", "a")])
            with refused:
                answered = await upstreams.ask(Place("127.0.0.1", port, tls), question, Timeouts(5.0, 5.0, 5.0))
                assert (answered.head.status, names) == (200, [name])
                answered.release()
    finally:
        await upstreams.close()
