"""Ingress served to real clients: the course's own texts, streams, upgrades, TLS, rollouts."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import ssl
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from emulator import Cluster, ClusterConfig
from emulator.config.presets import address_plan
from emulator.pki.authority import KeyPair, make_credentials

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
NGINX = "nginx.ingress.kubernetes.io/"


async def curl(
    cluster: Cluster, url: str, *options: str, stdin: bytes | None = None
) -> tuple[int, dict[str, str], str]:
    """Status, headers (names in lower case) and body of http://HOST/PATH through the ingress of this machine."""
    assert cluster.ingress is not None
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    port = cluster.ingress.bound[scheme]
    command = ["curl", "-sik", "--path-as-is", "--max-time", "20", "--resolve", f"{host}:{port}:127.0.0.1", *options]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, f"{scheme}://{host}:{port}{slash}{path}", stdin=pipe, stdout=pipe
    )
    out, _ = await process.communicate(stdin)
    while True:
        head, _, body = out.partition(b"\r\n\r\n")
        if b" 100 " not in head.split(b"\r\n")[0]:
            break
        out = body
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, body.decode(errors="replace")


def rule(service: str, path: str = "/", host: str = "app.test", path_type: str = "Prefix") -> Json:
    backend = {"service": {"name": service, "port": {"number": 8080}}}
    return {"host": host, "http": {"paths": [{"path": path, "pathType": path_type, "backend": backend}]}}


def ingress(*rules: Json, name: str = "app", tls: list[Json] | None = None, **annotations: str) -> Json:
    notes = {NGINX + key.replace("_", "-"): value for key, value in annotations.items()}
    spec: Json = {"rules": list(rules), **({"tls": tls} if tls else {})}
    metadata = {"name": name, "annotations": notes}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}


async def routed(cluster: Cluster, *objects: Json) -> None:
    """Apply Ingresses and wait until the controller has them."""
    await cluster.apply(list(objects))
    for each in objects:
        if each["kind"] == "Ingress":
            await cluster.wait_ready(f"ingress/{each['metadata']['name']}")


async def told(request: web.BaseRequest) -> Json:
    body = await request.read()
    return {"path": request.path, "query": request.query_string, "size": len(body), "headers": dict(request.headers)}


# -- the course ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["configs", "configs/v1beta1"])
async def test_the_courses_ingresses(cluster: Cluster, folder: str) -> None:
    async with cluster.serve("testsvc", told, 80), cluster.serve("test", told, 80):
        await cluster.apply(ROOT / folder / "ingress-default-backend.yaml")
        await cluster.wait_ready("ingress/test-ingress")
        assert '"path": "/any/thing"' in (await curl(cluster, "http://some.host/any/thing"))[2]
        await cluster.delete(ROOT / folder / "ingress-default-backend.yaml")
        [applied] = await cluster.apply(ROOT / folder / "ingress-path.yaml")
        await cluster.wait_ready(applied.manifest.title.replace(".networking.k8s.io", ""))
        status, _, body = await curl(cluster, "http://some.host/testpath/below?a=b")
        assert (status, '"path": "/"' in body, '"query": "a=b"' in body) == (200, True, True)
        assert (await curl(cluster, "http://some.host/other"))[0] == 404
    [stored] = await cluster.list("ingresses")
    assert stored["status"]["loadBalancer"]["ingress"] == [{"ip": "127.0.0.1"}]


async def test_endpoints_are_asked_and_not_the_virtual_address(cluster: Cluster) -> None:
    await cluster.apply(backend("app", replicas=2), wait=True)
    await routed(cluster, ingress(rule("app")))
    before = len(cluster.connections)
    assert len({(await curl(cluster, "http://app.test/hostname"))[2] for _ in range(4)}) == 2
    assert len(cluster.connections) == before


# -- what is sent on ---------------------------------------------------------------------------------------------------


async def test_headers_for_the_backend(cluster: Cluster) -> None:
    async with cluster.serve("app", told) as served:
        await routed(cluster, ingress(rule("app")))
        await curl(cluster, "http://app.test/x", "-H", "X-Forwarded-For: 6.6.6.6", "-H", "Proxy: evil", "-H", "X-A: b")
        sent = {name.lower(): value for name, value in served.requests[-1].headers.items()}
    assert sent["host"].startswith("app.test")
    assert (sent["x-real-ip"], sent["x-forwarded-for"], sent["x-forwarded-proto"]) == ("127.0.0.1", "127.0.0.1", "http")
    assert (sent["x-original-forwarded-for"], sent["x-a"]) == ("6.6.6.6", "b")
    assert len(sent["x-request-id"]) == 32
    assert "proxy" not in sent


async def test_methods_bodies_and_statuses(cluster: Cluster) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        body = await request.read()
        headers = {"X-Method": request.method, "Set-Cookie": "a=b"}
        return web.Response(status=int(request.query.get("status", "200")), body=body, headers=headers)

    async with cluster.serve("app", answer):
        await routed(cluster, ingress(rule("app")))
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            status, headers, body = await curl(cluster, "http://app.test/", "-X", method, "-d", "hello")
            assert (status, headers["x-method"], body, headers["set-cookie"]) == (200, method, "hello", "a=b")
        chunked = await curl(cluster, "http://app.test/", "-H", "Transfer-Encoding: chunked", "-d", "in pieces")
        assert chunked[2] == "in pieces"
        expecting = await curl(cluster, "http://app.test/", "-H", "Expect: 100-continue", "-d", "after 100")
        assert expecting[2] == "after 100"
        assert (await curl(cluster, "http://app.test/", "-I"))[0] == 200
        assert (await curl(cluster, "http://app.test/?status=418"))[0] == 418
        assert (await curl(cluster, "http://app.test/?status=204"))[0] == 204
        assert "server" not in (await curl(cluster, "http://app.test/"))[1]


async def test_limits_of_size(cluster: Cluster) -> None:
    async with cluster.serve("app", told):
        await routed(cluster, ingress(rule("app"), proxy_body_size="1k"))
        assert (await curl(cluster, "http://app.test/", "-d", "x" * 1024))[0] == 200
        status, _, body = await curl(cluster, "http://app.test/", "-d", "x" * 1025)
        assert (status, "413 Request Entity Too Large" in body) == (413, True)
        chunked = ("-H", "Transfer-Encoding: chunked", "-d", "x" * 100_000)
        assert (await curl(cluster, "http://app.test/", *chunked))[0] == 413


async def test_backends_that_fail(cluster: Cluster) -> None:
    async def slow(request: web.BaseRequest) -> str:
        await asyncio.sleep(30)
        return "late"

    none = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "none"}}
    await cluster.apply({**none, "spec": {"selector": {"app": "none"}, "ports": [{"port": 8080}]}})
    async with cluster.serve("slow", slow):
        await routed(cluster, ingress(rule("none"), rule("slow", host="slow.test"), proxy_read_timeout="1"))
        status, _, body = await curl(cluster, "http://app.test/")
        assert (status, "503 Service Temporarily Unavailable" in body) == (503, True)
        assert (await curl(cluster, "http://slow.test/"))[0] == 504
        assert (await curl(cluster, "http://unknown.test/"))[0] == 404


async def test_an_endpoint_that_refuses_is_passed_over(cluster: Cluster) -> None:
    """One endpoint listens, the other does not: every request is answered."""
    async with cluster.serve("real", "here") as served:
        ready = {"ready": True}
        endpoints = [{"addresses": ["127.1.200.1"], "conditions": ready}]
        slice_: Json = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "mixed-1", "labels": {"kubernetes.io/service-name": "mixed"}},
            "addressType": "IPv4",
            "ports": [{"name": "", "port": served.port, "protocol": "TCP"}],
            "endpoints": endpoints,
        }
        pod = await cluster.get("pod/real-mapped")
        other = {**slice_, "metadata": {**slice_["metadata"], "name": "mixed-2"}}
        other["endpoints"] = [{"addresses": [pod["status"]["podIP"]], "conditions": ready}]
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "mixed"},
            "spec": {"ports": [{"port": 8080}]},
        }
        await routed(cluster, service, slice_, other, ingress(rule("mixed")))
        answers = [await curl(cluster, "http://app.test/") for _ in range(6)]
    assert {(status, body) for status, _, body in answers} == {(200, "here")}


# -- settings ----------------------------------------------------------------------------------------------------------


async def test_access(cluster: Cluster) -> None:
    users = base64.b64encode(b"bob:{SHA}" + base64.b64encode(hashlib.sha1(b"pw").digest())).decode()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "users"}, "data": {"auth": users}}
    async with cluster.serve("app", told):
        basic = ingress(rule("app"), auth_type="basic", auth_secret="users", auth_realm="shop")
        closed = ingress(rule("app", host="closed.test"), name="closed", denylist_source_range="127.0.0.0/8")
        await routed(cluster, secret, basic, closed)
        status, headers, _ = await curl(cluster, "http://app.test/")
        assert (status, headers["www-authenticate"]) == (401, 'Basic realm="shop"')
        assert (await curl(cluster, "http://app.test/", "-u", "bob:pw"))[0] == 200
        assert (await curl(cluster, "http://app.test/", "-u", "bob:no"))[0] == 401
        assert (await curl(cluster, "http://closed.test/"))[0] == 403


async def test_another_server_decides(cluster: Cluster) -> None:
    async def auth(request: web.BaseRequest) -> web.Response:
        if request.headers.get("X-Token") == "good":
            return web.Response(headers={"X-User": "bob"})
        return web.Response(status=401)

    async with cluster.serve("auth", auth), cluster.serve("app", told) as served:
        url = "http://auth.default.svc.cluster.local:8080/check"
        await routed(cluster, ingress(rule("app"), auth_url=url, auth_response_headers="X-User"))
        assert (await curl(cluster, "http://app.test/"))[0] == 401
        assert (await curl(cluster, "http://app.test/", "-H", "X-Token: good"))[0] == 200
        assert served.requests[-1].headers["X-User"] == "bob"


async def test_redirects_and_cors(cluster: Cluster) -> None:
    async with cluster.serve("app", told):
        moved = ingress(rule("app", host="old.test"), name="old", permanent_redirect="https://new.test")
        await routed(cluster, ingress(rule("app"), enable_cors="true", app_root="/home"), moved)
        status, headers, _ = await curl(cluster, "http://old.test/x")
        assert (status, headers["location"]) == (301, "https://new.test")
        assert (await curl(cluster, "http://app.test/"))[1]["location"].endswith("/home")
        status, headers, _ = await curl(cluster, "http://app.test/x", "-X", "OPTIONS", "-H", "Origin: http://a.test")
        assert (status, headers["access-control-allow-methods"]) == (204, "GET, PUT, POST, DELETE, PATCH, OPTIONS")


async def test_a_cookie_keeps_the_endpoint(cluster: Cluster) -> None:
    await cluster.apply(backend("app", replicas=3), wait=True)
    await routed(cluster, ingress(rule("app"), affinity="cookie"))
    _, headers, first = await curl(cluster, "http://app.test/hostname")
    cookie = headers["set-cookie"].partition(";")[0]
    assert cookie.startswith("INGRESSCOOKIE=")
    assert {(await curl(cluster, "http://app.test/hostname", "-b", cookie))[2] for _ in range(5)} == {first}
    assert len({(await curl(cluster, "http://app.test/hostname"))[2] for _ in range(12)}) > 1


async def test_canaries(cluster: Cluster) -> None:
    async with cluster.serve("app", "main"), cluster.serve("next", "next"):
        canary = ingress(rule("next"), name="next", canary="true", canary_by_header="X-Next", canary_weight="0")
        await routed(cluster, ingress(rule("app")), canary)
        assert (await curl(cluster, "http://app.test/"))[2] == "main"
        assert (await curl(cluster, "http://app.test/", "-H", "X-Next: always"))[2] == "next"


async def test_a_problem_is_told_once(cluster: Cluster) -> None:
    await routed(cluster, ingress(rule("app"), server_snippet="deny all;"))
    async with asyncio.timeout(5):
        while not (found := [e for e in await cluster.list("events") if e["involvedObject"]["kind"] == "Ingress"]):
            await asyncio.sleep(0.01)
    await cluster.apply(ingress(rule("app", "/x"), server_snippet="deny all;"))
    await asyncio.sleep(0.1)
    again = [e for e in await cluster.list("events") if e["involvedObject"]["kind"] == "Ingress"]
    assert (len(found), len(again)) == (1, 1)
    assert "server-snippet" in found[0]["message"]
    assert found[0]["type"] == "Warning"


# -- streams -----------------------------------------------------------------------------------------------------------


async def test_a_websocket(cluster: Cluster) -> None:
    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data.upper())
        return socket

    async with cluster.serve("app", echo), aiohttp.ClientSession() as http:
        await routed(cluster, ingress(rule("app")))
        assert cluster.ingress is not None
        url = f"http://127.0.0.1:{cluster.ingress.http_port}/ws"
        async with asyncio.timeout(10), http.ws_connect(url, headers={"Host": "app.test"}) as socket:
            for text in ("hello", "x" * 300_000):
                await socket.send_str(text)
                assert (await socket.receive()).data == text.upper()


async def test_events_arrive_as_they_are_sent(cluster: Cluster) -> None:
    go_on = asyncio.Event()

    async def events(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: one\n\n")
        await go_on.wait()
        await response.write(b"data: two\n\n")
        return response

    async with cluster.serve("app", events), aiohttp.ClientSession() as http:
        await routed(cluster, ingress(rule("app")))
        assert cluster.ingress is not None
        url = f"http://127.0.0.1:{cluster.ingress.http_port}/"
        async with asyncio.timeout(10), http.get(url, headers={"Host": "app.test"}) as reply:
            assert await reply.content.readline() == b"data: one\n"
            go_on.set()
            assert b"data: two" in await reply.content.read()


@pytest.mark.parametrize(("scheme", "size"), [("http", 1 << 30), ("https", 128 << 20)])
async def test_large_bodies_take_no_memory(cluster: Cluster, scheme: str, size: int) -> None:
    """1 GB down and 1 GB up; over https, where curl speaks HTTP/2, less, as both ends of TLS share the processors."""
    piece = bytes(1 << 20)

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        taken = 0
        async for chunk in request.content.iter_any():
            taken += len(chunk)
        if request.method == "PUT":
            return web.Response(text=str(taken))
        response = web.StreamResponse(headers={"Content-Length": str(size)})
        await response.prepare(request)
        for _ in range(size // len(piece)):
            await response.write(piece)
        return response

    application = web.Server(handler)  # not `serve`, which keeps bodies
    runner = web.ServerRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        await cluster.map("app:8080", f"127.0.0.1:{runner.addresses[0][1]}")
        await routed(cluster, ingress(rule("app"), proxy_body_size="0"))
        asked = "curl -sk --max-time 60 -H 'Host: app.test' URL"
        down, grown_down = await growing(shell(cluster, f"{asked} | wc -c", scheme))
        send = f"head -c {size} /dev/zero | {asked} -T - -w ' %{{http_version}}'"
        up, grown_up = await growing(shell(cluster, send, scheme))
    finally:
        await runner.cleanup()
    spoken = {"http": "1.1", "https": "2"}[scheme]
    assert (down.strip(), up) == (str(size), f"{size} {spoken}")
    assert max(grown_down, grown_up) < 50


async def growing(work: Coroutine[Any, Any, str]) -> tuple[str, float]:
    """What comes of the work, and by how many MB this process grew at most while it went on."""
    before = highest = resident_mb()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        while not task.done():
            await asyncio.wait([task], timeout=0.02)
            highest = max(highest, resident_mb())
    return task.result(), highest - before


async def shell(cluster: Cluster, command: str, scheme: str) -> str:
    """What a command prints in which URL is the ingress."""
    assert cluster.ingress is not None
    text = command.replace("URL", f"{scheme}://127.0.0.1:{cluster.ingress.bound[scheme]}/")
    process = await asyncio.create_subprocess_shell(text, stdout=asyncio.subprocess.PIPE)
    return (await process.communicate())[0].decode()


def resident_mb() -> float:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


# -- TLS ---------------------------------------------------------------------------------------------------------------


def pair(host: str) -> KeyPair:
    return make_credentials([host], name=host, token="t", at=datetime.now(UTC)).server


def tls_secret(name: str, made: KeyPair) -> Json:
    data = {"tls.crt": made.certificate, "tls.key": made.key}
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    metadata = {"name": name}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "data": encoded}


async def shown(cluster: Cluster, host: str) -> str:
    """The certificate a client that asks for this host is shown, PEM."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    assert cluster.ingress is not None
    port = cluster.ingress.https_port
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return ssl.DER_cert_to_PEM_cert(der).replace("\n", "")


async def test_certificates_by_name_and_their_rotation(cluster: Cluster) -> None:
    one, two = pair("one.test"), pair("two.test")
    rules = (rule("app", host="one.test"), rule("app", host="two.test"))
    tls = [{"hosts": [f"{name}.test"], "secretName": name} for name in ("one", "two")]
    async with cluster.serve("app", told):
        await routed(cluster, tls_secret("one", one), tls_secret("two", two), ingress(*rules, tls=tls))
        assert await shown(cluster, "one.test") == one.certificate.replace("\n", "")
        assert await shown(cluster, "two.test") == two.certificate.replace("\n", "")
        assert await shown(cluster, "other.test") not in (one.certificate, two.certificate)
        status, headers, _ = await curl(cluster, "http://one.test/x?y")
        assert (status, re.sub(r":\d+", "", headers["location"][6:])) == (308, "//one.test/x?y")
        status, headers, _ = await curl(cluster, "https://one.test/x")
        assert (status, headers["strict-transport-security"]) == (200, "max-age=31536000; includeSubDomains")

        done, answers = asyncio.Event(), []

        async def load() -> None:
            while not done.is_set():
                answers.append((await curl(cluster, "https://one.test/"))[0])

        async with asyncio.TaskGroup() as group:
            group.create_task(load())
            for _ in range(3):
                fresh = pair("one.test")
                await cluster.apply(tls_secret("one", fresh))
                async with asyncio.timeout(5):
                    while await shown(cluster, "one.test") != fresh.certificate.replace("\n", ""):
                        await asyncio.sleep(0.01)
            done.set()
    assert set(answers) == {200}


# -- rollouts ----------------------------------------------------------------------------------------------------------


def backend(name: str, replicas: int, image: str = "app:1") -> list[Json]:
    container = {"name": "web", "image": image, "ports": [{"containerPort": 8080}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    service = {"selector": {"app": name}, "ports": [{"port": 8080}]}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": service},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec},
    ]


async def test_a_rolling_update_loses_no_request(cluster: Cluster) -> None:
    await cluster.apply(backend("app", replicas=4), wait=True)
    await routed(cluster, ingress(rule("app")))
    assert cluster.ingress is not None
    url, statuses, done = f"http://127.0.0.1:{cluster.ingress.http_port}/hostname", [], asyncio.Event()

    async def load(http: aiohttp.ClientSession) -> None:
        while not done.is_set():
            async with http.get(url, headers={"Host": "app.test"}) as reply:
                statuses.append(reply.status)
                await reply.read()

    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(load(http))
        for number in range(3):
            await cluster.apply(backend("app", replicas=4, image=f"app:{number + 2}"), wait=True)
        done.set()
    assert set(statuses) == {200}
    assert len(statuses) > 50


async def test_in_the_sandbox() -> None:
    """At an address of its own, on the nodes at port 80, where MicroK8s' add-on has it, and on the host."""
    plan = address_plan("microk8s", "sandbox")
    config = ClusterConfig(
        network="sandbox", addresses=plan, name="ingress-test", dns_port=0, http_port=0, https_port=0
    )
    async with Cluster(config) as cluster:
        await cluster.apply(backend("app", replicas=2), wait=True)
        await routed(cluster, ingress(rule("app")))
        assert (await curl(cluster, "http://app.test/hostname"))[2].startswith("app-")
        [stored] = await cluster.list("ingresses")
        own = stored["status"]["loadBalancer"]["ingress"][0]["ip"]
        service = await cluster.get("service/ingress-nginx-controller", namespace="ingress-nginx")
        assert service["spec"]["type"] == "LoadBalancer"
        assert service["status"]["loadBalancer"]["ingress"][0]["ip"] == own == "10.64.140.254"
        name = "ingress-nginx-controller.ingress-nginx"
        for address in (own, name, "127.0.0.1", "10.0.0.1"):
            done = await cluster.run("curl", "-s", "-H", "Host: app.test", f"http://{address}/hostname")
            assert done.stdout.startswith(b"app-"), done
            done = await cluster.run("curl", "-sk", "-H", "Host: app.test", f"https://{address}/hostname")
            assert done.stdout.startswith(b"app-"), done


async def test_nothing_is_left() -> None:
    before = asyncio.all_tasks()
    async with Cluster() as cluster, cluster.serve("app", told):
        await routed(cluster, ingress(rule("app")))
        await curl(cluster, "http://app.test/")
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() <= before


async def test_an_ingress_without_a_class_is_served_and_not_commented() -> None:
    """As on a cluster whose addresses are given by nobody: no class is the default there."""
    async with Cluster(ClusterConfig(dns_port=0, http_port=0, https_port=0, load_balancer="pending")) as cluster:
        async with cluster.serve("app", "hello"):
            await cluster.apply([ingress(rule("app"), server_snippet="deny all;")])
            async with asyncio.timeout(5):
                while (await curl(cluster, "http://app.test/"))[2] != "hello":
                    await asyncio.sleep(0.01)
        assert [e for e in await cluster.list("events") if e["involvedObject"]["kind"] == "Ingress"] == []
