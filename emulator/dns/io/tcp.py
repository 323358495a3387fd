"""DNS over TCP: two-octet length prefix, queries on one connection answered one after the other, in order.

Every wait has a deadline. Source: dns.md 9 [miekg/dns serveTCPConn: 3 s first, 10 s idle, 5 s writes].
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from emulator.dns.engine import Drop, Engine, Forward
from emulator.dns.io.forwarder import Forwarder
from emulator.io import clock
from emulator.io.tasks import TaskOwner

log = logging.getLogger(__name__)

FIRST_READ_SECONDS = 3.0
IDLE_SECONDS = 10.0
WRITE_SECONDS = 5.0
MAX_CONNECTIONS = 1000
ACCEPT_PAUSE_SECONDS = 0.1  # after the system refuses a socket (too many open files)
CHUNK_BYTES = 65536


class TcpListener:
    """Serves one listening socket; `run` ends only by cancellation, `close` ends the connections."""

    def __init__(
        self, sock: socket.socket, engine: Engine, forwarder: Forwarder, *, now: Callable[[], float] = clock.now
    ) -> None:
        self._sock = sock
        self._engine = engine
        self._forwarder = forwarder
        self._now = now
        self._connections = TaskOwner("dns tcp connection", MAX_CONNECTIONS)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(self._sock)
            except OSError as error:
                log.warning("dns: accepting a TCP connection failed: %s", error)
                await asyncio.sleep(ACCEPT_PAUSE_SECONDS)
                continue
            connection.setblocking(False)
            if self._connections.start(self._serve(connection, peer)) is None:
                connection.close()

    async def close(self) -> None:
        await self._connections.close()
        self._sock.close()

    async def _serve(self, connection: socket.socket, peer: Any) -> None:
        loop = asyncio.get_running_loop()
        buffer = bytearray()
        wait = FIRST_READ_SECONDS
        with connection:
            try:
                while True:
                    while (packet := _take(buffer)) is not None:
                        await self._answer(connection, packet, peer)
                        wait = IDLE_SECONDS
                    async with asyncio.timeout(wait):
                        received = await loop.sock_recv(connection, CHUNK_BYTES)
                    if not received:
                        return
                    buffer += received
            except (OSError, TimeoutError):
                return

    async def _answer(self, connection: socket.socket, packet: bytes, peer: Any) -> None:
        loop = asyncio.get_running_loop()
        outcome = self._engine.handle(packet, peer, self._now(), "tcp")
        if isinstance(outcome, Forward):
            outcome = await self._forwarder.settle(outcome)
        if isinstance(outcome, Drop):
            return
        for payload in (outcome.payload, *outcome.more):
            async with asyncio.timeout(WRITE_SECONDS):
                await loop.sock_sendall(connection, len(payload).to_bytes(2, "big") + payload)


def _take(buffer: bytearray) -> bytes | None:
    """The first whole message of the buffer, taken out of it."""
    if len(buffer) < 2:
        return None
    end = 2 + int.from_bytes(buffer[:2], "big")
    if len(buffer) < end:
        return None
    packet = bytes(buffer[2:end])
    del buffer[:end]
    return packet
