"""What controllers of pods share: whose an object is, adoption and release, pods from a template. Pure.

Source: pkg/controller/controller_ref_manager.go, controller_utils.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from emulator.api.errors import ApiError
from emulator.api.kinds import POD, Kind
from emulator.api.meta import JsonObject, ObjectKey, condition_of, is_terminating, key_of, labels_of, parse_time
from emulator.api.selectors import label_selector_from_object
from emulator.client.index import Change
from emulator.controllers.changes import View, Write, event

MAX_BURST = 500  # pods made or deleted by one plan; the rest follows in the next
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Claimed:
    """objects: those the owner has now; writes: those it adopts or releases."""

    objects: list[JsonObject]
    writes: tuple[Write, ...]


def controller_reference(object: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The reference to the controlling owner."""
    for owner in object["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            found: Mapping[str, Any] = owner
            return found
    return None


def reference_to(owner: Mapping[str, Any], kind: Kind) -> JsonObject:
    """A controlling reference to `owner`."""
    metadata = owner["metadata"]
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owner_keys(change: Change, view: View, kind: Kind) -> list[ObjectKey]:
    """The keys of owners of `kind` that a changed object concerns: its own, now and before, else who may adopt it."""
    found: list[ObjectKey] = []
    for object in (change.object, change.previous):
        reference = controller_reference(object) if object is not None else None
        if reference is not None and reference["kind"] == kind.kind:
            found.append(ObjectKey(change.key.namespace, reference["name"]))
    if not found and change.type != "DELETED" and controller_reference(change.object) is None:
        labels = labels_of(change.object)
        for owner in view.in_namespace(kind, change.key.namespace).values():
            selector = owner["spec"].get("selector")
            if selector and selects(selector, kind)(labels):
                found.append(key_of(owner))
    return list(dict.fromkeys(found))


def selects(selector: Mapping[str, Any], kind: Kind) -> Callable[[Mapping[str, str]], bool]:
    """Whether labels match an owner's selector; a ReplicationController's is a plain map."""
    if kind.kind == "ReplicationController":
        wanted = dict(selector)
        return lambda labels: bool(wanted) and wanted.items() <= labels.items()
    return label_selector_from_object(selector).matches


def claim(owner: JsonObject, owner_kind: Kind, kind: Kind, view: View) -> Claimed:
    """The objects of `kind` that are the owner's: kept, adopted, or released when the selector left them."""
    metadata = owner["metadata"]
    namespace = metadata["namespace"]
    matches = selects(owner["spec"].get("selector") or {}, owner_kind)
    deleting = is_terminating(owner)
    kept: list[JsonObject] = []
    writes: list[Write] = []
    for object in list(view.owned_by(kind, metadata["uid"], namespace).values()):
        if matches(labels_of(object)):
            kept.append(object)
        elif not deleting:
            references = [r for r in object["metadata"]["ownerReferences"] if r["uid"] != metadata["uid"]]
            writes.append(Write(kind, _with_owners(object, references)))
    if not deleting:
        for object in list(view.owned_by(kind, "", namespace).values()):
            if matches(labels_of(object)) and not is_terminating(object):
                references = [*(object["metadata"].get("ownerReferences") or ()), reference_to(owner, owner_kind)]
                adopted = _with_owners(object, references)
                writes.append(Write(kind, adopted))
                kept.append(adopted)
    return Claimed(kept, tuple(writes))


def _with_owners(object: JsonObject, references: list[JsonObject]) -> JsonObject:
    return {**object, "metadata": {**object["metadata"], "ownerReferences": references}}


def pod_of(template: Mapping[str, Any], owner: Mapping[str, Any], kind: Kind) -> JsonObject:
    """A pod as the owner's template wants it; its name is made by the server."""
    given, name = template.get("metadata") or {}, owner["metadata"]["name"]
    metadata: JsonObject = {"generateName": f"{name}-", "namespace": owner["metadata"]["namespace"]}
    for field in ("labels", "annotations", "finalizers"):
        if given.get(field):
            metadata[field] = given[field]
    metadata["ownerReferences"] = [reference_to(owner, kind)]
    return {"apiVersion": POD.api_version, "kind": POD.kind, "metadata": metadata, "spec": dict(template["spec"])}


def is_active(pod: Mapping[str, Any]) -> bool:
    """Neither ended nor being deleted."""
    return not is_finished(pod) and not is_terminating(pod)


def is_finished(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def is_ready(pod: Mapping[str, Any]) -> bool:
    return (condition_of(pod, "Ready") or {}).get("status") == "True"


def available_after_seconds(pod: Mapping[str, Any], min_ready_seconds: int, at: datetime) -> float | None:
    """In how many seconds a ready pod counts as available: 0 when it does, None when it is not ready."""
    condition = condition_of(pod, "Ready") or {}
    if condition.get("status") != "True":
        return None
    since = condition.get("lastTransitionTime")
    if not min_ready_seconds or not since:
        return 0.0 if not min_ready_seconds else float(min_ready_seconds)
    due = parse_time(since) + timedelta(seconds=min_ready_seconds)
    return max((due - at).total_seconds(), 0.0)


def soonest(waits: Iterable[float | None]) -> float | None:
    """The least positive wait."""
    return min((wait for wait in waits if wait), default=None)


def told(
    component: str, about: JsonObject, kind: Kind, reason: str, message: str, at: datetime, *, type: str = "Normal"
) -> JsonObject:
    """An Event about a workload, its name made unique by the server's clock and the message."""
    suffix = f"{int(at.timestamp() * 1e9) + sum(message.encode()) % 997:x}"
    return event(component, about, kind, type=type, reason=reason, message=message, at=at, suffix=suffix)


def created_pod(component: str, about: JsonObject, kind: Kind, at: datetime) -> Callable[[JsonObject], JsonObject]:
    """The Event of a created pod."""

    def tell(pod: JsonObject) -> JsonObject:
        message = f"Created pod: {pod['metadata']['name']}"
        return told(component, about, kind, "SuccessfulCreate", message, at)

    return tell


def failed_create(component: str, about: JsonObject, kind: Kind, error: ApiError, at: datetime) -> JsonObject:
    """The Event of a pod that was refused."""
    return told(component, about, kind, "FailedCreate", f"Error creating: {error.message}", at, type="Warning")


def deleted_pod(component: str, about: JsonObject, kind: Kind, pod: JsonObject, at: datetime) -> JsonObject:
    """The Event of a deleted pod."""
    message = f"Deleted pod: {pod['metadata']['name']}"
    return told(component, about, kind, "SuccessfulDelete", message, at)
