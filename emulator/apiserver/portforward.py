"""Which two SPDY streams make one forwarded connection, and how its failures are told. No I/O.

A client opens an error stream and a data stream, joined by the same `requestid`; clients of old leave it out and open
the data stream right after the error stream.
Source: k8s.io/kubelet pkg/cri/streaming/portforward/httpstream.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
PAIR_SECONDS = 30.0  # StreamCreationTimeout
MAX_WAITING = 1000  # streams without their partner, of one client


class Rejected(Exception):
    """The stream cannot be part of a forwarded connection."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One connection to make: its port and both streams."""

    request: str
    port: int
    data: int
    error: int


@dataclass(slots=True)
class _Half:
    port: int
    streams: dict[str, int]
    since: float


class Pairs:
    """Joins the streams of one client."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Half] = {}

    def opened(self, stream: int, headers: Mapping[str, str], now: float) -> Pair | None:
        """The pair the stream completes; None while its partner is not there. Raises Rejected."""
        port, type = _port(headers), headers.get("streamtype", "")
        if not type:
            raise Rejected('"streamType" header is required')
        if type not in ("error", "data"):
            raise Rejected(f'invalid stream type "{type}"')
        request = headers.get("requestid") or str(stream if type == "error" else stream - 2)
        half = self._waiting.get(request)
        if half is None:
            if len(self._waiting) >= MAX_WAITING:
                raise Rejected("too many streams without a partner")
            self._waiting[request] = _Half(port, {type: stream}, now)
            return None
        if type in half.streams:
            raise Rejected(f"error processing stream for request {request}: {type} stream already assigned")
        del self._waiting[request]
        streams = {**half.streams, type: stream}
        return Pair(request, headers_port(port, half.port, type), streams["data"], streams["error"])

    def overdue(self, now: float) -> list[int]:
        """Streams whose partner did not come in time; they are forgotten."""
        late = [request for request, half in self._waiting.items() if now - half.since >= PAIR_SECONDS]
        return [stream for request in late for stream in self._waiting.pop(request).streams.values()]


def headers_port(port: int, other: int, type: str) -> int:
    """The data stream's port counts, should the two differ."""
    return port if type == "data" else other


def _port(headers: Mapping[str, str]) -> int:
    text = headers.get("port", "")
    if not text:
        raise Rejected('"port" header is required')
    if not (text.isascii() and text.isdigit()) or not 0 < int(text[:6]) <= 0xFFFF:
        raise Rejected(f'unable to parse "{text}" as a port')
    return int(text)


def failure_text(port: int, pod: str, uid: str, why: str) -> str:
    """What the error stream carries when the pod's port cannot be reached."""
    return f"error forwarding port {port} to pod {pod}, uid {uid}: {why}"
