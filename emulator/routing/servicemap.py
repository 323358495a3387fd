"""Services and EndpointSlices as typed ports and endpoints, kept current one change at a time.

It decides what is proxied at all, never which endpoint takes a connection: that is policy, choice and affinity.
Source: kubernetes pkg/proxy/{serviceport,servicechangetracker,endpointslicecache}.go
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from emulator.api.kinds import ENDPOINT_SLICE, SERVICE, Kind
from emulator.api.meta import JsonObject, ObjectKey, key_of, labels_of

LABEL_OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
LABEL_HEADLESS = "service.kubernetes.io/headless"
LABEL_SERVICE = "kubernetes.io/service-name"
DEFAULT_AFFINITY_SECONDS = 10800


class PortId(NamedTuple):
    """Names a port of a Service: what slices refer to, and the key of its affinity memory."""

    service: ObjectKey
    name: str
    protocol: str

    def __str__(self) -> str:
        return f"{self.service}:{self.name}" if self.name else str(self.service)


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a proxied Service. `node_port` 0 means none; `affinity_seconds` 0 means no session affinity."""

    id: PortId
    port: int
    node_port: int
    cluster_ips: tuple[str, ...]
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    affinity_seconds: int = 0
    external_local: bool = False  # externalTrafficPolicy Local


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One backend of a port."""

    address: str
    port: int
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    node: str = ""


class ChangeLike(Protocol):
    """What an informer tells: client.index.Change is one."""

    @property
    def type(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def object(self) -> JsonObject: ...
    @property
    def previous(self) -> JsonObject | None: ...


@dataclass(frozen=True, slots=True)
class _Slice:
    ports: Mapping[tuple[str, str], tuple[Endpoint, ...]]
    ready: frozenset[str]


_Merged = dict[PortId, tuple[Endpoint, ...]]


class ServiceMap:
    """All proxied ports and their endpoints."""

    def __init__(self) -> None:
        self._ports: dict[ObjectKey, tuple[ServicePort, ...]] = {}
        self._slices: dict[ObjectKey, dict[str, _Slice]] = {}
        self._merged: _Merged = {}

    def apply(self, change: ChangeLike) -> tuple[ObjectKey, ...]:
        """Take in one change of a Service or EndpointSlice; the Services whose ports or endpoints are now different."""
        if change.kind == SERVICE:
            return self._apply_service(change)
        if change.kind == ENDPOINT_SLICE:
            return self._apply_slice(change)
        return ()

    def ports(self, service: ObjectKey) -> tuple[ServicePort, ...]:
        """Its proxied ports; none when it is unknown or not for this proxy."""
        return self._ports.get(service, ())

    def endpoints(self, port: PortId) -> tuple[Endpoint, ...]:
        """Every endpoint of the port, usable or not, each ip:port once."""
        found = self._merged.get(port)
        if found is None:
            slices = self._slices.get(port.service, {}).values()
            found = _merge(endpoint for held in slices for endpoint in held.ports.get((port.name, port.protocol), ()))
            if port.service in self._ports:  # others never change in a way that would forget it
                self._merged[port] = found
        return found

    def ready_addresses(self, service: ObjectKey) -> frozenset[str]:
        """The addresses of its ready endpoints on whatever port."""
        return frozenset().union(*(held.ready for held in self._slices.get(service, {}).values()))

    def _apply_service(self, change: ChangeLike) -> tuple[ObjectKey, ...]:
        key = key_of(change.object)
        before = self._ports.get(key, ())
        after = () if change.type == "DELETED" else service_ports(change.object)
        if after:
            self._ports[key] = after
        else:
            self._ports.pop(key, None)
        self._forget(key, before)
        return (key,) if before != after else ()

    def _apply_slice(self, change: ChangeLike) -> tuple[ObjectKey, ...]:
        old = service_of_slice(change.previous) if change.previous is not None else None
        new = service_of_slice(change.object) if change.type != "DELETED" else None
        name = key_of(change.object).name
        changed = []
        if old is not None and old != new and self._put(old, name, None):
            changed.append(old)
        if new is not None and self._put(new, name, _slice(change.object)):
            changed.append(new)
        return tuple(changed)

    def _put(self, service: ObjectKey, name: str, after: _Slice | None) -> bool:
        slices = self._slices.setdefault(service, {})
        before = slices.get(name)
        if after is not None:
            slices[name] = after
        else:
            slices.pop(name, None)
        if not slices:
            del self._slices[service]
        self._forget(service, self._ports.get(service, ()))
        return before != after

    def _forget(self, service: ObjectKey, ports: Iterable[ServicePort]) -> None:
        for port in (*ports, *self._ports.get(service, ())):
            self._merged.pop(port.id, None)


def is_proxied(service: Mapping[str, Any]) -> bool:
    """Not headless, not ExternalName, and not left to another proxy by its labels."""
    spec = service.get("spec") or {}
    labels = labels_of(service)
    return (
        spec.get("type") != "ExternalName"
        and (spec.get("clusterIP") or "None") != "None"
        and LABEL_OTHER_PROXY not in labels
        and LABEL_HEADLESS not in labels
    )


def service_ports(service: Mapping[str, Any]) -> tuple[ServicePort, ...]:
    """The proxied ports of a Service."""
    if not is_proxied(service):
        return ()
    key, spec = key_of(service), service["spec"]
    cluster_ips = tuple(spec.get("clusterIPs") or (spec["clusterIP"],))
    external_ips = tuple(dict.fromkeys(spec.get("externalIPs") or ()))
    load_balancer_ips = _load_balancer_ips(service)
    seconds = _affinity_seconds(spec)
    return tuple(
        ServicePort(
            id=PortId(key, port.get("name") or "", port.get("protocol") or "TCP"),
            port=port["port"],
            node_port=port.get("nodePort") or 0,
            cluster_ips=cluster_ips,
            external_ips=external_ips,
            load_balancer_ips=load_balancer_ips,
            affinity_seconds=seconds,
            external_local=spec.get("externalTrafficPolicy") == "Local",
        )
        for port in spec.get("ports") or ()
    )


def service_of_slice(object: Mapping[str, Any]) -> ObjectKey | None:
    """The Service an EndpointSlice belongs to; None when it is for nobody or for another proxy."""
    labels = labels_of(object)
    name = labels.get(LABEL_SERVICE)
    if not name or LABEL_OTHER_PROXY in labels or object.get("addressType") == "FQDN":
        return None
    return ObjectKey(key_of(object).namespace, name)


def _load_balancer_ips(service: Mapping[str, Any]) -> tuple[str, ...]:
    if service["spec"].get("type") != "LoadBalancer":
        return ()
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    found = [entry["ip"] for entry in ingress if entry.get("ip") and (entry.get("ipMode") or "VIP") == "VIP"]
    return tuple(dict.fromkeys(found))


def _affinity_seconds(spec: Mapping[str, Any]) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    seconds: int = config.get("timeoutSeconds") or DEFAULT_AFFINITY_SECONDS
    return seconds


def _slice(object: Mapping[str, Any]) -> _Slice:
    found = object.get("endpoints") or ()
    ports = {
        (port.get("name") or "", port.get("protocol") or "TCP"): tuple(
            _endpoint(entry, port["port"]) for entry in found if entry.get("addresses")
        )
        for port in object.get("ports") or ()
        if port.get("port")
    }
    ready = [entry for entry in found if (entry.get("conditions") or {}).get("ready") is not False]
    return _Slice(ports, frozenset(address for entry in ready for address in entry.get("addresses") or ()))


def _endpoint(entry: Mapping[str, Any], port: int) -> Endpoint:
    """Only the first address counts, as upstream: an endpoint's addresses are one and the same backend."""
    conditions = entry.get("conditions") or {}
    ready = conditions.get("ready") is not False  # unknown means ready
    serving = conditions.get("serving")
    return Endpoint(
        address=entry["addresses"][0],
        port=port,
        ready=ready,
        serving=ready if serving is None else serving,
        terminating=conditions.get("terminating") is True,
        node=entry.get("nodeName") or "",
    )


def _merge(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Each ip:port once; of two the one that is not terminating."""
    merged: dict[tuple[str, int], Endpoint] = {}
    for endpoint in endpoints:
        place = (endpoint.address, endpoint.port)
        held = merged.get(place)
        if held is None or (held.terminating and not endpoint.terminating):
            merged[place] = endpoint
    return tuple(merged.values())
