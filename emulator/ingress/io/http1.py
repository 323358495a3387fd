"""HTTP/1 clients: aiohttp reads their requests, the answers are written as they came from the backend."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Literal
from urllib.parse import urlsplit

from aiohttp import web

from emulator.ingress.bodies import LAST_CHUNK, chunk
from emulator.ingress.messages import EMPTY, answer_head
from emulator.ingress.model import Header, Request
from emulator.io import clock
from emulator.io.rawtunnel import RawTunnel

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Door:
    """How clients of one listener came in. https_port: where https is served beside it."""

    scheme: Literal["http", "https"]
    port: int
    https_port: int


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


KEPT, CLOSED = Relayed(keep_alive=True), Relayed(keep_alive=False)


class Http1Incoming:
    """A request that aiohttp has read. See `Incoming`."""

    __slots__ = ("_chunked", "_keep_alive", "_request", "_switched", "method")

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._keep_alive = request.keep_alive
        self._chunked = False
        self._switched: web.StreamResponse | None = None
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

    def pieces(self) -> AsyncIterator[bytes]:
        return aiter(self._request.content.iter_any())

    async def go_on(self) -> None:
        writer = self._request.writer
        await writer.write(CONTINUE)
        writer.output_size = 0  # what was sent is not the answer

    async def begin(
        self, status: int, reason: str, headers: Iterable[Header], *, sized: bool, data: bytes = b"", ends: bool = False
    ) -> None:
        is_old = self._request.version < (1, 1)
        lines = [("Date", http_date(clock.unix_seconds())), *headers]
        self._chunked = not (sized or is_old or self.method == "HEAD" or status in EMPTY)
        if self._chunked:
            lines.append(("Transfer-Encoding", "chunked"))
        elif not sized:
            self._keep_alive = False
        lines.append(("Connection", "keep-alive" if self._keep_alive else "close"))
        head = answer_head(status, reason, lines)
        await self._request.writer.write(head + self._framed(data, ends=ends))

    async def write(self, data: bytes) -> None:
        await self._request.writer.write(self._framed(data))

    async def end(self, trailers: Sequence[Header] = ()) -> None:
        """Trailers go no further: nginx does not pass them on to clients unless it is told to."""
        if self._chunked:
            await self._request.writer.write(LAST_CHUNK)

    def _framed(self, data: bytes, *, ends: bool = False) -> bytes:
        if not self._chunked:
            return data
        return (chunk(data) if data else b"") + (LAST_CHUNK if ends else b"")

    def close_after(self) -> None:
        self._keep_alive = False

    def abort(self) -> None:
        self._keep_alive = False
        if self._request.transport is not None:
            self._request.transport.abort()

    async def tunnel(self, headers: Iterable[Header]) -> RawTunnel:
        tunnel = RawTunnel(self._request, dict(headers))
        self._switched = tunnel.response
        return await tunnel.open()

    def finished(self) -> web.StreamResponse:
        """For aiohttp, once the answer is written."""
        return self._switched or (KEPT if self._keep_alive else CLOSED)


@functools.lru_cache(maxsize=4)
def http_date(seconds: int) -> str:
    """The Date header of this second since 1970."""
    return formatdate(seconds, usegmt=True)


def read_head(door: Door, request: web.BaseRequest) -> Request | None:
    """The request as the router sees it; None for one that nginx would not take."""
    target = request.raw_path
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        lower = name.lower()
        headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    host = headers.get("host", "")
    if not target.startswith("/"):
        if target == "*" or "://" not in target:
            return None
        parts = urlsplit(target)
        host, target = parts.netloc, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not host and request.version >= (1, 1):
        return None
    path, _, query = target.partition("?")
    return Request(
        method=request.method,
        scheme=door.scheme,
        host=bare_host(host),
        port=door.port,
        path=path.partition("#")[0],
        query=query,
        headers=headers,
        client=peer_address(request.remote or ""),
        https_port=door.https_port,
    )


def bare_host(host: str) -> str:
    """The Host header without its port, in lower case."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.rpartition(":")[0].lower() if ":" in host else host.lower().rstrip(".")


@functools.lru_cache(maxsize=1024)
def peer_address(text: str) -> str:
    """A socket's other side as an address; the loopback one for what is none."""
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return "127.0.0.1"
