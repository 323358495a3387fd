"""The proxy of virtual IPs with real sockets on loopback addresses; Services and slices are written by the tests."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from emulator.api.kinds import ENDPOINT_SLICE, EVENT, SERVICE
from emulator.api.meta import JsonObject
from emulator.client.io.informer import Informers
from emulator.client.io.inprocess import InProcessClient
from emulator.config.settings import ClusterConfig
from emulator.io.hostnet import HostNetwork
from emulator.io.tasks import running
from emulator.proxy.io.proxy import SWEEP_SECONDS, ServiceProxy
from emulator.proxy.sessions import IDLE_SECONDS
from emulator.registry.io.pipeline import Registry
from emulator.store.io.memory import MemoryStore
from tests.support.api import eventually

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PORT = 8080


@dataclass
class World:
    client: InProcessClient
    proxy: ServiceProxy
    ticks: list[float] = field(default_factory=lambda: [1000.0])

    async def service(self, name: str = "web", *, protocol: str = "TCP", port: int = PORT, **spec: Any) -> JsonObject:
        """A Service without a selector, as it was given its address."""
        ports = [{"port": port, "protocol": protocol}]
        return await self.client.create(
            SERVICE,
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"ports": ports, **spec},
            },
        )

    async def endpoints(self, name: str, *places: tuple[str, int], protocol: str = "TCP", **more: Any) -> None:
        """Make these its only endpoints; each port is a slice of its own."""
        for held in (await self.client.list(ENDPOINT_SLICE, "default")).items:
            if held["metadata"]["labels"]["kubernetes.io/service-name"] == name:
                await self.client.delete(ENDPOINT_SLICE, held["metadata"]["name"], "default")
        for number, (address, port) in enumerate(places):
            slice_name = f"{name}-{number}-{self.proxy._now():.0f}-{port}"
            body = {
                "apiVersion": ENDPOINT_SLICE.api_version,
                "kind": "EndpointSlice",
                "metadata": {
                    "name": slice_name,
                    "namespace": "default",
                    "labels": {"kubernetes.io/service-name": name},
                },
                "addressType": "IPv4",
                "endpoints": [{"addresses": [address], "conditions": {"ready": True}, **more}],
                "ports": [{"name": "", "port": port, "protocol": protocol}],
            }
            await self.client.create(ENDPOINT_SLICE, body)

    async def settled(self, service: JsonObject) -> None:
        async def check() -> bool:
            return self.proxy.follows(service)

        await eventually(check)

    async def events(self, name: str) -> list[str]:
        found = (await self.client.list(EVENT, "default")).items
        return [each["message"] for each in found if each["involvedObject"]["name"] == name]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    config = replace(ClusterConfig(), nodes=0)
    client = InProcessClient(Registry(MemoryStore(), config))
    informers, network = Informers(client), HostNetwork()
    ticks = [1000.0]
    proxy = ServiceProxy(client, informers, network, network, config, now=lambda: ticks[0])
    async with running(informers, proxy):
        yield World(client, proxy, ticks)


@asynccontextmanager
async def tcp_backend(handler: Handler, address: str = "127.1.0.10") -> AsyncIterator[tuple[str, int]]:
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, address, 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)


def saying(text: bytes) -> Handler:
    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return handler


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def read_all(address: str, port: int = PORT, source: str = "127.0.0.1") -> bytes:
    reader, writer = await asyncio.open_connection(address, port, local_addr=(source, 0))
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


async def refuses(address: str, port: int = PORT) -> None:
    async def check() -> bool:
        try:
            _, writer = await asyncio.open_connection(address, port)
        except ConnectionRefusedError:
            return True
        writer.close()
        return False

    await eventually(check)


def listeners(prefix: str) -> set[str]:
    """Sockets of this network namespace that listen on addresses with this first octets, TCP and UDP."""
    found = set()
    for table, state in (("tcp", "0A"), ("udp", "07")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            address, port = fields[1].split(":")
            text = socket.inet_ntoa(struct.pack("=I", int(address, 16)))
            if fields[3] == state and text.startswith(prefix):
                found.add(f"{table} {text}:{int(port, 16)}")
    return found


# -- TCP ---------------------------------------------------------------------------------------------------------


async def test_connections_are_spread_and_carried(world: World) -> None:
    async with tcp_backend(saying(b"one")) as one, tcp_backend(saying(b"two"), "127.1.0.11") as two:
        service = await world.service()
        await world.endpoints("web", one, two)
        await world.settled(service)
        address = service["spec"]["clusterIP"]
        answers = {await read_all(address) for _ in range(40)}
        assert answers == {b"one", b"two"}


async def test_affinity_keeps_a_client_until_it_was_idle_for_the_timeout(world: World) -> None:
    async with tcp_backend(saying(b"one")) as one, tcp_backend(saying(b"two"), "127.1.0.11") as two:
        config = {"clientIP": {"timeoutSeconds": 60}}
        service = await world.service(sessionAffinity="ClientIP", sessionAffinityConfig=config)
        await world.endpoints("web", one, two)
        await world.settled(service)
        address = service["spec"]["clusterIP"]
        clients = [f"127.0.0.{number}" for number in range(10, 26)]
        first = {client: await read_all(address, source=client) for client in clients}
        assert set(first.values()) == {b"one", b"two"}  # by chance not in one of 32,768 runs
        for _ in range(3):  # each use begins the timeout anew
            world.ticks[0] += 50
            assert {client: await read_all(address, source=client) for client in clients} == first
        changed = False
        for _ in range(5):
            world.ticks[0] += 61
            again = {client: await read_all(address, source=client) for client in clients}
            changed = changed or again != first
        assert changed
        held = await read_all(address, source=clients[0])
        await world.endpoints("web", two if held == b"one" else one)  # its endpoint goes: another is drawn and kept
        await world.settled(service)

        async def moved() -> bool:
            return await read_all(address, source=clients[0]) != held

        await eventually(moved)


async def test_each_side_may_end_first(world: World) -> None:
    async def counts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read()  # until the client has ended its side
        writer.write(b"%d" % len(data))
        await writer.drain()

    async with tcp_backend(counts) as backend:
        service = await world.service()
        await world.endpoints("web", backend)
        await world.settled(service)
        reader, writer = await asyncio.open_connection(service["spec"]["clusterIP"], PORT)
        writer.write(b"x" * 300_000)
        writer.write_eof()
        assert await reader.read() == b"300000"
        writer.close()


async def test_a_slow_reader_does_not_grow_memory(world: World) -> None:
    sent = 0

    async def pours(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        piece = b"x" * 65536
        while True:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)

    async with tcp_backend(pours) as backend:
        service = await world.service()
        await world.endpoints("web", backend)
        await world.settled(service)
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            await loop.sock_connect(client, (service["spec"]["clusterIP"], PORT))
            before, still = -1, 0
            async with asyncio.timeout(20):
                while still < 5:  # what the kernel's buffers take, and no more
                    await asyncio.sleep(0.05)
                    still = still + 1 if sent == before else 0
                    before = sent
            memory = resident_bytes()
            await asyncio.sleep(0.3)
            assert sent == before
            assert before < 64 << 20
            assert resident_bytes() - memory < 8 << 20
            assert len(await loop.sock_recv(client, 65536)) > 0
            async with asyncio.timeout(10):
                while sent == before:  # it goes on as soon as somebody reads
                    await loop.sock_recv(client, 1 << 20)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_without_endpoints_connections_are_refused(world: World) -> None:
    service = await world.service()
    await world.settled(service)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(service["spec"]["clusterIP"], PORT)


async def test_an_endpoint_nobody_listens_at_resets(world: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.1.0.10", 0))  # bound, and not listening
        service = await world.service()
        await world.endpoints("web", taken.getsockname())
        await world.settled(service)
        reader, writer = await asyncio.open_connection(service["spec"]["clusterIP"], PORT)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_open_connections_outlive_their_endpoint(world: World) -> None:
    async with tcp_backend(echo) as backend:
        service = await world.service()
        await world.endpoints("web", backend)
        await world.settled(service)
        address = service["spec"]["clusterIP"]
        reader, writer = await asyncio.open_connection(address, PORT)
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        await world.endpoints("web")
        await refuses(address)
        writer.write(b"after")
        assert await reader.readexactly(5) == b"after"
        await world.client.delete(SERVICE, "web", "default")
        writer.write(b"still")
        assert await reader.readexactly(5) == b"still"
        writer.close()


async def test_endpoints_that_terminate_serve_only_when_no_other_is_ready(world: World) -> None:
    async with tcp_backend(saying(b"going")) as going, tcp_backend(saying(b"new"), "127.1.0.11") as new:
        service = await world.service()
        conditions = {"ready": False, "serving": True, "terminating": True}
        await world.endpoints("web", going, conditions=conditions)
        await world.settled(service)
        address = service["spec"]["clusterIP"]
        assert await read_all(address) == b"going"
        await world.client.create(ENDPOINT_SLICE, _ready_slice("web", new))

        async def only_new() -> bool:
            return {await read_all(address) for _ in range(10)} == {b"new"}

        await eventually(only_new)


def _ready_slice(name: str, place: tuple[str, int]) -> JsonObject:
    labels = {"kubernetes.io/service-name": name}
    return {
        "apiVersion": ENDPOINT_SLICE.api_version,
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-ready", "namespace": "default", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [place[0]], "conditions": {"ready": True}}],
        "ports": [{"name": "", "port": place[1], "protocol": "TCP"}],
    }


# -- addresses ---------------------------------------------------------------------------------------------------


async def test_a_taken_port_is_told_on_the_service_and_the_others_serve(world: World) -> None:
    with socket.socket() as other:
        other.bind(("127.152.183.77", PORT))
        other.listen()
        async with tcp_backend(saying(b"one")) as backend:
            service = await world.service(clusterIP="127.152.183.77")
            second = await world.service("other", clusterIP="127.152.183.78")
            for name in ("web", "other"):
                await world.endpoints(name, backend)
            await world.settled(service)
            await world.settled(second)

            async def told() -> bool:
                return bool(await world.events("web"))

            await eventually(told)
            (message,) = await world.events("web")
            assert message == (
                "Cannot listen on 127.152.183.77:8080/TCP: Address already in use (another program has this port)"
            )
            assert await read_all("127.152.183.78") == b"one"
            other.close()
            await world.client.patch(SERVICE, "web", "default", patch={"metadata": {"annotations": {"try": "again"}}})

            async def serves() -> bool:
                try:
                    return await read_all("127.152.183.77") == b"one"
                except ConnectionRefusedError:
                    return False

            await eventually(serves)
            assert len(await world.events("web")) == 1


async def test_node_ports_lead_to_the_same_endpoints(world: World) -> None:
    for policy in ("Cluster", "Local"):
        async with tcp_backend(saying(policy.encode())) as backend:
            name = policy.lower()
            service = await world.service(
                name, type="NodePort", externalTrafficPolicy=policy, internalTrafficPolicy=policy
            )
            node_port = service["spec"]["ports"][0]["nodePort"]
            await world.endpoints(name, backend, nodeName="node-9")
            await world.settled(service)
            assert await read_all("127.0.0.1", node_port) == policy.encode()
            assert await read_all(service["spec"]["clusterIP"]) == policy.encode()
            await world.endpoints(name)
            await refuses("127.0.0.1", node_port)


async def test_external_ips_serve_too(world: World) -> None:
    async with tcp_backend(saying(b"one")) as backend:
        service = await world.service(externalIPs=["127.9.9.9"])
        await world.endpoints("web", backend)
        await world.settled(service)
        assert await read_all("127.9.9.9") == b"one"


async def test_many_services_that_come_and_go_leave_no_listener(world: World) -> None:
    before = listeners("127.152.183.")
    count = 150
    async with tcp_backend(saying(b"one")) as backend:

        async def come_and_go(number: int) -> None:
            name = f"web-{number}"
            service = await world.service(name)
            await world.endpoints(name, backend)
            if number % 3 == 0:
                await world.settled(service)
            if number % 3 == 1:
                await asyncio.sleep(0)
            await world.client.delete(SERVICE, name, "default")

        for _ in range(2):
            async with asyncio.TaskGroup() as group:
                for number in range(count):
                    group.create_task(come_and_go(number))

        async def none_left() -> bool:
            return listeners("127.152.183.") == before and not world.proxy._listeners

        await eventually(none_left)
        service = await world.service("last")
        await world.endpoints("last", backend)
        await world.settled(service)
        assert await read_all(service["spec"]["clusterIP"]) == b"one"
        assert len(listeners("127.152.183.")) == len(before) + 1


# -- UDP ---------------------------------------------------------------------------------------------------------


class Answering(asyncio.DatagramProtocol):
    """Says its name, and who asked."""

    def __init__(self, name: str) -> None:
        self.name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(f"{self.name} {addr[1]} ".encode() + data, addr)


@asynccontextmanager
async def udp_backend(name: str, address: str) -> AsyncIterator[tuple[str, int]]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Answering(name), local_addr=(address, 0))
    try:
        yield transport.get_extra_info("sockname")
    finally:
        transport.close()


@asynccontextmanager
async def udp_client(address: str) -> AsyncIterator[Callable[[bytes], Awaitable[list[str]]]]:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((address, PORT))  # so only answers from the virtual address are taken

        async def ask(data: bytes) -> list[str]:
            await loop.sock_sendall(sock, data)
            async with asyncio.timeout(5):
                return (await loop.sock_recv(sock, 65536)).decode().split()

        yield ask


async def test_udp_flows_stay_with_their_endpoint_until_they_are_idle(world: World) -> None:
    async with udp_backend("one", "127.1.0.10") as one, udp_backend("two", "127.1.0.11") as two:
        service = await world.service(protocol="UDP")
        await world.endpoints("web", one, two, protocol="UDP")
        await world.settled(service)
        address = service["spec"]["clusterIP"]
        seen = set()
        async with udp_client(address) as ask:
            name, source, said = await ask(b"hello")
            assert said == "hello"
            for number in range(20):
                assert await ask(b"%d" % number) == [name, source, str(number)]
            for _ in range(16):
                async with udp_client(address) as other:
                    seen.add((await other(b"x"))[0])
            assert seen == {"one", "two"}  # each client has a flow of its own
            assert len(world.proxy._flows) == 17
            world.ticks[0] += IDLE_SECONDS - 1
            assert (await ask(b"kept"))[:2] == [name, source]
            world.ticks[0] += 2  # the others have been quiet for too long
            world.proxy._wake.set()

            async def one_left() -> bool:
                world.proxy._wake.set()
                return len(world.proxy._flows) == 1

            await eventually(one_left, seconds=SWEEP_SECONDS + 5)
            assert (await ask(b"kept"))[:2] == [name, source]


async def test_udp_flows_end_with_their_endpoint(world: World) -> None:
    async with udp_backend("one", "127.1.0.10") as one, udp_backend("two", "127.1.0.11") as two:
        service = await world.service(protocol="UDP")
        await world.endpoints("web", one, protocol="UDP")
        await world.settled(service)
        async with udp_client(service["spec"]["clusterIP"]) as ask:
            assert (await ask(b"x"))[0] == "one"
            await world.endpoints("web", two, protocol="UDP")

            async def moved() -> bool:
                try:
                    async with asyncio.timeout(0.2):
                        return (await ask(b"x"))[0] == "two"
                except (ConnectionRefusedError, TimeoutError):  # between the two there was no endpoint
                    return False

            await eventually(moved)


async def test_udp_without_endpoints_is_refused(world: World) -> None:
    service = await world.service(protocol="UDP")
    await world.settled(service)
    with pytest.raises(OSError) as error:
        async with udp_client(service["spec"]["clusterIP"]) as ask:
            await ask(b"x")
    assert error.value.errno == errno.ECONNREFUSED
