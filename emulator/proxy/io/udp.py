"""One bound UDP socket and its flows: a connected socket to the backend for each client address.

Answers leave from the listening socket, so a client sees the address it wrote to. A full buffer loses the packet.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any

from emulator.io import clock
from emulator.io.network import Network
from emulator.io.tasks import TaskOwner
from emulator.proxy.io.tcp import Route
from emulator.proxy.plan import Listen
from emulator.proxy.sessions import Flow, FlowTable

log = logging.getLogger(__name__)

MAX_DATAGRAM = 65_535
MAX_BURST = 64
MAX_WAITING = 64  # packets of a flow whose socket is not there yet
OPEN_SECONDS = 5.0


class UdpListener:
    """Serves one bound socket until `close`, which closes the socket and drops its flows."""

    def __init__(
        self,
        sock: socket.socket,
        listen: Listen,
        route: Route,
        network: Network,
        flows: Flows,
        opening: TaskOwner,
        *,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._sock = sock
        self._listen = listen
        self._route = route
        self._network = network
        self._flows = flows
        self._opening = opening
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._drain)

    def close(self) -> None:
        self._loop.remove_reader(self._sock.fileno())
        close_flows(self._flows.drop(self._listen))
        self._sock.close()

    def _drain(self) -> None:
        now = self._now()
        for _ in range(MAX_BURST):
            try:
                packet, client = self._sock.recvfrom(MAX_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an ICMP error of an earlier answer
                continue
            flow = self._flows.find(self._listen, client, now) or self._open(client, now)
            if flow is not None:
                flow.handle.send(packet)

    def _open(self, client: Any, now: float) -> UdpFlow | None:
        endpoint = self._route(client[0])
        if endpoint is None:
            return None
        backend = (endpoint.address, endpoint.port)
        relay = Relay(self._loop, self._sock, client)
        flow, gone = self._flows.add(self._listen, client, backend, relay, now)
        close_flows(gone)
        relay.on_answer = lambda: self._flows.touch(flow, self._now())
        if self._opening.start(self._connect(flow)) is None:
            self._flows.discard(flow)
            return None
        return flow

    async def _connect(self, flow: UdpFlow) -> None:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                sock = await self._network.udp_connect(*flow.backend)
        except (OSError, TimeoutError) as error:
            log.debug("%s:%d: %s", *flow.backend, error)
            self._flows.discard(flow)
            return
        flow.handle.use(sock)


class Relay:
    """The backend's side of one flow; owns its socket."""

    __slots__ = ("_client", "_closed", "_listener", "_loop", "_sock", "_waiting", "on_answer")

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: socket.socket, client: Any) -> None:
        self._loop = loop
        self._listener = listener
        self._client = client
        self._sock: socket.socket | None = None
        self._waiting: list[bytes] = []
        self._closed = False
        self.on_answer: Callable[[], None] = lambda: None

    def send(self, packet: bytes) -> None:
        if self._sock is None:
            if len(self._waiting) < MAX_WAITING:
                self._waiting.append(packet)
            return
        try:
            self._sock.send(packet)
        except OSError:  # full, or the ICMP error of an earlier packet: UDP may lose, but not for that
            self._send_again(packet)

    def use(self, sock: socket.socket) -> None:
        """Take over the socket to the backend and send what waited for it."""
        if self._closed:
            sock.close()
            return
        self._sock = sock
        self._loop.add_reader(sock.fileno(), self._answers)
        waiting, self._waiting = self._waiting, []
        for packet in waiting:
            self.send(packet)

    def close(self) -> None:
        self._closed = True
        self._waiting.clear()
        if self._sock is not None:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()
            self._sock = None

    def _send_again(self, packet: bytes) -> None:
        if self._sock is not None:
            try:
                self._sock.send(packet)
            except OSError:
                log.debug("a datagram to %s was lost", self._client)

    def _answers(self) -> None:
        for _ in range(MAX_BURST):
            if self._sock is None:
                return
            try:
                packet = self._sock.recv(MAX_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # nobody listens at the backend; the flow stays, as in connection tracking
                continue
            self.on_answer()
            try:
                self._listener.sendto(packet, self._client)
            except OSError:
                log.debug("an answer to %s was lost", self._client)


UdpFlow = Flow[Listen, Relay]
Flows = FlowTable[Listen, Relay]


def close_flows(flows: Iterable[UdpFlow]) -> None:
    """Close the sockets of flows that were taken out of the table."""
    for flow in flows:
        flow.handle.close()
