"""What a Cluster offers the code it runs in: objects, names, connections, servers of a test, and what happened."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from emulator import ApplyFailed, Cluster, EmulatorError, NoSuchName, NotReady
from emulator.io.seen import NotSeen

Json = dict[str, Any]


def service(name: str = "web", **spec: Any) -> Json:
    wanted = {"selector": {"app": name}, "ports": [{"port": 8080}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": wanted}


def deployment(name: str = "web", replicas: int = 1) -> Json:
    container = {"name": "web", "image": "web", "ports": [{"containerPort": 8080}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def job(exit_code: int) -> Json:
    annotations = {"kubemu.dev/exit-code": str(exit_code)}
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "main"}]}
    template = {"metadata": {"annotations": annotations}, "spec": pod}
    spec = {"backoffLimit": 0, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": spec}


async def test_what_is_applied_is_served_and_resolved(cluster: Cluster) -> None:
    await cluster.apply([service(), deployment(replicas=2)], wait=True)
    [address] = await cluster.resolve("web")
    assert address == (await cluster.get("service/web"))["spec"]["clusterIP"]
    assert await cluster.resolve("web.default", "SRV") == ["0 100 8080 web.default.svc.cluster.local."]
    async with cluster.http.get("http://web:8080/hostname") as reply:
        pods = [pod["metadata"]["name"] for pod in await cluster.list("pods", selector="app=web")]
        assert await reply.text() in pods
    assert len(pods) == 2
    assert [str(connection.service) for connection in cluster.connections] == ["default/web"]


async def test_names_that_are_not_there(cluster: Cluster) -> None:
    with pytest.raises(NoSuchName, match="no Service 'web' in namespace 'default'") as absent:
        await cluster.resolve("web")
    assert absent.value.rcode == "NXDOMAIN"
    await cluster.apply(service())
    with pytest.raises(NoSuchName) as other:
        await cluster.resolve("web", "AAAA")
    assert other.value.rcode == "NODATA"
    with pytest.raises(EmulatorError, match="not a record type"):
        await cluster.resolve("web", "NONSENSE")


async def test_a_refused_manifest_is_an_exception_and_the_others_are_applied(cluster: Cluster) -> None:
    with pytest.raises(ApplyFailed, match=r"spec\.ports\[0\]\.port: Invalid value: 0"):
        await cluster.apply([service("bad", ports=[{"port": 0}]), service("good")])
    assert await cluster.resolve("good")


async def test_waiting(cluster: Cluster) -> None:
    waiting = asyncio.ensure_future(cluster.wait_for("deployment/web", "Available", timeout_seconds=10))
    await cluster.apply(deployment())
    found = await waiting
    assert found is not None
    assert found["status"]["availableReplicas"] == 1
    scaled = await cluster.wait_for("deployment/web", lambda found: found["spec"]["replicas"] == 1)
    assert scaled is not None
    await cluster.delete(deployment())
    assert await cluster.wait_for("deployment/web", "delete") is None
    with pytest.raises(NotReady, match=r"deployment/web: exists does not hold after 0\.05 s; it does not exist"):
        await cluster.wait_for("deployment/web", "exists", timeout_seconds=0.05)


async def test_jobs_are_ready_when_they_are_complete(cluster: Cluster) -> None:
    await cluster.apply(job(0))
    await cluster.wait_ready("job/once", timeout_seconds=10)
    await cluster.delete(job(0))
    await cluster.wait_for("job/once", "delete")
    await cluster.apply(job(1))
    with pytest.raises(NotReady, match="job/once will not be ready: BackoffLimitExceeded"):
        await cluster.wait_ready("job/once", timeout_seconds=10)


async def test_watching(cluster: Cluster) -> None:
    await cluster.apply(service("a"))
    async with cluster.watch("services") as events, asyncio.timeout(5):
        await cluster.apply(service("b"))
        names = []
        async for event in events:
            names.append((event.type, event.object["metadata"]["name"]))
            if names[-1][1] == "b":
                break
    assert ("ADDED", "a") in names


async def handler(request: web.BaseRequest) -> Json:
    return {"path": request.path}


async def asgi(scope: Json, receive: Any, send: Any) -> None:
    message = await receive()
    await send({"type": "http.response.start", "status": 201, "headers": [(b"x-path", scope["path"].encode())]})
    await send({"type": "http.response.body", "body": message["body"].upper()})


async def application_handler(request: web.Request) -> web.Response:
    return web.Response(text=request.match_info["name"])


def application() -> web.Application:
    made = web.Application()
    made.router.add_get("/hello/{name}", application_handler)
    return made


async def test_a_service_backed_by_the_test(cluster: Cluster) -> None:
    async with cluster.serve("api", handler) as api, cluster.http.get("http://api:8080/x?q=1") as reply:
        assert await reply.json() == {"path": "/x"}
        assert (api.requests[0].method, api.requests[0].path, api.requests[0].query) == ("GET", "/x", "q=1")
    with pytest.raises(aiohttp.ClientConnectionError):
        await cluster.http.get("http://api:8080/x")


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        ("hello", 200, "hello"),
        (b"bytes", 200, "bytes"),
        ({"a": 1}, 200, '{"a": 1}'),
        (503, 503, ""),
        ((404, "gone"), 404, "gone"),
        (lambda: "called", 200, "called"),
    ],
)
async def test_fixed_answers(cluster: Cluster, answer: Any, status: int, text: str) -> None:
    async with cluster.serve("api", answer), cluster.http.get("http://api:8080/") as reply:
        assert (reply.status, await reply.text()) == (status, text)


async def test_applications(cluster: Cluster) -> None:
    async with cluster.serve("asgi", asgi, 8000) as served:
        async with cluster.http.post("http://asgi:8000/shout", data=b"quiet") as reply:
            assert (reply.status, reply.headers["x-path"], await reply.text()) == (201, "/shout", "QUIET")
        assert served.requests[0].body == b"quiet"
    async with cluster.serve("app", application()), cluster.http.get("http://app:8080/hello/you") as reply:
        assert await reply.text() == "you"


async def test_what_cannot_answer_is_refused_at_once(cluster: Cluster) -> None:
    with pytest.raises(TypeError, match="an answer is a response, str"):
        async with cluster.serve("api", object()):
            pass


async def test_namespaces_are_apart_and_go(cluster: Cluster) -> None:
    await cluster.apply(service())
    async with cluster.namespace() as name:
        await cluster.apply([service(), deployment()], namespace=name, wait=True)
        assert await cluster.resolve("web", namespace=name) != await cluster.resolve("web")
        assert "WEB_SERVICE_HOST" in cluster.env(name)
    with pytest.raises(NoSuchName):
        await cluster.resolve(f"web.{name}")


async def test_programs_get_the_variables(cluster: Cluster) -> None:
    await cluster.apply(service())
    done = await cluster.run("sh", "-c", "cat; echo $WEB_SERVICE_PORT $MORE; exit 3", stdin=b"in ", env={"MORE": "x"})
    assert (done.returncode, done.stdout) == (3, b"in 8080 x\n")
    with pytest.raises(FileNotFoundError):
        await cluster.run("no-such-program")
    with pytest.raises(TimeoutError):
        await cluster.run("sleep", "60", timeout_seconds=0.1)


async def test_connections_of_ones_own(cluster: Cluster) -> None:
    await cluster.apply([service(), deployment()], wait=True)
    reader, writer = await cluster.connect("web", 8080)
    writer.write(b"GET /hostname HTTP/1.0\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()
    [seen] = await cluster.connected("web")
    assert (seen.port, seen.protocol) == (8080, "TCP")
    with pytest.raises(NotSeen, match="a connection to default/other: 0 of 1 seen"):
        await cluster.connected("other", timeout_seconds=0.05)


async def test_queries_and_requests_are_seen(cluster: Cluster) -> None:
    await cluster.apply(service())
    await cluster.resolve("web")
    assert [query.rcode for query in await cluster.dns.saw("web")] == ["NOERROR"]
    url = f"{cluster.api_url}/version"
    async with aiohttp.ClientSession() as http, http.get(url, ssl=False) as reply:
        assert reply.status == 200
    [request] = await cluster.api.saw("GET", "/version")
    assert request.status == 200
    cluster.forget_records()
    assert (cluster.dns.queries, cluster.api.requests, cluster.connections) == ([], [], [])


async def test_reset_leaves_nothing_of_what_came(cluster: Cluster) -> None:
    before = {kind: len(await cluster.list(kind, namespace=None)) for kind in ("svc", "pods", "rs", "endpoints", "sa")}
    snapshot = await cluster.snapshot()
    for _ in range(3):
        await cluster.apply([service(), deployment(replicas=3)], wait=True)
        await cluster.reset()
        after = {kind: len(await cluster.list(kind, namespace=None)) for kind in before}
        assert after == before
        with pytest.raises(NoSuchName):
            await cluster.resolve("web")
    await cluster.apply(service())
    await cluster.restore(snapshot)
    with pytest.raises(NoSuchName):
        await cluster.resolve("web")


async def test_what_was_applied_may_be_applied_anew_after_a_restore(cluster: Cluster) -> None:
    await cluster.apply(service())
    snapshot = await cluster.snapshot()
    address = await cluster.resolve("web")
    await cluster.delete(service())
    await cluster.restore(snapshot)
    assert await cluster.resolve("web") == address
    await cluster.apply(service(ports=[{"port": 9090}]))
    assert [port["port"] for port in (await cluster.get("service/web"))["spec"]["ports"]] == [9090]


async def test_clusters_side_by_side() -> None:
    async with Cluster() as one, Cluster() as other:
        for cluster in (one, other):
            await cluster.apply([service(), deployment()], wait=True)
        assert await one.resolve("web") != await other.resolve("web")
        for cluster in (one, other):
            async with cluster.http.get("http://web:8080/hostname") as reply:
                assert reply.status == 200
        assert (len(one.connections), len(other.connections)) == (1, 1)


async def test_in_the_sandbox() -> None:
    from dataclasses import replace

    from emulator import ClusterConfig
    from emulator.config.presets import address_plan

    config = replace(
        ClusterConfig(dns_port=0), network="sandbox", addresses=address_plan("microk8s", "sandbox"), name="api-test"
    )
    async with Cluster(config) as cluster:
        await cluster.apply([service(), deployment()], wait=True)
        async with cluster.http.get("http://web:8080/hostname") as reply:
            assert (await reply.text()).startswith("web-")
        done = await cluster.run("curl", "-s", "http://web:8080/hostname")
        assert done.stdout.startswith(b"web-"), done.stderr
