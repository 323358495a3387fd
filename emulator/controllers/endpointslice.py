"""EndpointSlices of Services with a selector. Source: k8s.io/endpointslice reconciler.go, utils.go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from emulator.api.kinds import ENDPOINT_SLICE, NODE, POD, SERVICE
from emulator.api.meta import (
    JsonObject,
    ObjectKey,
    annotations_of,
    is_terminating,
    key_of,
    labels_of,
    owner_reference,
)
from emulator.controllers.changes import NOTHING, Changes, Controller, Delete, View, Write, own_key
from emulator.controllers.pods import (
    SERVICE_NAME,
    TRIGGER_TIME,
    TriggerTimes,
    address_of,
    has_selector,
    hostname_of,
    is_ready,
    may_serve,
    ports_for,
    selected_pods,
    service_labels,
    services_of_node,
    services_of_pod,
    services_of_slice,
    target_reference,
)
from emulator.controllers.subsets import Port, slice_ports

MANAGER = "endpointslice-controller.k8s.io"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
ZONE = "topology.kubernetes.io/zone"
TOPOLOGY_MODES = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode")
MAX_ENDPOINTS = 100  # of one slice: --max-endpoints-per-slice
RETRY_SECONDS = 1.0  # until a pod's node is known

PortKey = frozenset[Port]


def plan_endpoint_slices(key: ObjectKey, view: View, at: datetime, *, times: TriggerTimes) -> Changes:
    """The creates, updates and deletes that bring a Service's EndpointSlices up to date.

    At most 100 endpoints and one address family a slice; settled state gives empty Changes. A pod whose node is not
    known is left out and sets retry_after_seconds.
    """
    service = view.get(SERVICE, key.name, key.namespace)
    if service is None:
        times.forget(key)
        return NOTHING  # the garbage collector follows the owner reference
    if not has_selector(service):
        return NOTHING  # what stands there is somebody's own, or left from when there was a selector
    pods = selected_pods(service, view)
    draft = _Draft(service, times.take(service, pods))
    held = [s for s in view.in_namespace(ENDPOINT_SLICE, key.namespace).values() if _is_ours(s, key.name)]
    families = list(service["spec"].get("ipFamilies") or ["IPv4"])
    missing_node = False
    for family in families:
        groups, skipped = _groups(service, pods, family, view)
        missing_node |= skipped
        draft.family(family, groups, [s for s in held if s["addressType"] == family])
    draft.deletes += [s for s in held if s["addressType"] not in families]
    # A Service on its way out gets no new slices: the garbage collector would race with them.
    creates = () if is_terminating(service) else tuple(Write(ENDPOINT_SLICE, s) for s in draft.creates)
    return Changes(
        updates=tuple(Write(ENDPOINT_SLICE, s) for s in draft.updates),
        creates=creates,
        deletes=tuple(Delete(ENDPOINT_SLICE, key_of(s), s["metadata"]["uid"]) for s in draft.deletes),
        retry_after_seconds=RETRY_SECONDS if missing_node else None,
    )


def _is_ours(slice: Mapping[str, Any], service: str) -> bool:
    labels = labels_of(slice)
    return labels.get(SERVICE_NAME) == service and labels.get(MANAGED_BY) == MANAGER and not is_terminating(slice)


def _groups(
    service: JsonObject, pods: list[JsonObject], family: str, view: View
) -> tuple[dict[PortKey, list[JsonObject]], bool]:
    """Endpoints by the set of ports they serve, and whether a pod's node is unknown."""
    groups: dict[PortKey, list[JsonObject]] = {}
    skipped = False
    unready_too = bool(service["spec"].get("publishNotReadyAddresses"))
    for pod in pods:
        address = address_of(pod, family)
        if address is None or not may_serve(pod):
            continue
        node = view.get(NODE, pod["spec"].get("nodeName") or "")
        if node is None and not unready_too:
            skipped = True
            continue
        ports = frozenset(ports_for(service, pod))
        groups.setdefault(ports, []).append(_endpoint(address, pod, service, node, unready_too))
    return groups, skipped


def _endpoint(
    address: str, pod: JsonObject, service: JsonObject, node: JsonObject | None, unready_too: bool
) -> JsonObject:
    serving, terminating = is_ready(pod), is_terminating(pod)
    endpoint: JsonObject = {
        "addresses": [address],
        "conditions": {
            "ready": unready_too or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": target_reference(pod),
    }
    if hostname := hostname_of(pod, service):
        endpoint["hostname"] = hostname
    if pod["spec"].get("nodeName"):
        endpoint["nodeName"] = pod["spec"]["nodeName"]
    zone = labels_of(node).get(ZONE) if node is not None else None
    if zone:
        endpoint["zone"] = zone
    hints = _hints(service, endpoint, zone)
    if hints:
        endpoint["hints"] = hints
    return endpoint


def _hints(service: JsonObject, endpoint: JsonObject, zone: str | None) -> JsonObject | None:
    """Where traffic should stay, for a ready endpoint of a Service with trafficDistribution."""
    wanted = service["spec"].get("trafficDistribution")
    if wanted not in ("PreferClose", "PreferSameZone", "PreferSameNode") or not endpoint["conditions"]["ready"]:
        return None
    modes = [annotations_of(service)[name] for name in TOPOLOGY_MODES if name in annotations_of(service)]
    if modes and modes[0] in ("Auto", "auto"):
        return None  # the older annotation wins over the field; its own hints by CPU are not made
    hints: JsonObject = {"forZones": [{"name": zone}]} if zone else {}
    if wanted == "PreferSameNode" and endpoint.get("nodeName"):
        hints["forNodes"] = [{"name": endpoint["nodeName"]}]
    return hints or None


@dataclass(slots=True)
class _Filling:
    """A slice that stays, and the endpoints it is to hold."""

    slice: JsonObject
    endpoints: list[JsonObject]
    changed: bool


class _Draft:
    """The slices to write for one Service, family by family. Source: reconcileByAddressType, finalize."""

    def __init__(self, service: JsonObject, time: str) -> None:
        self.service = service
        self.time = time
        self.labels = service_labels(service, {SERVICE_NAME: service["metadata"]["name"], MANAGED_BY: MANAGER})
        self.creates: list[JsonObject] = []
        self.updates: list[JsonObject] = []
        self.deletes: list[JsonObject] = []

    def family(self, family: str, groups: dict[PortKey, list[JsonObject]], held: list[JsonObject]) -> None:
        """Fill present slices, make what is missing, give up what is empty; an empty one without ports for nothing."""
        by_ports: dict[PortKey, list[JsonObject]] = {}
        for slice in held:
            if self._owns(slice):
                by_ports.setdefault(_ports_of(slice), []).append(slice)
            else:
                self.deletes.append(slice)  # of an older Service of this name
        if not groups:
            groups = {frozenset(): []}
        creates: list[JsonObject] = []
        spare = [slice for ports, slices in by_ports.items() if ports not in groups for slice in slices]
        for ports, endpoints in groups.items():
            made, gone = self._group(family, ports, endpoints, by_ports.get(ports, []))
            creates += made
            spare += gone
        while creates and spare:  # a new slice takes the name of one about to go
            self.updates.append(self._recycled(creates.pop(), spare.pop(0)))
        self.creates += creates
        self.deletes += spare

    def _group(
        self, family: str, ports: PortKey, endpoints: list[JsonObject], held: list[JsonObject]
    ) -> tuple[list[JsonObject], list[JsonObject]]:
        """New slices, and slices left empty, of one port set. Source: reconcileByPortMapping."""
        if not endpoints:
            return self._placeholder(family, held)
        left = {_identity(endpoint): endpoint for endpoint in endpoints}
        kept: list[_Filling] = []
        empty: list[JsonObject] = []
        for slice in held:
            before = slice.get("endpoints") or []
            after = [left.pop(_identity(e)) for e in before if _identity(e) in left]
            if after or not before:
                kept.append(_Filling(slice, after, after != before or labels_of(slice) != self.labels))
            else:
                empty.append(slice)
        made = self._place(family, ports, list(left.values()), kept)
        for filling in kept:
            if filling.changed:
                self.updates.append(self._rewritten(filling))
            elif not filling.endpoints:
                empty.append(filling.slice)  # a placeholder that nothing came into
        return made, empty

    def _place(self, family: str, ports: PortKey, left: list[JsonObject], kept: list[_Filling]) -> list[JsonObject]:
        """Room for what is left: slices that change anyway, fullest first; the unchanged one it fills best; new ones."""
        for filling in sorted((f for f in kept if f.changed), key=lambda f: -len(f.endpoints)):
            while left and len(filling.endpoints) < MAX_ENDPOINTS:
                filling.endpoints.append(left.pop(0))
        made = []
        while left:
            roomy = [f for f in kept if not f.changed and len(f.endpoints) + len(left) <= MAX_ENDPOINTS]
            if roomy and len(left) < MAX_ENDPOINTS:
                best = max(roomy, key=lambda f: len(f.endpoints))
                best.endpoints = [*best.endpoints, *left]
                best.changed = True
                break
            made.append(self._new(family, ports, left[:MAX_ENDPOINTS]))
            left = left[MAX_ENDPOINTS:]
        return made

    def _placeholder(self, family: str, held: list[JsonObject]) -> tuple[list[JsonObject], list[JsonObject]]:
        """One slice without endpoints and ports, so that there always is one."""
        for slice in held:
            if not slice.get("endpoints") and labels_of(slice) == self.labels:
                return [], [other for other in held if other is not slice]
        return [self._new(family, frozenset(), [])], held

    def _owns(self, slice: JsonObject) -> bool:
        uid = self.service["metadata"]["uid"]
        owners = slice["metadata"].get("ownerReferences") or ()
        return any((o["uid"], o["kind"], o["apiVersion"]) == (uid, "Service", "v1") for o in owners)

    def _rewritten(self, filling: _Filling) -> JsonObject:
        metadata = filling.slice["metadata"]
        kept = {name: text for name, text in (metadata.get("annotations") or {}).items() if name != TRIGGER_TIME}
        metadata = {**metadata, "labels": self.labels, "annotations": {**kept, **self._annotations()}}
        return {**filling.slice, "metadata": metadata, "endpoints": filling.endpoints or None}

    def _recycled(self, wanted: JsonObject, spare: JsonObject) -> JsonObject:
        identity = {field: spare["metadata"].get(field) for field in ("name", "uid", "resourceVersion")}
        return {**wanted, "metadata": {**wanted["metadata"], **{k: v for k, v in identity.items() if v}}}

    def _annotations(self) -> dict[str, str]:
        return {TRIGGER_TIME: self.time} if self.time else {}

    def _new(self, family: str, ports: PortKey, endpoints: list[JsonObject]) -> JsonObject:
        metadata = self.service["metadata"]
        return {
            "apiVersion": ENDPOINT_SLICE.api_version,
            "kind": ENDPOINT_SLICE.kind,
            "metadata": {
                "generateName": f"{metadata['name']}-",
                "namespace": metadata["namespace"],
                "labels": self.labels,
                "annotations": self._annotations(),
                "ownerReferences": [owner_reference(self.service, api_version="v1", kind="Service")],
            },
            "addressType": family,
            "endpoints": endpoints or None,
            "ports": slice_ports(ports) or None,
        }


def _identity(endpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """What makes two endpoints the same one. Source: endpointslice/util/endpointset.go (hashEndpoint)."""
    target = endpoint.get("targetRef") or {}
    hostname = endpoint.get("hostname") or ""
    return (hostname, target.get("namespace", ""), target.get("name", ""), *sorted(endpoint["addresses"]))


def _ports_of(slice: Mapping[str, Any]) -> PortKey:
    return frozenset(
        (port.get("name") or "", port.get("port") or 0, port.get("protocol", "TCP"), port.get("appProtocol"))
        for port in slice.get("ports") or ()
    )


def controller() -> Controller:
    watches = {SERVICE: own_key, POD: services_of_pod, ENDPOINT_SLICE: services_of_slice, NODE: services_of_node}
    return Controller("endpointslice", watches, partial(plan_endpoint_slices, times=TriggerTimes()))
