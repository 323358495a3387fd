"""HTTP/1.x requests out of bytes, and responses into bytes, for the echo backend. Sans-IO.

Bounded on every side: a head of 64 KiB, a body of 1 MiB. It accepts chunked bodies and pipelined requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal
from urllib.parse import parse_qsl, unquote

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 1024 * 1024
MAX_LINE_BYTES = 8 * 1024
MAX_PARAMETERS = 1000

_METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"TRACE ", b"CONNECT ")
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP/(1\.[01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")


class BadHttp(Exception):
    """The bytes are no request that is served; the connection ends after a response with `code`."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    keep_alive: bool = True

    @property
    def path(self) -> str:
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> dict[str, str]:
        """The first value of each parameter; none of a query with more of them than anyone means."""
        try:
            pairs = parse_qsl(self.target.partition("?")[2], keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
        except ValueError:
            return {}
        values: dict[str, str] = {}
        for name, value in pairs:
            values.setdefault(name, value)
        return values

    def header(self, name: str) -> str:
        """The values of a header, joined; "" when there is none."""
        return ", ".join(value for held, value in self.headers if held.lower() == name.lower())


@dataclass(frozen=True, slots=True)
class Response:
    body: bytes
    code: int = 200
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self, *, head_only: bool = False, keep_alive: bool = True, version: str = "1.1") -> bytes:
        lines = [
            f"HTTP/1.1 {self.code} {HTTPStatus(self.code).phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        if not keep_alive:
            lines.append("Connection: close")
        elif version == "1.0":
            lines.append("Connection: keep-alive")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (b"" if head_only else self.body)


Protocol = Literal["http", "raw", "unknown"]


def sniff(start: bytes) -> Protocol:
    """What a connection that began with these bytes speaks; `unknown` while more bytes could tell."""
    if not any(start.startswith(method[: len(start)]) for method in _METHODS):
        return "raw"
    line, ended, _ = start.partition(b"\n")
    if ended:
        return "http" if _REQUEST_LINE.fullmatch(line.rstrip(b"\r")) else "raw"
    return "unknown" if len(start) < MAX_LINE_BYTES else "raw"


class RequestParser:
    """Feed bytes, get the requests they complete. After BadHttp no more may be fed."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: Request | None = None
        self._length = 0
        self._chunked = False
        self._body = bytearray()
        self.expects_continue = False

    @property
    def idle(self) -> bool:
        """Between two requests, with nothing of the next one here yet."""
        return self._head is None and not self._buffer

    def feed(self, received: bytes) -> list[Request]:
        """The requests complete by now. Raises BadHttp."""
        self._buffer += received
        requests: list[Request] = []
        while True:
            if self._head is None and not self._read_head():
                return requests
            if not self._read_body():
                return requests
            head = self._head
            if head is not None:
                requests.append(
                    Request(head.method, head.target, head.version, head.headers, bytes(self._body), head.keep_alive)
                )
            self._head, self.expects_continue = None, False
            self._body.clear()

    def _read_head(self) -> bool:
        while self._buffer[:2] == b"\r\n" or self._buffer[:1] == b"\n":  # RFC 9112 2.2: empty lines before a request
            del self._buffer[: 2 if self._buffer[:1] == b"\r" else 1]
        end, width = self._buffer.find(b"\r\n\r\n"), 4
        if end < 0:
            end, width = self._buffer.find(b"\n\n"), 2
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise BadHttp(431, "the head is too long")
            return False
        if end > MAX_HEAD_BYTES:
            raise BadHttp(431, "the head is too long")
        lines = bytes(self._buffer[:end]).split(b"\n")
        del self._buffer[: end + width]
        self._begin([line.removesuffix(b"\r") for line in lines])
        return True

    def _begin(self, lines: list[bytes]) -> None:
        match = _REQUEST_LINE.fullmatch(lines[0])
        if match is None:
            raise BadHttp(505 if b" HTTP/" in lines[0] and b" HTTP/1." not in lines[0] else 400, "no request line")
        headers: list[tuple[str, str]] = []
        for line in lines[1:]:
            found = _FIELD.fullmatch(line)
            if found is None:
                raise BadHttp(400, "no header field")
            headers.append((found.group(1).decode("ascii"), found.group(2).decode("latin-1")))
        method, target, version = (part.decode("latin-1") for part in match.groups())
        request = Request(method, target, version, tuple(headers))
        connection = request.header("connection").lower()
        keep_alive = "close" not in connection if version == "1.1" else "keep-alive" in connection
        self._head = Request(method, target, version, tuple(headers), b"", keep_alive)
        self._frame(request)
        self.expects_continue = version == "1.1" and request.header("expect").lower() == "100-continue"

    def _frame(self, request: Request) -> None:
        encoding = request.header("transfer-encoding").lower()
        length = request.header("content-length")
        if encoding and encoding != "chunked":
            raise BadHttp(501, "unknown transfer encoding")
        if encoding and length:
            raise BadHttp(400, "both a length and chunks")
        self._chunked = bool(encoding)
        if length and not (length.isascii() and length.isdigit()):
            raise BadHttp(400, "no content length")
        self._length = int(length or 0)
        if self._length > MAX_BODY_BYTES:
            raise BadHttp(413, "the body is too long")

    def _read_body(self) -> bool:
        if self._chunked:
            return self._read_chunks()
        if len(self._buffer) < self._length:
            return False
        self._body += self._buffer[: self._length]
        del self._buffer[: self._length]
        return True

    def _read_chunks(self) -> bool:
        while True:
            end = self._buffer.find(b"\r\n")
            if end < 0:
                if len(self._buffer) > MAX_LINE_BYTES:
                    raise BadHttp(400, "no chunk size")
                return False
            size_text = bytes(self._buffer[:end]).partition(b";")[0].strip()
            try:
                size = int(size_text, 16)
            except ValueError:
                raise BadHttp(400, "no chunk size") from None
            if size < 0 or len(self._body) + size > MAX_BODY_BYTES:
                raise BadHttp(413, "the body is too long")
            if size == 0:
                return self._read_trailers(end + 2)
            if len(self._buffer) < end + 2 + size + 2:
                return False
            self._body += self._buffer[end + 2 : end + 2 + size]
            if self._buffer[end + 2 + size : end + 4 + size] != b"\r\n":
                raise BadHttp(400, "no end of chunk")
            del self._buffer[: end + 4 + size]

    def _read_trailers(self, start: int) -> bool:
        if self._buffer[start : start + 2] == b"\r\n":
            del self._buffer[: start + 2]
            return True
        end = self._buffer.find(b"\r\n\r\n", start)
        if end < 0:
            if len(self._buffer) - start > MAX_LINE_BYTES:
                raise BadHttp(431, "the trailers are too long")
            return False
        del self._buffer[: end + 4]
        return True
