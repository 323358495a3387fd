"""A real DnsServer on loopback sockets over a fixture, with a fake upstream: for live cases and integration tests.

Everything listens on 127.0.0.1 with free ports and is closed when its block ends.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject, key_of
from emulator.client.io.informer import Informers
from emulator.client.io.protocol import ObjectList, WatchEvent
from emulator.config.settings import ClusterConfig
from emulator.dns import wire
from emulator.dns.config import DnsConfig
from emulator.dns.io.server import DnsServer, Listen
from emulator.io.tasks import running
from tests.conformance.dns_runner import CLIENT, Exchange, FakeUpstream

NO_REPLY_SECONDS = 0.3
REPLY_SECONDS = 5.0


class LocalNetwork:
    """The host's network, as much of it as DNS asks for."""

    mode = "loopback"

    async def tcp_listener(self, host: str, port: int, *, backlog: int = 1024) -> socket.socket:
        sock = socket.create_server((host, port), backlog=backlog)
        sock.setblocking(False)
        return sock

    async def udp_socket(self, host: str, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.bind((host, port))
        except OSError:
            sock.close()
            raise
        return sock

    async def tcp_connect(self, host: str, port: int, *, timeout_seconds: float = 5.0) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(timeout_seconds):
                await asyncio.get_running_loop().sock_connect(sock, (host, port))
        except BaseException:
            sock.close()
            raise
        return sock

    async def udp_connect(self, host: str, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect((host, port))
        return sock


class StaticClient:
    """Fulfils what an Informer asks of a Client: lists what it was given and watches what `put` and `remove` tell."""

    def __init__(self, objects: Iterable[JsonObject]) -> None:
        self._objects: dict[tuple[str, str], dict[Any, JsonObject]] = {}
        self._watchers: dict[tuple[str, str], list[asyncio.Queue[WatchEvent]]] = {}
        for object in objects:
            self._table(object)[key_of(object)] = object

    async def list(self, kind: Kind, namespace: str = "", **_: str) -> ObjectList:
        return ObjectList(list(self._objects.get((kind.api_version, kind.kind), {}).values()), "1")

    def watch(
        self, kind: Kind, namespace: str = "", *, resource_version: str
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent]]:
        return self._watch((kind.api_version, kind.kind))

    def put(self, object: JsonObject) -> None:
        table = self._table(object)
        kind = "MODIFIED" if key_of(object) in table else "ADDED"
        table[key_of(object)] = object
        self._tell(object, WatchEvent("MODIFIED" if kind == "MODIFIED" else "ADDED", object))

    def remove(self, object: JsonObject) -> None:
        del self._table(object)[key_of(object)]
        self._tell(object, WatchEvent("DELETED", object))

    def _table(self, object: JsonObject) -> dict[Any, JsonObject]:
        return self._objects.setdefault((object["apiVersion"], object["kind"]), {})

    def _tell(self, object: JsonObject, event: WatchEvent) -> None:
        for queue in self._watchers.get((object["apiVersion"], object["kind"]), ()):
            queue.put_nowait(event)

    @asynccontextmanager
    async def _watch(self, key: tuple[str, str]) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        queue: asyncio.Queue[WatchEvent] = asyncio.Queue()
        self._watchers.setdefault(key, []).append(queue)

        async def events() -> AsyncIterator[WatchEvent]:
            while True:
                yield await queue.get()

        yield events()


class UpstreamService:
    """A FakeUpstream on UDP and TCP of one free port; a Service. With `silent` it reads and never replies."""

    name = "fake upstream"

    def __init__(self, lines: Iterable[str], *, silent: bool = False) -> None:
        self._fake = FakeUpstream(lines)
        self._silent = silent
        self.asked = 0
        self.address = ""

    async def run(self, ready: Any) -> None:
        network = LocalNetwork()
        server = await asyncio.start_server(self._stream, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            self.address = f"127.0.0.1:{port}"
            with await network.udp_socket("127.0.0.1", port) as sock:
                ready()
                loop = asyncio.get_running_loop()
                while True:
                    packet, peer = await loop.sock_recvfrom(sock, 4096)
                    self.asked += 1
                    if not self._silent:
                        sock.sendto(self._fake.answer(packet), peer)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(2), "big")
            answer = self._fake.answer(await reader.readexactly(size))
            self.asked += 1
            writer.write(len(answer).to_bytes(2, "big") + answer)
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def serving(
    objects: Iterable[JsonObject],
    dns_config: DnsConfig | None = None,
    *,
    upstream: UpstreamService | None = None,
    host_alias: str | None = None,
) -> AsyncIterator[tuple[DnsServer, StaticClient]]:
    """A synced server on a free port of 127.0.0.1."""
    client = StaticClient(objects)
    informers = Informers(client)  # type: ignore[arg-type]  # only list and watch are asked of it
    upstream = upstream or UpstreamService(())
    async with running(upstream):
        server = DnsServer(
            informers,
            ClusterConfig(),
            listen=[Listen(LocalNetwork(), "127.0.0.1", 0)],
            upstreams=[upstream.address],
            dns_config=dns_config,
            host_alias=host_alias,
        )
        async with running(informers, server):
            async with asyncio.timeout(5):
                await server.synced.wait()
            if dns_config is not None:
                server.engine.synced = dns_config.synced
            yield server, client


def socket_exchange(address: tuple[str, int]) -> Exchange:
    """Sends queries over real sockets; blocking, so not for the server's own thread."""

    def exchange(packet: bytes, query: Mapping[str, Any]) -> list[bytes]:
        wait = REPLY_SECONDS if len(packet) >= wire.HEADER_BYTES and not packet[2] & 0x80 else NO_REPLY_SECONDS
        if query.get("transport") == "tcp":
            return tcp_exchange(address, packet, wait)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(wait)
            sock.sendto(packet, address)
            try:
                return [sock.recv(65535)]
            except TimeoutError:
                return []

    return exchange


def tcp_exchange(address: tuple[str, int], packet: bytes, wait: float) -> list[bytes]:
    """One query on a connection of its own; a zone transfer is read up to its second SOA."""
    replies: list[bytes] = []
    apexes = 0
    with socket.create_connection(address, timeout=wait) as sock, sock.makefile("rb") as stream:
        sock.sendall(len(packet).to_bytes(2, "big") + packet)
        while True:
            size = int.from_bytes(stream.read(2), "big")
            replies.append(stream.read(size))
            message = wire.parse(replies[-1])
            apexes += sum(record.type == wire.SOA for record in message.answer)
            is_transfer = message.question is not None and message.question.type == wire.AXFR
            if not is_transfer or message.rcode or apexes >= 2:
                return replies


def can_run_live(case: Mapping[str, Any]) -> bool:
    """A client address of the cases cannot be taken on loopback."""
    query: Mapping[str, Any] = case.get("query") or {}
    return bool(query.get("client", CLIENT[0]) == CLIENT[0])
