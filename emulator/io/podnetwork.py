"""The network of one pod in the sandbox: what listens there is made inside, what connects comes from the sandbox."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.io.sandbox import Sandbox

EVERY_ADDRESS = "0.0.0.0"


class PodNetwork:
    """Fulfils Network. `path` is where its namespace is held.

    Addresses that are not the pod's, such as its node's for a hostPort, are listened at in the sandbox.
    """

    def __init__(self, sandbox: Sandbox, address: str, path: str) -> None:
        self.mode = sandbox.mode
        self.path = path
        self._sandbox = sandbox
        self._address = address

    async def tcp_listener(self, host: str, port: int, *, backlog: int = 1024) -> socket.socket:
        if host not in (self._address, EVERY_ADDRESS):
            return await self._sandbox.tcp_listener(host, port, backlog=backlog)
        return await self._sandbox.make(op="tcp", pod=self._address, bind=True, host=host, port=port, backlog=backlog)

    async def udp_socket(self, host: str, port: int) -> socket.socket:
        if host not in (self._address, EVERY_ADDRESS):
            return await self._sandbox.udp_socket(host, port)
        return await self._sandbox.make(op="udp", pod=self._address, bind=True, host=host, port=port)

    async def tcp_connect(self, host: str, port: int, *, timeout_seconds: float = 5.0) -> socket.socket:
        return await self._sandbox.tcp_connect(host, port, timeout_seconds=timeout_seconds)

    async def udp_connect(self, host: str, port: int) -> socket.socket:
        return await self._sandbox.udp_connect(host, port)

    async def close(self) -> None:
        """Take the network away. Raises OSError when the sandbox is gone."""
        await self._sandbox.remove_pod(self._address)
