"""What happens to each request: the router decides, this carries it out. It holds no rule of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Protocol

import aiohttp
from yarl import URL

from emulator.ingress.authcache import Answer, AuthCache
from emulator.ingress.balance import Balancer
from emulator.ingress.externalauth import Passes, question, sets_cookies, verdict
from emulator.ingress.forwarding import believed
from emulator.ingress.headers import error_headers, error_page_headers
from emulator.ingress.io import exchange, pages
from emulator.ingress.io.backends import CannotConnect, Dial
from emulator.ingress.io.exchange import Body, Failed
from emulator.ingress.io.http1_backends import Http1Upstreams
from emulator.ingress.io.incoming import BrokenBody, Incoming
from emulator.ingress.io.mirror import Mirrors
from emulator.ingress.io.upstream import Asker, BackendAnswer, BrokenOff, Place, Question, TimedOut, Timeouts
from emulator.ingress.messages import SWITCHING, BadMessage
from emulator.ingress.mirroring import copy_of
from emulator.ingress.model import BackendTls, Header, Proxy, Redirect, Request, Respond
from emulator.ingress.ranges import is_in
from emulator.ingress.ratelimit import ConnectionLimiter, RateLimiter
from emulator.ingress.router import Router, asked_in_vain
from emulator.io import clock
from emulator.routing.servicemap import Endpoint

log = logging.getLogger(__name__)

AUTH_SECONDS = 60.0


class Backends(Protocol):
    """Where a decision's backend is; kept current by the controller."""

    def router(self) -> Router: ...

    def endpoints(self, proxy: Proxy) -> Sequence[Endpoint]:
        """Those that take requests now."""
        ...

    def instead(self, proxy: Proxy) -> Proxy | None:
        """The same request to the Service of the default-backend annotation; None without one."""
        ...


class IngressServer:
    """Answers requests with the backends of the moment."""

    def __init__(
        self, backends: Backends, session: Callable[[], aiohttp.ClientSession], dial: Dial, rng: Callable[[int], int]
    ) -> None:
        self._backends = backends
        self._session = session
        self._rng = rng
        self._dial = dial
        self._upstreams = Http1Upstreams(dial)
        self._http2: Asker | None = None
        self._balancer = Balancer(at=clock.utc_now)
        self._auth_cache = AuthCache()
        self._mirrors = Mirrors(session)
        self._limiter = RateLimiter()
        self._connections = ConnectionLimiter()

    async def handle(self, head: Request | Respond, incoming: Incoming) -> None:
        """One request; what goes wrong is one of nginx' pages. head: a Respond for one that nginx would not take."""
        if isinstance(head, Respond):
            await pages.send(incoming, head)
            return
        router = self._backends.router()
        if router.forwarding is not None:
            head = believed(head, router.forwarding)
        decision = router.decide(head, rng=self._rng, now=clock.now(), limiter=self._limiter)
        if not isinstance(decision, Proxy):
            await self._answered(incoming, head, decision)
            return
        limits, owner = decision.settings.limits, decision.route.ingress
        if limits is None or owner is None or not limits.connections or is_in(head.client, limits.allow):
            await self._proxied(incoming, head, decision)
            return
        if not self._connections.enter(owner, limits, head.client):
            await self._failed(incoming, head, decision, decision.settings.controller.connections_status)
            return
        try:
            await self._proxied(incoming, head, decision)
        finally:
            self._connections.leave(owner, head.client)

    async def close(self) -> None:
        """End the connections to backends."""
        await self._mirrors.close()
        await self._upstreams.close()
        if self._http2 is not None:
            await self._http2.close()

    def _asker(self, proxy: Proxy) -> Asker:
        if proxy.settings.backend_protocol not in exchange.GRPC:
            return self._upstreams
        if self._http2 is None:
            from emulator.ingress.io.http2_backends import Http2Upstreams

            self._http2 = Http2Upstreams(self._dial)
        return self._http2

    async def _proxied(self, incoming: Incoming, head: Request, proxy: Proxy) -> None:
        settings = proxy.settings
        if settings.backend_protocol == "FCGI":  # not spoken here; the Ingress has an event that says so
            await pages.answer(incoming, HTTPStatus.BAD_GATEWAY)
            return
        more: tuple[Header, ...] = ()
        cookies: tuple[str, ...] = ()
        if settings.external_auth is not None:
            ruling = await self._asked(head, proxy)
            if isinstance(ruling, Respond) and ruling.status in settings.custom_http_errors:
                await self._error_page(incoming, head, proxy, ruling.status)
                return
            if not isinstance(ruling, Passes):
                await pages.send(incoming, ruling, proxy.response_headers)
                return
            more, cookies = ruling.request_headers, ruling.response_cookies
        if head.headers.get("expect", "").lower() == "100-continue":
            await incoming.go_on()
        try:
            await self._carried(incoming, head, proxy, more, cookies)
        except BrokenBody as error:
            await self._failed(incoming, head, proxy, error.status)
        except Failed as error:
            log.debug("%s %s%s: %s", head.method, head.host, head.path, error)
            await self._failed(incoming, head, proxy, error.status)

    async def _answered(self, incoming: Incoming, head: Request, decision: Respond | Redirect) -> None:
        """What the router said itself, or the page that custom-http-errors has for it."""
        route = decision.route
        if route is None or decision.status not in route.settings.custom_http_errors or route.settings.denied:
            await pages.send(incoming, decision)
        else:
            await self._error_page(incoming, head, asked_in_vain(route, head, decision.headers), decision.status)

    async def _failed(self, incoming: Incoming, head: Request, proxy: Proxy, status: int) -> None:
        if status in proxy.settings.custom_http_errors:
            await self._error_page(incoming, head, proxy, status)
        else:
            await pages.answer(incoming, status, headers=proxy.response_headers)

    async def _carried(
        self,
        incoming: Incoming,
        head: Request,
        proxy: Proxy,
        more: tuple[Header, ...],
        auth_cookies: tuple[str, ...],
    ) -> None:
        """To a backend and back. Raises Failed, BrokenBody."""
        endpoints = self._backends.endpoints(proxy)
        if not endpoints:
            instead = self._backends.instead(proxy)
            endpoints = self._backends.endpoints(instead) if instead is not None else ()
            if instead is None or not endpoints:
                raise Failed(HTTPStatus.SERVICE_UNAVAILABLE, f"{proxy.backend} has no ready endpoint")
            more = (*more, *error_headers(HTTPStatus.SERVICE_UNAVAILABLE, head, proxy))
            proxy = instead
        settings = proxy.settings
        headers = exchange.request_headers(incoming, proxy, more)
        body = Body(incoming, settings.body_size_bytes)
        if settings.mirror is not None:
            self._mirrors.send(copy_of(settings.mirror, head, incoming.headers, body.whole()))
        answered, cookies = await self._answer_of(head, proxy, endpoints, headers, body)
        auth = settings.external_auth
        if auth_cookies and auth is not None and sets_cookies(auth, answered.head.status):
            cookies = (*auth_cookies, *cookies)
        try:
            await self._passed_back(incoming, head, answered, proxy, cookies)
        finally:
            answered.release()

    async def _answer_of(
        self, head: Request, proxy: Proxy, endpoints: Sequence[Endpoint], headers: list[Header], body: Body
    ) -> tuple[BackendAnswer, tuple[str, ...]]:
        """The answer of the first endpoint that gives a good one, and the cookies that name the endpoints asked.

        Raises Failed when none does within the tries and the time of proxy-next-upstream, BrokenBody.
        """
        settings = proxy.settings
        tries = min(settings.next_upstream_tries or len(endpoints), len(endpoints))
        ends = clock.now() + settings.next_upstream_timeout_seconds if settings.next_upstream_timeout_seconds else None
        cookies: tuple[str, ...] = ()
        failed: list[Endpoint] = []
        while True:
            choice = self._balancer.choose(proxy, head, endpoints, self._rng, failed=failed)
            if choice is None:  # every endpoint was tried
                raise Failed(HTTPStatus.BAD_GATEWAY, f"no endpoint of {proxy.backend} answers")
            if choice.set_cookie:
                cookies = (*cookies, choice.set_cookie)
            place = Place(choice.endpoint.address, choice.endpoint.port, _is_secure(proxy, head))
            failed.append(choice.endpoint)
            try:
                answered = await exchange.ask(self._asker(proxy), head, proxy, place, headers, body)
            except Failed as error:
                if error.retry not in settings.next_upstream or _is_last(failed, tries, ends):
                    raise
                continue
            is_good = not settings.next_statuses or not exchange.is_retried(answered, head, settings, body)
            if is_good or _is_last(failed, tries, ends):
                return answered, cookies
            answered.release()

    async def _passed_back(
        self, incoming: Incoming, head: Request, answered: BackendAnswer, proxy: Proxy, cookies: tuple[str, ...]
    ) -> None:
        status = answered.head.status
        if status == SWITCHING:
            if "upgrade" not in head.headers:
                raise Failed(HTTPStatus.BAD_GATEWAY, "the backend changed the protocol although nobody asked it to")
            await exchange.join(incoming, answered, proxy.settings.read_timeout_seconds)
        elif status in proxy.settings.custom_http_errors:
            await self._error_page(incoming, head, proxy, status)
        else:
            await exchange.pass_back(incoming, head, answered, proxy, cookies)

    async def _error_page(self, incoming: Incoming, head: Request, proxy: Proxy, status: int) -> None:
        """custom-http-errors: what the default backend says of the status; the controller's own one says 404."""
        instead = self._backends.instead(proxy)
        choice = None
        if instead is not None:
            choice = self._balancer.choose(instead, head, self._backends.endpoints(instead), self._rng)
        if instead is None or choice is None:
            await pages.answer(incoming, HTTPStatus.NOT_FOUND, headers=proxy.response_headers)
            return
        place = Place(choice.endpoint.address, choice.endpoint.port)
        method = "HEAD" if head.method == "HEAD" else "GET"
        question = Question(method, "/", error_page_headers(status, head, proxy))
        try:
            answered = await self._upstreams.ask(place, question, Timeouts(AUTH_SECONDS, AUTH_SECONDS, AUTH_SECONDS))
        except (CannotConnect, BrokenOff, TimedOut, BadMessage):
            await pages.answer(incoming, HTTPStatus.BAD_GATEWAY, headers=proxy.response_headers)
            return
        try:
            await exchange.pass_back(incoming, head, answered, instead, ())
        finally:
            answered.release()

    async def _asked(self, head: Request, proxy: Proxy) -> Passes | Redirect | Respond:
        """auth-url: the other server's ruling."""
        auth = proxy.settings.external_auth
        assert auth is not None
        kept = self._auth_cache.find(auth, proxy.route, head, clock.now())
        if kept is not None:
            return verdict(auth, head, *kept)
        request_id = dict(proxy.request_headers.set).get("X-Request-ID", "")
        asked = question(auth, head, request_id)
        timeout = aiohttp.ClientTimeout(total=AUTH_SECONDS)
        try:
            async with self._session().request(
                asked.method, URL(asked.url), headers=asked.headers, timeout=timeout, allow_redirects=False
            ) as answered:
                named = {name.lower(): value for name, value in answered.headers.items()}
                answer = Answer(answered.status, named, tuple(answered.headers.getall("Set-Cookie", [])))
                self._auth_cache.keep(auth, proxy.route, head, answer, clock.now())
                return verdict(auth, head, *answer)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return Respond(HTTPStatus.INTERNAL_SERVER_ERROR, f"the auth server does not answer: {error}")


def _is_last(failed: Sequence[Endpoint], tries: int, ends: float | None) -> bool:
    """Whether nobody else is asked after these."""
    return len(failed) >= tries or (ends is not None and clock.now() >= ends)


def _is_secure(proxy: Proxy, head: Request) -> bool | BackendTls:
    """AUTO_HTTP asks the backend as the client asked."""
    protocol = proxy.settings.backend_protocol
    if protocol in ("HTTPS", "GRPCS") or (protocol == "AUTO_HTTP" and head.scheme == "https"):
        return proxy.settings.backend_tls or True
    return False
