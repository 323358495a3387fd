"""The backend of `kubemu.dev/backend: HOST:PORT`: a pod's ports lead to a process of the host.

Bytes pass unchanged, half-closes too. The process's own addresses are reached over the host's network.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from typing import Any, cast

from emulator.io.network import Network
from emulator.io.tasks import TaskOwner
from emulator.node.backends import Target
from emulator.node.io.backend import BindFailure, Listen, close_server, sockets_closed

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
IDLE_SECONDS = 1.0  # on shutdown a connection without traffic for so long counts as idle
FLOW_IDLE_SECONDS = 60.0  # a UDP flow without traffic for so long is forgotten
MAX_FLOWS = 1024
MAX_HELD_DATAGRAMS = 16  # of a flow whose socket is being opened


async def connect(network: Network, host: str, port: int, timeout_seconds: float = CONNECT_SECONDS) -> socket.socket:
    """A connection to the first address of `host` that takes one. Raises OSError, TimeoutError."""
    error: OSError | None = None
    async with asyncio.timeout(timeout_seconds):
        for address in await resolve(host, port):
            try:
                return await network.tcp_connect(address, port, timeout_seconds=timeout_seconds)
            except OSError as refused:
                error = refused
    raise error or OSError(f"{host} has no address")


async def resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class ExternalBackend:
    """Serves one container whose work a process of the host does."""

    def __init__(self, network: Network, host_network: Network, target: Target) -> None:
        self.target = target
        self._network = network
        self._host_network = host_network
        self._tasks = TaskOwner(f"backend {target}", limit=10_000)
        self._servers: list[asyncio.Server] = []
        self._datagrams: list[_Datagrams] = []
        self._open: set[_Client] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    async def bind(self, listens: list[Listen]) -> list[BindFailure]:
        failures = []
        for listen in listens:
            try:
                await self._bind_one(listen)
            except OSError as error:
                failures.append(BindFailure(listen, error))
        return failures

    async def _bind_one(self, listen: Listen) -> None:
        loop = asyncio.get_running_loop()
        host, port = self.target.for_port(listen.container_port)
        if listen.protocol == "UDP":
            sock = await self._network.udp_socket(listen.host, listen.port)
            _, datagrams = await loop.create_datagram_endpoint(lambda: _Datagrams(self, host, port), sock=sock)
            self._datagrams.append(datagrams)
        else:
            sock = await self._network.tcp_listener(listen.host, listen.port)
            self._servers.append(await loop.create_server(lambda: _Client(self, host, port), sock=sock))

    def stop_listening(self) -> None:
        for server in self._servers:
            close_server(server)
        self._servers.clear()
        for datagrams in self._datagrams:
            datagrams.close()
        self._datagrams.clear()
        for client in list(self._open):
            client.end_when_idle()

    @property
    def connections(self) -> int:
        return len(self._open)

    async def drained(self, timeout_seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._empty.wait()
        return not self._open

    async def abort(self) -> None:
        self.stop_listening()
        await self._tasks.close()
        for client in list(self._open):
            client.cut()
        await sockets_closed()

    async def open_upstream(self, client: _Client) -> None:
        """Connect a client to the process; one that cannot be reached shows as a reset."""
        try:
            sock = await connect(self._host_network, client.host, client.port)
        except OSError as error:
            log.debug("backend %s:%d: %s", client.host, client.port, error)
            client.reset()
            return
        if client.transport is None:
            sock.close()
            return
        upstream = _Side(client)
        await asyncio.get_running_loop().create_connection(lambda: upstream, sock=sock)
        client.joined(upstream)

    def start(self, work: Any) -> bool:
        return self._tasks.start(work) is not None

    def opened(self, client: _Client) -> None:
        self._open.add(client)
        self._empty.clear()

    def closed(self, client: _Client) -> None:
        self._open.discard(client)
        if not self._open:
            self._empty.set()

    async def open_flow(self, flow: _Flow, host: str, port: int) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                address = (await resolve(host, port))[0]
                sock = await self._host_network.udp_connect(address, port)
        except OSError as error:
            log.debug("backend %s:%d/UDP: %s", host, port, error)
            flow.close()
            return
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: flow, sock=sock)


class _Side(asyncio.Protocol):
    """One end of a pumped connection: what it receives its peer sends."""

    def __init__(self, peer: _Side | None = None) -> None:
        self.peer = peer
        self.transport: asyncio.Transport | None = None
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        peer = self.peer
        if peer is None or peer.transport is None or peer.transport.is_closing():
            return False
        with contextlib.suppress(OSError):
            peer.transport.write_eof()
        if peer.ended:
            peer.transport.close()
            return False
        return True

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.peer is not None and self.peer.transport is not None:
            if exc is None:
                self.peer.transport.close()
            else:
                self.peer.transport.abort()


class _Client(_Side):
    """The end that a client of the pod connected; reads nothing until the other end is there."""

    def __init__(self, backend: ExternalBackend, host: str, port: int) -> None:
        super().__init__()
        self.host = host
        self.port = port
        self._backend = backend
        self._loop = asyncio.get_running_loop()
        self._last_traffic = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Not at once: Python before 3.11.4 begins to read only after this call, and would undo the pause.
        self._loop.call_soon(self._pause)
        self._backend.opened(self)
        if not self._backend.start(self._backend.open_upstream(self)):
            self.reset()

    def _pause(self) -> None:
        if self.transport is not None and self.peer is None:
            self.transport.pause_reading()

    def joined(self, upstream: _Side) -> None:
        self.peer = upstream
        if self.transport is not None:
            self.transport.resume_reading()
        elif upstream.transport is not None:
            upstream.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._last_traffic = self._loop.time()
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)
        self._backend.closed(self)

    def end_when_idle(self) -> None:
        if self.transport is None:
            return
        rest = self._last_traffic + IDLE_SECONDS - self._loop.time()
        if rest <= 0:
            self.transport.close()
        else:
            self._timer = self._loop.call_later(rest, self.end_when_idle)

    def cut(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def reset(self) -> None:
        """End with RST, as a port that refuses would have."""
        if self.transport is not None:
            sock = self.transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()


class _Datagrams(asyncio.DatagramProtocol):
    """The pod's UDP port: a flow to the process for each client address."""

    def __init__(self, backend: ExternalBackend, host: str, port: int) -> None:
        self._backend = backend
        self._host = host
        self._port = port
        self._flows: dict[Any, _Flow] = {}
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        flow = self._flows.get(addr)
        if flow is None:
            if len(self._flows) >= MAX_FLOWS:
                return
            flow = self._flows[addr] = _Flow(self, addr)
            if not self._backend.start(self._backend.open_flow(flow, self._host, self._port)):
                flow.close()
                return
        flow.send(data)

    def reply(self, data: bytes, client: Any) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.sendto(data, client)

    def forget(self, client: Any) -> None:
        self._flows.pop(client, None)

    def close(self) -> None:
        for flow in list(self._flows.values()):
            flow.close()
        if self.transport is not None:
            self.transport.close()


class _Flow(asyncio.DatagramProtocol):
    """One client's datagrams to the process and back."""

    def __init__(self, owner: _Datagrams, client: Any) -> None:
        self._owner = owner
        self._client = client
        self._waiting: list[bytes] = []
        self._closed = False
        self._transport: asyncio.DatagramTransport | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(FLOW_IDLE_SECONDS, self.close)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        if self._closed:
            self._transport.close()
        for data in self._waiting:
            self._transport.sendto(data)
        self._waiting.clear()

    def send(self, data: bytes) -> None:
        self._touch()
        if self._transport is not None:
            self._transport.sendto(data)
        elif len(self._waiting) < MAX_HELD_DATAGRAMS:
            self._waiting.append(data)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._touch()
        self._owner.reply(data, self._client)

    def error_received(self, exc: Exception) -> None:
        log.debug("backend flow: %s", exc)  # nobody listens there now; the client sees silence

    def _touch(self) -> None:
        self._timer.cancel()
        if not self._closed:
            self._timer = self._loop.call_later(FLOW_IDLE_SECONDS, self.close)

    def close(self) -> None:
        self._closed = True
        self._timer.cancel()
        self._owner.forget(self._client)
        if self._transport is not None:
            self._transport.close()
