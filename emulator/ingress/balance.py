"""Which endpoint of a backend takes a request: by cookie, by hash, or in turn.

An endpoint that failed is left out by the caller, who asks again. The only memory is whose turn it is.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from emulator.ingress.model import BackendRef, CookieAffinity, Proxy, Request
from emulator.ingress.variables import cookies, expand
from emulator.routing.choice import pick
from emulator.routing.servicemap import Endpoint

MAX_BACKENDS = 16_384
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Choice(NamedTuple):
    """An endpoint, and the Set-Cookie value that goes with the answer ("" for none)."""

    endpoint: Endpoint
    set_cookie: str = ""


class Balancer:
    """Whose turn it is at each backend."""

    def __init__(self, max_backends: int = MAX_BACKENDS, at: Callable[[], datetime] | None = None) -> None:
        """at: the time for cookies that expire; without it they only have an age."""
        self._max_backends = max_backends
        self._at = at
        self._turns: OrderedDict[BackendRef, int] = OrderedDict()

    def choose(
        self,
        proxy: Proxy,
        request: Request,
        endpoints: Sequence[Endpoint],
        rng: Callable[[int], int],
        *,
        failed: Iterable[Endpoint] = (),
    ) -> Choice | None:
        """The endpoint for this request; None when there is none. failed: those that were tried in vain."""
        tried = set(failed)
        left = [endpoint for endpoint in endpoints if endpoint not in tried] if tried else endpoints
        if not left:
            return None
        affinity = proxy.settings.affinity
        if affinity is not None:
            return self._by_cookie(proxy, affinity, request, left, rng, is_retry=bool(tried))
        if proxy.settings.upstream_hash_by:
            key, size = expand(proxy.settings.upstream_hash_by, request), proxy.settings.hash_subset_size
            return Choice(_of_subset(key, left, size, rng) if size else _by_hash(key, left))
        return Choice(self._in_turn(proxy.backend, left, rng))

    def _in_turn(self, backend: BackendRef, endpoints: Sequence[Endpoint], rng: Callable[[int], int]) -> Endpoint:
        """The next one; where the round begins is drawn, as upstream does."""
        turn = self._turns.get(backend)
        if turn is None:
            first = pick(endpoints, rng)
            turn = next(at for at, endpoint in enumerate(endpoints) if endpoint is first)
        turn %= len(endpoints)
        self._turns[backend] = turn + 1
        self._turns.move_to_end(backend)
        if len(self._turns) > self._max_backends:
            self._turns.popitem(last=False)
        return endpoints[turn]

    def _by_cookie(
        self,
        proxy: Proxy,
        affinity: CookieAffinity,
        request: Request,
        endpoints: Sequence[Endpoint],
        rng: Callable[[int], int],
        *,
        is_retry: bool,
    ) -> Choice:
        value, _, owner = cookies(request).get(affinity.name, "").partition("|")
        if value and owner == backend_mark(proxy.backend) and not (is_retry and affinity.change_on_failure):
            held = _of_cookie(affinity, value, endpoints)
            if held is not None:
                return Choice(held)
        if affinity.mode == "persistent":
            endpoint = self._in_turn(proxy.backend, endpoints, rng)
            value = endpoint_mark(endpoint)
        else:
            value = f"{rng(1 << 62):x}"
            endpoint = _by_hash(value, endpoints)
        text = cookie_text(proxy, affinity, request, f"{value}|{backend_mark(proxy.backend)}", self._at)
        return Choice(endpoint, text)


def is_bound(affinity: CookieAffinity, backend: BackendRef, request: Request) -> bool:
    """Whether the request's cookie was given for this backend."""
    return cookies(request).get(affinity.name, "").partition("|")[2] == backend_mark(backend)


def cookie_text(
    proxy: Proxy,
    affinity: CookieAffinity,
    request: Request,
    value: str,
    at: Callable[[], datetime] | None = None,
) -> str:
    """The value of Set-Cookie, its parts in lua-resty-cookie's order."""
    parts = [f"{affinity.name}={value}"]
    if affinity.expires_seconds is not None:
        if at is not None:
            parts.append(f"Expires={cookie_time(at() + timedelta(seconds=affinity.expires_seconds))}")
        elif affinity.max_age_seconds is None:
            parts.append(f"Max-Age={affinity.expires_seconds}")
    if affinity.max_age_seconds is not None:
        parts.append(f"Max-Age={affinity.max_age_seconds}")
    if affinity.domain:
        parts.append(f"Domain={affinity.domain}")
    parts.append(f"Path={affinity.path or proxy.route.path or '/'}")
    if request.scheme == "https" if affinity.secure is None else affinity.secure:
        parts.append("Secure")
    parts.append("HttpOnly")
    if affinity.same_site and not (
        affinity.same_site == "None"
        and affinity.conditional_same_site_none
        and not takes_same_site_none(request.headers.get("user-agent", ""))
    ):
        parts.append(f"SameSite={affinity.same_site}")
    return "; ".join(parts)


def cookie_time(at: datetime) -> str:
    """As nginx writes it, whatever the language here: `Thu, 01-Jan-26 00:00:10 GMT`, four digits for years from 2038 on."""
    year = f"{at.year}" if at.year > 2037 else f"{at.year % 100:02}"
    return f"{DAYS[at.weekday()]}, {at.day:02}-{MONTHS[at.month - 1]}-{year} {at:%H:%M:%S} GMT"


def takes_same_site_none(user_agent: str) -> bool:
    """False for browsers that take SameSite=None for Strict. Source: ingress-nginx rootfs/etc/nginx/lua/util/same_site.lua."""
    if any(mark in user_agent for mark in ("Chrome/4", "Chrome/5", "Chrome/6", "CPU iPhone OS 12", "iPad; CPU OS 12")):
        return False
    safari = "Safari" in user_agent and "Chrome" not in user_agent
    return not (safari and "Macintosh" in user_agent and "Intel Mac OS X 10_14" in user_agent)


def backend_mark(backend: BackendRef) -> str:
    return hashlib.blake2b(str(backend).encode(), digest_size=16).hexdigest()


def endpoint_mark(endpoint: Endpoint) -> str:
    return hashlib.blake2b(f"{endpoint.address}:{endpoint.port}".encode(), digest_size=16).hexdigest()


def _of_cookie(affinity: CookieAffinity, value: str, endpoints: Sequence[Endpoint]) -> Endpoint | None:
    if affinity.mode == "persistent":
        return next((endpoint for endpoint in endpoints if endpoint_mark(endpoint) == value), None)
    return _by_hash(value, endpoints)


def _by_hash(key: str, endpoints: Sequence[Endpoint]) -> Endpoint:
    """Rendezvous hashing: an endpoint that comes or goes moves only the keys that it takes or had."""
    return max(endpoints, key=lambda endpoint: _weight(f"{key}|{endpoint.address}:{endpoint.port}"))


def _of_subset(key: str, endpoints: Sequence[Endpoint], size: int, rng: Callable[[int], int]) -> Endpoint:
    """Any endpoint of the subset that the key belongs to; the last one is filled up from the first."""
    number = max(range(-(-len(endpoints) // size)), key=lambda number: _weight(f"{key}|set{number}"))
    return endpoints[(number * size + rng(size)) % len(endpoints)]


def _weight(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
