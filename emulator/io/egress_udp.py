"""The way out of the sandbox for datagrams: one pair of sockets per client and target.

The inner socket is bound to the target's address, so that answers come from where the client wrote to. Bounded: the
flow that was quiet longest makes room, and a flow that is idle ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from emulator.io import clock
from emulator.io.network import Network
from emulator.io.tasks import TaskOwner

log = logging.getLogger(__name__)

IP_ORIGDSTADDR = 20
MAX_DATAGRAM = 65_535
MAX_BURST = 64
MAX_FLOWS = 1024
MAX_WAITING = 16  # packets of a flow whose sockets are not there yet
IDLE_SECONDS = 60.0
SWEEP_SECONDS = 15.0
OPEN_SECONDS = 5.0
ANCILLARY_BYTES = 64

Address = tuple[str, int]
Inner = Callable[[Address], Awaitable[socket.socket]]
"""A socket inside the sandbox bound to this address. Raises OSError."""


class UdpEgress:
    """Serves one transparent listener until `stop`, which closes it and every flow."""

    def __init__(
        self, listener: socket.socket, inner: Inner, outside: Network, target: Callable[[Address], Address]
    ) -> None:
        self._listener = listener
        self._inner = inner
        self._outside = outside
        self._target = target
        self._flows: OrderedDict[tuple[Address, Address], _Flow] = OrderedDict()
        self._tasks = TaskOwner("udp egress", MAX_FLOWS + 1)
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        self._loop.add_reader(self._listener, self._drain)
        self._tasks.start(self._sweep(), "udp egress sweep")

    async def stop(self) -> None:
        self._loop.remove_reader(self._listener)
        self._listener.close()
        await self._tasks.close()
        while self._flows:
            self._flows.popitem()[1].close()

    def _drain(self) -> None:
        for _ in range(MAX_BURST):
            try:
                packet, ancillary, _, client = self._listener.recvmsg(MAX_DATAGRAM, ANCILLARY_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an ICMP error of an earlier answer
                continue
            target = original_target(ancillary)
            if target is not None:
                self._flow(client, target).send(packet)

    def _flow(self, client: Address, target: Address) -> _Flow:
        key = (client, target)
        flow = self._flows.get(key)
        if flow is None:
            flow = self._flows[key] = _Flow(self._loop)
            if len(self._flows) > MAX_FLOWS:
                self._flows.popitem(last=False)[1].close()
            if self._tasks.start(self._open(flow, client, target)) is None:
                flow.close()
        self._flows.move_to_end(key)
        return flow

    async def _open(self, flow: _Flow, client: Address, target: Address) -> None:
        inner = None
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                inner = await self._inner(target)
                inner.connect(client)
                outer = await self._outside.udp_connect(*self._target(target))
        except (OSError, TimeoutError) as error:
            log.debug("no way out to %s:%d: %s", *target, error)
            self._flows.pop((client, target), None)
            flow.close()
            if inner is not None:
                inner.close()
            return
        flow.use(inner, outer)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            before = clock.now() - IDLE_SECONDS
            for key in [key for key, flow in self._flows.items() if flow.last < before]:
                self._flows.pop(key).close()


class _Flow:
    """One client's exchange with one target."""

    __slots__ = ("_closed", "_inner", "_loop", "_outer", "_waiting", "last")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._inner: socket.socket | None = None
        self._outer: socket.socket | None = None
        self._waiting: list[bytes] = []
        self._closed = False
        self.last = clock.now()

    def send(self, packet: bytes) -> None:
        self.last = clock.now()
        if self._outer is None:
            if len(self._waiting) < MAX_WAITING and not self._closed:
                self._waiting.append(packet)
            return
        with contextlib.suppress(OSError):  # full, or nobody there: UDP may lose
            self._outer.send(packet)

    def use(self, inner: socket.socket, outer: socket.socket) -> None:
        """Take over the sockets and send what waited for them."""
        if self._closed:
            inner.close()
            outer.close()
            return
        self._inner, self._outer = inner, outer
        self._loop.add_reader(inner, self._carry, inner, outer)
        self._loop.add_reader(outer, self._carry, outer, inner)
        waiting, self._waiting = self._waiting, []
        for packet in waiting:
            self.send(packet)

    def close(self) -> None:
        self._closed = True
        self._waiting.clear()
        for sock in (self._inner, self._outer):
            if sock is not None:
                self._loop.remove_reader(sock)
                sock.close()
        self._inner = self._outer = None

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        for _ in range(MAX_BURST):
            try:
                packet = source.recv(MAX_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an ICMP error of an earlier packet; the flow stays
                continue
            self.last = clock.now()
            with contextlib.suppress(OSError):
                sink.send(packet)


def original_target(ancillary: list[tuple[int, int, bytes]]) -> Address | None:
    """Where a diverted datagram was sent to, from its control messages (struct sockaddr_in)."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == IP_ORIGDSTADDR and len(data) >= 8:
            port, raw = struct.unpack_from("!2xH4s", data)
            return socket.inet_ntoa(raw), port
    return None
