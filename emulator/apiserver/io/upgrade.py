"""Taking an HTTP connection over: for SPDY after a 101, and for the bytes inside a WebSocket.

Both are a Tunnel: bytes each way with back-pressure. A tunnel ends when the client leaves; then reads give b"" and
writes raise ConnectionError. The handler that took the connection owns it until it returns the response.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol, cast

from aiohttp import WSMsgType, web

from emulator.api.errors import BadRequest

READ_AHEAD_BYTES = 256 * 1024  # held unread before the client is made to wait
MAX_MESSAGE_BYTES = 32 * 1024 * 1024  # of a WebSocket message, as Go's server takes them
CLOSE_SECONDS = 2.0  # for the client to answer our goodbye
SPDY = "SPDY/3.1"


class Tunnel(Protocol):
    """A connection whose HTTP is over."""

    @property
    def response(self) -> web.StreamResponse:
        """What the handler returns once all is done."""
        ...

    async def read(self) -> bytes:
        """The next bytes, b"" when the client has left."""
        ...

    async def write(self, data: bytes) -> None:
        """Send; returns when more may come. Raises ConnectionError."""
        ...

    async def close(self) -> None:
        """Say goodbye and wait a little for the client to go, so that it reads all that was sent."""
        ...


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


class WebSocketTunnel:
    """The payloads of binary messages as one stream of bytes: clients cut it anywhere."""

    def __init__(self, websocket: web.WebSocketResponse) -> None:
        self.response = websocket

    async def read(self) -> bytes:
        while True:
            message = await self.response.receive()
            if message.type is WSMsgType.BINARY:
                if message.data:
                    return bytes(message.data)
            elif message.type is not WSMsgType.TEXT:
                return b""

    async def write(self, data: bytes) -> None:
        if data:
            await self.response.send_bytes(data)

    async def close(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self.response.close()


def is_websocket(request: web.BaseRequest) -> bool:
    return _has_upgrade(request) and request.headers.get("Upgrade", "").lower() == "websocket"


def is_spdy(request: web.BaseRequest) -> bool:
    return _has_upgrade(request) and request.headers.get("Upgrade", "").lower() == SPDY.lower()


def _has_upgrade(request: web.BaseRequest) -> bool:
    return "upgrade" in request.headers.get("Connection", "").lower()


def offered_protocols(request: web.BaseRequest, header: str) -> list[str]:
    """The values of a header that may come several times, and each time with several."""
    return [name.strip() for line in request.headers.getall(header, []) for name in line.split(",") if name.strip()]


async def open_websocket(request: web.BaseRequest, subprotocol: str) -> web.WebSocketResponse:
    """Accept the client's WebSocket with the subprotocol ("" for none). Raises BadRequest."""
    websocket = web.WebSocketResponse(
        protocols=(subprotocol,) if subprotocol else (),
        max_msg_size=MAX_MESSAGE_BYTES,
        timeout=CLOSE_SECONDS,
        compress=False,
    )
    try:
        await websocket.prepare(request)
    except web.HTTPException as error:
        raise BadRequest(f"unable to upgrade: {error.text or error.reason}") from error
    return websocket
