"""The node agent on real loopback sockets: pods become ready, answer, change their readiness and end in order."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from emulator.api.errors import AlreadyExists
from emulator.api.kinds import CONFIG_MAP, ENDPOINT_SLICE, EVENT, NAMESPACE, NODE, POD, SERVICE
from emulator.api.meta import JsonObject, condition_of
from emulator.client.io.informer import Informers
from emulator.client.io.inprocess import InProcessClient
from emulator.client.io.protocol import Client
from emulator.config.settings import ClusterConfig
from emulator.io.hostnet import HostNetwork
from emulator.io.tasks import running
from emulator.node.io.kubelet import NodeAgent
from emulator.registry.io.pipeline import Registry
from emulator.store.io.memory import MemoryStore

PORT = 18080


@dataclass
class World:
    client: Client
    agent: NodeAgent

    async def pod(self, name: str = "web", annotations: dict[str, str] | None = None, **spec: Any) -> JsonObject:
        container = {"name": "c", "image": "example/c", "ports": [{"containerPort": PORT}]}
        return await self.client.create(
            POD,
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": "default", "annotations": annotations or {}},
                "spec": {"nodeName": "node-1", "containers": [container], **spec},
            },
        )

    async def get(self, name: str = "web") -> JsonObject:
        return await self.client.get(POD, name, "default")

    async def until(self, wanted: Callable[[JsonObject], bool], name: str = "web", seconds: float = 5.0) -> JsonObject:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if wanted(pod := await self.get(name)):
                return pod
            await asyncio.sleep(0.005)
        raise AssertionError(json.dumps((await self.get(name)).get("status"), indent=1))

    async def ready(self, name: str = "web") -> str:
        """Its address, once it is ready."""
        return str((await self.until(is_ready, name))["status"]["podIP"])

    async def gone(self, name: str = "web", seconds: float = 5.0) -> float:
        """How long it took until the pod was gone."""
        begun = time.monotonic()
        while time.monotonic() < begun + seconds:
            if all(pod["metadata"]["name"] != name for pod in (await self.client.list(POD)).items):
                return time.monotonic() - begun
            await asyncio.sleep(0.005)
        raise AssertionError(f"pod {name} is still there")

    async def every(self, wanted: Callable[[list[JsonObject]], bool], seconds: float = 20.0) -> list[JsonObject]:
        """All pods, once they are as wanted."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if wanted(pods := (await self.client.list(POD)).items):
                return pods
            await asyncio.sleep(0.02)
        raise AssertionError(f"{len((await self.client.list(POD)).items)} pods are not as wanted")

    async def events(self, reason: str, seconds: float = 3.0) -> list[str]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            events = (await self.client.list(EVENT)).items
            if found := [event["message"] for event in events if event["reason"] == reason]:
                return found
            await asyncio.sleep(0.01)
        return []

    async def annotate(self, name: str = "web", **annotations: str | None) -> None:
        patch = {f"kubemu.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
        await self.client.patch(POD, name, "default", patch={"metadata": {"annotations": patch}})


def is_ready(pod: JsonObject) -> bool:
    return (condition_of(pod, "Ready") or {}).get("status") == "True"


def not_ready(pod: JsonObject) -> bool:
    return (condition_of(pod, "Ready") or {}).get("status") == "False"


@asynccontextmanager
async def cluster(**settings: Any) -> AsyncIterator[World]:
    config = ClusterConfig(**settings)
    client = InProcessClient(Registry(MemoryStore(), config))
    with contextlib.suppress(AlreadyExists):
        await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
    informers = Informers(client)
    agent = NodeAgent(client, informers, HostNetwork(), config)
    async with running(informers, agent):
        yield World(client, agent)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    before = {task for task in asyncio.all_tasks() if not task.done()}
    async with cluster() as made:
        yield made
    await asyncio.sleep(0)
    left = {task for task in asyncio.all_tasks() if not task.done()} - before
    assert left <= {asyncio.current_task()}
    gc.collect()  # a socket left open shows as a ResourceWarning, which is an error


async def exchange(host: str, sent: bytes, *, port: int = PORT, eof: bool = True) -> bytes:
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(sent)
            if eof:
                writer.write_eof()
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


async def http(host: str, target: str, *, port: int = PORT) -> tuple[int, str]:
    request = f"GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode()
    head, _, body = (await exchange(host, request, port=port, eof=False)).partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


async def ask_udp(host: str, sent: bytes, port: int = PORT) -> bytes:
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.setblocking(False)
    try:
        sock.connect((host, port))
        async with asyncio.timeout(5):
            await asyncio.get_running_loop().sock_sendall(sock, sent)
            return await asyncio.get_running_loop().sock_recv(sock, 65535)
    finally:
        sock.close()


async def refused(host: str, port: int = PORT) -> bool:
    sock = socket.socket()
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
    except ConnectionRefusedError:
        return True
    finally:
        sock.close()
    return False


@asynccontextmanager
async def server(handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> Any:
    """A process of the host, as kubemu.dev/backend means it."""
    listening = await asyncio.start_server(handler, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


async def answers_its_name(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    received = await reader.read()
    writer.write(b"process:" + received)
    writer.close()
    await writer.wait_closed()


async def test_nodes_are_registered() -> None:
    async with cluster(nodes=2) as world:
        nodes = {node["metadata"]["name"]: node for node in (await world.client.list(NODE)).items}
        assert sorted(nodes) == ["node-1", "node-2"]
        assert nodes["node-2"]["spec"]["podCIDR"] == "127.1.8.0/21"
        assert nodes["node-1"]["status"]["addresses"][0] == {"type": "InternalIP", "address": "127.0.0.1"}
        assert (condition_of(nodes["node-1"], "Ready") or {})["status"] == "True"
        assert nodes["node-1"]["status"]["nodeInfo"]["kubeletVersion"].startswith("v1.36.")


async def test_a_pod_answers_http_raw_tcp_and_udp(world: World) -> None:
    ports = [{"containerPort": PORT}, {"containerPort": PORT, "protocol": "UDP"}]
    await world.pod(containers=[{"name": "c", "image": "i", "ports": ports}])
    address = await world.ready()
    assert await http(address, "/hostname") == (200, "web")
    described = json.loads((await http(address, "/any?x=1"))[1])
    assert (described["pod"], described["namespace"], described["node"]) == ("web", "default", "node-1")
    assert (described["address"], described["request"]["query"]) == (address, {"x": "1"})
    assert await exchange(address, b"hello\x00world" * 50_000) == b"hello\x00world" * 50_000
    assert await ask_udp(address, b"hostname") == b"web"
    assert await ask_udp(address, b"ping") == b"ping"


async def test_keep_alive_pipelining_and_a_slow_answer_keep_their_order(world: World) -> None:
    await world.pod()
    requests = b"".join(
        f"GET {path} HTTP/1.1\r\n\r\n".encode() for path in ("/delay?ms=80", "/echo?msg=b", "/hostname")
    )
    answers = await exchange(await world.ready(), requests)
    assert [part.partition(b"\r\n\r\n")[2] for part in answers.split(b"HTTP/1.1 200 OK")[1:]] == [
        b"80 ms\n",
        b"b",
        b"web",
    ]


async def test_bytes_that_could_become_http_are_echoed_when_nothing_follows(world: World) -> None:
    await world.pod()
    assert await exchange(await world.ready(), b"GE") == b"GE"


async def test_a_container_serves_only_the_protocols_it_declares(world: World) -> None:
    await world.pod(containers=[{"name": "c", "image": "i", "ports": [{"containerPort": PORT, "protocol": "UDP"}]}])
    address = await world.ready()
    assert await refused(address)
    await world.pod("portless", containers=[{"name": "c", "image": "i"}])
    assert await refused(await world.ready("portless"))


async def test_the_environment_is_that_of_the_containers_start(world: World) -> None:
    def service(name: str, number: int) -> JsonObject:
        spec = {"clusterIP": f"127.152.183.{number}", "ports": [{"port": 80, "protocol": "TCP"}]}
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": "default"},
            "spec": spec,
        }

    await world.client.create(SERVICE, service("early", 50))
    await asyncio.sleep(0.02)
    await world.pod()
    address = await world.ready()
    await world.client.create(SERVICE, service("late", 51))
    variables = json.loads((await http(address, "/env?format=json"))[1])
    assert variables["EARLY_SERVICE_HOST"] == "127.152.183.50"
    assert variables["HOSTNAME"] == "web"
    assert "LATE_SERVICE_HOST" not in variables
    assert world.agent.variables("default", "web") == variables
    await world.pod("second")
    assert "LATE_SERVICE_HOST=127.152.183.51\n" in (await http(await world.ready("second"), "/env"))[1]


async def test_annotations_steer_readiness_at_once(world: World) -> None:
    await world.pod(annotations={"kubemu.dev/ready": "false"})
    pod = await world.until(not_ready)
    assert pod["status"]["phase"] == "Running"
    assert (condition_of(pod, "Ready") or {})["reason"] == "ContainersNotReady"
    assert (await http(pod["status"]["podIP"], "/readyz"))[0] == 503
    await world.annotate(ready=None)
    await world.until(is_ready, seconds=0.5)
    await world.annotate(ready="false")
    await world.until(not_ready, seconds=0.5)


async def test_ready_after_seconds(world: World) -> None:
    begun = time.monotonic()
    await world.pod(annotations={"kubemu.dev/ready-after-seconds": "0.3"})
    await world.until(not_ready)
    await world.ready()
    assert 0.3 <= time.monotonic() - begun < 2


async def test_readiness_gates_wait_for_their_condition(world: World) -> None:
    await world.pod(readinessGates=[{"conditionType": "example.com/open"}])
    pod = await world.until(lambda pod: (condition_of(pod, "Ready") or {}).get("reason") == "ReadinessGatesNotReady")
    conditions = [*pod["status"]["conditions"], {"type": "example.com/open", "status": "True"}]
    await world.client.update(POD, {**pod, "status": {**pod["status"], "conditions": conditions}}, subresource="status")
    await world.ready()


async def test_a_failing_readiness_probe_keeps_the_pod_unready_and_is_told(world: World) -> None:
    probe = {"tcpSocket": {"port": PORT + 1}, "periodSeconds": 1}
    container = {"name": "c", "image": "i", "ports": [{"containerPort": PORT}], "readinessProbe": probe}
    await world.pod(containers=[container])
    pod = await world.until(not_ready)
    address = pod["status"]["podIP"]
    messages = await world.events("Unhealthy")
    assert messages == [f"Readiness probe failed: dial tcp {address}:{PORT + 1}: connect: connection refused"]
    assert not is_ready(await world.get())


async def test_probes_that_pass(world: World) -> None:
    container: JsonObject = {"name": "c", "image": "i", "ports": [{"name": "http", "containerPort": PORT}]}
    container["startupProbe"] = {"httpGet": {"path": "/healthz", "port": "http"}}
    container["readinessProbe"] = {"httpGet": {"path": "/ready", "port": PORT, "scheme": "HTTPS"}}
    container["livenessProbe"] = {"exec": {"command": ["true"]}}
    await world.pod(containers=[container])
    await world.ready()
    assert await world.events("ProbeSimulated")


async def test_a_failing_liveness_probe_restarts_the_container(world: World) -> None:
    probe = {"tcpSocket": {"port": PORT + 1}, "periodSeconds": 1, "failureThreshold": 1}
    container = {"name": "c", "image": "i", "ports": [{"containerPort": PORT}], "livenessProbe": probe}
    await world.pod(containers=[container])
    pod = await world.until(lambda pod: pod["status"].get("containerStatuses", [{}])[0].get("restartCount") == 1)
    status = pod["status"]["containerStatuses"][0]
    assert status["lastState"]["terminated"]["exitCode"] == 137
    assert "Container c failed liveness probe, will be restarted" in await world.events("Killing")


async def test_work_that_ends_and_fails_follows_its_restart_policy(world: World) -> None:
    ends = {"kubemu.dev/run-seconds": "0.02"}
    await world.pod("done", ends, restartPolicy="Never")
    await world.pod("broken", {**ends, "kubemu.dev/exit-code": "3"}, restartPolicy="Never")
    await world.pod("again", {**ends, "kubemu.dev/exit-code": "3"}, restartPolicy="OnFailure")
    pod = await world.until(lambda pod: pod["status"].get("phase") == "Succeeded", "done")
    assert (condition_of(pod, "Ready") or {})["reason"] == "PodCompleted"
    assert await refused(pod["status"]["podIP"])
    await world.until(lambda pod: pod["status"].get("phase") == "Failed", "broken")
    pod = await world.until(
        lambda pod: "waiting" in pod["status"].get("containerStatuses", [{"state": {}}])[0]["state"], "again"
    )
    assert pod["status"]["phase"] == "Running"
    status = pod["status"]["containerStatuses"][0]
    assert (status["state"]["waiting"]["reason"], status["restartCount"]) == ("CrashLoopBackOff", 1)


async def test_a_missing_config_map_holds_the_container_until_it_is_there(world: World) -> None:
    source = {"configMapKeyRef": {"name": "settings", "key": "mode"}}
    ports = [{"containerPort": PORT}]
    container = {"name": "c", "image": "i", "ports": ports, "env": [{"name": "MODE", "valueFrom": source}]}
    await world.pod(containers=[container])
    pod = await world.until(lambda pod: "containerStatuses" in (pod.get("status") or {}))
    assert pod["status"]["containerStatuses"][0]["state"]["waiting"] == {
        "reason": "CreateContainerConfigError",
        "message": 'configmap "settings" not found',
    }
    config_map = {"metadata": {"name": "settings", "namespace": "default"}, "data": {"mode": "fast"}}
    await world.client.create(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", **config_map})
    assert "MODE=fast\n" in (await http(await world.ready(), "/env"))[1]


async def test_a_simulated_pod_is_gone_quickly_and_its_port_too(world: World) -> None:
    await world.pod()
    address = await world.ready()
    await world.client.delete(POD, "web", "default")
    assert await world.gone() < 0.2
    assert await refused(address)
    assert await world.events("Killing") == ["Stopping container c"]


async def test_a_request_under_way_is_answered_before_the_pod_goes(world: World) -> None:
    await world.pod()
    address = await world.ready()
    slow = asyncio.ensure_future(http(address, "/delay?ms=400"))
    await asyncio.sleep(0.05)
    await world.client.delete(POD, "web", "default")
    assert await slow == (200, "400 ms\n")
    assert await world.gone() < 0.3


async def test_a_request_longer_than_the_grace_is_cut(world: World) -> None:
    await world.pod()
    address = await world.ready()
    slow = asyncio.ensure_future(http(address, "/delay?ms=20000"))
    await asyncio.sleep(0.05)
    await world.client.delete(POD, "web", "default", grace_period_seconds=1)
    assert 0.7 < await world.gone() < 2.0
    with pytest.raises((ConnectionError, IndexError)):
        await slow


async def test_the_listener_closes_only_when_the_endpoint_is_out(world: World) -> None:
    pod = await world.pod()
    address = await world.ready()

    def slice(ready: bool) -> JsonObject:
        conditions = {"ready": ready, "serving": True, "terminating": not ready}
        target = {"kind": "Pod", "name": "web", "namespace": "default", "uid": pod["metadata"]["uid"]}
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "web-1",
                "namespace": "default",
                "labels": {"endpointslice.kubernetes.io/managed-by": "a-test"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.1.0.9"], "conditions": conditions, "targetRef": target}],
            "ports": [],
        }

    created = await world.client.create(ENDPOINT_SLICE, slice(True))
    await asyncio.sleep(0.05)
    await world.client.delete(POD, "web", "default")
    await asyncio.sleep(0.2)
    assert await http(address, "/hostname") == (200, "web")
    assert is_ready(await world.get())
    await world.client.update(ENDPOINT_SLICE, {**slice(False), "metadata": created["metadata"]})
    assert await world.gone() < 0.2


async def test_a_forced_deletion_leaves_nothing(world: World) -> None:
    await world.pod()
    address = await world.ready()
    await world.client.delete(POD, "web", "default", grace_period_seconds=0)
    deadline = time.monotonic() + 2
    while not await refused(address):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_a_process_of_the_host_stands_behind_a_pod(world: World) -> None:
    async with server(answers_its_name) as port:
        await world.pod(annotations={"kubemu.dev/backend": f"localhost:{port}"})
        assert await exchange(await world.ready(), b"hello") == b"process:hello"


async def test_the_process_behind_a_pod_may_change_while_it_runs(world: World) -> None:
    async with server(answers_its_name) as port:
        await world.pod()
        address = await world.ready()
        await world.annotate(backend=f"127.0.0.1:{port}")
        await asyncio.sleep(0.05)
        await world.ready()
        assert await exchange(address, b"x") == b"process:x"
        await world.annotate(backend=None)
        await asyncio.sleep(0.05)
        assert await http(await world.ready(), "/hostname") == (200, "web")
        assert (await world.get())["status"]["containerStatuses"][0]["restartCount"] == 0


async def test_a_pod_whose_process_is_not_there_becomes_ready_when_it_comes(world: World) -> None:
    spare = socket.create_server(("127.0.0.1", 0))
    port = spare.getsockname()[1]
    spare.close()
    await world.pod(annotations={"kubemu.dev/backend.c": f"127.0.0.1:{port}"})
    pod = await world.until(not_ready)
    with pytest.raises(ConnectionError):
        await exchange(pod["status"]["podIP"], b"x")
    listening = await asyncio.start_server(answers_its_name, "127.0.0.1", port)
    try:
        assert await exchange(await world.ready(), b"x") == b"process:x"
    finally:
        listening.close()


async def test_udp_reaches_a_process_of_the_host(world: World) -> None:
    class Answering(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.transport.sendto(b"process:" + data, addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Answering, local_addr=("127.0.0.1", 0))
    try:
        target = f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
        ports = [{"containerPort": PORT, "protocol": "UDP"}]
        container = {"name": "c", "image": "i", "ports": ports}
        await world.pod(annotations={"kubemu.dev/backend": target}, containers=[container])
        assert await ask_udp(await world.ready(), b"x") == b"process:x"
    finally:
        transport.close()


async def test_a_bad_backend_annotation_is_told_on_the_container(world: World) -> None:
    await world.pod(annotations={"kubemu.dev/backend": "nowhere:"})
    pod = await world.until(lambda pod: "containerStatuses" in (pod.get("status") or {}))
    waiting = pod["status"]["containerStatuses"][0]["state"]["waiting"]
    assert "is not HOST:PORT" in waiting["message"]


async def test_a_port_that_may_not_be_bound_is_told_and_the_others_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = HostNetwork.tcp_listener

    async def low_ports_denied(self: HostNetwork, host: str, port: int, *, backlog: int = 1024) -> socket.socket:
        if port < 1024:
            raise PermissionError(errno.EACCES, "Permission denied")
        return await listen(self, host, port, backlog=backlog)

    monkeypatch.setattr(HostNetwork, "tcp_listener", low_ports_denied)
    ports = [{"containerPort": 80}, {"containerPort": PORT}]
    await world.pod(containers=[{"name": "c", "image": "i", "ports": ports}])
    address = await world.ready()
    assert (await http(address, "/healthz"))[0] == 200
    assert (await world.events("PortNotServed"))[0].startswith(f"port 80/TCP is not served at {address}")


async def test_an_address_another_cluster_holds_is_passed_over(world: World) -> None:
    with socket.create_server(("127.1.0.3", PORT)):
        await world.pod()
        assert await world.ready() != "127.1.0.3"


async def test_three_hundred_pods_start_and_end_without_a_task_each(world: World) -> None:
    before = len(asyncio.all_tasks())
    for number in range(300):
        await world.pod(f"web-{number}")

    pods = await world.every(lambda pods: all(map(is_ready, pods)))
    assert len({pod["status"]["podIP"] for pod in pods}) == 300
    assert len(asyncio.all_tasks()) <= before + 1
    for number in range(300):
        await world.client.delete(POD, f"web-{number}", "default")
    await world.every(lambda pods: not pods)


async def test_an_init_container_that_fails_is_tried_again_or_fails_the_pod(world: World) -> None:
    init = [{"name": "setup", "image": "i"}]
    steered = {"kubemu.dev/exit-code.setup": "3", "kubemu.dev/termination-message.setup": "no database"}
    for policy in ("Always", "Never"):
        await world.pod(policy.lower(), steered, initContainers=init, restartPolicy=policy)

    def waits(pod: JsonObject) -> bool:
        (held,) = (pod.get("status") or {}).get("initContainerStatuses") or [{"state": {}}]
        reason = (held["state"].get("waiting") or {}).get("reason")
        return bool(reason == "CrashLoopBackOff" and held.get("lastState"))

    tried = (await world.until(waits, "always"))["status"]
    ended = tried["initContainerStatuses"][0]["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "no database")
    assert tried["phase"] == "Pending"
    await world.until(lambda pod: bool((pod.get("status") or {}).get("phase") == "Failed"), "never")


async def test_an_init_container_that_takes_its_time(world: World) -> None:
    steered = {"kubemu.dev/run-seconds.setup": "0.2"}
    await world.pod("slow", steered, initContainers=[{"name": "setup", "image": "i"}])

    def initializes(pod: JsonObject) -> bool:
        (held,) = (pod.get("status") or {}).get("initContainerStatuses") or [{"state": {}}]
        return "running" in held["state"]

    assert (await world.until(initializes, "slow"))["status"]["phase"] == "Pending"
    await world.ready("slow")


async def test_a_connection_made_before_the_end_may_still_ask(world: World) -> None:
    await world.pod("asked")
    address = await world.ready("asked")
    reader, writer = await asyncio.open_connection(address, PORT)
    try:
        await world.client.delete(POD, "asked", "default")
        await asyncio.sleep(0.2)  # the port is closed by now
        writer.write(b"GET /hostname HTTP/1.1\r\nHost: asked\r\n\r\n")
        async with asyncio.timeout(5):
            answer = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer.lower()
    await world.gone("asked")


async def test_host_ports_are_served_at_the_node_or_the_address_asked_for(world: World) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    for name, address in (("here", ""), ("there", "127.0.0.9")):
        port = {"containerPort": PORT, "hostPort": free, **({"hostIP": address} if address else {})}
        await world.pod(name, containers=[{"name": "c", "image": "i", "ports": [port]}])
    for name, address in (("here", "127.0.0.1"), ("there", "127.0.0.9")):
        await world.ready(name)
        request = b"GET /hostname HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert (await exchange(address, request, port=free, eof=False)).endswith(name.encode())
    await world.client.delete(POD, "here", "default", grace_period_seconds=0)
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionRefusedError):
            while True:  # the pod's object goes before its sockets do
                await exchange("127.0.0.1", b"", port=free)


async def test_sidecars_serve_until_the_others_have_ended(world: World) -> None:
    side = {"name": "side", "image": "i", "restartPolicy": "Always", "ports": [{"containerPort": PORT + 1}]}
    await world.pod("both", initContainers=[side])
    address = await world.ready("both")
    slow = b"GET /delay?ms=600 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    under_way = asyncio.ensure_future(exchange(address, slow, eof=False))
    await asyncio.sleep(0.1)
    await world.client.delete(POD, "both", "default")
    await asyncio.sleep(0.2)
    with pytest.raises(ConnectionRefusedError):
        await exchange(address, b"")
    quick = b"GET /hostname HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert (await exchange(address, quick, port=PORT + 1, eof=False)).endswith(b"both")
    assert (await under_way).startswith(b"HTTP/1.1 200 ")
    await world.gone("both")
    killed = await world.events("Killing")
    assert killed == ["Stopping container c", "Stopping container side"]
