"""Which sockets must listen, and what has to be opened and closed to get there. No I/O; it never draws an endpoint.

A Service port without usable endpoints has no listener, so that the kernel refuses its clients at once.
When several Services want one ip:port, the first to ask holds it; the next one follows when it lets go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from emulator.api.meta import ObjectKey
from emulator.routing.policy import of_family, on_node, usable
from emulator.routing.servicemap import Endpoint, ServiceMap, ServicePort

World = Literal["network", "host"]
NO_NODES: Mapping[str, str] = {}
PROTOCOLS = ("TCP", "UDP")  # SCTP is left out: few kernels have it


class Listen(NamedTuple):
    """Where a socket listens; `world` says in which network."""

    world: World
    ip: str
    port: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Commands:
    """What leads from the open listeners to the wanted ones, in this order."""

    close: tuple[Listen, ...]
    retarget: tuple[tuple[Listen, ServicePort], ...]
    open: tuple[tuple[Listen, ServicePort], ...]


def wanted(
    ports: Iterable[ServicePort],
    services: ServiceMap,
    node_places: Sequence[tuple[World, str]],
    nodes: Mapping[str, str] = NO_NODES,
) -> dict[Listen, ServicePort]:
    """The listeners that these ports should have now. nodes: the names of nodes by their addresses."""
    found: dict[Listen, ServicePort] = {}
    for port in ports:
        if port.id.protocol not in PROTOCOLS or not services.endpoints(port.id):
            continue
        for listen in _places(port, node_places):
            if backends(port, services, listen.ip, nodes):
                found.setdefault(listen, port)
    return found


def difference(open: Mapping[Listen, ServicePort], want: Mapping[Listen, ServicePort]) -> Commands:
    return Commands(
        close=tuple(listen for listen in open if listen not in want),
        retarget=tuple((listen, port) for listen, port in want.items() if listen in open and open[listen] != port),
        open=tuple((listen, port) for listen, port in want.items() if listen not in open),
    )


def _places(port: ServicePort, node_places: Sequence[tuple[World, str]]) -> Iterable[Listen]:
    protocol = port.id.protocol
    for ip in (*port.cluster_ips, *port.external_ips, *port.load_balancer_ips):
        yield Listen("network", ip, port.port, protocol)
    if port.node_port:
        for world, ip in node_places:
            yield Listen(world, ip, port.node_port, protocol)


class Claims:
    """Who wants which place, in the order of asking."""

    def __init__(self) -> None:
        self._claims: dict[Listen, dict[ObjectKey, ServicePort]] = {}
        self._by_owner: dict[ObjectKey, dict[Listen, ServicePort]] = {}

    def set(self, owner: ObjectKey, want: dict[Listen, ServicePort]) -> set[Listen]:
        """Replace all claims of `owner`; the places where anything is different now."""
        before = self._by_owner.pop(owner, {})
        if want:
            self._by_owner[owner] = want
        for listen in before.keys() - want.keys():
            claims = self._claims[listen]
            del claims[owner]
            if not claims:
                del self._claims[listen]
        for listen, port in want.items():
            self._claims.setdefault(listen, {})[owner] = port
        return {listen for listen in before.keys() | want.keys() if before.get(listen) != want.get(listen)}

    def of(self, owner: ObjectKey) -> Mapping[Listen, ServicePort]:
        return self._by_owner.get(owner, {})

    def holder(self, listen: Listen) -> ServicePort | None:
        """The port that is served there."""
        return next(iter(self._claims.get(listen, {}).values()), None)


def backends(
    port: ServicePort, services: ServiceMap, ip: str, nodes: Mapping[str, str] = NO_NODES
) -> tuple[Endpoint, ...]:
    """Those among which a new connection to `ip` is spread."""
    endpoints = services.endpoints(port.id)
    if port.external_local and ip in nodes:
        endpoints = on_node(endpoints, nodes[ip])
    return of_family(usable(endpoints), ip)
