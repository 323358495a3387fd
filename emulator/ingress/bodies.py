"""Bodies of HTTP/1 messages taken off a stream of bytes piece by piece, never held whole. No I/O.

A reader is fed what arrives and gives back what belongs to the body; bytes behind the end are counted as `excess`.
Source: RFC 9112 sections 6 and 7.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

from emulator.ingress.messages import CHUNKED, UNTIL_CLOSE, BadMessage, parse_fields
from emulator.ingress.model import Header

MAX_SIZE_LINE_BYTES = 4096  # of a chunk: its size and its extensions, which are dropped
MAX_TRAILERS = 100
LAST_CHUNK = b"0\r\n\r\n"
_BREAK = re.compile(r"[\r\n\0]")


class Body(Protocol):
    """`ended`: nothing more belongs to the body; `trailers`: those behind a chunked one; `excess`: more came than belongs to it."""

    ended: bool
    excess: bool
    trailers: list[Header]

    def feed(self, data: bytes) -> bytes:
        """The part of the body in `data`. Raises BadMessage."""
        ...


class SizedBody:
    """A body of so many bytes."""

    __slots__ = ("ended", "excess", "left", "trailers")

    def __init__(self, length: int) -> None:
        self.left = length
        self.ended = length == 0
        self.excess = False
        self.trailers: list[Header] = []

    def feed(self, data: bytes) -> bytes:
        if len(data) > self.left:
            self.excess = True
            data = data[: self.left]
        self.left -= len(data)
        self.ended = self.left == 0
        return data


class OpenBody:
    """A body that lasts until its sender closes; the owner of the connection sets `ended`."""

    __slots__ = ("ended", "excess", "trailers")

    def __init__(self) -> None:
        self.ended = False
        self.excess = False
        self.trailers: list[Header] = []

    def feed(self, data: bytes) -> bytes:
        return data


class ChunkedBody:
    """A body in chunks, and the trailers behind it."""

    __slots__ = ("_held", "_left", "_needs_break", "_trailing", "ended", "excess", "trailers")

    def __init__(self) -> None:
        self.ended = False
        self.excess = False
        self.trailers: list[Header] = []
        self._held = b""  # a line that is not complete
        self._left = 0  # of the chunk under way
        self._needs_break = False  # the line break behind a chunk comes next
        self._trailing = False

    def feed(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        if self._held:
            data, self._held = self._held + data, b""
        at = 0
        while at < len(data):
            if self.ended:
                self.excess = True
                break
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._needs_break = not self._left
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._hold(data[at:])
                break
            self._line(data[at:end].removesuffix(b"\r"))
            at = end + 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _hold(self, data: bytes) -> None:
        if len(data) > MAX_SIZE_LINE_BYTES:
            raise BadMessage("a line between chunks is too long")
        self._held = data

    def _line(self, line: bytes) -> None:
        if self._needs_break:
            if line:
                raise BadMessage("a chunk is longer than it says")
            self._needs_break = False
        elif not self._trailing:
            self._left = _chunk_size(line)
            self._trailing = self._left == 0
        elif line:
            if len(self.trailers) >= MAX_TRAILERS:
                raise BadMessage("the trailers are too long")
            self.trailers += parse_fields([line.decode("utf-8", "surrogateescape")])[0]
        else:
            self.ended = True


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip(b" \t")
    if not 0 < len(digits) < 16 or digits.strip(b"0123456789abcdefABCDEF"):
        raise BadMessage(f"the chunk size {line[:32]!r}")
    return int(digits, 16)


def body_of(length: int) -> Body:
    """The reader of a body of this length."""
    if length == CHUNKED:
        return ChunkedBody()
    return OpenBody() if length == UNTIL_CLOSE else SizedBody(length)


def last_chunk(trailers: Iterable[Header] = ()) -> bytes:
    """The end of a chunked body. Trailers that are none are left out: the answer is under way."""
    lines = [f"{name}: {value}" for name, value in trailers]
    text = "".join(f"{line}\r\n" for line in lines if not _BREAK.search(line))
    return b"0\r\n%b\r\n" % text.encode("utf-8", "surrogateescape")


def chunk(piece: bytes) -> bytes:
    """A piece (not empty) of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)
