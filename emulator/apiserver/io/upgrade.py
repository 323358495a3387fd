"""Taking an HTTP connection over: for SPDY after a 101, and for the bytes inside a WebSocket.

Both are a Tunnel: bytes each way with back-pressure. A tunnel ends when the client leaves; then reads give b"" and
writes raise ConnectionError. The handler that took the connection owns it until it returns the response.
"""

from __future__ import annotations

import contextlib
from typing import Protocol

from aiohttp import WSMsgType, web

from emulator.api.errors import BadRequest
from emulator.io.rawtunnel import CLOSE_SECONDS

MAX_MESSAGE_BYTES = 32 * 1024 * 1024  # of a WebSocket message, as Go's server takes them
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
