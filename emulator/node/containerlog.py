"""What a container wrote, bounded: old lines make room for new ones. No I/O.

Source of the text form: kubelet pkg/kubelet/kuberuntime/logs (RFC3339Nano times, a line each).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

LIMIT_BYTES = 1 << 20  # of one container run; the kubelet rotates at 10 MiB
LIMIT_LINES = 1 << 16  # short lines cost more than their bytes
STDOUT, STDERR = "stdout", "stderr"


@dataclass(frozen=True, slots=True)
class Line:
    """`text` ends with a newline unless the container ended without one."""

    at: datetime
    stream: str
    text: bytes

    def shown(self, *, timestamps: bool) -> bytes:
        return f"{nano_time(self.at)} ".encode() + self.text if timestamps else self.text


class ContainerLog:
    """The lines of one run of a container. `changed` is called after each change."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.ended = False
        self.listeners: list[Callable[[], None]] = []
        self._limit = limit_bytes
        self._lines: deque[Line] = deque()
        self._size = 0
        self._dropped = 0

    def add(self, at: datetime, text: bytes, stream: str = STDOUT) -> None:
        """One line, cut to the limit if it is longer than everything that is kept."""
        line = Line(at, stream, text[: self._limit])
        self._lines.append(line)
        self._size += len(line.text)
        while self._size > self._limit or len(self._lines) > LIMIT_LINES:
            self._size -= len(self._lines.popleft().text)
            self._dropped += 1
        self._tell()

    def end(self) -> None:
        """Nothing more will come."""
        self.ended = True
        self._tell()

    def after(self, number: int) -> tuple[list[Line], int]:
        """The kept lines from the `number`th on, and the number of the next one."""
        skip = max(number - self._dropped, 0)
        return list(self._lines)[skip:], self._dropped + len(self._lines)

    def _tell(self) -> None:
        for listener in list(self.listeners):
            listener()


def nano_time(at: datetime) -> str:
    """RFC 3339 with nine digits, in UTC."""
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06d}000Z"


def selected(lines: list[Line], *, since: datetime | None, tail: int | None, stream: str) -> list[Line]:
    """The lines that PodLogOptions ask for."""
    if stream in ("Stdout", "Stderr"):
        lines = [line for line in lines if line.stream == stream.lower()]
    if since is not None:
        lines = [line for line in lines if line.at >= since]
    return lines if tail is None else lines[max(len(lines) - tail, 0) :]
