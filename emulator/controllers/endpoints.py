"""Endpoints of Services with a selector. Source: pkg/controller/endpoint/endpoints_controller.go."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any

from emulator.api.kinds import ENDPOINTS, POD, SERVICE
from emulator.api.meta import JsonObject, ObjectKey, is_terminating
from emulator.client.index import Change
from emulator.controllers.changes import NOTHING, Changes, Controller, Delete, View, Write, own_key
from emulator.controllers.pods import (
    NONE,
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
    services_of_pod,
    target_reference,
)
from emulator.controllers.subsets import NOT_READY, READY, Offer, repacked, truncated

MANAGED_BY = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"


def plan_endpoints(key: ObjectKey, view: View, at: datetime, *, times: TriggerTimes) -> Changes:
    """The one Endpoints object of a Service; created even with no pods, gone with the Service, whoever made it."""
    service = view.get(SERVICE, key.name, key.namespace)
    held = view.get(ENDPOINTS, key.name, key.namespace)
    if service is None:
        times.forget(key)
        return NOTHING if held is None else Changes(deletes=(Delete(ENDPOINTS, key, held["metadata"]["uid"]),))
    if not has_selector(service):
        return NOTHING  # what stands there is somebody's own, or left from when there was a selector
    pods = selected_pods(service, view)
    time = times.take(service, pods)
    subsets, cut = truncated(subsets_of(service, pods))
    labels = service_labels(service, MANAGED_BY)
    if held is not None and _is_current(held, subsets, labels, cut=cut):
        return NOTHING
    own = {TRIGGER_TIME: time, OVER_CAPACITY: "truncated" if cut else ""}
    metadata: JsonObject = {"name": key.name, "namespace": key.namespace} if held is None else held["metadata"]
    kept = {name: text for name, text in (metadata.get("annotations") or {}).items() if name not in own}
    annotations = {**kept, **{name: text for name, text in own.items() if text}}
    wanted: JsonObject = {
        "apiVersion": ENDPOINTS.api_version,
        "kind": ENDPOINTS.kind,
        "metadata": {**metadata, "labels": labels, "annotations": annotations},
        **({"subsets": subsets} if subsets else {}),
    }
    write = (Write(ENDPOINTS, wanted),)
    return Changes(creates=write) if held is None else Changes(updates=write)


def subsets_of(service: JsonObject, pods: Iterable[JsonObject]) -> list[JsonObject]:
    """The pods' addresses of the Service's first family, in the canonical layout."""
    spec = service["spec"]
    family = (spec.get("ipFamilies") or ["IPv4"])[0]
    unready_too = bool(spec.get("publishNotReadyAddresses"))
    offers = []
    for pod in pods:
        address = address_of(pod, family)
        if address is None or not may_serve(pod) or (is_terminating(pod) and not unready_too):
            continue
        offers.append(Offer(_address(address, pod, service), unready_too or is_ready(pod), ports_for(service, pod)))
    return repacked(offers, without_ports=not spec.get("ports") and spec.get("clusterIP") == NONE)


def _address(ip: str, pod: JsonObject, service: JsonObject) -> JsonObject:
    """nodeName is written even when the pod has none, as upstream does: such Endpoints are refused."""
    entry: JsonObject = {"ip": ip}
    if hostname := hostname_of(pod, service):
        entry["hostname"] = hostname
    entry["nodeName"] = pod["spec"].get("nodeName") or ""
    entry["targetRef"] = target_reference(pod)
    return entry


def _is_current(held: JsonObject, subsets: list[JsonObject], labels: dict[str, str], *, cut: bool) -> bool:
    metadata = held["metadata"]
    marked = OVER_CAPACITY in (metadata.get("annotations") or {})
    present = [_comparable(subset) for subset in held.get("subsets") or []]
    return (metadata.get("labels") or {}) == labels and marked == cut and present == subsets


def _comparable(subset: JsonObject) -> JsonObject:
    """The subset as `subsets_of` gives it: without empty lists and the pods' resource versions."""
    shown: dict[str, list[Any]] = {field: entries for field, entries in subset.items() if entries}
    for field in (READY, NOT_READY):
        if field in shown:
            shown[field] = [_without_version(address) for address in shown[field]]
    return shown


def _without_version(address: JsonObject) -> JsonObject:
    reference = address.get("targetRef") or {}
    if "resourceVersion" not in reference:
        return address
    return {**address, "targetRef": {name: text for name, text in reference.items() if name != "resourceVersion"}}


def _deleted(change: Change, view: View) -> Iterable[ObjectKey]:
    """Only the end of an Endpoints object is looked at: what is written by hand stays until the next change."""
    return (change.key,) if change.type == "DELETED" else ()


def controller() -> Controller:
    watches = {SERVICE: own_key, POD: services_of_pod, ENDPOINTS: _deleted}
    return Controller("endpoints", watches, partial(plan_endpoints, times=TriggerTimes()))
