"""HTTP/1 to backends: kept connections, one request at a time on each, bodies in pieces with back-pressure.

It asks the endpoint it is told and nobody else; which one, and what follows a failure, is the caller's choice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import cast

from emulator.ingress.bodies import LAST_CHUNK, chunk
from emulator.ingress.io.backends import KEEPALIVE_SECONDS, MAX_IDLE, Dial, connected
from emulator.ingress.io.upstream import (
    CLOSE_SECONDS,
    NOT_REPEATABLE,
    BrokenOff,
    Place,
    Question,
    TimedOut,
    Timeouts,
    ended,
)
from emulator.ingress.messages import BadMessage, ResponseHead, request_head
from emulator.ingress.model import Header
from emulator.ingress.responses import ResponseReader
from emulator.io.tasks import TaskOwner
from emulator.io.transports import cut

HELD_BYTES = 256 * 1024  # of an answer, before its backend is made to wait


class Connection(asyncio.Protocol):
    """One connection to a backend. `lost` is called once, when it has ended."""

    def __init__(self, place: Place, lost: Callable[[Connection], None]) -> None:
        self.place = place
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._answer = ResponseReader("")
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._read_ahead = True
        self._failure: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._patience = 0.0
        self._deadline = 0.0  # of the silence under way, 0 for none
        self._is_asking = False  # a request is on its way: silence does not count yet
        self._timer: asyncio.TimerHandle | None = None

    @property
    def closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    @property
    def answer(self) -> ResponseReader:
        return self._answer

    def begin(self, method: str, data: bytes, *, ends: bool = True) -> None:
        """A request's head, and its body if that is short. ends: nothing follows; else `asked` says when it has."""
        self._answer = ResponseReader(method)
        self._deadline = 0.0
        self._is_asking = not ends
        if self._transport is not None:
            self._transport.write(data)

    async def write(self, data: bytes, seconds: float) -> None:
        """More of the request. Raises TimedOut; what is written to a connection that has ended is lost."""
        if self._transport is not None:
            self._transport.write(data)
        if not self._writable.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._writable.wait()
            except TimeoutError:
                raise TimedOut(f"{self.place} takes nothing more") from None

    def asked(self) -> None:
        """The whole request was written: from now on the backend is waited for."""
        self._is_asking = False
        if self._reader is not None:
            self._arm()

    async def head(self, seconds: float) -> ResponseHead:
        """Raises BrokenOff, TimedOut, and what `fail` was called with."""
        while self._answer.head is None:
            if self._failure is not None:
                raise self._failure
            await self._wait(seconds)
        return self._answer.head

    async def read(self, seconds: float) -> bytes:
        """The next piece of the body, b"" behind its end. Raises as `head` does."""
        while not self._pieces:
            if self._answer.ended:
                return b""
            if self._failure is not None:
                raise self._failure
            await self._wait(seconds)
        return self.take()

    def take(self) -> bytes:
        """What is here of the body."""
        data = b"".join(self._pieces) if len(self._pieces) != 1 else self._pieces[0]
        self._pieces.clear()
        self._size = 0
        if not self._read_ahead and self._transport is not None:
            self._read_ahead = True
            with contextlib.suppress(RuntimeError):  # it is closing
                self._transport.resume_reading()
        return data

    def idle(self, seconds: float) -> None:
        """No request for now: it ends after so long without one."""
        self._patience = seconds
        self._arm()

    def fail(self, error: Exception) -> None:
        """End it; whoever waits gets the error."""
        if self._failure is None:
            self._failure = error
        self.abort()
        self._wake()

    def close(self) -> None:
        """End it once what was written has left, or has not for some seconds."""
        if self._transport is not None:
            self._transport.close()
            self.idle(CLOSE_SECONDS)

    def abort(self) -> None:
        if self._transport is not None:
            cut(self._transport)

    # -- what the transport calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by name

    def data_received(self, data: bytes) -> None:
        if self._deadline:
            self._deadline = self._loop.time() + self._patience
        try:
            piece = self._answer.feed(data)
        except BadMessage as error:
            self.fail(BrokenOff(f"{self.place}: {error}", begun=True))
            return
        if self._answer.excess:
            self.abort()  # what more it says belongs to no request
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)
            if self._size > HELD_BYTES and self._read_ahead and self._transport is not None:
                self._read_ahead = False
                self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        try:
            if exc is None:
                self._answer.feed_eof()
            elif not self._answer.ended:
                raise BadMessage(f"the connection broke off ({exc})")
        except BadMessage as error:
            if self._failure is None:
                self._failure = BrokenOff(f"{self.place}: {error}", begun=self._answer.begun)
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._writable.set()
        self._wake()
        self._lost(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # -- waiting: one timer a connection, looked at when it fires rather than set for each wait ---------------------------

    async def _wait(self, seconds: float) -> None:
        self._patience = seconds
        self._arm()
        self._reader = self._loop.create_future()
        try:
            await self._reader
        finally:
            self._reader = None
            self._deadline = 0.0

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _arm(self) -> None:
        self._deadline = self._loop.time() + self._patience
        if self._timer is not None and self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None and self._transport is not None:
            self._timer = self._loop.call_at(self._deadline, self._late)

    def _late(self) -> None:
        self._timer = None
        if not self._deadline:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._late)
        elif self._is_asking:
            self._arm()
        elif self._reader is None:
            self.abort()
        else:
            self.fail(TimedOut(f"{self.place} was silent for {self._patience:g} s"))


class Answered:
    """An answer on a connection. See `BackendAnswer`."""

    __slots__ = ("_connection", "_release", "_seconds", "_sending", "head")

    def __init__(
        self,
        connection: Connection,
        head: ResponseHead,
        seconds: float,
        sending: asyncio.Task[None] | None,
        release: Callable[[Connection], None],
    ) -> None:
        self.head = head
        self._connection = connection
        self._seconds = seconds
        self._sending = sending
        self._release = release

    @property
    def is_whole(self) -> bool:
        return self._connection.answer.ended and not self._connection.answer.trailers

    @property
    def trailers(self) -> list[Header]:
        return self._connection.answer.trailers

    def ready(self) -> bytes:
        return self._connection.take()

    async def read(self) -> bytes:
        return await self._connection.read(self._seconds)

    async def write(self, data: bytes) -> None:
        await self._connection.write(data, self._seconds)

    def release(self) -> None:
        if self._sending is not None and not self._sending.done():
            self._sending.cancel()
            self._connection.abort()
        self._release(self._connection)


class Http1Upstreams:
    """The HTTP/1 connections to all backends. See `Asker`."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._idle: dict[Place, list[Connection]] = {}
        self._idle_count = 0
        self._open: set[Connection] = set()
        self._sending = TaskOwner("request body")

    async def ask(self, place: Place, question: Question, timeouts: Timeouts) -> Answered:
        # A kept connection may be closed by the backend at this moment, so it gets what can be sent once more.
        kept = self._kept(place) if isinstance(question.body, bytes) else None
        if kept is not None:
            try:
                return await self._asked(kept, question, timeouts)
            except BrokenOff as error:
                if error.begun or question.method in NOT_REPEATABLE:
                    raise
        return await self._asked(await self._connected(place, timeouts.connect), question, timeouts)

    async def _asked(self, connection: Connection, question: Question, timeouts: Timeouts) -> Answered:
        sending: asyncio.Task[None] | None = None
        try:
            data = request_head(question.method, question.target, question.headers, question.minor)
            if isinstance(question.body, bytes):
                connection.begin(question.method, data + question.body)
            else:
                connection.begin(question.method, data, ends=False)
                sending = self._sending.start(self._send(connection, question, question.body, timeouts.send))
            head = await connection.head(timeouts.read)
        except BaseException:
            if sending is not None:
                sending.cancel()
            connection.abort()
            raise
        return Answered(connection, head, timeouts.read, sending, self._released)

    async def _send(
        self, connection: Connection, question: Question, pieces: AsyncIterator[bytes], seconds: float
    ) -> None:
        """The body, beside the answer: a backend may answer before it has read everything."""
        try:
            async for piece in pieces:
                if piece:
                    await connection.write(chunk(piece) if question.chunked else piece, seconds)
            if question.chunked:
                await connection.write(LAST_CHUNK, seconds)
            connection.asked()
        except Exception as error:  # of the client's side or of the backend's: the asker is told
            connection.fail(error)

    # -- connections -------------------------------------------------------------------------------------------------

    def _kept(self, place: Place) -> Connection | None:
        kept = self._idle.get(place)
        while kept:
            connection = kept.pop()
            self._idle_count -= 1
            if not connection.closed:
                return connection
        return None

    async def _connected(self, place: Place, seconds: float) -> Connection:
        """Raises CannotConnect."""
        connection = await connected(
            self._dial,
            place.host,
            place.port,
            seconds,
            lambda: Connection(place, self._ended),
            secure=place.secure,
        )
        self._open.add(connection)
        return connection

    def _released(self, connection: Connection) -> None:
        if connection.closed or not connection.answer.reusable or self._idle_count >= MAX_IDLE:
            connection.close()
            return
        self._idle.setdefault(connection.place, []).append(connection)
        self._idle_count += 1
        connection.idle(KEEPALIVE_SECONDS)

    def _ended(self, connection: Connection) -> None:
        self._open.discard(connection)
        kept = self._idle.get(connection.place)
        if kept is not None and connection in kept:
            kept.remove(connection)
            self._idle_count -= 1
            if not kept:
                del self._idle[connection.place]

    async def close(self) -> None:
        await self._sending.close()
        await ended(self._open, Connection.abort)
        self._idle.clear()
        self._idle_count = 0
