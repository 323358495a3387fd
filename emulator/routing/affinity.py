"""Session affinity ClientIP: a client address keeps its endpoint of a port until it was idle for the timeout.

Bounded: the longest unused memory goes first. All addresses of a Service port share one memory, as upstream.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from emulator.routing.choice import pick
from emulator.routing.servicemap import Endpoint, PortId, ServicePort

MAX_CLIENTS = 65_536  # the size of the kernel's affinity sets


class Affinity:
    def __init__(self, limit: int = MAX_CLIENTS) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[PortId, str], tuple[str, int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def pick(
        self, port: ServicePort, client: str, endpoints: Sequence[Endpoint], now: float, rng: Callable[[int], int]
    ) -> Endpoint | None:
        """The endpoint for a new connection of `client`, which is remembered if the port asks for affinity."""
        if not port.affinity_seconds:
            return pick(endpoints, rng)
        key = (port.id, client)
        chosen = self._remembered(key, port.affinity_seconds, endpoints, now) or pick(endpoints, rng)
        if chosen is not None:
            self._kept[key] = (chosen.address, chosen.port, now)
            self._kept.move_to_end(key)
            if len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        return chosen

    def forget(self, port: PortId) -> None:
        """The port is gone or no longer has affinity: what comes later under its name begins anew."""
        for key in [key for key in self._kept if key[0] == port]:
            del self._kept[key]

    def _remembered(
        self, key: tuple[PortId, str], seconds: int, endpoints: Sequence[Endpoint], now: float
    ) -> Endpoint | None:
        address, port, last = self._kept.get(key, ("", 0, 0.0))
        if not address or now - last > seconds:
            return None
        return next((held for held in endpoints if held.address == address and held.port == port), None)
