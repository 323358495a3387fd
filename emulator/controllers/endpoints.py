"""Endpoints of Services with a selector. Source: pkg/controller/endpoint/endpoints_controller.go, RepackSubsets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from emulator.api.kinds import ENDPOINTS, POD, SERVICE
from emulator.api.meta import JsonObject, ObjectKey, is_terminating
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
    target_reference,
    trigger_time,
)

MANAGED_BY = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MAX_ADDRESSES = 1000  # of one Endpoints object; more are left out

Pair = tuple[str, int | None, str, str]  # name, number, protocol, appProtocol


def plan_endpoints(key: ObjectKey, view: View, at: datetime) -> Changes:
    """The one Endpoints object of a Service; created even with no pods, gone with the Service."""
    service = view.get(SERVICE, key.name, key.namespace)
    held = view.get(ENDPOINTS, key.name, key.namespace)
    if service is None:
        if held is not None and MANAGED_BY.items() <= (held["metadata"].get("labels") or {}).items():
            return Changes(deletes=(Delete(ENDPOINTS, key, held["metadata"]["uid"]),))
        return NOTHING
    if not has_selector(service) or is_terminating(service):
        return NOTHING
    pods = selected_pods(service, view)
    subsets, truncated = _truncated(subsets_of(service, pods))
    labels = service_labels(service, MANAGED_BY)
    if held is not None and _is_current(held, subsets, labels, truncated):
        return NOTHING
    wanted = _object(key, service, pods, subsets, labels, truncated=truncated)
    if held is None:
        return Changes(creates=(Write(ENDPOINTS, wanted),))
    kept = {
        k: v for k, v in (held["metadata"].get("annotations") or {}).items() if k not in (TRIGGER_TIME, OVER_CAPACITY)
    }
    annotations = {**kept, **wanted["metadata"].get("annotations", {})}
    metadata = {**held["metadata"], "labels": labels, "annotations": annotations}
    return Changes(updates=(Write(ENDPOINTS, {**wanted, "metadata": metadata}),))


def subsets_of(service: JsonObject, pods: list[JsonObject]) -> list[JsonObject]:
    """The pods' addresses, regrouped so that ports with the same addresses share a subset."""
    spec = service["spec"]
    family = (spec.get("ipFamilies") or ["IPv4"])[0]
    unready_too = bool(spec.get("publishNotReadyAddresses"))
    by_port: dict[Pair, dict[tuple[str, str], tuple[JsonObject, bool]]] = {}
    for pod in pods:
        address = address_of(pod, family)
        if address is None or (is_terminating(pod) and not unready_too):
            continue
        entry = _address(address, pod, service)
        ready = unready_too or is_ready(pod)
        for pair in _ports(spec, pod):
            by_port.setdefault(pair, {})[address, pod["metadata"]["uid"]] = (entry, ready)
    grouped: dict[tuple[tuple[tuple[str, str], bool], ...], tuple[list[Pair], list[tuple[JsonObject, bool]]]] = {}
    for pair, addresses in by_port.items():
        same = tuple(sorted((who, ready) for who, (_, ready) in addresses.items()))
        grouped.setdefault(same, ([], list(addresses.values())))[0].append(pair)
    return sorted((_subset(*group) for group in grouped.values()), key=str)


def _ports(spec: Mapping[str, Any], pod: JsonObject) -> list[Pair]:
    ports = spec.get("ports") or ()
    if not ports:
        return [("", None, "", "")]
    found: list[Pair] = []
    for port in ports:
        number = port_number(port, pod)
        if number is not None:
            found.append((port.get("name", ""), number, port.get("protocol", "TCP"), port.get("appProtocol", "")))
    return found


def _subset(pairs: list[Pair], addresses: list[tuple[JsonObject, bool]]) -> JsonObject:
    subset: JsonObject = {}
    ordered = sorted(addresses, key=lambda entry: (ip_address(entry[0]["ip"]).packed, entry[0]["targetRef"]["uid"]))
    for field, wanted in (("addresses", True), ("notReadyAddresses", False)):
        chosen = [entry for entry, ready in ordered if ready == wanted]
        if chosen:
            subset[field] = chosen
    ports = [_port(*pair) for pair in sorted(pairs, key=str) if pair[1] is not None]
    if ports:
        subset["ports"] = ports
    return subset


def _port(name: str, number: int | None, protocol: str, app_protocol: str) -> JsonObject:
    port: JsonObject = {"name": name} if name else {}
    port.update({"port": number, "protocol": protocol})
    if app_protocol:
        port["appProtocol"] = app_protocol
    return port


def _address(ip: str, pod: JsonObject, service: JsonObject) -> JsonObject:
    entry: JsonObject = {"ip": ip}
    if hostname := hostname_of(pod, service):
        entry["hostname"] = hostname
    if pod["spec"].get("nodeName"):
        entry["nodeName"] = pod["spec"]["nodeName"]
    entry["targetRef"] = target_reference(pod)
    return entry


def _truncated(subsets: list[JsonObject]) -> tuple[list[JsonObject], bool]:
    """At most MAX_ADDRESSES: ready ones first, shared out between subsets in proportion, rounded up."""
    ready = sum(len(subset.get("addresses", ())) for subset in subsets)
    unready = sum(len(subset.get("notReadyAddresses", ())) for subset in subsets)
    if ready + unready <= MAX_ADDRESSES:
        return subsets, False
    room = max(MAX_ADDRESSES - ready, 0)
    shares = {"addresses": (min(ready, MAX_ADDRESSES), ready), "notReadyAddresses": (min(unready, room), unready)}
    cut: list[JsonObject] = []
    left = {field: share for field, (share, _) in shares.items()}
    for subset in subsets:
        out = {key: value for key, value in subset.items() if key not in shares}
        for field, (share, total) in shares.items():
            held = subset.get(field, [])
            count = min(-(-len(held) * share // total) if total else 0, left[field])
            left[field] -= count
            if count:
                out[field] = held[:count]
        cut.append(out)
    return cut, True


def _is_current(held: JsonObject, subsets: list[JsonObject], labels: dict[str, str], truncated: bool) -> bool:
    metadata = held["metadata"]
    marked = (metadata.get("annotations") or {}).get(OVER_CAPACITY) == "truncated"
    present = sorted((_canonical(subset) for subset in held.get("subsets") or []), key=str)
    wanted = sorted((_canonical(subset) for subset in subsets), key=str)
    return (metadata.get("labels") or {}) == labels and marked == truncated and present == wanted


def _canonical(subset: JsonObject) -> JsonObject:
    return {key: sorted(value, key=str) for key, value in subset.items() if value}


def _object(
    key: ObjectKey,
    service: JsonObject,
    pods: list[JsonObject],
    subsets: list[JsonObject],
    labels: dict[str, str],
    *,
    truncated: bool,
) -> JsonObject:
    annotations = {}
    if time := trigger_time(service, pods):
        annotations[TRIGGER_TIME] = time
    if truncated:
        annotations[OVER_CAPACITY] = "truncated"
    metadata: JsonObject = {"name": key.name, "namespace": key.namespace, "labels": labels, "annotations": annotations}
    wanted: JsonObject = {"apiVersion": ENDPOINTS.api_version, "kind": ENDPOINTS.kind, "metadata": metadata}
    if subsets:
        wanted["subsets"] = subsets
    return wanted


CONTROLLER = Controller(
    "endpoints",
    {SERVICE: own_key, POD: services_of_change, ENDPOINTS: own_key},
    plan_endpoints,
)
