"""SPDY/3.1 frames, the server's side: bytes in, events out; calls that give bytes to send. No I/O.

Only what Kubernetes' clients use: streams the client opens, data, resets, pings, goodbye. There is no flow control,
as theirs has none; whoever reads must stop reading when it has too much. Whatever a peer sends raises nothing but
ProtocolError, after which the connection is of no more use. What is buffered is bounded.
Source: SPDY Protocol draft 3.1 (chromium.org), sections 2.2 and 2.6.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN = 1
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL, INTERNAL_ERROR = 1, 2, 3, 5, 6  # of RST_STREAM
CONTROL_BIT = 0x80000000
MAX_FRAME_BYTES = 0xFFFFFF
MAX_CONTROL_BYTES = 64 * 1024  # of one control frame, compressed; clients' have some 100 bytes
MAX_HEADER_BYTES = 64 * 1024  # of one header block, uncompressed
HEAD = struct.Struct(">II")

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def header_dictionary() -> bytes:
    """What both sides' zlib starts from (section 2.6.10.1): words, each with its length before it, then a text."""
    words = (word.replace("_", " ").encode() for word in _WORDS.split())
    return b"".join(struct.pack(">I", len(word)) + word for word in words) + _TEXT.encode()


DICTIONARY = header_dictionary()


class ProtocolError(Exception):
    """The peer does not speak SPDY/3.1; nothing more can be understood of it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The client opened a stream; fin: and has nothing to send on it."""

    stream: int
    headers: Mapping[str, str]
    fin: bool


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a stream, perhaps only a part of a frame; fin: the last ones."""

    stream: int
    data: bytes
    fin: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """The client gave the stream up."""

    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Pinged:
    """The client asks for an answer with the same id."""

    id: int


@dataclass(frozen=True, slots=True)
class GoneAway:
    """The client will open no more streams."""


Event = Opened | Data | Reset | Pinged | GoneAway


class Connection:
    """One connection as its server sees it. Replies must be sent in the order they were made: they share one zlib."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._buffer = bytearray()
        self._newest = 0
        self._data: tuple[int, int, bool] | None = None  # of the data frame under way: stream, bytes to come, fin
        self._failed = False

    def receive(self, data: bytes) -> list[Event]:
        """What the bytes tell, in order. Raises ProtocolError."""
        if self._failed:
            raise ProtocolError("the connection has failed before")
        try:
            self._buffer += data
            return list(self._events())
        except ProtocolError:
            self._failed = True
            self._buffer.clear()
            raise

    def _events(self) -> Iterator[Event]:
        while True:
            if self._data is not None:
                if (event := self._take_data(*self._data)) is None:
                    return
                yield event
                continue
            if len(self._buffer) < HEAD.size:
                return
            word, size = HEAD.unpack_from(self._buffer)
            flags, size = size >> 24, size & MAX_FRAME_BYTES
            if not word & CONTROL_BIT:
                del self._buffer[: HEAD.size]
                self._data = (word, size, bool(flags & FIN))
                continue
            if size > MAX_CONTROL_BYTES:
                raise ProtocolError(f"a control frame of {size} bytes is too long")
            if (word >> 16) & 0x7FFF != VERSION:
                raise ProtocolError(f"SPDY version {(word >> 16) & 0x7FFF} is not spoken here")
            if len(self._buffer) < HEAD.size + size:
                return
            payload = bytes(self._buffer[HEAD.size : HEAD.size + size])
            del self._buffer[: HEAD.size + size]
            if (told := self._control(word & 0xFFFF, flags, payload)) is not None:
                yield told

    def _take_data(self, stream: int, left: int, fin: bool) -> Data | None:
        taken = bytes(self._buffer[:left])
        if left and not taken:
            return None
        del self._buffer[: len(taken)]
        left -= len(taken)
        self._data = (stream, left, fin) if left else None
        return Data(stream, taken, fin and not left)

    def _control(self, type: int, flags: int, payload: bytes) -> Event | None:
        if type == SYN_STREAM:
            return self._opened(flags, payload)
        if type in (SYN_REPLY, HEADERS):
            self._headers(payload[4:])  # nobody needs them, but the shared zlib must see them
        elif type == RST_STREAM:
            stream, status = _numbers(payload, 2)
            return Reset(stream, status)
        elif type == PING:
            (id,) = _numbers(payload, 1)
            return Pinged(id) if id % 2 else None  # an even one would answer ours
        elif type == GOAWAY:
            return GoneAway()
        elif type not in (SETTINGS, WINDOW_UPDATE):
            raise ProtocolError(f"there is no control frame of type {type}")
        return None

    def _opened(self, flags: int, payload: bytes) -> Opened:
        if len(payload) < 10:
            raise ProtocolError("a SYN_STREAM frame is too short")
        stream = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF
        if not stream % 2 or stream <= self._newest:
            raise ProtocolError(f"a client cannot open stream {stream} after {self._newest}")
        self._newest = stream
        return Opened(stream, self._headers(payload[10:]), bool(flags & FIN))

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block, MAX_HEADER_BYTES)
        except zlib.error as error:
            raise ProtocolError(f"a header block cannot be read: {error}") from error
        if self._inflate.unconsumed_tail:
            raise ProtocolError(f"a header block has more than {MAX_HEADER_BYTES} bytes")
        return dict(_pairs(plain))

    # -- what to send ------------------------------------------------------------------------------------------

    def reply(self, stream: int, headers: Mapping[str, str] | None = None) -> bytes:
        """SYN_REPLY: the stream is taken."""
        items = (headers or {}).items()
        texts = [part.encode() for name, value in items for part in (name.lower(), value)]
        plain = struct.pack(">I", len(items)) + b"".join(struct.pack(">I", len(text)) + text for text in texts)
        block = self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control(SYN_REPLY, struct.pack(">I", stream) + block)

    def data(self, stream: int, data: bytes, *, fin: bool = False) -> bytes:
        """At most MAX_FRAME_BYTES of a stream."""
        return HEAD.pack(stream, (FIN if fin else 0) << 24 | len(data)) + data

    def reset(self, stream: int, status: int) -> bytes:
        return _control(RST_STREAM, struct.pack(">II", stream, status))

    def ping(self, id: int) -> bytes:
        return _control(PING, struct.pack(">I", id))

    def go_away(self) -> bytes:
        return _control(GOAWAY, struct.pack(">II", self._newest, 0))


def _control(type: int, payload: bytes) -> bytes:
    return HEAD.pack(CONTROL_BIT | VERSION << 16 | type, len(payload)) + payload


def _numbers(payload: bytes, count: int) -> tuple[int, ...]:
    if len(payload) != 4 * count:
        raise ProtocolError(f"a control frame has {len(payload)} bytes instead of {4 * count}")
    numbers: tuple[int, ...] = struct.unpack(f">{count}I", payload)
    return numbers


def _pairs(plain: bytes) -> Iterator[tuple[str, str]]:
    """Names, in lower case, and values; a name with several values has them with NULs between."""
    at = 0

    def number() -> int:
        nonlocal at
        if at + 4 > len(plain):
            raise ProtocolError("a header block ends too early")
        at += 4
        return int.from_bytes(plain[at - 4 : at], "big")

    def text() -> str:
        nonlocal at
        size = number()
        if at + size > len(plain):
            raise ProtocolError("a header block ends too early")
        at += size
        return plain[at - size : at].decode("utf-8", "replace")

    for _ in range(number()):
        name = text().lower()
        yield name, text()
