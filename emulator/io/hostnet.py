"""The host's own network as a Network: ordinary sockets of this process. It changes no interface and no route."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

UDP_BUFFER_BYTES = 4 << 20  # the kernel cuts it to net.core.rmem_max


class HostNetwork:
    """Fulfils Network. `mode` is `loopback` (all addresses inside 127/8) or `host`."""

    def __init__(self, mode: str = "loopback") -> None:
        self._mode = mode

    @property
    def mode(self) -> str:
        return self._mode

    async def tcp_listener(self, host: str, port: int, *, backlog: int = 1024) -> socket.socket:
        with _closed_on_error(_socket(host, socket.SOCK_STREAM)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.listen(backlog)
            return sock

    async def udp_socket(self, host: str, port: int) -> socket.socket:
        with _closed_on_error(_socket(host, socket.SOCK_DGRAM)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BUFFER_BYTES)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UDP_BUFFER_BYTES)
            sock.bind((host, port))
            return sock

    async def tcp_connect(self, host: str, port: int, *, timeout_seconds: float = 5.0) -> socket.socket:
        with _closed_on_error(_socket(host, socket.SOCK_STREAM)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(timeout_seconds):
                await asyncio.get_running_loop().sock_connect(sock, (host, port))
            if sock.getsockname() == sock.getpeername():  # a free port dialled on the own address may meet itself
                raise ConnectionRefusedError(f"nobody listens on {host}:{port}")
            return sock

    async def udp_connect(self, host: str, port: int) -> socket.socket:
        with _closed_on_error(_socket(host, socket.SOCK_DGRAM)) as sock:
            sock.connect((host, port))
            return sock


def _socket(host: str, type: socket.SocketKind) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, type)
    sock.setblocking(False)
    return sock


@contextlib.contextmanager
def _closed_on_error(sock: socket.socket) -> Iterator[socket.socket]:
    try:
        yield sock
    except BaseException:
        sock.close()
        raise
