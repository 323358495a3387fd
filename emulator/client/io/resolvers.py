"""Cluster names for HTTP libraries that let one say how names are found: aiohttp, httpx, requests.

Each part imports its library only when it is asked for. Other names go the library's usual way. The Host header and
the name in TLS stay those of the URL.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from emulator.client.io.hostnames import HostNames, NotOurs

if TYPE_CHECKING:
    import httpx
    import requests.adapters


class AiohttpResolver(AbstractResolver):
    """For aiohttp's TCPConnector(resolver=...)."""

    def __init__(self, names: HostNames) -> None:
        self._names = names
        self._others = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        try:
            found = await self._names.find(host, family)
        except NotOurs as other:
            return await self._others.resolve(other.name, port, family)
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=family, proto=0, flags=int(socket.AI_NUMERICHOST)
            )
            for family, address in found
        ]

    async def close(self) -> None:
        await self._others.close()


def aiohttp_connector(names: HostNames, **options: Any) -> TCPConnector:
    """A connector for aiohttp.ClientSession. Names are asked anew for every connection: endpoints come and go."""
    options.setdefault("use_dns_cache", False)
    return TCPConnector(resolver=AiohttpResolver(names), **options)


def httpx_transport(names: HostNames, *, verify: ssl.SSLContext | bool = True) -> httpx.BaseTransport:
    """For httpx.Client(transport=...); used from the cluster's own loop it would wait for itself."""
    import httpcore
    import httpx

    class Backend(httpcore.SyncBackend):
        def connect_tcp(self, host: str, *arguments: Any, **options: Any) -> httpcore.NetworkStream:
            return super().connect_tcp(_address(names, host), *arguments, **options)

    class ClusterTransport(httpx.HTTPTransport):
        def __init__(self) -> None:
            super().__init__()
            self._pool = httpcore.ConnectionPool(
                ssl_context=httpx.create_ssl_context(verify=verify), network_backend=Backend()
            )

    return ClusterTransport()


def httpx_async_transport(names: HostNames, *, verify: ssl.SSLContext | bool = True) -> httpx.AsyncBaseTransport:
    """For httpx.AsyncClient(transport=...)."""
    import httpcore
    import httpx

    class Backend(httpcore.AnyIOBackend):
        async def connect_tcp(self, host: str, *arguments: Any, **options: Any) -> httpcore.AsyncNetworkStream:
            return await super().connect_tcp(await _found(names, host), *arguments, **options)

    class ClusterTransport(httpx.AsyncHTTPTransport):
        def __init__(self) -> None:
            super().__init__()
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=httpx.create_ssl_context(verify=verify), network_backend=Backend()
            )

    return ClusterTransport()


def _address(names: HostNames, host: str) -> str:
    """Where httpx is to connect for `host`. Raises httpcore.ConnectError for a name that is absent."""
    import httpcore

    try:
        return names.one(host)
    except NotOurs as other:
        return other.name
    except OSError as error:
        raise httpcore.ConnectError(f"[Errno {error.errno}] {error.strerror}") from error


async def _found(names: HostNames, host: str) -> str:
    import httpcore

    try:
        return (await names.find(host))[0][1]
    except NotOurs as other:
        return other.name
    except OSError as error:
        raise httpcore.ConnectError(f"[Errno {error.errno}] {error.strerror}") from error


def requests_adapter(names: HostNames, **options: Any) -> requests.adapters.HTTPAdapter:
    """For requests.Session.mount("http://", ...) and "https://"; from another thread than the cluster's."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import parse_url

    class ClusterAdapter(HTTPAdapter):
        def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
            original = request.url or ""
            parsed = parse_url(str(original))
            host = (parsed.host or "").strip("[]")
            try:
                address = names.one(host)
            except NotOurs as other:
                address = other.name
            except OSError as error:
                raise requests.ConnectionError(error, request=request) from error
            if address == host:
                return super().send(request, *args, **kwargs)
            request.headers.setdefault("Host", parsed.netloc or host)
            shown = f"[{address}]" if ":" in address else address
            request.url = parsed._replace(host=shown).url
            try:
                response = super().send(request, *args, **kwargs)
            finally:
                request.url = original
            response.url = original
            return response

        def build_connection_pool_key_attributes(
            self, request: requests.PreparedRequest, verify: Any, cert: Any = None
        ) -> Any:
            host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
            header = request.headers.get("Host")
            named = parse_url(f"//{header!s}").host if header else None
            if named and host["scheme"] == "https":
                return host, {**pool, "server_hostname": named, "assert_hostname": named}
            return host, pool

    return ClusterAdapter(**options)
