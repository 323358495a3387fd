"""Where sockets come from: the host's own network, or the sandbox's.

Parts ask a Network for sockets and never make one themselves, so they serve either world unchanged.
All sockets that come back are non-blocking and owned by the caller.
"""

from __future__ import annotations

import socket
from typing import Protocol


class Network(Protocol):
    """One network world. Addresses are IPv4 or IPv6 literals. Raises OSError as the socket calls do."""

    @property
    def mode(self) -> str:
        """`sandbox`, `loopback` or `host`."""
        ...

    async def tcp_listener(self, host: str, port: int, *, backlog: int = 1024) -> socket.socket:
        """A bound, listening socket (SO_REUSEADDR); port 0 takes a free one."""
        ...

    async def udp_socket(self, host: str, port: int) -> socket.socket:
        """A bound datagram socket with large buffers."""
        ...

    async def tcp_connect(self, host: str, port: int, *, timeout_seconds: float = 5.0) -> socket.socket:
        """A connected stream socket. Raises OSError, TimeoutError."""
        ...

    async def udp_connect(self, host: str, port: int) -> socket.socket:
        """A datagram socket connected to its peer."""
        ...
