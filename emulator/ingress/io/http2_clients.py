"""HTTP/2 clients of the ingress: each stream of theirs is one request, answered like any other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import cast

from h2.errors import ErrorCodes

from emulator.ingress.io.http1 import http_date
from emulator.ingress.io.http2 import Link, Stream
from emulator.ingress.io.incoming import BODY_SECONDS, SEND_SECONDS, BrokenBody, Incoming, Tunnel
from emulator.ingress.io.upstream import BrokenOff, TimedOut, ended
from emulator.ingress.messages import BadMessage
from emulator.ingress.model import Header, Request, Respond
from emulator.ingress.requests import BAD_REQUEST, MAX_FIELD_BYTES, TOO_LARGE, Door, by_name, read_request
from emulator.io import clock
from emulator.io.tasks import TaskOwner

CONNECTION_HEADERS = frozenset(("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"))
"""What has no meaning in HTTP/2 and must not be sent."""

Handle = Callable[[Request | Respond, Incoming], Awaitable[None]]


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
        self.begun = False
        self._ended = False

    def whole_body(self) -> bytes | None:
        return self._stream.take() if self._stream.ended else None

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            while piece := await self._stream.read(BODY_SECONDS):
                yield piece
        except TimedOut as error:
            raise BrokenBody(408, str(error)) from error
        except BrokenOff as error:
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
        self.begun = True
        self._begin(sent, ends=ends and not data)
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
        """Nobody reads the rest of the request, and an answer that was not ended never will be."""
        if not self._ended:
            self._stream.reset(ErrorCodes.INTERNAL_ERROR)
        elif not self._stream.ended:
            self._stream.reset(ErrorCodes.NO_ERROR)
        self._stream.forget()

    def _begin(self, headers: Sequence[Header], *, ends: bool = False) -> None:
        try:
            self._stream.begin(headers, ends=ends)
            self._ended = ends
        except BrokenOff as error:
            raise ConnectionResetError(str(error)) from error

    async def _write(self, data: bytes, *, ends: bool = False) -> None:
        try:
            await self._stream.write(data, SEND_SECONDS, ends=ends)
            self._ended = ends
        except (BrokenOff, TimedOut) as error:
            raise ConnectionResetError(str(error)) from error


def read_head(door: Door, incoming: Http2Incoming, peer: str) -> Request | Respond:
    """The request as the router sees it, or the answer to one that nginx would not take."""
    headers = by_name(incoming.headers, cookies_between="; ")
    host = incoming.authority or headers.get("host", "")
    headers["host"] = host
    if not host or (not incoming.has_body and headers.get("content-length", "0") != "0"):
        return BAD_REQUEST  # the library compares the length only with a body that comes
    if len(incoming.target) > MAX_FIELD_BYTES or any(len(value) > MAX_FIELD_BYTES for _, value in incoming.headers):
        return TOO_LARGE
    return read_request(door, incoming.method, incoming.target, host, headers, peer)


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
