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


class RawTunnel:
    """The connection itself, after `101 Switching Protocols`."""

    def __init__(self, request: web.BaseRequest, headers: Mapping[str, str]) -> None:
        self._request = request
        self.response = web.StreamResponse(status=101, headers={"Connection": "Upgrade", **headers})
        assert request.transport is not None
        self._incoming = _Incoming(request.transport)

    async def open(self) -> RawTunnel:
        # The body, if the client announced one, is empty: it waits for the 101.
        self.response.force_close()
        await self.response.prepare(self._request)
        self._request.protocol.set_parser(cast(Any, self._incoming))
        return self

    async def read(self) -> bytes:
        return await self._incoming.read()

    async def write(self, data: bytes) -> None:
        if data:
            await self.response.write(data)

    async def close(self) -> None:
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(CLOSE_SECONDS):
                while await self.read():
                    pass
