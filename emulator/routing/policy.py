"""Which endpoints may take a new connection.

Only an address of a node says on which node a connection came in; all others are for every node alike.

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


def on_node(endpoints: Iterable[Endpoint], node: str) -> tuple[Endpoint, ...]:
    """Those of one node: what externalTrafficPolicy Local leaves to a node's own address."""
    return tuple(endpoint for endpoint in endpoints if endpoint.node == node)
