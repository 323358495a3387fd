"""Which endpoint of a backend takes a request: by cookie, by hash, or in turn.

An endpoint that failed is left out by the caller, who asks again. The only memory is whose turn it is.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from emulator.ingress.model import BackendRef, CookieAffinity, Proxy, Request
from emulator.ingress.variables import cookies, expand
from emulator.routing.choice import pick
from emulator.routing.servicemap import Endpoint

MAX_BACKENDS = 16_384


class Choice(NamedTuple):
    """An endpoint, and the Set-Cookie value that goes with the answer ("" for none)."""

    endpoint: Endpoint
    set_cookie: str = ""


class Balancer:
    """Whose turn it is at each backend."""

    def __init__(self, max_backends: int = MAX_BACKENDS) -> None:
        self._max_backends = max_backends
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
            return Choice(_by_hash(expand(proxy.settings.upstream_hash_by, request), left))
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
        return Choice(endpoint, cookie_text(proxy, affinity, request, f"{value}|{backend_mark(proxy.backend)}"))


def is_bound(affinity: CookieAffinity, backend: BackendRef, request: Request) -> bool:
    """Whether the request's cookie was given for this backend."""
    return cookies(request).get(affinity.name, "").partition("|")[2] == backend_mark(backend)


def cookie_text(proxy: Proxy, affinity: CookieAffinity, request: Request, value: str) -> str:
    """The value of Set-Cookie."""
    path = affinity.path or (proxy.route.path if proxy.route.kind != "regex" else "/") or "/"
    parts = [f"{affinity.name}={value}"]
    if affinity.expires_seconds is not None:
        parts.append(f"Max-Age={affinity.expires_seconds}")  # a date needs a clock; browsers prefer Max-Age anyway
    elif affinity.max_age_seconds is not None:
        parts.append(f"Max-Age={affinity.max_age_seconds}")
    parts.append(f"Path={path}")
    if affinity.domain:
        parts.append(f"Domain={affinity.domain}")
    secure = request.scheme == "https" if affinity.secure is None else affinity.secure
    if secure:
        parts.append("Secure")
    parts.append("HttpOnly")
    if affinity.same_site and not (
        affinity.same_site.lower() == "none" and affinity.conditional_same_site_none and not secure
    ):
        parts.append(f"SameSite={affinity.same_site}")
    return "; ".join(parts)


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

    def weight(endpoint: Endpoint) -> bytes:
        return hashlib.blake2b(f"{key}|{endpoint.address}:{endpoint.port}".encode(), digest_size=8).digest()

    return max(endpoints, key=weight)
