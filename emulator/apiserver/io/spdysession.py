"""Streams over one SPDY connection, whichever tunnel carries it.

One task reads the tunnel and hands bytes to streams; what streams hold unread is bounded for the whole connection, and
while there is too much the tunnel is not read. A stream that nobody reads must therefore be reset or dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping

from emulator.apiserver import spdy
from emulator.apiserver.io.upgrade import Tunnel

MAX_STREAMS = 4096  # open at once
MAX_UNREAD_BYTES = 4 * 1024 * 1024  # of all streams together; kubectl sends pieces of 32 KiB
MAX_PIECE_BYTES = 64 * 1024


class StreamReset(ConnectionError):
    """The client gave the stream up, or the connection ended."""


class SpdyStream:
    """One stream the client opened."""

    def __init__(self, session: SpdySession, id: int, headers: Mapping[str, str]) -> None:
        self._session = session
        self.id = id
        self.headers = headers
        self._chunks: deque[bytes] = deque()
        self._unread = 0
        self._ended = False
        self._finished = False
        self.is_reset = False
        self._changed = asyncio.Event()

    async def read(self) -> bytes:
        """The next bytes, b"" after the client's last. Raises StreamReset."""
        while not self._chunks:
            if self.is_reset:
                raise StreamReset(f"stream {self.id} was reset")
            if self._ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        data = b"".join(self._chunks)
        self._forget()
        return data

    async def write(self, data: bytes) -> None:
        """Raises StreamReset, ConnectionError."""
        view = memoryview(data)
        for at in range(0, len(data), MAX_PIECE_BYTES):
            if self.is_reset or self._finished:
                raise StreamReset(f"stream {self.id} takes no more")
            await self._session.send(self._session.frames.data(self.id, bytes(view[at : at + MAX_PIECE_BYTES])))

    async def finish(self) -> None:
        """No more will be written; does nothing the second time."""
        if not self._finished and not self.is_reset:
            self._finished = True
            await self._session.send(self._session.frames.data(self.id, b"", fin=True))
        self._forget_if_over()

    async def reset(self, status: int = spdy.INTERNAL_ERROR) -> None:
        """Give the stream up."""
        if not self.is_reset:
            self.broken()
            await self._session.send(self._session.frames.reset(self.id, status))

    # -- by the session ----------------------------------------------------------------------------------------

    def take(self, data: bytes, *, fin: bool) -> None:
        if data and not self._ended and not self.is_reset:
            self._chunks.append(data)
            self._unread += len(data)
            self._session.unread_changed(len(data))
        self._ended = self._ended or fin
        self._changed.set()
        self._forget_if_over()

    def broken(self) -> None:
        self.is_reset = True
        self._forget()
        self._session.streams.pop(self.id, None)
        self._changed.set()

    def _forget(self) -> None:
        self._chunks.clear()
        self._session.unread_changed(-self._unread)
        self._unread = 0

    def _forget_if_over(self) -> None:
        if self._ended and self._finished:
            self._session.streams.pop(self.id, None)


class SpdySession:
    """A connection and its streams. `frames` makes what is sent; `send` must get it at once, in that order."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self.frames = spdy.Connection()
        self.streams: dict[int, SpdyStream] = {}
        self._unread = 0
        self._room = asyncio.Event()
        self._room.set()

    async def send(self, frame: bytes) -> None:
        await self._tunnel.write(frame)

    def unread_changed(self, by: int) -> None:
        self._unread += by
        if self._unread > MAX_UNREAD_BYTES:
            self._room.clear()
        else:
            self._room.set()

    async def read_all(self, opened: Callable[[SpdyStream], bool]) -> None:
        """Read until the client leaves or talks nonsense; every stream ends with it.

        opened: takes a new stream on, or says no; it must not wait.
        """
        try:
            while data := await self._tunnel.read():
                for event in self.frames.receive(data):
                    await self._handle(event, opened)
                await self._room.wait()
        except (spdy.ProtocolError, ConnectionError):
            pass
        for stream in list(self.streams.values()):  # not when cancelled: then a last word may still be written
            stream.broken()

    async def _handle(self, event: spdy.Event, opened: Callable[[SpdyStream], bool]) -> None:
        match event:
            case spdy.Opened():
                await self._open(event, opened)
            case spdy.Data():
                if stream := self.streams.get(event.stream):
                    stream.take(event.data, fin=event.fin)
            case spdy.Reset():
                if stream := self.streams.get(event.stream):
                    stream.broken()
            case spdy.Pinged():
                await self.send(self.frames.ping(event.id))

    async def _open(self, event: spdy.Opened, opened: Callable[[SpdyStream], bool]) -> None:
        if len(self.streams) >= MAX_STREAMS:
            await self.send(self.frames.reset(event.stream, spdy.REFUSED_STREAM))
            return
        stream = self.streams[event.stream] = SpdyStream(self, event.stream, event.headers)
        reply = self.frames.reply(stream.id)
        if event.fin:
            stream.take(b"", fin=True)
        if opened(stream):
            await self.send(reply)
        else:
            await stream.reset(spdy.REFUSED_STREAM)

    async def close(self) -> None:
        """Say goodbye, and wait a little for the client to go."""
        with contextlib.suppress(ConnectionError):
            await self._tunnel.write(self.frames.go_away())
        await self._tunnel.close()
