"""Asks upstreams what the engine cannot answer. Bounded in number and time; a reply under another id is ignored.

Never asks our own listeners (see upstreams.py) and never retries a question the upstream answered.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from emulator.dns import wire
from emulator.dns.engine import Drop, Forward, Reply
from emulator.dns.upstreams import Upstream, Upstreams
from emulator.io import clock
from emulator.io.network import Network

READ_TIMEOUT_SECONDS = 2.0  # per upstream; dns.md 10
OVERALL_TIMEOUT_SECONDS = 5.0


class Forwarder:
    def __init__(
        self,
        network: Network,
        upstreams: Upstreams,
        *,
        now: Callable[[], float] = clock.now,
        rng: Callable[[int], int] = clock.randrange,
    ) -> None:
        self._network = network
        self._upstreams = upstreams
        self._now = now
        self._rng = rng

    async def settle(self, job: Forward) -> Reply | Drop:
        """Run a job, and those it leads to, up to a reply; every failure ends in one (SERVFAIL)."""
        outcome: Forward | Reply | Drop = job
        while isinstance(outcome, Forward):
            packet = await self._ask(outcome)
            now = self._now()
            outcome = outcome.fail(wire.SERVFAIL, now) if packet is None else outcome.resume(packet, now)
        return outcome

    async def _ask(self, job: Forward) -> bytes | None:
        try:
            async with asyncio.timeout(OVERALL_TIMEOUT_SECONDS):
                for server in self._upstreams.order(job.name, self._now()):
                    try:
                        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                            packet = await self._ask_one(job, server)
                    except (OSError, TimeoutError):
                        self._upstreams.failed(server, self._now())
                        continue
                    self._upstreams.succeeded(server)
                    return packet
        except TimeoutError:
            pass
        return None

    async def _ask_one(self, job: Forward, server: Upstream) -> bytes:
        query = self._rng(0x10000).to_bytes(2, "big") + job.query[2:]
        if job.transport == "tcp":
            with await self._network.tcp_connect(server.host, server.port) as sock:
                return await _exchange_tcp(sock, query)
        with await self._network.udp_connect(server.host, server.port) as sock:
            return await _exchange_udp(sock, query)


async def _exchange_udp(sock: socket.socket, query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, query)
    while True:
        packet = await loop.sock_recv(sock, wire.MAX_MESSAGE_BYTES)
        if _is_reply(packet, query):
            return packet


async def _exchange_tcp(sock: socket.socket, query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, len(query).to_bytes(2, "big") + query)
    while True:
        size = int.from_bytes(await _read(sock, 2), "big")
        packet = await _read(sock, size)
        if _is_reply(packet, query):
            return packet


async def _read(sock: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    got = bytearray()
    while len(got) < size:
        part = await loop.sock_recv(sock, size - len(got))
        if not part:
            raise ConnectionResetError("the upstream closed the connection")
        got += part
    return bytes(got)


def _is_reply(packet: bytes, query: bytes) -> bool:
    return len(packet) >= wire.HEADER_BYTES and packet[:2] == query[:2] and bool(packet[2] & 0x80)
