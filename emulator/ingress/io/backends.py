"""Connections to backends: a pooled HTTP client over the cluster's network, and bare sockets for changed protocols."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiohttp
from aiohttp.client_proto import ResponseHandler

from emulator.ingress.io.tls import backend_context, shows_its_name
from emulator.ingress.model import BackendTls
from emulator.io.transports import cut

Dial = Callable[[str, int], Awaitable[socket.socket]]
KEEPALIVE_SECONDS = 60.0  # ingress-nginx upstream-keepalive-timeout
MAX_IDLE = 320  # upstream-keepalive-connections, of all backends together
MAX_LINE_BYTES = 64 * 1024


class CannotConnect(aiohttp.ClientConnectionError):
    """Nothing was sent: the request may go to another endpoint. `timed_out` tells a silent backend from a refusing one."""

    def __init__(self, text: str, *, timed_out: bool = False) -> None:
        super().__init__(text)
        self.timed_out = timed_out


class Connector(aiohttp.BaseConnector):
    """Connections from `dial`, kept open for the next request to the same endpoint."""

    def __init__(self, dial: Dial) -> None:
        super().__init__(keepalive_timeout=KEEPALIVE_SECONDS, limit=0)
        self._dial = dial

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> ResponseHandler:
        host, port = req.url.host, req.url.port
        return await connected(
            self._dial, host, port, timeout.sock_connect, self._factory, secure=req.url.scheme == "https"
        )


async def dialled(dial: Dial, host: str, port: int, seconds: float) -> socket.socket:
    """A connected socket. Raises CannotConnect."""
    try:
        async with asyncio.timeout(seconds):
            return await dial(host, port)
    except TimeoutError as error:
        raise CannotConnect(f"{host}:{port}: no answer within {seconds:g} s", timed_out=True) from error
    except OSError as error:
        raise CannotConnect(f"{host}:{port}: {error.strerror or error}") from error


def client(dial: Dial) -> aiohttp.ClientSession:
    """Passes bytes on as they are: no cookies kept, nothing decompressed, no header of its own."""
    return aiohttp.ClientSession(
        connector=Connector(dial),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_LINE_BYTES,
        timeout=aiohttp.ClientTimeout(total=None),
    )


P = TypeVar("P", bound=asyncio.BaseProtocol)


async def connected(
    dial: Dial,
    host: str,
    port: int,
    seconds: float,
    protocol: Callable[[], P],
    *,
    secure: bool | BackendTls,
    alpn: str = "http/1.1",
) -> P:
    """A connection with this protocol, TLS included; secure True is TLS with nothing asked of it. Raises CannotConnect."""
    sock = await dialled(dial, host, port, seconds)
    tls = secure if isinstance(secure, BackendTls) else None
    try:
        async with asyncio.timeout(seconds):
            transport, made = await asyncio.get_running_loop().create_connection(
                protocol,
                sock=sock,
                ssl=(backend_context(tls, alpn) if tls is not None else unverified(alpn)) if secure else None,
                server_hostname=(tls.server_name if tls is not None else "") if secure else None,
            )
            if tls is not None and not shows_its_name(transport, tls):
                cut(transport)
                raise CannotConnect(f"{host}:{port}: its certificate is not for {tls.verified_name}")
            return made
    except CannotConnect:
        raise
    except TimeoutError as error:
        sock.close()
        raise CannotConnect(f"{host}:{port}: no TLS within {seconds:g} s", timed_out=True) from error
    except (OSError, ValueError) as error:  # ValueError: a server name that is none
        sock.close()
        raise CannotConnect(f"{host}:{port}: {error}") from error
    except BaseException:
        sock.close()
        raise


@functools.lru_cache(maxsize=4)
def unverified(alpn: str) -> ssl.SSLContext:
    """backend-protocol HTTPS: nginx does not verify backends unless it is told to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    return context
