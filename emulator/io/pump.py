"""The two-way TCP pump. Its memory does not grow with the number of connections; it never closes a socket.

Callbacks on readiness share one buffer per thread: what the other side does not take at once is kept (at most one
buffer full) and reading stops until it is gone. So an idle connection costs two small objects and no task switch.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading

BUFFER_BYTES = 128 * 1024
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close sends RST
WOULD_BLOCK = (BlockingIOError, InterruptedError)


class _Buffer(threading.local):
    """Shared by the pumps of one thread: each use ends before the callback that began it does."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(BUFFER_BYTES))


_buffer = _Buffer()


async def pump(a: socket.socket, b: socket.socket) -> None:
    """Carry bytes both ways between connected non-blocking sockets until both sides have ended or one broke.

    An end of stream on one side becomes shutdown(SHUT_WR) on the other. When a connection breaks, both sockets are
    marked so that the caller's close resets its peer. Closing is always the caller's.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    for sock in (a, b):
        with contextlib.suppress(OSError):  # not TCP
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ways = (_Way(loop, a, b, done), _Way(loop, b, a, done))
    ways[0].other, ways[1].other = ways[1], ways[0]
    try:
        for way in ways:
            way.start()
        await done
    finally:
        for way in ways:
            way.stop()


def reset_on_close(sock: socket.socket) -> None:
    """From now on closing `sock` sends RST."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


class _Way:
    """Bytes from one socket to the other."""

    __slots__ = ("_done", "_loop", "_pending", "_sink", "_source", "ended", "other")

    other: _Way

    def __init__(
        self, loop: asyncio.AbstractEventLoop, source: socket.socket, sink: socket.socket, done: asyncio.Future[None]
    ) -> None:
        self._loop = loop
        self._source = source
        self._sink = sink
        self._done = done
        self._pending = b""
        self.ended = False

    def start(self) -> None:
        self._loop.add_reader(self._source.fileno(), self._readable)

    def stop(self) -> None:
        if self._source.fileno() >= 0:
            self._loop.remove_reader(self._source.fileno())
        if self._sink.fileno() >= 0:
            self._loop.remove_writer(self._sink.fileno())

    def _readable(self) -> None:
        view = _buffer.view
        try:
            count = self._source.recv_into(view)
        except WOULD_BLOCK:
            return
        except OSError:
            self._break()
            return
        if not count:
            self._end()
            return
        try:
            sent = self._sink.send(view[:count])
        except WOULD_BLOCK:
            sent = 0
        except OSError:
            self._break()
            return
        if sent < count:
            self._pending = bytes(view[sent:count])
            self._loop.remove_reader(self._source.fileno())
            self._loop.add_writer(self._sink.fileno(), self._writable)

    def _writable(self) -> None:
        try:
            sent = self._sink.send(self._pending)
        except WOULD_BLOCK:
            return
        except OSError:
            self._break()
            return
        self._pending = self._pending[sent:]
        if not self._pending:
            self._loop.remove_writer(self._sink.fileno())
            self._loop.add_reader(self._source.fileno(), self._readable)

    def _end(self) -> None:
        self._loop.remove_reader(self._source.fileno())
        self.ended = True
        try:
            self._sink.shutdown(socket.SHUT_WR)
        except OSError:  # reset while the end was on its way
            self._break()
            return
        if self.other.ended and not self._done.done():
            self._done.set_result(None)

    def _break(self) -> None:
        self.stop()
        self.other.stop()
        reset_on_close(self._source)
        reset_on_close(self._sink)
        if not self._done.done():
            self._done.set_result(None)
