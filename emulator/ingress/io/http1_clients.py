"""The connections of HTTP/1 clients of one listener: aiohttp's server, with the words of nginx where it refuses a request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from emulator.ingress.io import pages
from emulator.ingress.io.http1 import Http1Incoming, read_head
from emulator.ingress.io.incoming import Incoming
from emulator.ingress.model import Request, Respond
from emulator.ingress.requests import HEADERS_TOO_LARGE, MAX_FIELD_BYTES, Door
from emulator.io.rawtunnel import Relayed

log = logging.getLogger(__name__)

KEEPALIVE_SECONDS = 75.0  # ingress-nginx keep-alive
LINGER_SECONDS = 5.0  # nginx lingering_timeout: the rest of a body is read so long, that the client may read the answer
MAX_LINE_BYTES = 8177  # of a target: large-client-header-buffers 4 8k less `GET ` and ` HTTP/1.1\r\n`
OPTIONS: dict[str, Any] = {
    "access_log": None,
    "max_line_size": MAX_LINE_BYTES,
    "max_field_size": MAX_FIELD_BYTES,
    "max_headers": 4096,  # nginx counts their bytes only, as `read_request` does
    "keepalive_timeout": KEEPALIVE_SECONDS,
    "lingering_time": LINGER_SECONDS,
    "auto_decompress": False,
}

Handle = Callable[[Request | Respond, Incoming], Awaitable[None]]


class Http1Server(web.Server):
    """Makes the protocols of one listener's connections."""

    def __init__(self, door: Door, handle: Handle) -> None:
        super().__init__(self._answer, handler_cancellation=True)
        self._door = door
        self._handle = handle

    def __call__(self) -> web.RequestHandler:
        return _Client(self, loop=asyncio.get_running_loop(), **OPTIONS)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        incoming = Http1Incoming(request)
        try:
            await self._handle(read_head(self._door, request), cast(Incoming, incoming))
        except ConnectionError:  # the client has gone
            incoming.abort()
        except Exception:
            log.exception("%s %s", request.method, request.raw_path)
            if incoming.begun:
                incoming.abort()
            else:
                await pages.answer(cast(Incoming, incoming), 500)
        return incoming.finished()


class _Client(web.RequestHandler):
    """A connection; what is no HTTP gets nginx' page instead of aiohttp's."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 400,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        log.debug("%s sent what is no request: %s", request.remote, message)
        if isinstance(exc, LineTooLong):
            status = 414 if exc.args[1] == MAX_LINE_BYTES else HEADERS_TOO_LARGE
        return _Refused(status)


class _Refused(Relayed):
    """A page that is written when aiohttp asks for it."""

    def __init__(self, status: int) -> None:
        super().__init__(keep_alive=False)
        self._refusal = status

    async def prepare(self, request: web.BaseRequest) -> None:
        await pages.answer(cast(Incoming, Http1Incoming(request)), self._refusal)
