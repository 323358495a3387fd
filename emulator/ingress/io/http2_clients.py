"""HTTP/2 clients of the ingress: each stream of theirs is one request, answered like any other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import cast

from h2.errors import ErrorCodes

from emulator.ingress.io.http1 import Door, bare_host, http_date, peer_address
from emulator.ingress.io.http2 import Link, Stream
from emulator.ingress.io.incoming import Incoming, Tunnel
from emulator.ingress.io.upstream import BrokenOff, TimedOut, ended
from emulator.ingress.messages import BadMessage
from emulator.ingress.model import Header, Request
from emulator.io import clock
from emulator.io.tasks import TaskOwner

SEND_SECONDS = 60.0  # ingress-nginx: client_header_timeout and its kin
CONNECTION_HEADERS = frozenset(("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"))
"""What has no meaning in HTTP/2 and must not be sent."""

Handle = Callable[[Request | None, Incoming], Awaitable[None]]


class Http2Incoming:
    """A request on a stream. See `Incoming`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        pseudo = {name: value for name, value in stream.headers or () if name.startswith(":")}
        self.method = pseudo.get(":method", "")
        self.target = pseudo.get(":path", "")
        self.authority = pseudo.get(":authority", "")
        self.headers: Iterable[Header] = [header for header in stream.headers or () if not header[0].startswith(":")]
        self.has_body = stream.has_body
        self._begun = False

    def whole_body(self) -> bytes | None:
        return self._stream.take() if self._stream.ended else None

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            while piece := await self._stream.read(SEND_SECONDS):
                yield piece
        except (BrokenOff, TimedOut) as error:
            raise ConnectionResetError(str(error)) from error

    async def go_on(self) -> None:
        self._begin([(":status", "100")])

    async def begin(
        self, status: int, reason: str, headers: Iterable[Header], *, sized: bool, data: bytes = b"", ends: bool = False
    ) -> None:
        sent = [(":status", str(status)), ("date", http_date(clock.unix_seconds()))]
        sent += [header for header in headers if header[0].lower() not in CONNECTION_HEADERS]
        if any("\n" in value or "\r" in value or "\0" in value for _, value in sent):
            raise BadMessage("a header holds a line break")
        self._begin(sent, ends=ends and not data)
        self._begun = True
        if data:
            await self._write(data, ends=ends)

    async def write(self, data: bytes) -> None:
        await self._write(data)

    async def end(self, trailers: Sequence[Header] = ()) -> None:
        if trailers:
            self._begin(trailers, ends=True)
        else:
            await self._write(b"", ends=True)

    def close_after(self) -> None:
        """A request of HTTP/2 ends with its stream; the connection is not disturbed."""

    def abort(self) -> None:
        self._stream.reset(ErrorCodes.INTERNAL_ERROR)

    async def tunnel(self, headers: Iterable[Header]) -> Tunnel:
        raise NotImplementedError("HTTP/2 has no Upgrade, so no request asks for it")

    def finished(self) -> None:
        """Nobody reads the rest of the request."""
        if not self._stream.ended:
            self._stream.reset(ErrorCodes.NO_ERROR if self._begun else ErrorCodes.INTERNAL_ERROR)
        self._stream.forget()

    def _begin(self, headers: Sequence[Header], *, ends: bool = False) -> None:
        try:
            self._stream.begin(headers, ends=ends)
        except BrokenOff as error:
            raise ConnectionResetError(str(error)) from error

    async def _write(self, data: bytes, *, ends: bool = False) -> None:
        try:
            await self._stream.write(data, SEND_SECONDS, ends=ends)
        except (BrokenOff, TimedOut) as error:
            raise ConnectionResetError(str(error)) from error


def read_head(door: Door, incoming: Http2Incoming, peer: str) -> Request | None:
    """The request as the router sees it; None for one that nginx would not take."""
    headers: dict[str, str] = {}
    for name, value in incoming.headers:
        between = "; " if name == "cookie" else ", "
        headers[name] = f"{headers[name]}{between}{value}" if name in headers else value
    host = incoming.authority or headers.get("host", "")
    headers["host"] = host
    if not incoming.target.startswith("/") or not host:
        return None
    path, _, query = incoming.target.partition("?")
    return Request(
        method=incoming.method,
        scheme=door.scheme,
        host=bare_host(host),
        port=door.port,
        path=path.partition("#")[0],
        query=query,
        headers=headers,
        client=peer_address(peer),
        https_port=door.https_port,
    )


class Http2Server:
    """The connections of HTTP/2 clients of one listener."""

    def __init__(self, door: Door, handle: Handle) -> None:
        self._door = door
        self._handle = handle
        self._links: set[Link] = set()
        self._tasks = TaskOwner("HTTP/2 request")

    def __call__(self) -> Link:
        """The protocol of a new connection."""
        link = Link(is_client=False, lost=self._links.discard, opened=lambda stream: self._opened(link, stream))
        self._links.add(link)
        return link

    def _opened(self, link: Link, stream: Stream) -> None:
        stream.task = self._tasks.start(self._answer(link, stream))
        if stream.task is None:
            link.reset(stream.number, ErrorCodes.REFUSED_STREAM)

    async def _answer(self, link: Link, stream: Stream) -> None:
        incoming = Http2Incoming(stream)
        peername = link.transport.get_extra_info("peername") if link.transport is not None else None
        try:
            await self._handle(read_head(self._door, incoming, str((peername or ("",))[0])), cast(Incoming, incoming))
        except ConnectionError:
            pass  # the client has gone
        finally:
            incoming.finished()

    async def close(self, drain_seconds: float) -> None:
        """No new requests; those under way have so long."""
        for link in list(self._links):
            link.leave()
        ends = asyncio.get_running_loop().time() + drain_seconds
        while len(self._tasks) and asyncio.get_running_loop().time() < ends:
            await asyncio.sleep(0.02)
        await self._tasks.close()
        await ended(self._links, Link.abort)
