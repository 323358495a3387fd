"""The service proxy: keeps the listening sockets of all Services as their objects say.

Informers mark Services dirty; one task opens and closes. It writes nothing but Events, and never answers by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from emulator.api.kinds import ENDPOINT_SLICE, SERVICE
from emulator.api.meta import JsonObject, ObjectKey, condition_of, is_terminating, key_of, labels_of
from emulator.api.selectors import matches_set
from emulator.client.index import Change
from emulator.client.io.informer import Informers
from emulator.client.io.protocol import Client
from emulator.config.presets import node_address
from emulator.config.settings import ClusterConfig
from emulator.io import clock
from emulator.io.network import Network
from emulator.io.seen import KEPT
from emulator.io.tasks import TaskOwner
from emulator.proxy.io.events import EventWriter, failure_text
from emulator.proxy.io.tcp import Route, TcpListener
from emulator.proxy.io.udp import Flows, UdpListener, close_flows
from emulator.proxy.plan import Claims, Commands, Listen, World, backends, difference, wanted
from emulator.proxy.sessions import FlowTable
from emulator.routing.affinity import Affinity
from emulator.routing.servicemap import Endpoint, ServiceMap, ServicePort, is_proxied

log = logging.getLogger(__name__)

SWEEP_SECONDS = 5.0  # between looks for idle UDP flows
RETRY_SECONDS = 30.0  # after which a refused address is tried again, as kube-proxy's syncPeriod
FAILED = "FailedToListen"


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection that came to a Service. `endpoint` is ADDRESS:PORT, None when there was none to take it.

    at: monotonic seconds.
    """

    at: float
    service: ObjectKey
    port: int
    protocol: str
    client: str
    endpoint: str | None

    def __str__(self) -> str:
        return f"{self.client} to {self.service}:{self.port}/{self.protocol}: {self.endpoint or 'refused, no endpoint'}"


class ServiceProxy:
    """Serves virtual IPs, external and load balancer IPs and node ports. A Service."""

    name = "proxy"

    def __init__(
        self,
        client: Client,
        informers: Informers,
        network: Network,
        host_network: Network,
        config: ClusterConfig,
        *,
        now: Callable[[], float] = clock.now,
        at: Callable[[], datetime] = clock.utc_now,
        rng: Callable[[int], int] = clock.randrange,
    ) -> None:
        self._informers = informers
        self._networks: dict[World, Network] = {"network": network, "host": host_network}
        self._recent: deque[tuple[float, Listen, ServicePort, str, Endpoint | None]] = deque(maxlen=KEPT)
        self._nodes = _nodes(network.mode, config)
        self._node_places: list[tuple[World, str]] = [("host", "127.0.0.1"), *(("network", ip) for ip in self._nodes)]
        self._now = now
        self._rng = rng
        self._events = EventWriter(client, at)
        self._services = ServiceMap()
        self._affinity = Affinity()
        self._claims = Claims()
        self._serving: dict[Listen, ServicePort] = {}
        self._listeners: dict[Listen, TcpListener | UdpListener] = {}
        self._backends: dict[Listen, tuple[Endpoint, ...]] = {}
        self._failed: dict[Listen, ObjectKey] = {}
        self._told: set[tuple[ObjectKey, Listen]] = set()
        self._dirty: dict[ObjectKey, bool] = {}  # whether the Service itself changed
        self._applying: dict[ObjectKey, bool] = {}
        self._retry_at = 0.0
        self._wake = asyncio.Event()
        self._started = False
        self._tasks = TaskOwner("proxy connection")
        self._flows: Flows = FlowTable()
        for kind in (SERVICE, ENDPOINT_SLICE):
            informers[kind].listen(self._changed)

    async def run(self, ready: Callable[[], None]) -> None:
        try:
            await self._informers.wait_synced([SERVICE, ENDPOINT_SLICE])
            await self._apply()
            self._started = True
            ready()
            while True:
                await self._wait()
                await self._apply()
        finally:
            self._started = False
            for listen in list(self._listeners):
                self._close(listen)
            await self._tasks.close()

    def follows(self, service: JsonObject, pods: Iterable[JsonObject] = ()) -> bool:
        """Whether all that this Service should have now is open, or cannot be had, and its ready pods are known.

        pods: those of its namespace, as they stand in the API; a Service without a selector needs none.
        """
        key = key_of(service)
        held = self._informers[SERVICE].index.by_key(key)
        if not self._started or held is None or _version(held) < _version(service):
            return False
        if key in self._dirty or key in self._applying:
            return False
        if not is_proxied(held):
            return True
        return all(self._settled(listen, key) for listen in self._wanted(key)) and self._knows_pods(held, pods)

    # -- what changes ----------------------------------------------------------------------------------------

    def _changed(self, change: Change) -> None:
        is_service = change.kind == SERVICE
        changed = set(self._services.apply(change))
        if is_service and change.key in self._failed.values():
            changed.add(change.key)  # any change of the Service is a reason to try again
        for key in changed:
            self._dirty[key] = self._dirty.get(key, False) or is_service
            for listen in self._claims.of(key):
                self._backends.pop(listen, None)
        if changed:
            self._wake.set()

    async def _wait(self) -> None:
        """Until something changed, or for as long as a sweep may wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SWEEP_SECONDS):
                await self._wake.wait()
        now = self._now()
        close_flows(self._flows.expire(now))
        if self._failed and now >= self._retry_at:
            for key in self._failed.values():
                self._dirty.setdefault(key, False)
            self._failed.clear()

    async def _apply(self) -> None:
        while self._dirty:
            self._wake.clear()
            self._applying, self._dirty = self._dirty, {}
            touched: set[Listen] = set()
            for key, is_service in self._applying.items():
                touched |= self._claim(key, is_service)
            open = {listen: self._serving[listen] for listen in touched if listen in self._serving}
            want = {listen: port for listen in touched if (port := self._claims.holder(listen)) is not None}
            await self._carry_out(difference(open, want))
            self._applying = {}
        self._wake.clear()

    def _claim(self, key: ObjectKey, is_service: bool) -> set[Listen]:
        """Renew the claims of a Service; the places to look at."""
        want = self._wanted(key)
        touched = self._claims.set(key, want)
        if is_service:
            self._told = {told for told in self._told if told[0] != key}
            for listen in [listen for listen, owner in self._failed.items() if owner == key]:
                del self._failed[listen]
        touched |= {listen for listen in want if listen not in self._serving and listen not in self._failed}
        for listen, port in want.items():
            self._backends.pop(listen, None)
            holder = self._claims.holder(listen)
            if holder is not None and holder.id.service != key:
                self._tell(key, listen, f"{listen.ip}:{listen.port}/{listen.protocol} belongs to {holder.id.service}")
            elif listen.protocol == "UDP":
                serving = {(e.address, e.port) for e in self._services.endpoints(port.id) if e.serving or e.ready}
                close_flows(self._flows.keep(listen, serving))
        return touched

    async def _carry_out(self, commands: Commands) -> None:
        for listen in commands.close:
            self._close(listen)
        for listen, port in commands.retarget:
            self._let_go(self._serving[listen], port)
            self._serving[listen] = port
            self._backends.pop(listen, None)
        for listen, port in commands.open:
            if listen not in self._failed:
                await self._open(listen, port)

    # -- sockets ---------------------------------------------------------------------------------------------

    async def _open(self, listen: Listen, port: ServicePort) -> None:
        network, inside = self._networks[listen.world], self._networks["network"]
        try:
            if listen.protocol == "TCP":
                sock = await network.tcp_listener(listen.ip, listen.port)
            else:
                sock = await network.udp_socket(listen.ip, listen.port)
        except OSError as error:
            self._failed[listen] = port.id.service
            self._retry_at = self._now() + RETRY_SECONDS
            self._tell(port.id.service, listen, failure_text(listen, error))
            return
        self._serving[listen] = port
        route = self._route(listen)
        if listen.protocol == "TCP":
            self._listeners[listen] = TcpListener(sock, route, inside, self._tasks)
        else:
            self._listeners[listen] = UdpListener(sock, listen, route, inside, self._flows, self._tasks, now=self._now)

    def _close(self, listen: Listen) -> None:
        self._listeners.pop(listen).close()
        self._let_go(self._serving.pop(listen), None)
        self._backends.pop(listen, None)

    def _let_go(self, before: ServicePort, after: ServicePort | None) -> None:
        ended = after is None or after.id != before.id or not after.affinity_seconds
        still = any(port.id == before.id and port.affinity_seconds for port in self._services.ports(before.id.service))
        if before.affinity_seconds and ended and not still:
            self._affinity.forget(before.id)

    def _route(self, listen: Listen) -> Route:
        def route(client: str) -> Endpoint | None:
            port = self._serving.get(listen)
            if port is None:
                return None
            found = self._backends.get(listen)
            if found is None:
                found = self._backends[listen] = backends(port, self._services, listen.ip, self._nodes)
            endpoint = self._affinity.pick(port, client, found, self._now(), self._rng)
            self._recent.append((self._now(), listen, port, client, endpoint))
            return endpoint

        return route

    @property
    def connections(self) -> list[Connection]:
        """The last TCP connections and UDP flows to virtual IPs and node ports, the oldest first."""
        return [
            Connection(at, port.id.service, port.port, listen.protocol, client, _shown(endpoint))
            for at, listen, port, client, endpoint in list(self._recent)
        ]

    def forget_connections(self) -> None:
        self._recent.clear()

    # -- looking ---------------------------------------------------------------------------------------------

    def _wanted(self, key: ObjectKey) -> dict[Listen, ServicePort]:
        return wanted(self._services.ports(key), self._services, self._node_places, self._nodes)

    def _settled(self, listen: Listen, key: ObjectKey) -> bool:
        if listen in self._serving or listen in self._failed:
            return True
        holder = self._claims.holder(listen)
        return holder is not None and holder.id.service != key

    def _knows_pods(self, service: JsonObject, pods: Iterable[JsonObject]) -> bool:
        """Whether the slices have come to hold every ready pod of the Service as ready."""
        selector = service["spec"].get("selector")
        if not selector:
            return True
        known = self._services.ready_addresses(key_of(service))
        return all(
            pod["status"]["podIP"] in known for pod in pods if matches_set(selector, labels_of(pod)) and _is_ready(pod)
        )

    def _tell(self, key: ObjectKey, listen: Listen, message: str) -> None:
        """One Event per Service and place, until the Service changes."""
        service = self._informers[SERVICE].index.by_key(key)
        if service is None or (key, listen) in self._told:
            return
        self._told.add((key, listen))
        log.warning("service %s: %s", key, message)
        self._tasks.start(self._events.warn(service, FAILED, message), "proxy event")


def _shown(endpoint: Endpoint | None) -> str | None:
    return None if endpoint is None else f"{endpoint.address}:{endpoint.port}"


def _nodes(mode: str, config: ClusterConfig) -> dict[str, str]:
    """The names of the nodes by their addresses, where nodes have their own. Node ports listen on the host as well."""
    if mode == "loopback":
        return {}
    return {node_address(config.addresses, number): f"node-{number}" for number in range(1, max(config.nodes, 1) + 1)}


def _is_ready(pod: JsonObject) -> bool:
    condition = condition_of(pod, "Ready")
    has_address = bool((pod.get("status") or {}).get("podIP"))
    return has_address and not is_terminating(pod) and condition is not None and condition["status"] == "True"


def _version(object: JsonObject) -> int:
    version = object["metadata"].get("resourceVersion") or "0"
    return int(version) if version.isdigit() else 0
