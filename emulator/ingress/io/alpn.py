"""Which HTTP a TLS client speaks is known after its handshake: HTTP/2 where it offers that, else HTTP/1."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from emulator.ingress.io.incoming import Incoming
from emulator.ingress.model import Request, Respond
from emulator.ingress.requests import Door

if TYPE_CHECKING:
    from emulator.ingress.io.http2_clients import Http2Server

Handle = Callable[[Request | Respond, Incoming], Awaitable[None]]


class ByAlpn:
    """Makes the protocols of one listener's connections. http1: makes those of HTTP/1."""

    def __init__(self, http1: Callable[[], asyncio.BaseProtocol], door: Door, handle: Handle) -> None:
        self._http1 = http1
        self._door = door
        self._handle = handle
        self._http2: Http2Server | None = None

    def __call__(self) -> asyncio.Protocol:
        return _Undecided(self)

    def chosen(self, alpn: str | None) -> asyncio.BaseProtocol:
        """The protocol of a connection whose handshake ended so."""
        if alpn != "h2":
            return self._http1()
        if self._http2 is None:
            from emulator.ingress.io.http2_clients import Http2Server  # and the library, which few clusters need

            self._http2 = Http2Server(self._door, self._handle)
        return self._http2()

    async def close(self, drain_seconds: float) -> None:
        """End what speaks HTTP/2: no new requests, and so long for those under way."""
        if self._http2 is not None:
            await self._http2.close(drain_seconds)


class _Undecided(asyncio.Protocol):
    """Until the handshake is over, when the connection is handed on."""

    def __init__(self, choice: ByAlpn) -> None:
        self._choice = choice

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        channel = cast(asyncio.Transport, transport)
        tls = channel.get_extra_info("ssl_object")
        protocol = self._choice.chosen(tls.selected_alpn_protocol() if tls is not None else None)
        channel.set_protocol(protocol)
        protocol.connection_made(channel)
