"""EndpointSlices of Services with a selector. Source: k8s.io/endpointslice reconciler.go, utils.go."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from emulator.api.kinds import ENDPOINT_SLICE, NODE, POD, SERVICE
from emulator.api.meta import JsonObject, ObjectKey, is_terminating, key_of, labels_of, owner_reference
from emulator.controllers.changes import NOTHING, Changes, Controller, Delete, View, Write, own_key
from emulator.controllers.pods import (
    TRIGGER_TIME,
    address_of,
    has_selector,
    hostname_of,
    is_ready,
    port_number,
    selected_pods,
    service_labels,
    services_of_change,
    services_of_node,
    target_reference,
    trigger_time,
)

MANAGER = "endpointslice-controller.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
ZONE = "topology.kubernetes.io/zone"
MAX_ENDPOINTS = 100  # of one slice: --max-endpoints-per-slice
RETRY_SECONDS = 1.0  # until a pod's node is known

PortKey = tuple[tuple[str, int, str, str | None], ...]


def plan_endpoint_slices(key: ObjectKey, view: View, at: datetime) -> Changes:
    """The creates, updates and deletes that bring a Service's EndpointSlices up to date.

    At most 100 endpoints and one address family a slice; settled state gives empty Changes. A Pod on an unknown Node is
    left out and sets retry_after_seconds.
    """
    service = view.get(SERVICE, key.name, key.namespace)
    held = [s for s in view.in_namespace(ENDPOINT_SLICE, key.namespace).values() if _is_ours(s, key.name)]
    if service is None or is_terminating(service):
        return NOTHING  # the garbage collector follows the owner reference
    if (service["spec"].get("type") == "ExternalName") or not has_selector(service):
        if service["spec"].get("type") == "ExternalName":
            return NOTHING
        return Changes(deletes=tuple(_delete(s) for s in held if not is_terminating(s)))
    held = [s for s in held if not is_terminating(s)]
    pods = selected_pods(service, view)
    families = list(service["spec"].get("ipFamilies") or ["IPv4"])
    draft = _Draft(service, pods)
    missing_node = False
    for family in families:
        groups, skipped = _groups(service, pods, family, view)
        missing_node |= skipped
        draft.family(family, groups, [s for s in held if s["addressType"] == family])
    draft.deletes += [s for s in held if s["addressType"] not in families]
    retry = RETRY_SECONDS if missing_node else None
    return Changes(
        updates=tuple(Write(ENDPOINT_SLICE, s) for s in draft.updates),
        creates=tuple(Write(ENDPOINT_SLICE, s) for s in draft.creates),
        deletes=tuple(_delete(s) for s in draft.deletes),
        retry_after_seconds=retry,
    )


def _is_ours(slice: Mapping[str, Any], service: str) -> bool:
    labels = labels_of(slice)
    return labels.get(SERVICE_NAME) == service and labels.get(MANAGED_BY) == MANAGER


def _delete(slice: JsonObject) -> Delete:
    return Delete(ENDPOINT_SLICE, key_of(slice), slice["metadata"]["uid"])


def _groups(
    service: JsonObject, pods: list[JsonObject], family: str, view: View
) -> tuple[dict[PortKey, list[JsonObject]], bool]:
    """Endpoints by the set of ports they serve, and whether a pod's node is unknown."""
    groups: dict[PortKey, list[JsonObject]] = {}
    skipped = False
    unready_too = bool(service["spec"].get("publishNotReadyAddresses"))
    for pod in pods:
        address = address_of(pod, family)
        if address is None:
            continue
        node_name = pod["spec"].get("nodeName")
        node = view.get(NODE, node_name) if node_name else None
        if node_name and node is None and not unready_too:
            skipped = True
            continue
        groups.setdefault(_port_key(service, pod), []).append(_endpoint(address, pod, service, node, unready_too))
    return groups, skipped


def _port_key(service: JsonObject, pod: JsonObject) -> PortKey:
    found = []
    for port in service["spec"].get("ports") or ():
        number = port_number(port, pod)
        if number is not None:
            found.append((port.get("name", ""), number, port.get("protocol", "TCP"), port.get("appProtocol")))
    return tuple(found)


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
    hints: JsonObject = {"forZones": [{"name": zone}]} if zone else {}
    if wanted == "PreferSameNode" and endpoint.get("nodeName"):
        hints["forNodes"] = [{"name": endpoint["nodeName"]}]
    return hints or None


class _Draft:
    """The slices to write for one Service, family by family."""

    def __init__(self, service: JsonObject, pods: list[JsonObject]) -> None:
        self.service = service
        self.labels = service_labels(service, {SERVICE_NAME: service["metadata"]["name"], MANAGED_BY: MANAGER})
        self.time = trigger_time(service, pods)
        self.creates: list[JsonObject] = []
        self.updates: list[JsonObject] = []
        self.deletes: list[JsonObject] = []

    def family(self, family: str, groups: dict[PortKey, list[JsonObject]], held: list[JsonObject]) -> None:
        """Fill present slices, make what is missing, give up what is empty."""
        if not groups:
            groups = {(): []}
        by_ports: dict[PortKey, list[JsonObject]] = {}
        for slice in held:
            by_ports.setdefault(_held_ports(slice), []).append(slice)
        creates: list[JsonObject] = []
        spare = [slice for ports, slices in by_ports.items() if ports not in groups for slice in slices]
        for ports, endpoints in groups.items():
            made, gone = self._group(family, ports, endpoints, by_ports.get(ports, []))
            creates += made
            spare += gone
        while creates and spare:  # a new slice takes the name of one about to go
            reused = spare.pop(0)
            wanted = creates.pop(0)
            self.updates.append({**wanted, "metadata": self._metadata(reused)})
        self.creates += creates
        self.deletes += spare

    def _group(
        self, family: str, ports: PortKey, endpoints: list[JsonObject], held: list[JsonObject]
    ) -> tuple[list[JsonObject], list[JsonObject]]:
        """New slices, and slices left empty, of one port set. Source: reconcileByPortMapping."""
        wanted = {_identity(endpoint): endpoint for endpoint in endpoints}
        kept: list[tuple[JsonObject, list[JsonObject], bool]] = []
        empty: list[JsonObject] = []
        for slice in held:
            before = slice.get("endpoints") or []
            after = [wanted.pop(_identity(e)) for e in before if _identity(e) in wanted]
            if after or not endpoints:
                kept.append((slice, after, after != before))
            else:
                empty.append(slice)
        left = list(wanted.values())
        changed = sorted((entry for entry in kept if entry[2]), key=lambda entry: -len(entry[1]))
        for _, after, _ in changed:
            while left and len(after) < MAX_ENDPOINTS:
                after.append(left.pop(0))
        rest = [entry for entry in kept if not entry[2]]
        if left and len(left) < MAX_ENDPOINTS:
            fitting = [entry for entry in rest if len(entry[1]) + len(left) <= MAX_ENDPOINTS]
            if fitting:
                best = max(fitting, key=lambda entry: len(entry[1]))
                best[1].extend(left)
                left = []
        if not endpoints and len(kept) > 1:
            empty += [slice for slice, _, _ in kept[1:]]
            kept = kept[:1]
        for slice, after, _ in kept:
            self._rewrite(slice, after, ports)
        made = []
        while left:
            made.append(self._new(family, ports, left[:MAX_ENDPOINTS]))
            left = left[MAX_ENDPOINTS:]
        if not kept and not made and not endpoints:
            made.append(self._new(family, ports, []))
        return made, empty

    def _rewrite(self, slice: JsonObject, endpoints: list[JsonObject], ports: PortKey) -> None:
        same = (slice.get("endpoints") or []) == endpoints and (slice["metadata"].get("labels") or {}) == self.labels
        if not same or not self._is_owned(slice):
            written = {**slice, "endpoints": endpoints or None, "ports": _ports(ports)}
            self.updates.append({**written, "metadata": self._metadata(slice)})

    def _is_owned(self, slice: JsonObject) -> bool:
        uid = self.service["metadata"]["uid"]
        return any(owner["uid"] == uid for owner in slice["metadata"].get("ownerReferences") or ())

    def _metadata(self, slice: JsonObject) -> JsonObject:
        annotations = {k: v for k, v in (slice["metadata"].get("annotations") or {}).items() if k != TRIGGER_TIME}
        return {
            **slice["metadata"],
            "labels": self.labels,
            "annotations": {**annotations, **self._annotations()},
            "ownerReferences": [self._owner()],
        }

    def _annotations(self) -> dict[str, str]:
        return {TRIGGER_TIME: self.time} if self.time else {}

    def _owner(self) -> JsonObject:
        return owner_reference(self.service, api_version="v1", kind="Service")

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
                "ownerReferences": [self._owner()],
            },
            "addressType": family,
            "endpoints": endpoints or None,
            "ports": _ports(ports),
        }


def _identity(endpoint: Mapping[str, Any]) -> tuple[str, str]:
    return (endpoint.get("targetRef") or {}).get("uid", ""), endpoint["addresses"][0]


def _ports(key: PortKey) -> list[JsonObject] | None:
    ports = []
    for name, number, protocol, app_protocol in key:
        port: JsonObject = {"name": name, "port": number, "protocol": protocol}
        if app_protocol:
            port["appProtocol"] = app_protocol
        ports.append(port)
    return ports or None


def _held_ports(slice: Mapping[str, Any]) -> PortKey:
    return tuple(
        (port.get("name") or "", port.get("port") or 0, port.get("protocol", "TCP"), port.get("appProtocol"))
        for port in slice.get("ports") or ()
    )


CONTROLLER = Controller(
    "endpointslice",
    {SERVICE: own_key, POD: services_of_change, ENDPOINT_SLICE: services_of_change, NODE: services_of_node},
    plan_endpoint_slices,
)
