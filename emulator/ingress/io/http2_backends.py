"""HTTP/2 to backends, for gRPC: one connection an endpoint while it has room for another stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from h2.errors import ErrorCodes

from emulator.ingress.io.backends import Dial, connected
from emulator.ingress.io.http2 import Link, Stream
from emulator.ingress.io.upstream import BrokenOff, Place, Question, Timeouts, ended
from emulator.ingress.messages import UNTIL_CLOSE, BadMessage, ResponseHead
from emulator.ingress.model import Header
from emulator.io.tasks import TaskOwner

NOT_SENT = frozenset(("host", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te"))


class Http2Answered:
    """A backend's answer whose head has come. See `BackendAnswer`."""

    def __init__(self, stream: Stream, head: ResponseHead, seconds: float, sending: asyncio.Task[None] | None) -> None:
        self.head = head
        self._stream = stream
        self._seconds = seconds
        self._sending = sending

    @property
    def is_whole(self) -> bool:
        return self._stream.ended and not self._stream.trailers

    @property
    def trailers(self) -> list[Header]:
        return self._stream.trailers

    def ready(self) -> bytes:
        return self._stream.take()

    async def read(self) -> bytes:
        return await self._stream.read(self._seconds)

    async def write(self, data: bytes) -> None:
        raise NotImplementedError("HTTP/2 changes no protocol")

    def release(self) -> None:
        _released(self._stream, self._sending)


class Http2Upstreams:
    """The connections to all backends that speak HTTP/2. See `Asker`."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._links: dict[Place, list[Link]] = {}
        self._open: set[Link] = set()
        self._connecting: dict[Place, asyncio.Lock] = {}
        self._sending = TaskOwner("gRPC request body")

    async def ask(self, place: Place, question: Question, timeouts: Timeouts) -> Http2Answered:
        stream = (await self._link(place, timeouts.connect)).open()
        sending: asyncio.Task[None] | None = None
        try:
            whole = question.body if isinstance(question.body, bytes) else None
            stream.begin(_pseudo(place, question) + _headers(question), ends=whole == b"")
            if whole:
                await stream.write(whole, timeouts.send, ends=True)
            elif not isinstance(question.body, bytes):
                sending = self._sending.start(_send(stream, question.body, timeouts.send))
            head = _head(await stream.answered(timeouts.read))
        except BaseException:
            _released(stream, sending)
            raise
        return Http2Answered(stream, head, timeouts.read, sending)

    async def _link(self, place: Place, seconds: float) -> Link:
        lock = self._connecting.setdefault(place, asyncio.Lock())
        async with lock:  # those who come together share the one connection
            for link in self._links.get(place, ()):
                if link.usable:
                    return link
            link = await connected(
                self._dial, place.host, place.port, seconds, lambda: self._made(place), secure=place.secure, alpn="h2"
            )
            self._links.setdefault(place, []).append(link)
            self._open.add(link)
            return link

    def _made(self, place: Place) -> Link:
        def lost(link: Link) -> None:
            self._open.discard(link)
            links = self._links.get(place, [])
            if link in links:
                links.remove(link)
            if not links:
                self._links.pop(place, None)
                self._connecting.pop(place, None)

        return Link(is_client=True, lost=lost)

    async def close(self) -> None:
        await self._sending.close()
        await ended(self._open, Link.abort)


async def _send(stream: Stream, pieces: AsyncIterator[bytes], seconds: float) -> None:
    """The body, beside the answer: both go on at once in a streaming call."""
    try:
        async for piece in pieces:
            if piece:
                await stream.write(piece, seconds)
        await stream.write(b"", seconds, ends=True)
    except BrokenOff:
        pass  # the reader of the answer is told too
    except Exception as error:  # of the client's side: the asker is told
        stream.fail(error)


def _released(stream: Stream, sending: asyncio.Task[None] | None) -> None:
    if sending is not None and not sending.done():
        sending.cancel()
    if not stream.ended or (sending is not None and not sending.done()):
        stream.reset(ErrorCodes.CANCEL)
    stream.forget()


def _pseudo(place: Place, question: Question) -> list[Header]:
    host = next((value for name, value in question.headers if name.lower() == "host"), str(place))
    scheme = "https" if place.secure else "http"
    return [(":method", question.method), (":scheme", scheme), (":path", question.target), (":authority", host)]


def _headers(question: Question) -> list[Header]:
    kept = [header for header in question.headers if header[0].lower() not in NOT_SENT]
    if any("\n" in value or "\r" in value or "\0" in value for _, value in kept):
        raise BadMessage("a header holds a line break")
    return [*kept, ("te", "trailers")]


def _head(headers: list[Header]) -> ResponseHead:
    status = next((value for name, value in headers if name == ":status"), "")
    if not status.isdigit():
        raise BrokenOff("the backend sent no status", begun=True)
    fields: dict[str, str] = {}
    kept = [header for header in headers if not header[0].startswith(":")]
    for name, value in kept:
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    length = fields.get("content-length", "")
    size = int(length) if length.isdigit() else UNTIL_CLOSE
    return ResponseHead(int(status), "", kept, fields, size, keep_alive=True)
