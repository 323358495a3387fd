"""Both sides of the ingress on bare sockets: backends that say, and clients that send, what a test tells them, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from hpack import Decoder, Encoder

from emulator import Cluster
from tests.integration.test_ingress import ingress, pair, routed, rule, tls_secret
from tests.integration.test_ingress_http2 import BACKEND_IP, service

HOST, SHORT, OLD = "app.test", "short.test", "old.test"
QUIET_SECONDS = 0.1  # nothing more comes: loopback needs a hundredth of it
SOON_SECONDS = 5.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UPGRADE = "Upgrade: x\r\nConnection: Upgrade\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
LARGE_BYTES = 2_000_000
ENDLESS_BYTES = 60_000_000


# -- a backend that says what it is told to, byte for byte -----------------------------------------------------------


@dataclass
class Seen:
    """One connection of the backend. ended: how the other side left it."""

    data: bytearray = field(default_factory=bytearray)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    requests: int = 0


class Peer(NamedTuple):
    """What a play of the backend has at hand."""

    seen: Seen
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


Play = Callable[[Peer], Awaitable[bool]]
"""Answers one request; False ends the connection."""


def says(*pieces: bytes, closes: bool = False, body: bool = True) -> Play:
    """Answers so. body: once the request's body has come."""

    async def play(peer: Peer) -> bool:
        if body:
            await whole(peer)
        for piece in pieces:
            peer.writer.write(piece)
            await peer.writer.drain()
        return not closes

    return play


async def whole(peer: Peer) -> bytes:
    """The body of the request whose head came last."""
    head = bytes(peer.seen.data).rpartition(b"\r\n\r\n")[0].rpartition(b"\r\n\r\n")[2].lower()
    sized = re.search(rb"\ncontent-length: (\d+)", head)
    data = b""
    while len(data) < int(sized[1]) if sized else b"chunked" in head and not data.endswith(b"0\r\n\r\n"):
        piece = await peer.reader.read(65536)
        if not piece:
            raise ConnectionError
        peer.seen.data += piece
        data += piece
    return data


async def listens(peer: Peer) -> bool:
    """Says nothing, and notes when it is left."""
    while piece := await peer.reader.read(65536):
        peer.seen.data += piece
    return False


async def deaf(peer: Peer) -> bool:
    """Neither reads nor answers."""
    while not peer.writer.transport.is_closing():
        await asyncio.sleep(0.05)
    return False


async def echoes(peer: Peer) -> bool:
    peer.writer.write(SWITCHED)
    while piece := await peer.reader.read(65536):
        peer.seen.data += piece
        if piece == b"bye":
            peer.writer.write(b"z" * LARGE_BYTES + b"END")
            return False
        peer.writer.write(b"echo:" + piece)
    return False


async def once(peer: Peer) -> bool:
    """Takes a second request on the connection and closes without a word."""
    await whole(peer)
    if peer.seen.requests > 1:
        return False
    peer.writer.write(OK)
    return True


async def late(peer: Peer) -> bool:
    await asyncio.sleep(0.3)
    peer.writer.write(OK)
    return True


async def endless(peer: Peer) -> bool:
    peer.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % ENDLESS_BYTES)
    for _ in range(ENDLESS_BYTES // 65536):
        peer.writer.write(bytes(65536))
        await peer.writer.drain()
    return False


class Backend:
    """Plays by the first segment of the path; the default is to answer with the length of the body."""

    def __init__(self, plays: dict[str, Play]) -> None:
        self.plays = plays
        self.seen: list[Seen] = []
        self.sent = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, BACKEND_IP, 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        for _ in range(100):
            if not self._open:
                return
            await asyncio.sleep(0.02)

    def heard(self) -> bytes:
        """What came on every connection since the last time."""
        data = b"".join(bytes(each.data) for each in self.seen)
        for each in self.seen:
            each.data.clear()
        return data

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = Seen()
        self.seen.append(seen)
        self._open.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                seen.data += head
                seen.requests += 1
                name = head.split(b" ")[1].decode("latin-1").strip("/").split("?")[0].split("/")[0]
                if not await self.plays.get(name, counts)(Peer(seen, reader, writer)):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            seen.ended.set()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self._open.discard(writer)


async def counts(peer: Peer) -> bool:
    body = b"%d" % len(await whole(peer))
    peer.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return True


@asynccontextmanager
async def served(
    plays: dict[str, Play] | None = None, *, secure: bool = False, **annotations: str
) -> AsyncIterator[tuple[Cluster, Backend]]:
    """A cluster whose Ingresses HOST, SHORT (a second's patience with backends) and OLD (HTTP/1.0 to them) lead to a backend."""
    backend = Backend(plays or {})
    port = await backend.start()
    try:
        async with Cluster() as cluster:
            tls = [{"hosts": [HOST], "secretName": "wire"}] if secure else None
            await cluster.apply([*service(port), *([tls_secret("wire", pair(HOST))] if secure else [])])
            await routed(
                cluster,
                ingress(rule("app", host=HOST), name="app", tls=tls, ssl_redirect="false", **annotations),
                ingress(rule("app", host=SHORT), name="short", proxy_read_timeout="1", proxy_send_timeout="1"),
                ingress(rule("app", host=OLD), name="old", proxy_http_version="1.0"),
            )
            yield cluster, backend
    finally:
        await backend.stop()


def answer(*lines: str, body: bytes = b"", status: str = "200 OK") -> bytes:
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *lines)).encode("latin-1") + b"\r\n" + body


# -- a client that sends what it is told to --------------------------------------------------------------------------


class Heard(NamedTuple):
    """data: all that came; kept: the connection is open and silent."""

    data: bytes
    kept: bool

    @property
    def status(self) -> int:
        found = re.match(rb"HTTP/1\.[01] (\d+)", self.data)
        return int(found[1]) if found else 0

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]


END, RESET, READ = "end", "reset", "read"
Step = bytes | str | float


async def talk(cluster: Cluster, *steps: Step, quiet: float | None = None, port: int | None = None) -> Heard:
    """Do the steps (bytes are sent, END is a half-close, READ waits for something, a number for seconds), hear what comes."""
    assert cluster.ingress is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", port or cluster.ingress.http_port, limit=1 << 22)
    data = b""
    try:
        for step in steps:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif step == END:
                writer.write_eof()
            elif step == READ:
                data += await asyncio.wait_for(reader.read(1 << 20), SOON_SECONDS)
            elif step == RESET:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return Heard(data, kept=False)
            else:
                await asyncio.sleep(float(step))
        patience = quiet or SOON_SECONDS  # until the answer begins, however busy this machine is
        while True:
            async with asyncio.timeout(patience):
                piece = await reader.read(1 << 20)
            patience = quiet or QUIET_SECONDS
            if not piece:
                return Heard(data, kept=False)
            data += piece
    except TimeoutError:
        return Heard(data, kept=True)
    except ConnectionError:
        return Heard(data, kept=False)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def asks(
    path: str = "/x", *lines: str, method: str = "GET", host: str = HOST, body: bytes = b"", version: str = "1.1"
) -> bytes:
    """A request; `lines` are header lines without their ends."""
    head = [f"{method} {path} HTTP/{version}", f"Host: {host}", *lines]
    return "".join(f"{line.rstrip(chr(13) + chr(10))}\r\n" for line in head).encode("latin-1") + b"\r\n" + body


def posts(*lines: str, body: bytes = b"", path: str = "/x", host: str = HOST, method: str = "POST") -> bytes:
    return asks(path, *lines, method=method, host=host, body=body)


CHUNKED = "Transfer-Encoding: chunked"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"


# -- HTTP/2 ----------------------------------------------------------------------------------------------------------

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
ENDS, WHOLE = 1, 4  # END_STREAM, END_HEADERS
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def pseudo(path: str = "/x", *, method: str = "GET", host: str = HOST) -> list[tuple[str, str]]:
    return [(":method", method), (":scheme", "https"), (":path", path), (":authority", host)]


def head(*headers: tuple[str, str], stream: int = 1, ends: bool = True) -> bytes:
    """A HEADERS frame, of whatever headers: the encoder checks none."""
    return frame(HEADERS, Encoder().encode(headers), flags=WHOLE | (ENDS if ends else 0), stream=stream)


def insecure(alpn: str = "") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols([alpn])
    return context


class Spoken:
    """A client of HTTP/2 that sends any frames, and what it has heard: statuses, bodies, trailers, ends and resets by stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.statuses: dict[int, str] = {}
        self.heads: dict[int, int] = {}  # how many came
        self.bodies: dict[int, bytes] = {}
        self.trailers: dict[int, dict[str, str]] = {}
        self.over: set[int] = set()
        self.resets: dict[int, int] = {}
        self.goaway: int | None = None
        self.last: int | None = None  # stream that the GOAWAY lets go on
        self.closed = False
        self._held = b""
        self._names = Decoder()
        self._encoder = Encoder()
        self._next = 1

    async def hear(self, seconds: float = SOON_SECONDS, *, until: Callable[[], bool] = lambda: False) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not until() and not self.closed:
                    try:
                        data = await self.reader.read(65536)
                    except ConnectionError:
                        data = b""
                    self.closed = not data
                    self._feed(data)

    def _feed(self, data: bytes) -> None:
        held = self._held + data
        while len(held) >= 9 and len(held) >= (size := 9 + int.from_bytes(held[:3], "big")):
            kind, flags, stream, payload = held[3], held[4], int.from_bytes(held[5:9], "big"), held[9:size]
            held = held[size:]
            if kind == HEADERS:
                fields = {
                    name.decode("latin-1"): value.decode("latin-1")
                    for name, value in self._names.decode(payload, raw=True)
                }
                if ":status" in fields:
                    self.statuses[stream] = fields[":status"]
                    self.heads[stream] = self.heads.get(stream, 0) + 1
                else:
                    self.trailers[stream] = fields
            elif kind == DATA:
                self.bodies[stream] = self.bodies.get(stream, b"") + payload
            elif kind == RST_STREAM:
                self.resets[stream] = int.from_bytes(payload, "big")
            elif kind == GOAWAY:
                self.last, self.goaway = int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big")
            if kind in (DATA, HEADERS) and flags & ENDS:
                self.over.add(stream)
        self._held = held

    def ask(self, *headers: tuple[str, str], ends: bool = True) -> int:
        stream, self._next = self._next, self._next + 2
        flags = WHOLE | (ENDS if ends else 0)
        self.writer.write(frame(HEADERS, self._encoder.encode(headers), flags=flags, stream=stream))
        return stream

    def raw(self, data: bytes) -> None:
        self.writer.write(data)

    def reset(self, stream: int) -> None:
        self.writer.write(frame(RST_STREAM, struct.pack(">I", 8), stream=stream))


@asynccontextmanager
async def spoken(cluster: Cluster) -> AsyncIterator[Spoken]:
    """A connection of HTTP/2 after the settings were told."""
    assert cluster.ingress is not None
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", cluster.ingress.https_port, ssl=insecure("h2"), server_hostname=HOST
    )
    client = Spoken(reader, writer)
    writer.write(PREFACE + frame(SETTINGS))
    try:
        await client.hear(0.05)
        yield client
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
