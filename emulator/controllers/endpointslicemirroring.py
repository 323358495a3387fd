"""EndpointSlices of hand-made Endpoints. Source: pkg/controller/endpointslicemirroring."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from emulator.api.kinds import ENDPOINT_SLICE, ENDPOINTS, SERVICE
from emulator.api.meta import JsonObject, ObjectKey, annotations_of, is_terminating, key_of, labels_of, owner_reference
from emulator.controllers.changes import NOTHING, Changes, Controller, Delete, View, Write, event, own_key
from emulator.controllers.pods import TRIGGER_TIME, services_of_change

MANAGER = "endpointslicemirroring-controller.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MAX_ADDRESSES = 1000  # of one subset


def plan_mirrored_slices(key: ObjectKey, view: View, at: datetime) -> Changes:
    """One slice per subset and family of Endpoints that no controller made."""
    held = [
        slice
        for slice in view.in_namespace(ENDPOINT_SLICE, key.namespace).values()
        if labels_of(slice).get(SERVICE_NAME) == key.name and labels_of(slice).get(MANAGED_BY) == MANAGER
    ]
    service = view.get(SERVICE, key.name, key.namespace)
    endpoints = view.get(ENDPOINTS, key.name, key.namespace)
    if service is None or endpoints is None or not _is_mirrored(service, endpoints):
        return Changes(deletes=tuple(_delete(slice) for slice in held if not is_terminating(slice)))
    wanted, events = _wanted(endpoints, at)
    updates, creates = [], []
    spare = [slice for slice in held if not is_terminating(slice)]
    for slice in wanted:
        match = next((s for s in spare if _content(s) == _content(slice)), None) or next(
            (s for s in spare if s["addressType"] == slice["addressType"]), None
        )
        if match is None:
            creates.append(Write(ENDPOINT_SLICE, slice))
            continue
        spare.remove(match)
        if _content(match) != _content(slice) or not _same_metadata(match, slice):
            metadata = {**match["metadata"], **{k: slice["metadata"].get(k) for k in ("labels", "ownerReferences")}}
            metadata["annotations"] = slice["metadata"].get("annotations", {})
            updates.append(Write(ENDPOINT_SLICE, {**slice, "metadata": metadata}))
    if not (updates or creates or spare):
        return NOTHING
    return Changes(tuple(updates), tuple(creates), tuple(_delete(slice) for slice in spare), tuple(events))


def _is_mirrored(service: Mapping[str, Any], endpoints: Mapping[str, Any]) -> bool:
    return (
        not service["spec"].get("selector")
        and labels_of(endpoints).get(SKIP_MIRROR) != "true"
        and LEADER not in annotations_of(endpoints)
    )


def _wanted(endpoints: JsonObject, at: datetime) -> tuple[list[JsonObject], list[JsonObject]]:
    slices: list[JsonObject] = []
    events: list[JsonObject] = []
    for subset in endpoints.get("subsets") or ():
        by_family: dict[str, list[JsonObject]] = {}
        ready = [(a, True) for a in subset.get("addresses") or ()]
        entries = ready + [(a, False) for a in subset.get("notReadyAddresses") or ()]
        if len(entries) > MAX_ADDRESSES:
            text = f"A max of {MAX_ADDRESSES} addresses can be mirrored to EndpointSlices per Endpoints subset. "
            text += f"{len(entries) - MAX_ADDRESSES} addresses were skipped"
            events.append(_event(endpoints, "TooManyAddressesToMirror", text, at, len(events)))
        for address, is_ready in entries[:MAX_ADDRESSES]:
            try:
                family = "IPv6" if ip_address(address["ip"]).version == 6 else "IPv4"
            except ValueError:
                text = f"Skipped 1 invalid IP addresses when mirroring to EndpointSlices: {address['ip']}"
                events.append(_event(endpoints, "InvalidIPAddress", text, at, len(events)))
                continue
            by_family.setdefault(family, []).append(_endpoint(address, is_ready))
        slices += [_slice(endpoints, family, found, subset) for family, found in sorted(by_family.items())]
    return slices, events


def _event(endpoints: JsonObject, reason: str, text: str, at: datetime, number: int) -> JsonObject:
    component = "endpoint-slice-mirroring-controller"
    suffix = f"{int(at.timestamp() * 1e6):x}{number:x}"
    return event(component, endpoints, ENDPOINTS, type="Warning", reason=reason, message=text, at=at, suffix=suffix)


def _endpoint(address: Mapping[str, Any], is_ready: bool) -> JsonObject:
    endpoint: JsonObject = {"addresses": [address["ip"]], "conditions": {"ready": is_ready}}
    for field in ("hostname", "nodeName", "targetRef"):
        if address.get(field):
            endpoint[field] = address[field]
    return endpoint


def _slice(endpoints: JsonObject, family: str, found: list[JsonObject], subset: Mapping[str, Any]) -> JsonObject:
    metadata = endpoints["metadata"]
    labels = {**labels_of(endpoints), SERVICE_NAME: metadata["name"], MANAGED_BY: MANAGER}
    annotations = {k: v for k, v in annotations_of(endpoints).items() if k not in (TRIGGER_TIME, LAST_APPLIED)}
    ports = [
        {
            "name": port.get("name", ""),
            "port": port["port"],
            "protocol": port.get("protocol", "TCP"),
            **({"appProtocol": port["appProtocol"]} if port.get("appProtocol") else {}),
        }
        for port in subset.get("ports") or ()
    ]
    return {
        "apiVersion": ENDPOINT_SLICE.api_version,
        "kind": ENDPOINT_SLICE.kind,
        "metadata": {
            "generateName": f"{metadata['name']}-",
            "namespace": metadata["namespace"],
            "labels": labels,
            **({"annotations": annotations} if annotations else {}),
            "ownerReferences": [owner_reference(endpoints, api_version="v1", kind="Endpoints")],
        },
        "addressType": family,
        "endpoints": found,
        "ports": ports or None,
    }


def _content(slice: Mapping[str, Any]) -> Any:
    return slice["addressType"], slice.get("endpoints") or [], slice.get("ports") or []


def _same_metadata(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all((held["metadata"].get(k) or {}) == (wanted["metadata"].get(k) or {}) for k in ("labels", "annotations"))


def _delete(slice: JsonObject) -> Delete:
    return Delete(ENDPOINT_SLICE, key_of(slice), slice["metadata"]["uid"])


CONTROLLER = Controller(
    "endpointslicemirroring",
    {ENDPOINTS: own_key, SERVICE: own_key, ENDPOINT_SLICE: services_of_change},
    plan_mirrored_slices,
)
