"""`.../proxy/...` of pods, services and nodes: the request goes on to what stands behind them, bytes both ways.

Nothing of a body is held but HTML, whose links are rewritten, and of that no more than a limit.
Source: k8s.io/apimachinery pkg/util/proxy/upgradeaware.go, pkg/registry/core/service/storage/storage.go (ResourceLocation).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from multidict import CIMultiDict
from yarl import URL

from emulator.api.errors import NotFound, ServiceUnavailable
from emulator.api.kinds import ENDPOINTS, NODE, POD, SERVICE
from emulator.api.meta import JsonObject
from emulator.apiserver import proxying
from emulator.apiserver.goerrors import dial_error
from emulator.apiserver.io.proxyupgrade import pass_on
from emulator.apiserver.io.sessions import Interrupted, Sessions
from emulator.apiserver.proxying import Links, Location
from emulator.apiserver.requestinfo import ResourceRequest
from emulator.registry.io.pipeline import Registry

log = logging.getLogger(__name__)

Dial = Callable[[str, int], Awaitable[socket.socket]]
DIAL_SECONDS = 30.0
MAX_HTML_BYTES = 4 * 1024 * 1024  # of a page whose links are rewritten
PIECE_BYTES = 64 * 1024
MAX_LINE_BYTES = 64 * 1024


class DialError(aiohttp.ClientConnectionError):
    """The backend cannot be reached; the text is Go's."""


class _Connector(aiohttp.BaseConnector):
    """Connections from `dial`, one for each request: the backends' world may not be this process's own."""

    def __init__(self, dial: Dial) -> None:
        super().__init__(force_close=True, limit=0)
        self._dial = dial

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> ResponseHandler:
        host, port = req.url.host, req.url.port
        sock = await dialled(self._dial, host, port)
        try:
            tls = unverified_tls() if req.url.scheme == "https" else None
            _, protocol = await asyncio.get_running_loop().create_connection(
                self._factory,
                sock=sock,
                ssl=tls,
                server_hostname="" if tls else None,
                ssl_handshake_timeout=DIAL_SECONDS if tls else None,
            )
        except OSError as error:
            raise DialError(f"remote error: {error}") from error
        except BaseException:
            sock.close()
            raise
        return protocol


async def dialled(dial: Dial, host: str, port: int) -> socket.socket:
    """Raises DialError."""
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            return await dial(host, port)
    except (OSError, TimeoutError) as error:
        raise DialError(dial_error(error, host, port)) from error


def unverified_tls() -> ssl.SSLContext:
    """Backends show certificates of their own making; upstream does not verify them either."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Proxy:
    """Passes requests on for one registry. dial: how backends are reached; None when they cannot be."""

    def __init__(self, registry: Registry, sessions: Sessions, rng: Callable[[int], int], dial: Dial | None) -> None:
        self._registry = registry
        self._sessions = sessions
        self._rng = rng
        self.dial = dial
        self._client: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Cut what is under way."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def serve(self, request: web.BaseRequest, target: ResourceRequest) -> web.StreamResponse:
        """Raises ApiError; ConnectionError when the backend breaks off in the middle of its answer."""
        location = await self._location(target)
        upgrade = "upgrade" in request.headers.get("Connection", "").lower()
        if not target.path and not upgrade:  # so that relative links of the page work
            query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
            return web.Response(status=301, headers={"Location": f"{request.rel_url.raw_path}/{query}"})
        if self.dial is None:
            raise _unreachable(dial_error(ConnectionRefusedError(), location.host, _number(location)))
        # A connection that lasts ends with the server; its client's leaving cancels it.
        with contextlib.suppress(Interrupted):
            work = self._upgraded(request, target, location) if upgrade else self._passed(request, target, location)
            return await self._sessions.run(work, None)
        raise ConnectionResetError("the server stops")

    # -- where to ----------------------------------------------------------------------------------------------

    async def _location(self, target: ResourceRequest) -> Location:
        wanted = proxying.parse_name(target.name, target.kind.singular)
        if target.kind is POD:
            return proxying.pod_location(wanted, await self._registry.get(POD, wanted.name, target.namespace))
        if target.kind is NODE:
            return proxying.node_location(wanted, await self._registry.get(NODE, wanted.name))
        port = wanted.port
        if port.lstrip("+-").isdigit():
            port = proxying.service_port(wanted, await self._registry.get(SERVICE, wanted.name, target.namespace))
        endpoints = await self._registry.get(ENDPOINTS, wanted.name, target.namespace)
        for address, location in proxying.service_candidates(wanted, port, endpoints, self._rng):
            if proxying.is_pods_address(address, await self._pod_of(address, target.namespace), target.namespace):
                return location
        raise proxying.no_endpoints(wanted.name)

    async def _pod_of(self, address: JsonObject, namespace: str) -> JsonObject | None:
        reference = address.get("targetRef") or {}
        try:
            return await self._registry.get(POD, reference.get("name") or "", namespace)
        except NotFound:
            return None

    # -- requests ----------------------------------------------------------------------------------------------

    def _links(self, request: web.BaseRequest, target: ResourceRequest) -> Links:
        path = request.rel_url.raw_path
        return Links(path.removesuffix(target.path).rstrip("/"), request.host, target.path)

    async def _passed(
        self, request: web.BaseRequest, target: ResourceRequest, location: Location
    ) -> web.StreamResponse:
        links = self._links(request, target)
        headers = proxying.request_headers(
            list(request.headers.items()), forwarded_uri=links.forwarded_uri(), peer=request.remote or ""
        )
        query = request.rel_url.raw_query_string
        url = URL(f"{location.scheme}://{location.address}{target.path}{'?' if query else ''}{query}", encoded=True)
        try:
            async with self._session().request(
                request.method,
                url,
                headers=CIMultiDict(headers),
                data=_body(request),
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            ) as answer:
                return await self._answer(request, answer, links, location)
        except DialError as error:
            raise _unreachable(str(error)) from error
        except aiohttp.ServerDisconnectedError as error:
            raise _unreachable("EOF") from error
        except aiohttp.ClientConnectionError as error:
            raise _unreachable(str(error) or type(error).__name__) from error
        except aiohttp.ClientPayloadError as error:
            raise ConnectionResetError("the backend broke off") from error
        except aiohttp.ClientError as error:
            raise _unreachable(f"net/http: HTTP/1.x transport connection broken: {error}") from error

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            assert self.dial is not None
            self._client = aiohttp.ClientSession(
                connector=_Connector(self.dial),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),  # as long as both sides stay; both can be slow on purpose
                max_line_size=MAX_LINE_BYTES,
                max_field_size=MAX_LINE_BYTES,
            )
        return self._client

    async def _answer(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, links: Links, location: Location
    ) -> web.StreamResponse:
        headers = CIMultiDict(proxying.response_headers(list(answer.headers.items())))
        page = b""
        if "Location" in headers:
            headers["Location"] = links.rewritten(headers["Location"], location.address)
        elif answer.content_type == "text/html" and "Content-Type" in headers and request.method != "HEAD":
            page = await _page(answer)
            if len(page) <= MAX_HTML_BYTES:
                return _html(answer, page, headers, links, location)
        has_body = request.method != "HEAD" and answer.status not in (204, 304)
        if "Content-Type" not in headers and has_body:
            page = await answer.content.readany()
            if page:
                headers["Content-Type"] = proxying.sniffed_type(page)
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
        if "Content-Length" not in headers and has_body and request.version >= (1, 1):
            response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            if page:
                await response.write(page)
            if has_body:
                async for piece in answer.content.iter_any():
                    await response.write(piece)
        except aiohttp.ClientError as error:
            raise ConnectionResetError("the backend broke off") from error
        await response.write_eof()
        return response

    async def _upgraded(
        self, request: web.BaseRequest, target: ResourceRequest, location: Location
    ) -> web.StreamResponse:
        assert self.dial is not None
        try:
            sock = await dialled(self.dial, location.host, _number(location))
        except DialError as error:
            raise ServiceUnavailable(f"error trying to reach service: {error}") from error
        query = request.rel_url.raw_query_string
        path = f"{target.path or '/'}{'?' if query else ''}{query}"
        headers = proxying.request_headers(
            list(request.headers.items()), forwarded_uri="", peer=request.remote or "", upgrade=True
        )
        return await pass_on(request, sock, path, headers, unverified_tls() if location.scheme == "https" else None)


def _number(location: Location) -> int:
    if location.port.isdigit() and len(location.port) < 6:
        return int(location.port)
    return 443 if location.scheme == "https" else 80


def _body(request: web.BaseRequest) -> AsyncIterator[bytes] | None:
    return request.content.iter_any() if request.can_read_body else None


def _unreachable(why: str) -> ServiceUnavailable:
    return ServiceUnavailable(f"error trying to reach service: {why}")


async def _page(answer: aiohttp.ClientResponse) -> bytes:
    """The page, or its begin when it is too long to be rewritten."""
    page = bytearray()
    while len(page) <= MAX_HTML_BYTES and (piece := await answer.content.readany()):
        page += piece
    return bytes(page)


def _html(
    answer: aiohttp.ClientResponse, body: bytes, headers: CIMultiDict[str], links: Links, location: Location
) -> web.Response:
    """The page with its links rewritten; compressed as it came."""
    encoding = headers.get("Content-Encoding", "").lower()
    if encoding in ("", "gzip", "deflate"):
        with contextlib.suppress(zlib.error):
            plain = _inflated(body, encoding)
            changed = proxying.rewritten_html(plain, links, location.address)
            if changed != plain:
                body = _deflated(changed, encoding)
    headers.popall("Content-Length", None)
    return web.Response(status=answer.status, reason=answer.reason, headers=headers, body=body)


def _inflated(body: bytes, encoding: str) -> bytes:
    if not encoding:
        return body
    reader = zlib.decompressobj(31 if encoding == "gzip" else 15)
    plain = reader.decompress(body, MAX_HTML_BYTES)
    if reader.unconsumed_tail:
        raise zlib.error("too large")
    return plain


def _deflated(body: bytes, encoding: str) -> bytes:
    if not encoding:
        return body
    writer = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    return writer.compress(body) + writer.flush()
