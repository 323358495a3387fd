"""GOAWAY frames taken out of an HTTP/2 connection's bytes, so that streams under way may end in peace. No I/O.

The h2 library counts a connection as closed once such a frame came or went; RFC 9113 6.8 lets its streams finish.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

PREFACE_BYTES = 24  # what a client sends before its first frame
GOAWAY = 7
HEAD_BYTES = 9
MAX_FRAME_BYTES = 16_384
NO_ERROR = 0


class GoAway(NamedTuple):
    """last_stream: the highest number of the streams that the sender will still answer."""

    last_stream: int
    code: int


class GoAwaySplitter:
    """Fed what comes in, gives back what is for the library, and the GOAWAYs that were in it."""

    def __init__(self, *, from_client: bool) -> None:
        self._held = b""
        self._passing = PREFACE_BYTES if from_client else 0

    def feed(self, data: bytes) -> tuple[bytes, list[GoAway]]:
        data, self._held = self._held + data, b""
        kept: list[bytes] = []
        found: list[GoAway] = []
        at = 0
        while at < len(data):
            if self._passing:
                piece = data[at : at + self._passing]
                self._passing -= len(piece)
                kept.append(piece)
                at += len(piece)
                continue
            if len(data) - at < HEAD_BYTES:
                self._held = data[at:]
                break
            size = int.from_bytes(data[at : at + 3], "big")
            if data[at + 3] != GOAWAY or not 8 <= size <= MAX_FRAME_BYTES:
                self._passing = HEAD_BYTES + size
                continue
            if len(data) - at < HEAD_BYTES + size:
                self._held = data[at:]
                break
            last, code = struct.unpack_from(">II", data, at + HEAD_BYTES)
            found.append(GoAway(last & 0x7FFFFFFF, code))
            at += HEAD_BYTES + size
        return b"".join(kept), found


def goaway_frame(last_stream: int, code: int = NO_ERROR) -> bytes:
    return struct.pack(">IBIII", 8 << 8 | GOAWAY, 0, 0, last_stream, code)
