"""A gRPC health check as bytes: one HTTP/2 request, and what its answer says. Pure.

Only what a probe needs: headers are sent unindexed and those that come back are not read; the answer is in the data.
Source: RFC 9113, RFC 7541; grpc health/v1; the words of failures: kubernetes pkg/probe/grpc.
"""

from __future__ import annotations

from dataclasses import dataclass, field

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PATH = "/grpc.health.v1.Health/Check"
STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
SERVING = 1
MAX_ANSWER_BYTES = 1 << 20
NOT_IMPLEMENTED = "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 1, 1, 4, 8
_STREAM = 1


def request(authority: str, service: str, user_agent: str) -> bytes:
    """Everything a client sends to ask how `service` ("" for the whole server) is."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": PATH,
        ":authority": authority,
        "content-type": "application/grpc",
        "te": "trailers",
        "user-agent": user_agent,
    }
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in headers.items())
    body = b"\0" + len(message).to_bytes(4, "big") + message
    return (
        PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, _STREAM, block)
        + _frame(_DATA, _END_STREAM, _STREAM, body)
    )


@dataclass(slots=True)
class Answer:
    """Fed with what comes: `send` is what has to go back, `done` says that the verdict stands."""

    send: bytes = b""
    done: bool = False
    problem: str = NOT_IMPLEMENTED
    _rest: bytes = b""
    _body: bytearray = field(default_factory=bytearray)

    @property
    def healthy(self) -> bool:
        return self.done and not self.problem

    def feed(self, chunk: bytes) -> None:
        """Take more bytes. Raises ValueError for what is not HTTP/2."""
        self._rest += chunk
        self.send = b""
        while len(self._rest) >= 9 and not self.done:
            length = int.from_bytes(self._rest[:3], "big")
            if length > MAX_ANSWER_BYTES or self._rest.startswith(b"HTTP/"):
                raise ValueError("error: health rpc probe failed: the server does not speak HTTP/2")
            if len(self._rest) < 9 + length:
                return
            kind, flags = self._rest[3], self._rest[4]
            payload, self._rest = self._rest[9 : 9 + length], self._rest[9 + length :]
            self._take(kind, flags, payload)

    def _take(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == _SETTINGS and not flags & _ACK:
            self.send += _frame(_SETTINGS, _ACK, 0, b"")
        elif kind == _PING and not flags & _ACK:
            self.send += _frame(_PING, _ACK, 0, payload)
        elif kind == _DATA:
            self._body += payload[1 : len(payload) - payload[0]] if flags & _PADDED and payload else payload
            self._read_body()
        elif kind in (_RST_STREAM, _GOAWAY) or (kind == _HEADERS and flags & _END_STREAM):
            self.done = True

    def _read_body(self) -> None:
        if len(self._body) < 5 or len(self._body) < 5 + int.from_bytes(self._body[1:5], "big"):
            return
        message = bytes(self._body[5 : 5 + int.from_bytes(self._body[1:5], "big")])
        status = message[1] if message[:1] == b"\x08" and len(message) > 1 else 0
        self.done = True
        shown = STATUSES.get(status, str(status))
        self.problem = "" if status == SERVING else f'service unhealthy (responded with "{shown}")'


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _text(text: str) -> bytes:
    """A string literal without Huffman coding; its length as an integer with a 7-bit prefix."""
    raw = text.encode()
    if len(raw) < 127:
        return bytes((len(raw),)) + raw
    return b"\x7f" + _varint(len(raw) - 127) + raw


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
