"""HTTP/1 heads: those of backends read, those for backends and clients written. No I/O.

Text stands for bytes as UTF-8 with surrogateescape, so what is not UTF-8 passes through unchanged.
Source: RFC 9112; nginx ngx_http_proxy_module.c and ngx_http_upstream.c for what makes an answer invalid.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

from emulator.ingress.model import Header

MAX_HEAD_BYTES = 64 * 1024  # nginx stops at its proxy_buffer_size of 4k; backends under test may be talkative
UNTIL_CLOSE, CHUNKED = -1, -2
"""Body lengths that are not known beforehand."""

_HEAD_END = re.compile(rb"\n\r?\n")
_NOT_IN_NAMES = re.compile(r"[\x00-\x20\x7f]")
_NOT_IN_VALUES = re.compile(r"[\r\0]")
_STATUS_LINE = re.compile(r"HTTP/1\.(\d) (\d{3})(?: (.*))?")
SWITCHING = int(HTTPStatus.SWITCHING_PROTOCOLS)  # ints: an enum's members are slow to look up
FINAL = int(HTTPStatus.OK)  # statuses below announce another one, but for SWITCHING
EMPTY = frozenset((int(HTTPStatus.NO_CONTENT), int(HTTPStatus.NOT_MODIFIED)))
"""Statuses whose answers have no body."""


class BadMessage(Exception):
    """The other side sent, or would be sent, what is no HTTP message."""


@dataclass(slots=True)
class ResponseHead:
    """A backend's answer without its body. `headers` as they came; `fields` by lower-case name, repeated ones joined.

    length: bytes of body, UNTIL_CLOSE or CHUNKED. keep_alive: another request may follow on the connection.
    """

    status: int
    reason: str
    headers: list[Header]
    fields: Mapping[str, str]
    length: int
    keep_alive: bool


def head_end(data: bytes) -> int:
    """The index just behind the head that `data` begins with; 0 while it is not complete."""
    found = _HEAD_END.search(data)
    return found.end() if found is not None else 0


def parse_response(head: bytes, method: str) -> ResponseHead:
    """The head of an answer to a request with this method, its empty line included. Raises BadMessage."""
    lines = head.decode("utf-8", "surrogateescape").rstrip("\r\n").split("\n")
    minor, status, reason = _status_line(lines[0].rstrip("\r"))
    headers, fields = parse_fields(lines, 1)
    coding, length = fields.get("transfer-encoding"), fields.get("content-length")
    if coding is not None and length is not None:
        raise BadMessage("the backend sent both Transfer-Encoding and Content-Length")
    if method == "HEAD" or status in EMPTY or status < FINAL:
        size = 0
    elif coding is not None:
        if coding.lower() != "chunked":
            raise BadMessage(f"the backend sent the unknown Transfer-Encoding {coding!r}")
        size = CHUNKED
    else:
        size = UNTIL_CLOSE if length is None else _length(length)
    connection = fields.get("connection", "").lower()
    keeps = size != UNTIL_CLOSE and ("close" not in connection if minor else "keep-alive" in connection)
    return ResponseHead(status, reason, headers, fields, size, keeps)


@lru_cache(maxsize=1024)
def _status_line(line: str) -> tuple[int, int, str]:
    """The minor version, the status and the reason."""
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        raise BadMessage("the backend does not speak HTTP/1")
    return int(found[1]), int(found[2]), found[3] or ""


def parse_fields(lines: list[str], start: int = 0) -> tuple[list[Header], dict[str, str]]:
    """The fields of a head or a trailer section from line `start` on. Raises BadMessage."""
    headers: list[Header] = []
    fields: dict[str, str] = {}
    for line in lines[start:]:
        header, lower = _known_field(line) if len(line) <= MAX_KNOWN_LINE else _field(line)
        headers.append(header)
        fields[lower] = f"{fields[lower]}, {header[1]}" if lower in fields else header[1]
    return headers, fields


def _field(line: str) -> tuple[Header, str]:
    """A field as it came, and its name in lower case."""
    name, colon, value = line.removesuffix("\r").partition(":")
    if not colon or not name or _NOT_IN_NAMES.search(name) or _NOT_IN_VALUES.search(value):
        raise BadMessage(f"the backend sent the header line {line[:80]!r}")
    return (name, value.strip(" \t")), name.lower()


MAX_KNOWN_LINE = 256
_known_field = lru_cache(maxsize=4096)(_field)  # most lines of most answers are those of the answer before


def _length(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadMessage(f"the backend sent the Content-Length {text[:40]!r}")
    return int(text)


def request_head(method: str, target: str, headers: Iterable[Header], minor: int = 1) -> bytes:
    """The head of a request. Raises BadMessage for what would be more than one."""
    if " " in method or " " in target:
        raise BadMessage("a method or a path holds a space")
    return _encoded(f"{method} {target} HTTP/1.{minor}", headers)


def answer_head(status: int, reason: str, headers: Iterable[Header]) -> bytes:
    """The head of an answer. Raises BadMessage for what would be more than one."""
    return _encoded(f"HTTP/1.1 {status} {reason}", headers)


def _encoded(first: str, headers: Iterable[Header]) -> bytes:
    lines = [first]
    lines += [f"{name}: {value}" for name, value in headers]
    text = "\r\n".join(lines)
    breaks = len(lines) - 1
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
        raise BadMessage("a header holds a line break")  # a group of a decoded path may bring one in
    return f"{text}\r\n\r\n".encode("utf-8", "surrogateescape")
