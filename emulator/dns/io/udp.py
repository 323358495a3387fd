"""DNS over UDP: on each wake-up the socket is drained, at most so many packets, replies sent at once.

No transport object and no task on the usual path. What was measured (2 cores, one client process): asyncio's datagram
protocol reached a fifth of dnsmasq's rate, this loop most of it; see benchmarks/dns.py for figures of today.
Only a Forward becomes a task, bounded by the owner; a full send buffer drops the reply and counts it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from emulator.dns import wire
from emulator.dns.engine import Drop, Engine, Forward, Reply
from emulator.dns.io.forwarder import Forwarder
from emulator.io import clock
from emulator.io.tasks import TaskOwner

MAX_QUERY_BYTES = 4096  # a longer query is cut and so FORMERR; clients send far less
MAX_BURST = 64  # packets per wake-up, so other work on the loop gets its turn


class UdpListener:
    """Serves one bound socket until `close`, which closes the socket."""

    def __init__(
        self,
        sock: socket.socket,
        engine: Engine,
        forwarder: Forwarder,
        forwards: TaskOwner,
        *,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self.unsent = 0
        self._sock = sock
        self._engine = engine
        self._forwarder = forwarder
        self._forwards = forwards
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._drain)

    def close(self) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()

    def _drain(self) -> None:
        receive, send = self._sock.recvfrom, self._sock.sendto
        engine = self._engine
        compiled, remember = engine.compiled.get, engine.recent.append
        now = self._now()
        for _ in range(MAX_BURST):
            try:
                packet, peer = receive(MAX_QUERY_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an ICMP error of an earlier reply
                continue
            # engine.handle begins with this very look-up; doing it here saves a call and an object on most packets
            entry = compiled(packet[2:])
            if entry is None:
                self._handle(packet, peer, now)
                continue
            entry.hits += 1
            remember((now, peer, packet, entry.rcode, "udp"))
            try:
                send(packet[:2] + entry.tail, peer)
            except OSError:
                self.unsent += 1

    def _handle(self, packet: bytes, peer: Any, now: float) -> None:
        match self._engine.handle(packet, peer, now, "udp"):
            case Reply(payload):
                self._send(payload, peer)
            case Forward() as job:
                if self._forwards.start(self._forward(job, peer)) is None:
                    refused = job.fail(wire.REFUSED, now)
                    if isinstance(refused, Reply):
                        self._send(refused.payload, peer)
            case Drop():
                pass

    async def _forward(self, job: Forward, peer: Any) -> None:
        outcome = await self._forwarder.settle(job)
        if isinstance(outcome, Reply) and self._sock.fileno() >= 0:
            self._send(outcome.payload, peer)

    def _send(self, payload: bytes, peer: Any) -> None:
        try:
            self._sock.sendto(payload, peer)
        except OSError:  # full buffer, or an address that cannot be reached: UDP may lose
            self.unsent += 1
