"""HTTP/2 connections of either side: the frames are the library's, streams with back-pressure both ways are made here.

Source: RFC 9113; nginx ngx_http_v2_module.c for the limits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from emulator.ingress.goaway import GoAway, GoAwaySplitter, goaway_frame
from emulator.ingress.io.upstream import BrokenOff, TimedOut
from emulator.ingress.model import Header
from emulator.io.transports import cut

MAX_STREAMS = 128  # nginx http2_max_concurrent_streams
IDLE_SECONDS = 75.0  # nginx keepalive_timeout, of a connection without a stream
MAX_HEADER_LIST_BYTES = 64 * 1024
STREAM_WINDOW_BYTES = 256 * 1024  # of one body, before its sender is made to wait
CONNECTION_WINDOW_BYTES = 4 << 20
MAX_RESETS, RESETS_SECONDS = 1000, 60.0  # given up in so long: the connection is taken for an attack
SETTINGS: dict[SettingCodes, int] = {
    SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
    SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
    SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST_BYTES,
}


class Stream:
    """One request and its answer. `headers` are the other side's, `ended` when it sends nothing more."""

    def __init__(self, link: Link, number: int) -> None:
        self.number = number
        self.headers: list[Header] | None = None
        self.trailers: list[Header] = []
        self.ended = False
        self.has_body = True
        self.begun = False
        self.task: asyncio.Task[Any] | None = None
        self._link = link
        self._pieces: deque[bytes] = deque()
        self._owed = 0  # bytes of window to give back once what has come was read
        self._failure: Exception | None = None
        self._changed = asyncio.Event()

    async def answered(self, seconds: float) -> list[Header]:
        """The headers of the answer. Raises BrokenOff, TimedOut."""
        while self.headers is None:
            await self._wait(seconds)
        return self.headers

    async def read(self, seconds: float) -> bytes:
        """The next piece of the body, b"" behind its end. Raises BrokenOff, TimedOut."""
        while not self._pieces:
            if self.ended:
                return b""
            await self._wait(seconds)
        return self.take()

    def take(self) -> bytes:
        """What has come of the body and was not read."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        owed, self._owed = self._owed, 0
        self._link.give_window(self.number, owed)
        return data

    def begin(self, headers: Sequence[Header], *, ends: bool = False) -> None:
        """Raises BrokenOff."""
        self._raise_failure()
        self._link.send_headers(self.number, headers, ends=ends)

    async def write(self, data: bytes, seconds: float, *, ends: bool = False) -> None:
        """As much at a time as the other side has room for. Raises BrokenOff, TimedOut."""
        rest = memoryview(data)
        while rest or ends:
            self._raise_failure()
            room = self._link.room(self.number)
            if room <= 0 and rest:
                await self._wait(seconds)
                continue
            piece, rest = rest[:room], rest[room:]
            self._link.send_data(self.number, piece, ends=ends and not rest)
            await self._link.drained(seconds)
            if not rest:
                return

    def reset(self, code: ErrorCodes) -> None:
        """Break it off, if it is not over."""
        if self._failure is None:
            self._link.reset(self.number, code)

    def forget(self) -> None:
        """Nobody reads on; the connection gets the window back that unread bytes hold."""
        self.take()
        self._link.forget(self.number)

    # -- what the link calls -------------------------------------------------------------------------------------------

    def feed(self, data: bytes, window: int) -> None:
        if data:
            self._pieces.append(data)
        self._owed += window
        self._changed.set()

    def fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._changed.set()

    def wake(self) -> None:
        self._changed.set()

    async def _wait(self, seconds: float) -> None:
        self._raise_failure()
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            raise TimedOut(f"nothing on the stream for {seconds:g} s") from None

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


class Link(asyncio.Protocol):
    """One connection. opened: called with each stream that the other side begins; lost: once, at the end."""

    def __init__(
        self, *, is_client: bool, lost: Callable[[Link], None], opened: Callable[[Stream], None] | None = None
    ) -> None:
        self.streams: dict[int, Stream] = {}
        self.leaving = False  # no new streams: the other side has said so
        self._lost = lost
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._resets, self._resets_since = 0, 0.0
        self._quiet_since = self._loop.time()  # without a stream
        self._timer: asyncio.TimerHandle | None = None
        self._h2 = H2Connection(H2Configuration(client_side=is_client, header_encoding=None))
        self._h2.local_settings = Settings(
            client=is_client, initial_values=SETTINGS | ({SettingCodes.ENABLE_PUSH: 0} if is_client else {})
        )
        self._goaways = GoAwaySplitter(from_client=not is_client)
        self._refused_from = 0  # streams with a higher number come after our goodbye; 0 before it
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def usable(self) -> bool:
        """Whether a stream may be begun now."""
        if self._transport is None or self._transport.is_closing() or self.leaving:
            return False
        return len(self.streams) < self._h2.remote_settings.max_concurrent_streams

    @property
    def transport(self) -> asyncio.Transport | None:
        return self._transport

    def open(self) -> Stream:
        """A stream of ours."""
        stream = Stream(self, self._h2.get_next_available_stream_id())
        self.streams[stream.number] = stream
        return stream

    def forget(self, number: int) -> None:
        """A stream is over, and nobody asks for it any more."""
        self.streams.pop(number, None)
        self._quiet_since = self._loop.time()

    def leave(self) -> None:
        """Take no more streams; those under way go on."""
        if self._transport is not None and not self._refused_from:
            last = self._h2.highest_inbound_stream_id
            self._refused_from = last + 1
            self._transport.write(goaway_frame(last))

    def abort(self) -> None:
        """What is under way is cut."""
        if self._transport is not None:
            cut(self._transport)

    # -- what streams ask -----------------------------------------------------------------------------------------------

    def send_headers(self, number: int, headers: Iterable[Header], *, ends: bool) -> None:
        pairs = [(_bytes(name.lower()), _bytes(value)) for name, value in headers]
        self._sent(lambda: self._h2.send_headers(number, pairs, end_stream=ends))

    def send_data(self, number: int, data: memoryview, *, ends: bool) -> None:
        self._sent(lambda: self._h2.send_data(number, bytes(data), end_stream=ends))

    def room(self, number: int) -> int:
        """Bytes that may be sent now in one frame. Raises BrokenOff."""
        try:
            return min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
        except H2Error as error:
            raise BrokenOff(str(error), begun=True) from error

    def give_window(self, number: int, size: int) -> None:
        if size and self._transport is not None:
            try:
                self._h2.acknowledge_received_data(size, number)
            except H2Error:
                return
            self._flush()

    def reset(self, number: int, code: ErrorCodes) -> None:
        try:
            self._h2.reset_stream(number, code)
        except H2Error:  # it is over already
            return
        self._flush()

    async def drained(self, seconds: float) -> None:
        if self._writable.is_set():
            return
        try:
            async with asyncio.timeout(seconds):
                await self._writable.wait()
        except TimeoutError:
            raise TimedOut("the other side takes nothing more") from None

    def _sent(self, send: Callable[[], None]) -> None:
        """Raises BrokenOff, also for headers that HTTP/2 does not allow."""
        try:
            send()
        except (H2Error, ValueError) as error:
            raise BrokenOff(str(error) or type(error).__name__, begun=True) from error
        self._flush()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    # -- what the transport calls ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW_BYTES)
        self._flush()
        if self._opened is not None:
            # The library would end the connection over one stream too many; here that stream is refused, as nginx does.
            unlimited = SETTINGS | {SettingCodes.MAX_CONCURRENT_STREAMS: 2**31 - 1}
            self._h2.local_settings = Settings(client=False, initial_values=unlimited)
            self._timer = self._loop.call_later(IDLE_SECONDS, self._quiet)

    def data_received(self, data: bytes) -> None:
        data, goaways = self._goaways.feed(data)
        for goaway in goaways:
            self._left(goaway)
        try:
            events = self._h2.receive_data(data)
        except H2Error:
            self._flush()  # the library has written why
            if self._transport is not None:
                self._transport.close()
            return
        for event in events:
            if self._transport is None or self._transport.is_closing():
                return
            self._take(event)
        self._flush()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._writable.set()
        if self._timer is not None:
            self._timer.cancel()
        for stream in list(self.streams.values()):
            stream.fail(BrokenOff("the connection was closed", begun=stream.begun))
            if stream.task is not None:
                stream.task.cancel()
        self._lost(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _take(self, event: Event) -> None:
        if isinstance(event, RemoteSettingsChanged) or (isinstance(event, WindowUpdated) and not event.stream_id):
            for each in self.streams.values():
                each.wake()
        elif isinstance(event, RequestReceived) and self._opened is not None and event.stream_id is not None:
            if self._refused_from or len(self.streams) >= MAX_STREAMS:
                self.reset(event.stream_id, ErrorCodes.REFUSED_STREAM)
                self._count_reset()
                return
            stream = self.streams[event.stream_id] = Stream(self, event.stream_id)
            stream.headers = _text(event.headers or ())
            stream.ended = event.stream_ended is not None
            stream.has_body = not stream.ended
            self._opened(stream)
        else:
            known = self.streams.get(getattr(event, "stream_id", None) or 0)
            if known is not None:
                self._take_of(known, event)
            elif isinstance(event, DataReceived) and event.stream_id is not None:
                self.give_window(event.stream_id, event.flow_controlled_length or 0)

    def _take_of(self, stream: Stream, event: Event) -> None:
        stream.begun = True
        if isinstance(event, ResponseReceived):
            stream.headers = _text(event.headers or ())
        elif isinstance(event, TrailersReceived):
            stream.trailers = _text(event.headers or ())
        elif isinstance(event, DataReceived):
            stream.feed(event.data or b"", event.flow_controlled_length or 0)
        elif isinstance(event, StreamEnded):
            stream.ended = True
        elif isinstance(event, StreamReset):
            self._reset(stream, event)
        stream.wake()

    def _reset(self, stream: Stream, event: StreamReset) -> None:
        # After a whole answer NO_ERROR only says that the rest of the request is not wanted.
        if not (stream.ended and event.error_code == ErrorCodes.NO_ERROR):
            stream.fail(BrokenOff(f"the other side reset the stream (code {event.error_code})", begun=stream.begun))
        if stream.task is not None:
            stream.task.cancel()
            self._count_reset()

    def _count_reset(self) -> None:
        now = self._loop.time()
        if now - self._resets_since > RESETS_SECONDS:
            self._resets, self._resets_since = 0, now
        self._resets += 1
        if self._resets > MAX_RESETS and self._transport is not None:
            self._h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            self._flush()
            self._transport.close()

    def _quiet(self) -> None:
        """Look whether a client has had no request for too long; also one that never makes its first complete."""
        left = self._quiet_since + IDLE_SECONDS - self._loop.time()
        if left > 0 or self.streams:
            self._timer = self._loop.call_later(max(left, 1.0), self._quiet)
        elif self._transport is not None:
            self.leave()
            self._transport.close()

    def _left(self, goaway: GoAway) -> None:
        """Streams beyond the last one that the other side knows will have no answer; the others end as they would."""
        self.leaving = True
        for stream in list(self.streams.values()):
            if stream.number > goaway.last_stream:
                stream.fail(BrokenOff("the other side is leaving", begun=False))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(headers: Iterable[tuple[Any, Any]]) -> list[Header]:
    return [
        (bytes(name).decode("utf-8", "surrogateescape"), bytes(value).decode("utf-8", "surrogateescape"))
        for name, value in headers
    ]
