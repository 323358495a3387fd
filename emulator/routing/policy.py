"""Which endpoints may take a new connection. All nodes are one machine here, so there is no node-local set.

Source: kubernetes pkg/proxy/topology.go (CategorizeEndpoints)
"""

from __future__ import annotations

from collections.abc import Iterable

from emulator.routing.servicemap import Endpoint


def usable(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """The ready ones; if there is none at all, those that still serve while they terminate."""
    every = tuple(endpoints)
    ready = tuple(endpoint for endpoint in every if endpoint.ready)
    return ready or tuple(endpoint for endpoint in every if endpoint.serving and endpoint.terminating)


def of_family(endpoints: Iterable[Endpoint], address: str) -> tuple[Endpoint, ...]:
    """Those of the same IP family as `address`: a virtual IP never leads to the other family."""
    six = ":" in address
    return tuple(endpoint for endpoint in endpoints if (":" in endpoint.address) == six)
