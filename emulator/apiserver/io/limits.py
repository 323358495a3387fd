"""What one API server takes on at the same time, and how it says that it is enough.

kube-apiserver holds back requests, not connections or watches; here all three are bounded, since one process and its
open files serve everything. Source of the words: k8s.io/apiserver pkg/server/filters/maxinflight.go, net/http.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from typing import Any, cast

import orjson
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from emulator.api.errors import TooManyRequests

MAX_REQUESTS = 600  # kube-apiserver: 400 reads and 200 writes at a time
MAX_WATCHES = 10_000
MAX_CONNECTIONS = 12_000
RETRY_SECONDS = 1
GOODBYE_SECONDS = 0.1


class Slots:
    """Places for something of which only so many may go on at once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place. Raises TooManyRequests when there is none."""
        if self.taken >= self.limit:
            raise too_many()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


def too_many() -> TooManyRequests:
    return TooManyRequests("Too many requests, please try again later.", details={"retryAfterSeconds": RETRY_SECONDS})


class Connection(web.RequestHandler):
    """A client's connection. What is not HTTP gets a line of plain text and leaves no traceback in the log."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return super().handle_error(request, status, exc, message)
        if isinstance(exc, LineTooLong):
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        self.logger.debug("%s sent what is not HTTP: %s", request.remote, message)
        response = web.Response(status=status, text=f"{status:d} {HTTPStatus(status).phrase}")
        response.force_close()
        return response


class HttpServer(web.Server):
    """aiohttp's low-level server with a bound on its connections: one too many is told so and closed."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        max_connections: int = MAX_CONNECTIONS,
        **options: Any,
    ) -> None:
        super().__init__(handler, handler_cancellation=True, **options)  # a client that leaves ends its watch at once
        self.max_connections = max_connections
        self._options = options
        self._sockets: dict[web.RequestHandler, Any] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._sockets[handler] = transport.get_extra_info("socket")

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._sockets.pop(handler, None)

    async def cut(self) -> None:
        """After `shutdown`: clients that keep a connection and do not read never say goodbye over TLS; go without it.

        A transport of TLS that was closed twice cannot be aborted any more; its socket can.
        """
        await self._all_gone()
        for held in self._sockets.values():
            with contextlib.suppress(OSError), socket.fromfd(held.fileno(), held.family, held.type) as copy:
                copy.shutdown(socket.SHUT_RDWR)
        await self._all_gone()

    async def _all_gone(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                while self._sockets:
                    await asyncio.sleep(GOODBYE_SECONDS / 20)

    def __call__(self) -> Any:
        if len(self.connections) >= self.max_connections:
            return _Refusal()
        return Connection(self, loop=asyncio.get_running_loop(), **self._options)


class _Refusal(asyncio.Protocol):
    """The answer to a connection that finds every place taken."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        channel = cast(asyncio.Transport, transport)  # uvloop's are none by name
        body = orjson.dumps(too_many().status())
        head = (
            "HTTP/1.1 429 Too Many Requests",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"Retry-After: {RETRY_SECONDS}",
            "Connection: close",
        )
        channel.write("\r\n".join((*head, "", "")).encode() + body)
        channel.close()
