"""What the cluster's objects say to DNS, kept current one change at a time.

Each object is read once into a small frozen value; a change that DNS cannot show moves nothing, not even the serial.
Endpoints come from EndpointSlices only. Source: dns.md 3 and 6 [coredns plugin/kubernetes/object, controller.go].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.api.meta import JsonObject, ObjectKey, is_terminating, key_of, labels_of
from emulator.client.index import Change

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
NO_PORTS = -1  # what CoreDNS keeps for an empty port list: found for addresses, left out of SRV
MAX_POD_NAME_LABEL = 64  # targetRef names of this length or more are no label


@dataclass(frozen=True, slots=True)
class Port:
    """name and protocol are lower-cased: they are only ever compared so."""

    name: str
    protocol: str
    number: int


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    namespace: str
    name: str
    external_name: str | None
    cluster_ips: tuple[str, ...]
    ports: tuple[Port, ...]

    @property
    def is_headless(self) -> bool:
        return self.external_name is None and self.cluster_ips[:1] == ("None",)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One ready address of a slice."""

    address: str
    hostname: str = ""
    pod_name: str = ""
    zone: str = ""

    def label(self, *, pod_names: bool) -> str:
        """The endpoint's one valid label (dns.md 5)."""
        if self.hostname:
            return self.hostname
        if pod_names and self.pod_name:
            return self.pod_name
        if "." in self.address:
            return self.address.replace(".", "-")
        dashed = self.address.replace(":", "-")
        return dashed + "0" if dashed.endswith("-") else dashed


@dataclass(frozen=True, slots=True)
class Slice:
    namespace: str
    name: str
    service: str
    ports: tuple[Port, ...]
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class PodRecord:
    namespace: str
    name: str
    address: str


class Records:
    """The index. Read it freely; only `apply` changes it."""

    def __init__(self, *, pods: bool = False) -> None:
        self.watches_pods = pods
        self.serial = 0
        self.namespaces: set[str] = set()
        self.services: dict[ObjectKey, ServiceRecord] = {}
        self._slices: dict[ObjectKey, Slice] = {}
        self._slices_of: dict[ObjectKey, tuple[Slice, ...]] = {}
        self._pods: dict[ObjectKey, PodRecord] = {}
        self._services_at: dict[str, tuple[ServiceRecord, ...]] = {}
        self._slices_at: dict[str, tuple[Slice, ...]] = {}
        self._pods_at: dict[str, tuple[PodRecord, ...]] = {}
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change that DNS shows."""
        self._listeners.append(listener)

    def apply(self, change: Change, *, at: int = 0) -> bool:
        """Take over one change; True if DNS shows it. `at`: Unix seconds, the new SOA serial. Other kinds are ignored."""
        gone = change.type == "DELETED"
        key = key_of(change.object)
        match change.kind.kind:
            case "Namespace":
                shown = self._namespace(key.name, gone)
            case "Service":
                shown = self._service(key, None if gone else service_record(change.object))
            case "EndpointSlice":
                shown = self._slice(key, None if gone else slice_record(change.object))
            case "Pod" if self.watches_pods:
                shown = self._pod(key, None if gone else pod_record(change.object))
            case _:
                return False
        if shown:
            self.serial = max(self.serial, at)
            for listener in self._listeners:
                listener()
        return shown

    def service(self, name: str, namespace: str) -> ServiceRecord | None:
        return self.services.get(ObjectKey(namespace, name))

    def slices_of(self, name: str, namespace: str) -> tuple[Slice, ...]:
        """The Service's slices with their ready endpoints, by slice name; there may be no such Service."""
        return self._slices_of.get(ObjectKey(namespace, name), ())

    def services_at(self, address: str) -> tuple[ServiceRecord, ...]:
        """The Services with this cluster IP."""
        return self._services_at.get(address, ())

    def slices_at(self, address: str) -> tuple[Slice, ...]:
        """The slices with this ready address."""
        return self._slices_at.get(address, ())

    def pods_at(self, address: str) -> tuple[PodRecord, ...]:
        """The pods whose primary address this is; always empty unless pods are watched."""
        return self._pods_at.get(address, ())

    def has_endpoints(self, name: str, namespace: str) -> bool:
        return any(slice_.endpoints for slice_ in self.slices_of(name, namespace))

    def _namespace(self, name: str, gone: bool) -> bool:
        if gone == (name not in self.namespaces):
            return False
        if gone:
            self.namespaces.discard(name)
        else:
            self.namespaces.add(name)
        return True

    def _service(self, key: ObjectKey, record: ServiceRecord | None) -> bool:
        before = self.services.get(key)
        if not _swap(self.services, key, record):
            return False
        _reindex(self._services_at, before, record, _cluster_ips)
        return True

    def _slice(self, key: ObjectKey, record: Slice | None) -> bool:
        before = self._slices.get(key)
        if not _swap(self._slices, key, record):
            return False
        _reindex(self._slices_at, before, record, _addresses)
        _reindex(self._slices_of, before, record, _owner)
        return True

    def _pod(self, key: ObjectKey, record: PodRecord | None) -> bool:
        before = self._pods.get(key)
        if not _swap(self._pods, key, record):
            return False
        _reindex(self._pods_at, before, record, _pod_address)
        return True


def service_record(object: JsonObject) -> ServiceRecord:
    """What DNS needs of a Service."""
    spec = object.get("spec") or {}
    key = key_of(object)
    addresses = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    external = (spec.get("externalName") or "") if spec.get("type") == "ExternalName" else None
    return ServiceRecord(key.namespace, key.name, external, tuple(addresses), _ports(spec.get("ports")))


def slice_record(object: JsonObject) -> Slice:
    """What DNS needs of an EndpointSlice: its ready endpoints. `serving` and `terminating` play no part."""
    key = key_of(object)
    endpoints = tuple(
        Endpoint(
            address,
            endpoint.get("hostname") or "",
            _pod_name(endpoint.get("targetRef") or {}),
            endpoint.get("zone") or "",
        )
        for endpoint in object.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint.get("addresses") or ()
    )
    service = labels_of(object).get(SERVICE_NAME_LABEL, "")
    return Slice(key.namespace, key.name, service, _ports(object.get("ports")), endpoints)


def pod_record(object: JsonObject) -> PodRecord | None:
    """What DNS needs of a Pod; None for one that does not count (finished, unknown, being deleted, without address)."""
    status = object.get("status") or {}
    address = status.get("podIP")
    if not address or is_terminating(object) or status.get("phase") in ("Succeeded", "Failed", "Unknown"):
        return None
    key = key_of(object)
    return PodRecord(key.namespace, key.name, address)


def _ports(ports: Iterable[Mapping[str, Any]] | None) -> tuple[Port, ...]:
    return tuple(
        Port((port.get("name") or "").lower(), (port.get("protocol") or "TCP").lower(), port.get("port") or 0)
        for port in ports or ()
    ) or (Port("", "", NO_PORTS),)


def _pod_name(reference: Mapping[str, Any]) -> str:
    name: str = reference.get("name") or ""
    return name if len(name) < MAX_POD_NAME_LABEL else ""


def _cluster_ips(service: ServiceRecord) -> tuple[str, ...]:
    return service.cluster_ips


def _pod_address(pod: PodRecord) -> tuple[str]:
    return (pod.address,)


def _addresses(slice_: Slice) -> tuple[str, ...]:
    return tuple(dict.fromkeys(endpoint.address for endpoint in slice_.endpoints))


def _owner(slice_: Slice) -> tuple[ObjectKey, ...]:
    return (ObjectKey(slice_.namespace, slice_.service),) if slice_.service else ()


def _swap(table: dict[ObjectKey, Any], key: ObjectKey, record: Any) -> bool:
    """Put, replace or (None) take away; False if nothing changed."""
    if table.get(key) == record:
        return False
    if record is None:
        del table[key]
    else:
        table[key] = record
    return True


def _reindex(index: dict[Any, tuple[Any, ...]], before: Any, after: Any, keys: Callable[[Any], Iterable[Any]]) -> None:
    """Move a record's entries in an index from its old keys to its new ones; entries stay sorted by identity."""
    for key in dict.fromkeys(keys(before)) if before is not None else ():
        left = tuple(entry for entry in index[key] if entry != before)
        if left:
            index[key] = left
        else:
            del index[key]
    for key in dict.fromkeys(keys(after)) if after is not None else ():
        index[key] = tuple(sorted((*index.get(key, ()), after), key=lambda entry: (entry.namespace, entry.name)))
