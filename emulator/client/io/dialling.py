"""aiohttp connections made by a `dial` of another network world, such as the sandbox's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from emulator.client.io.hostnames import HostNames, NotOurs

Dial = Callable[[str, int], Awaitable[socket.socket]]


class DialConnector(aiohttp.BaseConnector):
    """For aiohttp.ClientSession: cluster names by `names`, connections by `dial`, https verified as usual."""

    def __init__(self, names: HostNames, dial: Dial) -> None:
        super().__init__()
        self._names = names
        self._dial = dial

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> ResponseHandler:
        host, port = req.url.host, req.url.port
        try:
            address = self._names.one(host)
        except NotOurs as other:
            address = other.name
        except socket.gaierror as error:
            raise aiohttp.ClientConnectorDNSError(req.connection_key, error) from error
        try:
            sock = await self._dial(address, port)
        except OSError as error:
            raise aiohttp.ClientConnectorError(req.connection_key, error) from error
        secure = req.url.scheme == "https"
        try:
            _, protocol = await asyncio.get_running_loop().create_connection(
                self._factory,
                sock=sock,
                ssl=(req.ssl or None) if secure else None,
                server_hostname=host if secure else None,
            )
        except BaseException:
            sock.close()
            raise
        return protocol
