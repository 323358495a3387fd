"""The connection of an aiohttp request taken over after `101 Switching Protocols`: bytes each way with back-pressure."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping
from typing import Any, cast

from aiohttp import web

READ_AHEAD_BYTES = 256 * 1024  # held unread before the client is made to wait
CLOSE_SECONDS = 2.0  # for the client to answer our goodbye


class _Incoming:
    """What aiohttp hands the bytes to after an upgrade."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._chunks.append(data)
        self._size += len(data)
        if self._size > READ_AHEAD_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()
        return False, b""

    def feed_eof(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def read(self) -> bytes:
        while not self._chunks:
            if self._ended:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        data = b"".join(self._chunks) if len(self._chunks) > 1 else self._chunks[0]
        self._chunks.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            with contextlib.suppress(RuntimeError):  # uvloop, when the connection is closing
                self._transport.resume_reading()
        return data


class Relayed(web.StreamResponse):
    """What aiohttp gets for an answer that has been written already."""

    keep_alive = False

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self.keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class RawTunnel:
    """The connection itself, after `101 Switching Protocols`. headers: those of the 101 besides Connection, no others."""

    def __init__(self, request: web.BaseRequest, headers: Mapping[str, str]) -> None:
        self._request = request
        self._headers = headers
        self.response = Relayed(keep_alive=False)
        assert request.transport is not None
        self._incoming = _Incoming(request.transport)

    async def open(self) -> RawTunnel:
        # The body, if the client announced one, is empty: it waits for the 101.
        lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade"]
        lines += [f"{name}: {value}" for name, value in self._headers.items()]
        head = "\r\n".join(lines) + "\r\n\r\n"
        await self._request.writer.write(head.encode("utf-8", "surrogateescape"))
        self._request.protocol.set_parser(cast(Any, self._incoming))
        return self

    async def read(self) -> bytes:
        return await self._incoming.read()

    async def write(self, data: bytes) -> None:
        if data:
            await self._request.writer.write(data)

    async def close(self) -> None:
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(CLOSE_SECONDS):
                while await self.read():
                    pass
