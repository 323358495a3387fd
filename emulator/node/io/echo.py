"""The built-in backend: HTTP, raw TCP echo and UDP echo at a pod's address.

One port serves HTTP and raw bytes: the first bytes tell which. A client that sends nothing just waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import cast

from emulator.io.network import Network
from emulator.node.echoapp import Answer, EchoPod, answer, datagram_answer, log_line
from emulator.node.http1 import BadHttp, Request, RequestParser, Response, sniff
from emulator.node.io.backend import BindFailure, Listen, close_server, sockets_closed

SNIFF_SECONDS = 1.0  # how long bytes that could become a request line are held back from the echo
MAX_PIPELINED = 64
NEW_SECONDS = 1.0  # on shutdown, a connection that has asked nothing yet may have its request on its way
RAW_IDLE_SECONDS = 0.1  # a raw connection without traffic for so long is cut on shutdown like an idle HTTP one


class EchoBackend:
    """Serves one simulated container."""

    def __init__(self, network: Network, pod: EchoPod) -> None:
        self.pod = pod
        self._network = network
        self._servers: list[asyncio.Server] = []
        self._datagrams: list[asyncio.DatagramTransport] = []
        self._open: set[EchoConnection] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self.stopping = False

    async def bind(self, listens: list[Listen]) -> list[BindFailure]:
        self.stopping = False
        failures = []
        for listen in listens:
            try:
                await self._bind_one(listen)
            except OSError as error:
                failures.append(BindFailure(listen, error))
        return failures

    async def _bind_one(self, listen: Listen) -> None:
        loop = asyncio.get_running_loop()
        if listen.protocol == "UDP":
            sock = await self._network.udp_socket(listen.host, listen.port)
            transport, _ = await loop.create_datagram_endpoint(lambda: EchoDatagrams(self.pod), sock=sock)
            self._datagrams.append(transport)
        elif listen.protocol == "TCP":
            sock = await self._network.tcp_listener(listen.host, listen.port)
            port = listen.container_port
            self._servers.append(await loop.create_server(lambda: EchoConnection(self, port), sock=sock))

    def stop_listening(self) -> None:
        self.stopping = True
        for server in self._servers:
            close_server(server)
        self._servers.clear()
        for transport in self._datagrams:
            transport.close()
        self._datagrams.clear()
        for connection in list(self._open):
            connection.end_when_idle()

    @property
    def connections(self) -> int:
        return len(self._open)

    async def drained(self, timeout_seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._empty.wait()
        return not self._open

    async def abort(self) -> None:
        self.stop_listening()
        for connection in list(self._open):
            connection.cut()
        await sockets_closed()

    def opened(self, connection: EchoConnection) -> None:
        self._open.add(connection)
        self._empty.clear()

    def closed(self, connection: EchoConnection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._empty.set()


class EchoDatagrams(asyncio.DatagramProtocol):
    """Answers each datagram at once; the kernel's buffer is the only queue."""

    def __init__(self, pod: EchoPod) -> None:
        self._pod = pod
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(datagram_answer(data, self._pod), addr)


class EchoConnection(asyncio.Protocol):
    """One TCP connection: undecided, then HTTP or raw echo."""

    __slots__ = (
        "_answering",
        "_backend",
        "_client",
        "_delay",
        "_eof",
        "_last_traffic",
        "_loop",
        "_parser",
        "_port",
        "_queue",
        "_raw",
        "_start",
        "_timer",
        "_transport",
        "_writable",
    )

    def __init__(self, backend: EchoBackend, port: int) -> None:
        self._backend = backend
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._client = ""
        self._start = b""
        self._raw = False
        self._parser: RequestParser | None = None
        self._queue: deque[Request | BadHttp] = deque()
        self._answering = False
        self._eof = False
        self._writable = True
        self._timer: asyncio.TimerHandle | None = None
        self._delay: asyncio.TimerHandle | None = None
        self._last_traffic = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = self._transport.get_extra_info("peername") or ("", 0)  # none when the client is gone already
        self._client = f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"
        self._backend.opened(self)
        if self._backend.stopping:  # it was made before the port closed
            self.end_when_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timers()
        self._queue.clear()
        self._transport = None
        self._backend.closed(self)

    def data_received(self, data: bytes) -> None:
        self._last_traffic = self._loop.time()
        if self._raw:
            self._write(data)
        elif self._parser is not None:
            self._parse(data)
        else:
            self._decide(self._start + data)

    def eof_received(self) -> bool:
        if self._start:
            self._echo_start()
        self._eof = True
        return not self._raw and bool(self._queue or self._answering)  # False closes once all is written

    def pause_writing(self) -> None:
        self._writable = False
        if self._raw and self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._writable = True
        if self._transport is not None and self._raw:
            self._transport.resume_reading()
        self._answer_next()

    def end_when_idle(self) -> None:
        """Close now when nothing is under way, else as soon as that is so."""
        if self._transport is None:
            return
        if self._raw:
            if self._timer is None:
                self._end_raw_when_idle()
        elif self._parser is None:
            if self._timer is None:
                self._timer = self._loop.call_later(NEW_SECONDS, self._end_unasked)
        elif not self._answering and not self._queue and self._parser.idle:
            self._transport.close()

    def _end_unasked(self) -> None:
        self._timer = None
        if self._transport is not None and self._parser is None and not self._raw:
            self._transport.close()

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _end_raw_when_idle(self) -> None:
        if self._transport is None:
            return
        rest = self._last_traffic + RAW_IDLE_SECONDS - self._loop.time()
        if rest <= 0:
            self._transport.close()
        else:
            self._timer = self._loop.call_later(rest, self._end_raw_when_idle)

    def _decide(self, start: bytes) -> None:
        kind = sniff(start)
        if kind == "unknown":
            if not self._start:
                self._cancel_timers()
                self._timer = self._loop.call_later(SNIFF_SECONDS, self._echo_start)
            self._start = start
            return
        self._start = b""
        self._cancel_timers()
        if kind == "raw":
            self._go_raw(start)
        else:
            self._parser = RequestParser()
            self._parse(start)

    def _echo_start(self) -> None:
        start, self._start = self._start, b""
        self._cancel_timers()
        self._go_raw(start)

    def _go_raw(self, start: bytes) -> None:
        self._raw = True
        self._write(start)
        if self._backend.stopping:
            self._end_raw_when_idle()

    def _parse(self, data: bytes) -> None:
        assert self._parser is not None
        try:
            self._queue.extend(self._parser.feed(data))
        except BadHttp as error:
            self._queue.append(error)
        if self._parser.expects_continue and not self._queue and not self._answering:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._parser.expects_continue = False
        if len(self._queue) > MAX_PIPELINED and self._transport is not None:
            self._transport.pause_reading()
        self._answer_next()

    def _answer_next(self) -> None:
        while self._queue and not self._answering and self._writable and self._transport is not None:
            request = self._queue.popleft()
            if not self._queue and not self._transport.is_closing():
                self._transport.resume_reading()
            if isinstance(request, BadHttp):
                self._write(Response(f"{request}\n".encode(), request.code).encode(keep_alive=False))
                self._transport.close()
                return
            given = answer(request, self._backend.pod, port=self._port, client=self._client)
            self._backend.pod.log(log_line(request, given.response, self._client))
            self._answering = True
            if given.delay_seconds:
                self._delay = self._loop.call_later(given.delay_seconds, self._finish, request, given, True)
            else:
                self._finish(request, given, False)

    def _finish(self, request: Request, given: Answer, resume: bool) -> None:
        self._answering = False
        self._delay = None
        if self._transport is None:
            return
        last = self._eof and not self._queue
        keep_alive = request.keep_alive and not self._backend.stopping and not last
        self._write(
            given.response.encode(head_only=request.method == "HEAD", keep_alive=keep_alive, version=request.version)
        )
        if not keep_alive:
            self._queue.clear()
            self._transport.close()
        elif resume:
            self._answer_next()

    def _write(self, payload: bytes) -> None:
        if self._transport is not None and payload and not self._transport.is_closing():
            self._transport.write(payload)

    def _cancel_timers(self) -> None:
        for timer in (self._timer, self._delay):
            if timer is not None:
                timer.cancel()
        self._timer = self._delay = None
