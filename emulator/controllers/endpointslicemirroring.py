"""EndpointSlices of hand-made Endpoints. Source: pkg/controller/endpointslicemirroring (reconciler.go, utils.go)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from emulator.api.kinds import ENDPOINT_SLICE, ENDPOINTS, SERVICE
from emulator.api.meta import JsonObject, ObjectKey, annotations_of, is_terminating, key_of, labels_of, owner_reference
from emulator.controllers.changes import NOTHING, Changes, Controller, Delete, View, Write, event, own_key
from emulator.controllers.pods import SERVICE_NAME, TRIGGER_TIME, services_of_slice
from emulator.controllers.subsets import NOT_READY, READY, Port, slice_ports

COMPONENT = "endpoint-slice-mirroring-controller"
MANAGER = "endpointslicemirroring-controller.k8s.io"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MAX_ADDRESSES = 1000  # of one subset: --mirroring-max-endpoints-per-subset

SliceKey = tuple[str, frozenset[Port]]  # family and ports: one slice for each


def plan_mirrored_slices(key: ObjectKey, view: View, at: datetime) -> Changes:
    """One slice per family and set of ports of the Endpoints, while their Service has no selector."""
    held = [
        slice
        for _, slice in sorted(view.in_namespace(ENDPOINT_SLICE, key.namespace).items())
        if labels_of(slice).get(SERVICE_NAME) == key.name
        and labels_of(slice).get(MANAGED_BY) == MANAGER
        and not is_terminating(slice)
    ]
    service = view.get(SERVICE, key.name, key.namespace)
    endpoints = view.get(ENDPOINTS, key.name, key.namespace)
    if service is None or endpoints is None or not _is_mirrored(service, endpoints):
        return Changes(deletes=tuple(_delete(slice) for slice in held))
    wanted, events = _wanted(endpoints, at)
    creates, updates, spare = [], [], []
    for slice in held:
        match = wanted.pop(_key_of(slice), None)
        if match is None:
            spare.append(slice)
        elif not _is_current(slice, match):
            updates.append(_under_name_of(slice, match))
    for slice in wanted.values():
        reused = next((other for other in spare if other["addressType"] == slice["addressType"]), None)
        if reused is None:
            creates.append(slice)
        else:
            spare.remove(reused)
            updates.append(_under_name_of(reused, slice))
    if is_terminating(endpoints):
        creates = []
    if not (updates or creates or spare):
        return NOTHING
    return Changes(
        updates=tuple(Write(ENDPOINT_SLICE, slice) for slice in updates),
        creates=tuple(Write(ENDPOINT_SLICE, slice) for slice in creates),
        deletes=tuple(_delete(slice) for slice in spare),
        events=tuple(events),
    )


def _is_mirrored(service: Mapping[str, Any], endpoints: Mapping[str, Any]) -> bool:
    return (
        not service["spec"].get("selector")
        and labels_of(endpoints).get(SKIP_MIRROR) != "true"
        and LEADER not in annotations_of(endpoints)
    )


def _wanted(endpoints: JsonObject, at: datetime) -> tuple[dict[SliceKey, JsonObject], list[JsonObject]]:
    """The slices by family and ports, and what to tell about addresses that are in none."""
    found: dict[SliceKey, dict[tuple[str, ...], JsonObject]] = {}
    invalid = skipped = 0
    for subset in endpoints.get("subsets") or ():
        ports = _ports_of(subset)
        entries = [(a, field == READY) for field in (READY, NOT_READY) for a in subset.get(field) or ()]
        added = 0
        for address, ready in entries:
            family = _family(address["ip"])
            if family is None:
                invalid += 1
            if family is None or added >= MAX_ADDRESSES:
                continue
            added += 1
            found.setdefault((family, ports), {})[_identity(address)] = _endpoint(address, ready)
        skipped += len(entries) - added
    slices = {key: _slice(endpoints, key, list(listed.values())[:MAX_ADDRESSES]) for key, listed in found.items()}
    told = []
    if invalid:
        text = f"Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices"
        told.append(_event(endpoints, "InvalidIPAddress", text, at))
    if skipped > invalid:
        text = f"A max of {MAX_ADDRESSES} addresses can be mirrored to EndpointSlices per Endpoints subset. "
        told.append(_event(endpoints, "TooManyAddressesToMirror", f"{text}{skipped} addresses were skipped", at))
    return slices, told


def _family(ip: str) -> str | None:
    try:
        return f"IPv{ip_address(ip).version}"
    except ValueError:
        return None


def _identity(address: Mapping[str, Any]) -> tuple[str, ...]:
    """What makes two addresses one endpoint."""
    target = address.get("targetRef") or {}
    return address["ip"], address.get("hostname", ""), target.get("namespace", ""), target.get("name", "")


def _event(endpoints: JsonObject, reason: str, text: str, at: datetime) -> JsonObject:
    suffix = f"{int(at.timestamp() * 1e6):x}{reason[0].lower()}"
    return event(COMPONENT, endpoints, ENDPOINTS, type="Warning", reason=reason, message=text, at=at, suffix=suffix)


def _endpoint(address: Mapping[str, Any], is_ready: bool) -> JsonObject:
    endpoint: JsonObject = {"addresses": [str(ip_address(address["ip"]))], "conditions": {"ready": is_ready}}
    for field in ("hostname", "nodeName", "targetRef"):
        if address.get(field):
            endpoint[field] = address[field]
    return endpoint


def _slice(endpoints: JsonObject, key: SliceKey, listed: list[JsonObject]) -> JsonObject:
    family, ports = key
    metadata = endpoints["metadata"]
    annotations = {k: v for k, v in annotations_of(endpoints).items() if k not in (TRIGGER_TIME, LAST_APPLIED)}
    return {
        "apiVersion": ENDPOINT_SLICE.api_version,
        "kind": ENDPOINT_SLICE.kind,
        "metadata": {
            "generateName": f"{metadata['name']}-",
            "namespace": metadata["namespace"],
            "labels": {**labels_of(endpoints), SERVICE_NAME: metadata["name"], MANAGED_BY: MANAGER},
            **({"annotations": annotations} if annotations else {}),
            "ownerReferences": [owner_reference(endpoints, api_version="v1", kind="Endpoints")],
        },
        "addressType": family,
        "endpoints": listed,
        "ports": slice_ports(ports) or None,
    }


def _under_name_of(held: JsonObject, wanted: JsonObject) -> JsonObject:
    """`wanted` as an update of `held`, of which nothing but its identity stays."""
    identity = {field: held["metadata"].get(field) for field in ("name", "uid", "resourceVersion")}
    return {**wanted, "metadata": {**wanted["metadata"], **{k: v for k, v in identity.items() if v}}}


def _is_current(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    same = all((held["metadata"].get(k) or {}) == (wanted["metadata"].get(k) or {}) for k in ("labels", "annotations"))
    return same and sorted(held.get("endpoints") or [], key=str) == sorted(wanted["endpoints"], key=str)


def _key_of(slice: Mapping[str, Any]) -> SliceKey:
    return slice["addressType"], _ports_of(slice)


def _ports_of(holder: Mapping[str, Any]) -> frozenset[Port]:
    """The ports of a subset or a slice."""
    return frozenset(
        (port.get("name") or "", port["port"], port.get("protocol", "TCP"), port.get("appProtocol"))
        for port in holder.get("ports") or ()
    )


def _delete(slice: JsonObject) -> Delete:
    return Delete(ENDPOINT_SLICE, key_of(slice), slice["metadata"]["uid"])


CONTROLLER = Controller(
    "endpointslicemirroring",
    {ENDPOINTS: own_key, SERVICE: own_key, ENDPOINT_SLICE: services_of_slice},
    plan_mirrored_slices,
)
