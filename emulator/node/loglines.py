"""Output of a process cut into lines as it comes. Pure."""

from __future__ import annotations

MAX_PARTIAL_BYTES = 16 * 1024  # a longer line is logged in parts, as container runtimes do


class LineSplitter:
    """Feed it chunks; lines keep their newlines, what has none yet is kept back."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        lines = _split(self._rest + chunk)
        self._rest = b"" if not lines or lines[-1].endswith(b"\n") else lines.pop()
        while len(self._rest) >= MAX_PARTIAL_BYTES:
            lines.append(self._rest[:MAX_PARTIAL_BYTES])
            self._rest = self._rest[MAX_PARTIAL_BYTES:]
        return lines

    def end(self) -> list[bytes]:
        """What never got its newline."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def _split(text: bytes) -> list[bytes]:
    """Lines by newline alone: a carriage return is part of its line."""
    parts = text.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
