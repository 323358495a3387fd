"""HTTP/1 heads: those of backends read, those for backends and clients written. No I/O.

Text stands for bytes as UTF-8 with surrogateescape, so what is not UTF-8 passes through unchanged.
Source: RFC 9112; nginx ngx_http_proxy_module.c and ngx_http_upstream.c for what makes an answer invalid.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from emulator.ingress.model import Header

MAX_HEAD_BYTES = 64 * 1024  # nginx stops at its proxy_buffer_size of 4k; backends under test may be talkative
UNTIL_CLOSE, CHUNKED = -1, -2
"""Body lengths that are not known beforehand."""

_HEAD_END = re.compile(rb"\n\r?\n")
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
    line = _STATUS_LINE.fullmatch(lines[0].rstrip("\r"))
    if line is None:
        raise BadMessage("the backend does not speak HTTP/1")
    status, minor = int(line[2]), int(line[1])
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
    return ResponseHead(status, line[3] or "", headers, fields, size, keeps)


def parse_fields(lines: list[str], start: int = 0) -> tuple[list[Header], dict[str, str]]:
    """The fields of a head or a trailer section from line `start` on. Raises BadMessage."""
    headers: list[Header] = []
    fields: dict[str, str] = {}
    for line in lines[start:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or "\r" in name:
            raise BadMessage(f"the backend sent the header line {line[:80]!r}")
        value = value.strip()
        headers.append((name, value))
        lower = name.lower()
        fields[lower] = f"{fields[lower]}, {value}" if lower in fields else value
    return headers, fields


def _length(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadMessage(f"the backend sent the Content-Length {text[:40]!r}")
    return int(text)


def request_head(method: str, target: str, headers: Iterable[Header], minor: int = 1) -> bytes:
    """The head of a request. Raises BadMessage for what would be more than one."""
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
