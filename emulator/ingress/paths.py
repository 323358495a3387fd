"""Paths as nginx reads and writes them: decoded, dots resolved, slashes merged for matching; escaped for backends.

Matching works on bytes, because what a client escapes need not be UTF-8.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(rb"%(..?)?", re.DOTALL)
_UNSAFE = re.compile(rb'[\x00-\x20\x7f-\xff#%?"<>\\^`{|}]')  # what nginx escapes in a URI it made itself


def normal_path(raw: str) -> bytes | None:
    """The path that locations are compared with; None for one that nginx answers with 400."""
    encoded = raw.encode("utf-8", "surrogateescape")
    if not encoded.startswith(b"/"):
        return None
    if b"%" not in encoded and b"//" not in encoded and b"/." not in encoded and b"\0" not in encoded:
        return encoded
    try:
        decoded = _ESCAPE.sub(_byte, encoded)
    except ValueError:
        return None
    return None if b"\0" in decoded else _resolved(decoded)


def _byte(match: re.Match[bytes]) -> bytes:
    digits = match[1] or b""
    if len(digits) != 2 or not digits.isalnum():
        raise ValueError(match[0])
    return bytes((int(digits, 16),))


def _resolved(path: bytes) -> bytes | None:
    """Without empty, `.` and `..` segments; None when `..` leads above the root. An escaped slash counts as one."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            if not kept:
                return None
            kept.pop()
        elif segment not in (b"", b"."):
            kept.append(segment)
    ends = b"/" if kept and segments[-1] in (b"", b".", b"..") else b""
    return b"/" + b"/".join(kept) + ends


def escaped_path(path: bytes) -> str:
    """A path that was rewritten, as it goes into a request line."""
    return _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], path).decode("ascii")


def split_query(target: str) -> tuple[str, str]:
    """Path and query of a request target."""
    path, _, query = target.partition("?")
    return path, query
