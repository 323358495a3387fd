"""How many requests and connections a client may have: nginx' limit_req with `nodelay`, and limit_conn.

Bounded: of too many clients the one longest unseen is forgotten. Time comes in as `now`.
"""

from __future__ import annotations

from collections import OrderedDict

from emulator.api.meta import ObjectKey
from emulator.ingress.model import Limits

MAX_CLIENTS = 65_536  # what a zone of nginx' 5 MB holds, roughly

_Key = tuple[ObjectKey, str, str]


class RateLimiter:
    """The requests that clients made lately, per Ingress and client address."""

    def __init__(self, max_clients: int = MAX_CLIENTS) -> None:
        self._max_clients = max_clients
        self._excess: OrderedDict[_Key, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._excess)

    def allows(self, ingress: ObjectKey, limits: Limits, client: str, now: float) -> bool:
        """Whether this request is within the limits; if it is, it counts from now on."""
        zones = (
            ("rps", float(limits.per_second), limits.per_second),
            ("rpm", limits.per_minute / 60, limits.per_minute),
        )
        for name, rate, number in zones:
            if number and not self._take((ingress, name, client), rate, number * limits.burst_multiplier, now):
                return False
        return True

    def _take(self, key: _Key, rate: float, burst: int, now: float) -> bool:
        """A leaky bucket: `excess` is how far the client is ahead of its rate; the first request is free."""
        held = self._excess.get(key)
        excess = 0.0 if held is None else max(held[0] - (now - held[1]) * rate + 1, 0.0)
        if excess > burst:
            return False
        self._excess[key] = (excess, now)
        self._excess.move_to_end(key)
        if len(self._excess) > self._max_clients:
            self._excess.popitem(last=False)
        return True


class ConnectionLimiter:
    """The requests that are being served, per Ingress and client address."""

    def __init__(self) -> None:
        self._open: dict[tuple[ObjectKey, str], int] = {}

    def enter(self, ingress: ObjectKey, limits: Limits, client: str) -> bool:
        """Whether one more is within the limit; if it is, `leave` must follow."""
        held = self._open.get((ingress, client), 0)
        if limits.connections and held >= limits.connections:
            return False
        self._open[ingress, client] = held + 1
        return True

    def leave(self, ingress: ObjectKey, client: str) -> None:
        left = self._open.pop((ingress, client)) - 1
        if left:
            self._open[ingress, client] = left
