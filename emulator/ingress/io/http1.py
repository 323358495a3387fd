"""HTTP/1 clients: aiohttp reads their requests, the answers are written as they came from the backend."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Iterable, Sequence
from email.utils import formatdate
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from emulator.ingress.bodies import LAST_CHUNK, chunk, last_chunk
from emulator.ingress.io.incoming import BODY_SECONDS, SEND_SECONDS, BrokenBody
from emulator.ingress.messages import EMPTY, answer_head
from emulator.ingress.model import Header, Request, Respond
from emulator.ingress.requests import BAD_REQUEST, UNKNOWN_CODING, UNKNOWN_VERSION, Door, by_name, read_request
from emulator.io import clock
from emulator.io.rawtunnel import RawTunnel, Relayed
from emulator.io.transports import cut

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HELD_BYTES = 64 * 1024  # of an answer, before its backend is made to wait


KEPT, CLOSED = Relayed(keep_alive=True), Relayed(keep_alive=False)


class Http1Incoming:
    """A request that aiohttp has read. See `Incoming`."""

    __slots__ = ("_chunked", "_is_old", "_keep_alive", "_request", "_switched", "begun", "method")

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._is_old = request.version < (1, 1)
        self._keep_alive = request.keep_alive
        self._chunked = False
        self._switched: web.StreamResponse | None = None
        self.begun = False
        self.method = request.method

    @property
    def headers(self) -> Iterable[Header]:
        return self._request.headers.items()

    @property
    def has_body(self) -> bool:
        return self._request.body_exists

    def whole_body(self) -> bytes | None:
        content = self._request.content
        return content.read_nowait() if content.is_eof() else None

    async def pieces(self) -> AsyncIterator[bytes]:
        content = self._request.content
        while True:
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    piece = await content.readany()
            except TimeoutError as error:
                raise BrokenBody(408, f"nothing more of the body for {BODY_SECONDS:g} s") from error
            except (web.RequestPayloadError, HttpProcessingError) as error:
                raise BrokenBody(400, str(error)) from error
            if not piece:
                return
            yield piece

    async def go_on(self) -> None:
        if not self._is_old:
            await self._send(CONTINUE)

    async def begin(
        self, status: int, reason: str, headers: Iterable[Header], *, sized: bool, data: bytes = b"", ends: bool = False
    ) -> None:
        lines = [("Date", http_date(clock.unix_seconds())), *headers]
        self._chunked = not (sized or self._is_old or self.method == "HEAD" or status in EMPTY)
        if self._chunked:
            lines.append(("Transfer-Encoding", "chunked"))
        elif not sized:
            self._keep_alive = False
        lines.append(("Connection", "keep-alive" if self._keep_alive else "close"))
        head = answer_head(status, reason, lines)
        self.begun = True
        await self._send(head + self._framed(data, ends=ends))

    async def write(self, data: bytes) -> None:
        await self._send(self._framed(data))

    async def end(self, trailers: Sequence[Header] = ()) -> None:
        if self._chunked:
            await self._send(last_chunk(trailers))

    async def _send(self, data: bytes) -> None:
        """Raises ConnectionError; a client that takes nothing for too long is cut."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        transport.write(data)
        if transport.get_write_buffer_size() > HELD_BYTES:
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._request.writer.drain()
            except TimeoutError as error:
                self.abort()
                raise ConnectionResetError(f"the client took nothing for {SEND_SECONDS:g} s") from error

    def _framed(self, data: bytes, *, ends: bool = False) -> bytes:
        if not self._chunked:
            return data
        return (chunk(data) if data else b"") + (LAST_CHUNK if ends else b"")

    def close_after(self) -> None:
        self._keep_alive = False

    def abort(self) -> None:
        self._keep_alive = False
        if self._request.transport is not None:
            cut(self._request.transport)

    async def tunnel(self, headers: Iterable[Header]) -> RawTunnel:
        tunnel = RawTunnel(self._request, dict(headers))
        self._switched = tunnel.response
        self.begun = True
        return await tunnel.open()

    def finished(self) -> web.StreamResponse:
        """For aiohttp, once the answer is written."""
        return self._switched or (KEPT if self._keep_alive else CLOSED)


@functools.lru_cache(maxsize=4)
def http_date(seconds: int) -> str:
    """The Date header of this second since 1970."""
    return formatdate(seconds, usegmt=True)


def read_head(door: Door, request: web.BaseRequest) -> Request | Respond:
    """The request as the router sees it, or the answer to one that nginx would not take."""
    version = request.version
    if not (1, 0) <= version < (2, 0):
        return UNKNOWN_VERSION if version > (1, 1) else BAD_REQUEST
    headers = by_name(request.headers.items())
    coding = headers.get("transfer-encoding")
    if coding is not None and version < (1, 1):
        return BAD_REQUEST
    if coding is not None and coding.lower() != "chunked":
        return UNKNOWN_CODING
    target, host = request.raw_path, headers.get("host", "")
    if not target.startswith("/") and "://" in target:
        parts = urlsplit(target)
        if "@" in parts.netloc:
            return BAD_REQUEST
        host, target = parts.netloc, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not host and version >= (1, 1):
        return BAD_REQUEST
    return read_request(door, request.method, target, host, headers, request.remote or "")
