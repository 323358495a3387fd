"""What is asked of pods besides their streams: binding, eviction, ephemeral containers, proxying, over HTTP and kubectl."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from emulator.api.kinds import ENDPOINTS, NODE, POD, POD_DISRUPTION_BUDGET, SERVICE
from emulator.api.meta import JsonObject
from emulator.config.settings import ClusterConfig
from emulator.io.podstreams import Ended, Streams
from tests.support.api import Api, api_server, eventually, kubectl_for, kubectl_versions
from tests.support.podstreams import HostPods, running_pod, unused_port

VERSIONS = kubectl_versions()
NEWEST = max(VERSIONS)
PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with api_server(replace(ClusterConfig(), nodes=0), dial=dial) as api:
        await eventually(lambda: _there(api, "default"))
        yield api


@pytest.fixture
async def still() -> AsyncIterator[Api]:
    """Without controllers: a budget's status is what the test says."""
    async with api_server(replace(ClusterConfig(), nodes=0), controllers=False) as api:
        yield api


async def _there(api: Api, namespace: str) -> bool:
    async with api.session() as session, session.get(f"{api.url}/api/v1/namespaces/{namespace}") as answer:
        return answer.status == 200


async def dial(host: str, port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
    except BaseException:
        sock.close()
        raise
    return sock


async def call(api: Api, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
    async with api.session() as session, session.request(method, api.url + path, json=body, **options) as answer:
        is_json = answer.content_type == "application/json"
        return answer.status, await answer.json() if is_json else await answer.text()


# -- who answers, and refusals ---------------------------------------------------------------------------------


async def test_refusals_come_before_the_upgrade_as_statuses(api: Api) -> None:
    await running_pod(api, "two", ("a", "b"))
    exec = f"{PODS}/two/exec?command=ls&stdout=true&container=a"
    assert (await call(api, "GET", exec))[1]["message"] == 'nodes "node-1" not found'
    await api.registry.create(NODE, {"metadata": {"name": "node-1"}})
    assert (await call(api, "GET", exec))[1]["message"] == "no preferred addresses found; known addresses: []"
    held = await api.registry.get(NODE, "node-1")
    addresses = [{"type": "Hostname", "address": "node-1"}, {"type": "InternalIP", "address": "10.0.0.1"}]
    await api.registry.update(NODE, "node-1", "", {**held, "status": {"addresses": addresses}}, subresource="status")
    assert (await call(api, "GET", exec))[1]["message"] == "Upgrade request required"
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
    status, body = await call(api, "GET", f"{PODS}/two/log")
    assert (status, body["reason"]) == (400, "BadRequest")
    assert body["message"] == "a container name must be specified for pod two, choose one of: [a b]"
    status, body = await call(api, "GET", f"{PODS}/two/exec?command=ls&stdout=true&container=c")
    assert (status, body["message"]) == (400, "container c is not valid for pod two")
    status, body = await call(api, "POST", exec, headers=headers)
    assert status == 500
    assert body["message"] == "error dialing backend: dial tcp 10.0.0.1:10250: connect: connection refused"
    assert "reason" not in body
    status, body = await call(api, "GET", f"{PODS}/two/log?container=a&tailLines=1")
    assert body["message"] == (
        'Get "https://10.0.0.1:10250/containerLogs/default/two/a?container=a&tailLines=1": '
        "dial tcp 10.0.0.1:10250: connect: connection refused"
    )
    api.server.pod_streams = HostPods()
    for url, message in (
        (f"{PODS}/two/exec?command=ls&stdout=true&container=a", "Upgrade request required"),
        (f"{PODS}/two/portforward", "Upgrade request required"),
    ):
        status, body = await call(api, "GET", url)
        assert (status, body["message"]) == (400, message)
    status, body = await call(api, "POST", f"{PODS}/two/exec?container=a&command=ls", headers=headers)
    assert (status, body["message"]) == (400, "you must specify at least 1 of stdin, stdout, stderr")
    headers["X-Stream-Protocol-Version"] = "v9.channel.k8s.io"
    status, body = await call(api, "POST", f"{PODS}/two/exec?container=a&command=ls&stdout=1", headers=headers)
    assert status == 403
    assert body["message"].startswith("unable to upgrade: unable to negotiate protocol: client supports [v9")
    status, body = await call(api, "DELETE", f"{PODS}/two/exec")
    assert (status, body["reason"]) == (405, "MethodNotAllowed")


async def test_log_options_are_checked(api: Api) -> None:
    api.server.pod_streams = HostPods(lines=[b"x\n"])
    await running_pod(api)
    for query, message in (
        ("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0"),
    ):
        status, body = await call(api, "GET", f"{PODS}/web/log?{query}")
        assert (status, body["message"]) == (422, f'PodLogOptions "web" is invalid: {message}')
    status, body = await call(api, "GET", f"{PODS}/web/log?tailLines=x")
    assert (status, body["message"]) == (400, 'strconv.ParseInt: parsing "x": invalid syntax')
    assert await call(api, "GET", f"{PODS}/web/log") == (200, "x\n")


async def test_a_pod_without_a_node(api: Api) -> None:
    spec = {"containers": [{"name": "c", "image": "x"}]}
    await api.registry.create(POD, {"metadata": {"name": "free"}, "spec": spec}, "default")
    assert (await call(api, "GET", f"{PODS}/free/log"))[0] == 204
    status, body = await call(api, "GET", f"{PODS}/free/portforward")
    assert (status, body["message"]) == (400, "pod free does not have a host assigned")


async def test_discovery_names_the_subresources(api: Api) -> None:
    _, body = await call(api, "GET", "/api/v1")
    verbs = {each["name"]: (each.get("group", ""), each["kind"], each["verbs"]) for each in body["resources"]}
    assert verbs["bindings"] == ("", "Binding", ["create"])
    assert verbs["pods/attach"] == ("", "PodAttachOptions", ["create", "get"])
    assert verbs["pods/binding"] == ("", "Binding", ["create"])
    assert verbs["pods/ephemeralcontainers"] == ("", "Pod", ["get", "patch", "update"])
    assert verbs["pods/resize"] == ("", "Pod", ["get", "patch", "update"])
    assert verbs["pods/eviction"] == ("policy", "Eviction", ["create"])
    assert verbs["pods/exec"] == ("", "PodExecOptions", ["create", "get"])
    assert verbs["pods/log"] == ("", "Pod", ["get"])
    assert verbs["pods/portforward"] == ("", "PodPortForwardOptions", ["create", "get"])
    assert verbs["services/proxy"] == ("", "ServiceProxyOptions", ["create", "delete", "get", "patch", "update"])


# -- the channels of other clients -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "offered", [("v4.channel.k8s.io",), ("v5.channel.k8s.io", "v4.channel.k8s.io"), ("v4.base64.channel.k8s.io",), ()]
)
async def test_exec_over_every_kind_of_channels(api: Api, offered: tuple[str, ...]) -> None:
    api.server.pod_streams = HostPods()
    await running_pod(api)
    url = f"{api.url}{PODS}/web/exec?command=sh&command=-c&command=read+x;echo+got+$x;exit+3&stdin=1&stdout=1&stderr=1"
    async with api.session() as session, session.ws_connect(url, protocols=offered) as websocket:
        assert websocket.protocol == (offered[0] if offered else None)
        if "base64" in "".join(offered):
            await websocket.send_str("0aGkK")
        else:
            await websocket.send_str("\0hi\n")  # as the Python clients do
        seen = [message async for message in websocket]
        assert websocket.close_code == 1000
    assert all(message.type in (WSMsgType.BINARY, WSMsgType.TEXT) for message in seen)
    if not offered:
        assert [message.data for message in seen] == [b"\1got hi\n", b"\3command terminated with exit code 3"]
    elif seen[0].type is WSMsgType.TEXT:
        assert seen[0].data == "1Z290IGhpCg=="
    else:
        assert seen[0].data == b"\1got hi\n"
        assert b'"reason":"NonZeroExitCode"' in seen[-1].data


async def test_port_forward_over_channels(api: Api) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"you said " + await reader.readline())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    api.server.pod_streams = HostPods()
    await running_pod(api)
    with unused_port() as closed:
        url = f"{api.url}{PODS}/web/portforward?ports={port}&ports={closed}"
        async with api.session() as session, session.ws_connect(url, protocols=("v4.channel.k8s.io",)) as websocket:
            await websocket.send_bytes(b"\0hello\n")
            seen: dict[int, bytes] = {}
            async for message in websocket:
                seen[message.data[0]] = seen.get(message.data[0], b"") + message.data[1:]
    assert seen[0] == port.to_bytes(2, "little") + b"you said hello\n"
    assert seen[1] == port.to_bytes(2, "little")
    assert seen[2] == closed.to_bytes(2, "little")
    assert seen[3].endswith(b"connect: connection refused")
    server.close()


# -- binding ---------------------------------------------------------------------------------------------------


async def test_binding(api: Api) -> None:
    spec = {"containers": [{"name": "c", "image": "x"}]}
    await api.registry.create(POD, {"metadata": {"name": "free"}, "spec": spec}, "default")
    status, body = await call(api, "POST", f"{PODS}/free/binding", {"metadata": {"name": "free"}, "target": {}})
    assert (status, body["message"]) == (422, 'Binding "free" is invalid: target.name: Required value')
    binding = {"metadata": {"name": "free", "annotations": {"a": "b"}}, "target": {"kind": "Node", "name": "n1"}}
    status, body = await call(api, "POST", "/api/v1/namespaces/default/bindings", binding)
    assert (status, body) == (
        201,
        {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201},
    )
    pod = await api.registry.get(POD, "free", "default")
    assert pod["spec"]["nodeName"] == "n1"
    assert pod["metadata"]["annotations"] == {"a": "b"}
    assert [(each["type"], each["status"]) for each in pod["status"]["conditions"]] == [("PodScheduled", "True")]
    status, body = await call(api, "POST", f"{PODS}/free/binding", binding)
    assert (status, body["reason"]) == (409, "Conflict")
    assert body["message"] == (
        'Operation cannot be fulfilled on pods/binding "free": pod free is already assigned to node "n1"'
    )
    # As client-go's protobuf clients send it: metadata{name: free} target{kind: Node, name: n1}.
    raw = b"k8s\0\x0a\x0d\x0a\x02v1\x12\x07Binding\x12\x16\x0a\x06\x0a\x04free\x12\x0c\x0a\x04Node\x1a\x02n1\x22\x00"
    headers = {"Content-Type": "application/vnd.kubernetes.protobuf"}
    status, body = await call(api, "POST", f"{PODS}/free/binding", data=raw, headers=headers)
    assert (status, body["message"].split(":")[1]) == (409, ' pod free is already assigned to node "n1"')
    status, body = await call(api, "POST", f"{PODS}/absent/binding", {"target": {"name": "n1"}})
    assert (status, body["message"]) == (404, 'pods "absent" not found')


# -- eviction --------------------------------------------------------------------------------------------------


async def budget(api: Api, name: str, **status: Any) -> None:
    spec = {"selector": {"matchLabels": {"app": "web"}}, "minAvailable": 1}
    await api.registry.create(POD_DISRUPTION_BUDGET, {"metadata": {"name": name}, "spec": spec}, "default")
    if status:
        held = await api.registry.get(POD_DISRUPTION_BUDGET, name, "default")
        whole = {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1}
        changed = {**held, "status": {**held["status"], **whole, "expectedPods": 1, **status}}
        await api.registry.update(POD_DISRUPTION_BUDGET, name, "default", changed, subresource="status")


async def evict(api: Api, name: str = "web", query: str = "", **options: Any) -> tuple[int, Any]:
    body: JsonObject = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": "default"},
    }
    if options:
        body["deleteOptions"] = options
    return await call(api, "POST", f"{PODS}/{name}/eviction{query}", body)


async def test_eviction_without_a_budget(api: Api) -> None:
    await running_pod(api)
    assert (await evict(api, dryRun=["All"]))[0] == 201
    pod = await api.registry.get(POD, "web", "default")
    assert "deletionTimestamp" not in pod["metadata"]
    status, body = await evict(api)
    assert (status, body["status"]) == (201, "Success")
    pod = await api.registry.get(POD, "web", "default")
    assert "deletionTimestamp" in pod["metadata"]
    target = next(each for each in pod["status"]["conditions"] if each["type"] == "DisruptionTarget")
    assert (target["reason"], target["message"]) == ("EvictionByEvictionAPI", "Eviction API: evicting")
    status, body = await evict(api, "absent")
    assert (status, body["message"]) == (404, 'pods "absent" not found')


async def test_eviction_that_a_budget_refuses(still: Api) -> None:
    await running_pod(still)
    await budget(still, "keep", observedGeneration=0)
    status, body = await evict(still)
    assert (status, body["reason"]) == (429, "TooManyRequests")
    assert body["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert body["details"] == {
        "causes": [
            {
                "reason": "DisruptionBudget",
                "message": "The disruption budget keep is still being processed by the server.",
            }
        ],
        "retryAfterSeconds": 10,
    }
    held = await still.registry.get(POD_DISRUPTION_BUDGET, "keep", "default")
    changed = {**held, "status": {**held["status"], "observedGeneration": 1}}
    await still.registry.update(POD_DISRUPTION_BUDGET, "keep", "default", changed, subresource="status")
    status, body = await evict(still)
    assert body["details"]["causes"][0]["message"] == (
        "The disruption budget keep needs 1 healthy pods and has 1 currently"
    )


async def test_eviction_uses_the_budget_up(still: Api) -> None:
    await running_pod(still)
    await budget(still, "keep", disruptionsAllowed=1, currentHealthy=2)
    assert (await evict(still, query="?dryRun=All"))[0] == 201
    held = await still.registry.get(POD_DISRUPTION_BUDGET, "keep", "default")
    assert held["status"]["disruptionsAllowed"] == 1
    assert (await evict(still))[0] == 201
    held = await still.registry.get(POD_DISRUPTION_BUDGET, "keep", "default")
    assert held["status"]["disruptionsAllowed"] == 0
    assert list(held["status"]["disruptedPods"]) == ["web"]
    assert held["status"]["conditions"][0]["reason"] == "InsufficientPods"


async def test_two_budgets_are_too_many(still: Api) -> None:
    await running_pod(still)
    await budget(still, "one", disruptionsAllowed=1)
    await budget(still, "two", disruptionsAllowed=1)
    status, body = await evict(still)
    assert (status, body["message"].split(",")[0]) == (500, "This pod has more than one PodDisruptionBudget")


@pytest.mark.parametrize("version", sorted(VERSIONS))
async def test_kubectl_drain(api: Api, version: str) -> None:
    await api.registry.create(NODE, {"metadata": {"name": "node-1"}})
    await running_pod(api)
    await budget(api, "keep", disruptionsAllowed=0)
    with kubectl_for(api, VERSIONS[version]) as kubectl:
        result = await kubectl("drain", "node-1", "--force", "--timeout=2s")
        assert result.status == 1
        assert "Cannot evict pod as it would violate the pod's disruption budget." in result.text
        await api.registry.delete(POD_DISRUPTION_BUDGET, "keep", "default")
        process = await kubectl.start("drain", "node-1", "--force", "--grace-period=0")
        text, _ = await asyncio.wait_for(process.communicate(), 60)
        assert b"node/node-1 drained" in text


# -- resize ----------------------------------------------------------------------------------------------------


async def test_resources_are_resized_and_nothing_else(api: Api) -> None:
    resources = {
        "requests": {"cpu": "100m", "memory": "1Gi", "example.com/gpu": "1"},
        "limits": {"example.com/gpu": "1"},
    }
    spec = {"nodeName": "node-1", "containers": [{"name": "web", "image": "i", "resources": resources}]}
    status, body = await call(api, "POST", PODS, {"metadata": {"name": "sized"}, "spec": spec})
    assert status == 201, body
    path = f"{PODS}/sized/resize"
    merge = {"headers": {"Content-Type": "application/strategic-merge-patch+json"}}

    async def resize(name: str = "web", **resources: Any) -> tuple[int, Any]:
        container = {"name": name, "image": "other", "resources": resources}
        return await call(api, "PATCH", path, {"spec": {"containers": [container]}}, **merge)

    status, body = await resize(requests={"cpu": "200m"})
    assert status == 200, body
    (container,) = body["spec"]["containers"]
    assert (container["image"], container["resources"]["requests"]["cpu"]) == ("i", "200m")
    assert body["metadata"]["generation"] == 2
    for name, asked, message in (
        (
            "web",
            {"requests": {"cpu": None}},
            "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
        ),
        (
            "web",
            {"limits": {"example.com/gpu": "2"}, "requests": {"example.com/gpu": "2"}},
            "spec: Forbidden: only cpu and memory resources are mutable",
        ),
        (
            "web",
            {"limits": {"cpu": "200m", "memory": "1Gi"}},
            'spec: Invalid value: "Guaranteed": Pod QOS Class may not change as a result of resizing',
        ),
        ("new", {}, "spec.containers: Forbidden: containers may not be renamed or reordered on resize"),
    ):
        status, body = await resize(name, **asked)
        assert status == 422
        assert message in body["message"]


# -- ephemeral containers --------------------------------------------------------------------------------------


async def test_ephemeral_containers(api: Api) -> None:
    await running_pod(api)
    path = f"{PODS}/web/ephemeralcontainers"
    merge = {"headers": {"Content-Type": "application/strategic-merge-patch+json"}}

    async def add(**container: Any) -> tuple[int, Any]:
        spec = {"ephemeralContainers": [container], "nodeName": "elsewhere"}
        return await call(api, "PATCH", path, {"spec": spec, "metadata": {"labels": {"x": "y"}}}, **merge)

    status, body = await add(name="debug", image="busybox", targetContainerName="web", stdin=True)
    assert status == 200, body
    assert body["spec"]["nodeName"] == "node-1"
    assert "x" not in body["metadata"]["labels"]
    assert body["metadata"]["generation"] == 2
    assert body["spec"]["ephemeralContainers"][0]["terminationMessagePolicy"] == "File"
    for container, message in (
        ({"name": "web", "image": "x"}, 'spec.ephemeralContainers[0].name: Duplicate value: "web"'),
        (
            {"name": "d", "image": "x", "targetContainerName": "no"},
            'spec.ephemeralContainers[0].targetContainerName: Not found: "no"',
        ),
        (
            {"name": "d", "image": "x", "ports": [{"containerPort": 80}]},
            "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
        ),
    ):
        status, body = await add(**container)
        assert (status, body["message"]) == (422, f'Pod "web" is invalid: {message}')
    status, body = await add(name="debug", image="other")
    assert (
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be changed'
        in body["message"]
    )
    status, body = await call(api, "GET", path)
    assert (status, body["kind"]) == (200, "Pod")
    status, body = await call(api, "PATCH", f"{PODS}/web", {"metadata": {"labels": {"new": "1"}}}, **merge)
    assert (status, body["metadata"]["labels"]["new"]) == (200, "1")


@pytest.mark.parametrize("version", sorted(VERSIONS))
async def test_kubectl_debug(api: Api, version: str) -> None:
    await running_pod(api)
    with kubectl_for(api, VERSIONS[version]) as kubectl:
        result = await kubectl("debug", "web", "--image=busybox", "--target=web", "-c", "debug", "--", "sleep", "1")
    assert result.status == 0, result.text
    pod = await api.registry.get(POD, "web", "default")
    assert pod["spec"]["ephemeralContainers"][0]["name"] == "debug"


# -- proxy -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def backend() -> AsyncIterator[int]:
    """A web server behind the pod `web` and the Service `web`."""

    async def echo(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = (await request.read()).decode(errors="replace")
        shown = {"method": request.method, "path": request.raw_path, "headers": headers, "size": len(body)}
        return web.json_response(shown, headers={"X-Own": "1", "Access-Control-Allow-Origin": "*"})

    async def page(request: web.Request) -> web.Response:
        text = '<!DOCTYPE html><a href="/top?x=1&amp;y=2">a</a><a href="rel">b</a><img src=\'http://other/x\'><p title="/no">'
        return web.Response(text=text, content_type="text/html")

    async def redirect(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/elsewhere/"})

    async def socket_(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(protocols=("chat",))
        await websocket.prepare(request)
        async for message in websocket:
            await websocket.send_str(f"{request.path}: {message.data}")
        return websocket

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(3):
            await response.write(f"{number}\n".encode())
            await asyncio.sleep(0.01)
        return response

    app = web.Application(client_max_size=1 << 30)
    for path, handler in (
        ("/page", page),
        ("/redirect", redirect),
        ("/ws", socket_),
        ("/slow", slow),
        ("/{rest:.*}", echo),
    ):
        app.router.add_route("*", path, handler)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
async def service(api: Api) -> AsyncIterator[str]:
    """The path under which the Service `web` is proxied."""
    async with backend() as port:
        await running_pod(api, ports=[port])
        ports = [{"name": "http", "port": 80, "targetPort": port}]
        spec = {"selector": {"app": "web"}, "ports": ports}
        await api.registry.create(SERVICE, {"metadata": {"name": "web"}, "spec": spec}, "default")
        await eventually(lambda: _has_endpoints(api))
        yield "/api/v1/namespaces/default/services/web:http/proxy"


async def _has_endpoints(api: Api) -> bool:
    listing = await api.registry.list(ENDPOINTS, "default", field_selector="metadata.name=web")
    return any(subset.get("addresses") for item in listing.items for subset in item.get("subsets") or ())


async def test_requests_pass_with_their_bodies_and_headers(api: Api, service: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        status, body = await call(api, method, f"{service}/a//b%2Fc/?q=1%202", {"big": "x" * 200_000})
        assert status == 200
        assert (body["method"], body["path"]) == (method, "/a//b%2Fc/?q=1%202")
        assert body["size"] > 200_000
    headers = body["headers"]
    assert headers["x-forwarded-uri"] == f"{service}/a/b%2Fc/"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["host"] == api.url.removeprefix("https://")
    assert "authorization" not in headers
    async with api.session() as session, session.get(f"{api.url}{service}/x") as answer:
        assert answer.headers["X-Own"] == "1"
        assert "Access-Control-Allow-Origin" not in answer.headers
    async with api.session() as session, session.head(f"{api.url}{service}/x") as answer:
        assert answer.status == 200
    browser = {"headers": {"Accept": "text/html"}}
    assert (await call(api, "GET", f"{service}/x", **browser))[0] == 200
    assert await call(api, "GET", f"{service}/slow") == (200, "0\n1\n2\n")


async def test_links_lead_back_through_the_proxy(api: Api, service: str) -> None:
    _, text = await call(api, "GET", f"{service}/page")
    assert f'<a href="{service}/top?x=1&amp;y=2">' in text
    assert '<a href="rel">' in text
    assert "<img src='http://other/x'>" in text
    assert '<p title="/no">' in text
    async with api.session() as session:
        async with session.get(f"{api.url}{service}/redirect", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, f"{service}/elsewhere/")
        async with session.get(f"{api.url}{service}?x=1", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (301, f"{service}/?x=1")


async def test_websockets_pass(api: Api, service: str) -> None:
    async with api.session() as session:
        async with session.ws_connect(f"{api.url}{service}/ws", protocols=("chat",)) as websocket:
            assert websocket.protocol == "chat"
            await websocket.send_str("hello")
            assert (await websocket.receive()).data == "/ws: hello"
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(f"{api.url}{service}/echo")
        assert caught.value.status == 200
        upgrade = {"Connection": "Upgrade", "Upgrade": "chat"}
        async with session.get(f"{api.url}{service}/slow", headers=upgrade) as answer:
            assert await answer.text() == "0\n1\n2\n"


async def test_pods_are_proxied_too(api: Api, service: str) -> None:
    status, body = await call(api, "GET", f"{PODS}/web/proxy/hello?x=1")
    assert (status, body["path"]) == (200, "/hello?x=1")
    with unused_port() as closed:
        status, body = await call(api, "GET", f"{PODS}/web:{closed}/proxy/")
        assert (status, body["reason"]) == (503, "ServiceUnavailable")
        assert body["message"] == (
            f"error trying to reach service: dial tcp 127.0.0.1:{closed}: connect: connection refused"
        )
    status, body = await call(api, "GET", f"{PODS}/a:b:c:d/proxy/")
    assert (status, body["message"]) == (400, 'invalid pod request "a:b:c:d"')


async def test_services_without_endpoints(api: Api, service: str) -> None:
    base = "/api/v1/namespaces/default/services"
    for path, status, message in (
        (f"{base}/web:81/proxy/", 503, 'no service port 81 found for service "web"'),
        (f"{base}/web:other/proxy/", 503, 'no endpoints available for service "web"'),
        (f"{base}/web:80/proxy/x", 200, ""),
        (f"{base}/http:web:http/proxy/x", 200, ""),
        (f"{base}/ftp:web:http/proxy/x", 400, 'invalid service request "ftp:web:http"'),
        (f"{base}/absent/proxy/", 404, 'endpoints "absent" not found'),
    ):
        found, body = await call(api, "GET", path)
        assert found == status, body
        assert body.get("message", "") == message


@pytest.mark.parametrize("version", sorted(VERSIONS))
async def test_kubectl_get_raw_through_the_proxy(api: Api, service: str, version: str) -> None:
    with kubectl_for(api, VERSIONS[version]) as kubectl:
        assert '"path": "/hello"' in await kubectl.ok("get", "--raw", f"{service}/hello")
        result = await kubectl("get", "--raw", "/api/v1/namespaces/default/services/web:81/proxy/")
    assert result.stderr == 'Error from server (ServiceUnavailable): no service port 81 found for service "web"\n'


async def test_nodes_are_proxied_at_a_port(api: Api) -> None:
    await api.registry.create(NODE, {"metadata": {"name": "n"}})
    held = await api.registry.get(NODE, "n")
    status = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}
    await api.registry.update(NODE, "n", "", {**held, "status": status}, subresource="status")
    async with backend() as port:
        found, body = await call(api, "GET", f"/api/v1/nodes/n:{port}/proxy/stats?a=b")
    assert (found, body["path"]) == (200, "/stats?a=b")


async def test_what_is_proxied_ends_with_the_server(api: Api, service: str) -> None:
    async with api.session() as session, session.ws_connect(f"{api.url}{service}/ws") as websocket:
        await websocket.send_str("hello")
        await websocket.receive()
        sessions = api.server._handlers.connections.sessions
        assert len(sessions) == 1
        sessions.end()
        await _until(lambda: not len(sessions))
        assert (await websocket.receive()).type in (WSMsgType.CLOSED, WSMsgType.ERROR)


async def _until(done: Callable[[], bool]) -> None:
    async def check() -> bool:
        return done()

    await eventually(check)


# -- ends ------------------------------------------------------------------------------------------------------


async def test_a_server_that_stops_ends_what_is_under_way() -> None:
    pods = HostPods()
    async with contextlib.AsyncExitStack() as stack, api_server() as api:
        api.server.pod_streams = pods
        await running_pod(api)
        session = await stack.enter_async_context(api.session())
        url = f"{api.url}{PODS}/web"
        protocols = ("v5.channel.k8s.io",)
        sleeping = await session.ws_connect(f"{url}/exec?command=sleep&command=1000&stdout=1", protocols=protocols)
        forward = await session.ws_connect(f"{url}/portforward", protocols=("SPDY/3.1+portforward.k8s.io",))
        log = await session.get(f"{url}/log?follow=true")
        await _until(lambda: bool(pods.running))
        started = asyncio.get_running_loop().time()
        stack.push_async_callback(_all_ended, sleeping, forward, log)
    assert asyncio.get_running_loop().time() - started < 4
    assert not pods.running


async def _all_ended(
    sleeping: aiohttp.ClientWebSocketResponse, forward: aiohttp.ClientWebSocketResponse, log: aiohttp.ClientResponse
) -> None:
    assert b"exit code 137" in (await sleeping.receive()).data
    assert (await sleeping.receive()).type is WSMsgType.CLOSE
    assert (await forward.receive()).type in (WSMsgType.BINARY, WSMsgType.CLOSE)  # a last GOAWAY
    assert await log.read() == b""


async def test_a_client_that_leaves_ends_its_command(api: Api) -> None:
    pods = HostPods()
    api.server.pod_streams = pods
    await running_pod(api)
    url = f"{api.url}{PODS}/web/exec?command=sleep&command=1000&stdin=1&stdout=1"
    async with api.session() as session:
        websocket = await session.ws_connect(url, protocols=("v4.channel.k8s.io",))
        await _until(lambda: bool(pods.running))
        await websocket.close()
        await _until(lambda: not pods.running)
        async with session.get(f"{api.url}{PODS}/web/log?follow=true"):
            await _until(lambda: len(api.server._handlers.connections.sessions) == 1)
        await _until(lambda: not len(api.server._handlers.connections.sessions))


async def test_a_client_that_does_not_read_makes_the_command_wait(api: Api) -> None:
    """Nothing piles up in the server: the program cannot write what the client does not take."""
    written = 0

    class Chatty(HostPods):
        async def exec(
            self, namespace: str, pod: str, container: str, command: Sequence[str], streams: Streams
        ) -> Ended:
            nonlocal written
            assert streams.stdout is not None
            while True:
                await streams.stdout(b"x" * 65536)
                written += 65536

    api.server.pod_streams = Chatty()
    await running_pod(api)
    url = f"{PODS}/web/exec?command=x&stdout=1"
    reader, writer = await asyncio.open_connection("127.0.0.1", api.server.port, ssl=api.tls(), limit=1024)
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    head = [f"GET {url} HTTP/1.1", "Host: localhost", "Authorization: Bearer test-token", "Connection: Upgrade"]
    head += ["Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "", ""]
    writer.write("\r\n".join(head).encode())
    await reader.readuntil(b"\r\n\r\n")
    before = -1
    while written != before:
        before = written
        await asyncio.sleep(0.3)
    assert written < 64 * 1024 * 1024
    writer.transport.abort()
    await _until(lambda: not len(api.server._handlers.connections.sessions))


async def test_a_spdy_client_that_talks_nonsense_is_cut(api: Api) -> None:
    api.server.pod_streams = HostPods()
    await running_pod(api)
    for path in ("portforward", "exec?command=cat&stdout=1"):
        reader, writer = await asyncio.open_connection("127.0.0.1", api.server.port, ssl=api.tls())
        head = [f"POST {PODS}/web/{path} HTTP/1.1", "Host: localhost", "Authorization: Bearer test-token"]
        head += ["Connection: Upgrade", "Upgrade: SPDY/3.1", "Content-Length: 0", "", ""]
        writer.write("\r\n".join(head).encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        writer.write(b"\xff" * 100)
        async with asyncio.timeout(10):
            await reader.read()
        writer.close()
        await _until(lambda: not len(api.server._handlers.connections.sessions))
