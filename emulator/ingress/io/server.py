"""What happens to each request: the router decides, this carries it out. It holds no rule of its own."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal, Protocol
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from emulator.ingress.balance import Balancer
from emulator.ingress.externalauth import Passes, question, verdict
from emulator.ingress.headers import error_headers
from emulator.ingress.io import exchange, pages
from emulator.ingress.io.backends import Dial
from emulator.ingress.io.exchange import Body, Failed, TooLarge
from emulator.ingress.model import Header, Proxy, Redirect, Request, Respond
from emulator.ingress.ratelimit import ConnectionLimiter, RateLimiter
from emulator.ingress.router import Router
from emulator.io import clock
from emulator.routing.servicemap import Endpoint

log = logging.getLogger(__name__)

AUTH_SECONDS = 60.0
NOT_SPOKEN = (
    "GRPC",
    "GRPCS",
    "FCGI",
)  # HTTP/2 trailers and FastCGI are not carried; the Ingress has an event that says so


class Backends(Protocol):
    """Where a decision's backend is; kept current by the controller."""

    def router(self) -> Router: ...

    def endpoints(self, proxy: Proxy) -> Sequence[Endpoint]:
        """Those that take requests now."""
        ...

    def instead(self, proxy: Proxy) -> Proxy | None:
        """The same request to the Service of the default-backend annotation; None without one."""
        ...


@dataclass(frozen=True, slots=True)
class Door:
    """How clients of one listener came in. https_port: where https is served beside it."""

    scheme: Literal["http", "https"]
    port: int
    https_port: int


class IngressServer:
    """Answers requests with the backends of the moment."""

    def __init__(
        self, backends: Backends, session: Callable[[], aiohttp.ClientSession], dial: Dial, rng: Callable[[int], int]
    ) -> None:
        self._backends = backends
        self._session = session
        self._dial = dial
        self._rng = rng
        self._balancer = Balancer()
        self._limiter = RateLimiter()
        self._connections = ConnectionLimiter()

    async def handle(self, door: Door, request: web.BaseRequest) -> web.StreamResponse:
        """One request; what goes wrong is one of nginx' pages."""
        head = read_head(door, request)
        if head is None:
            return await pages.answer(request, HTTPStatus.BAD_REQUEST, close=True)
        decision = self._backends.router().decide(head, rng=self._rng, now=clock.now(), limiter=self._limiter)
        if not isinstance(decision, Proxy):
            close = decision.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            if close and isinstance(decision, Respond):
                return await pages.answer(request, decision.status, decision.body, decision.headers, close=True)
            return await pages.send(request, decision)
        limits, owner = decision.settings.limits, decision.route.ingress
        if limits is None or owner is None or not limits.connections:
            return await self._proxied(request, head, decision)
        if not self._connections.enter(owner, limits, head.client):
            return await pages.answer(request, HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            return await self._proxied(request, head, decision)
        finally:
            self._connections.leave(owner, head.client)

    async def _proxied(self, request: web.BaseRequest, head: Request, proxy: Proxy) -> web.StreamResponse:
        settings = proxy.settings
        if settings.backend_protocol in NOT_SPOKEN:
            return await pages.answer(request, HTTPStatus.BAD_GATEWAY)
        more: tuple[Header, ...] = ()
        cookies: tuple[str, ...] = ()
        if settings.external_auth is not None:
            ruling = await self._asked(head, proxy)
            if not isinstance(ruling, Passes):
                return await pages.send(request, ruling)
            more, cookies = ruling.request_headers, ruling.response_cookies
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # what was sent is not the answer
        try:
            return await self._carried(request, head, proxy, more, cookies)
        except TooLarge:
            return await pages.answer(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, close=True)
        except Failed as error:
            log.debug("%s %s%s: %s", head.method, head.host, head.path, error)
            return await pages.answer(request, error.status, headers=proxy.response_headers)

    async def _carried(
        self,
        request: web.BaseRequest,
        head: Request,
        proxy: Proxy,
        more: tuple[Header, ...],
        cookies: tuple[str, ...],
    ) -> web.StreamResponse:
        endpoints = self._backends.endpoints(proxy)
        if not endpoints:
            instead = self._backends.instead(proxy)
            endpoints = self._backends.endpoints(instead) if instead is not None else ()
            if instead is None or not endpoints:
                raise Failed(HTTPStatus.SERVICE_UNAVAILABLE, f"{proxy.backend} has no ready endpoint")
            proxy = instead
        settings = proxy.settings
        headers = exchange.request_headers(request, proxy, more)
        body = Body(request, settings.body_size_bytes)
        failed: list[Endpoint] = []
        tries = settings.next_upstream_tries or len(endpoints)
        while True:
            choice = self._balancer.choose(proxy, head, endpoints, self._rng, failed=failed)
            if choice is None:  # every endpoint was tried
                raise Failed(HTTPStatus.BAD_GATEWAY, f"no endpoint of {proxy.backend} answers")
            set_cookie = (*cookies, choice.set_cookie) if choice.set_cookie else cookies
            place = (choice.endpoint.address, choice.endpoint.port)
            try:
                if head.headers.get("upgrade"):
                    return await exchange.upgrade(request, proxy, place, headers, self._dial)
                answered = await exchange.ask(self._session(), request, proxy, place, headers, body)
            except Failed as error:
                failed.append(choice.endpoint)
                left = len(failed) < min(tries, len(endpoints))
                if not (left and error.retry and error.retry in settings.next_upstream):
                    raise
                continue
            break
        async with answered:
            if answered.status in settings.custom_http_errors:
                replaced = await self._error_page(request, head, proxy, answered.status)
                if replaced is not None:
                    return replaced
            return await exchange.pass_back(request, head, answered, proxy, set_cookie)

    async def _error_page(
        self, request: web.BaseRequest, head: Request, proxy: Proxy, status: int
    ) -> web.StreamResponse | None:
        """custom-http-errors: what the default backend says of the status; None when nobody does."""
        instead, owner = self._backends.instead(proxy), proxy.route.ingress
        endpoints = self._backends.endpoints(instead) if instead is not None else ()
        if instead is None or not endpoints or owner is None:
            return None
        place = self._balancer.choose(instead, head, endpoints, self._rng)
        if place is None:
            return None
        backend = proxy.backend
        headers: CIMultiDict[str] = CIMultiDict(
            error_headers(
                status,
                head,
                namespace=backend.namespace,
                ingress=owner.name,
                service=backend.service,
                port=str(backend.port),
                request_id=dict(proxy.request_headers.set).get("X-Request-ID", ""),
            )
        )
        url = URL(f"http://{place.endpoint.address}:{place.endpoint.port}/")
        try:
            timeout = aiohttp.ClientTimeout(total=AUTH_SECONDS)
            async with self._session().get(url, headers=headers, timeout=timeout, allow_redirects=False) as answered:
                return await exchange.pass_back(request, head, answered, instead, ())
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def _asked(self, head: Request, proxy: Proxy) -> Passes | Redirect | Respond:
        """auth-url: the other server's ruling."""
        auth = proxy.settings.external_auth
        assert auth is not None
        request_id = dict(proxy.request_headers.set).get("X-Request-ID", "")
        asked = question(auth, head, request_id)
        timeout = aiohttp.ClientTimeout(total=AUTH_SECONDS)
        try:
            async with self._session().request(
                asked.method, URL(asked.url), headers=asked.headers, timeout=timeout, allow_redirects=False
            ) as answered:
                named = {name.lower(): value for name, value in answered.headers.items()}
                return verdict(auth, head, answered.status, named, answered.headers.getall("Set-Cookie", []))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return Respond(HTTPStatus.INTERNAL_SERVER_ERROR, f"the auth server does not answer: {error}")


def read_head(door: Door, request: web.BaseRequest) -> Request | None:
    """The request as the router sees it; None for one that nginx would not take."""
    target = request.raw_path
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        lower = name.lower()
        headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    host = headers.get("host", "")
    if not target.startswith("/"):
        if target == "*" or "://" not in target:
            return None
        parts = urlsplit(target)
        host, target = parts.netloc, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not host and request.version >= (1, 1):
        return None
    path, _, query = target.partition("?")
    return Request(
        method=request.method,
        scheme=door.scheme,
        host=bare_host(host),
        port=door.port,
        path=path.partition("#")[0],
        query=query,
        headers=headers,
        client=_peer(request),
        https_port=door.https_port,
    )


def bare_host(host: str) -> str:
    """The Host header without its port, in lower case."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.rpartition(":")[0].lower() if ":" in host else host.lower().rstrip(".")


def _peer(request: web.BaseRequest) -> str:
    address = str(request.remote or "127.0.0.1").partition("%")[0]
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return "127.0.0.1"
