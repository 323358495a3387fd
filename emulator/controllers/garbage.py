"""Garbage: dependents whose owners are gone, and the foreground and orphan ends of owners.

Keys name objects by kind: namespace and `resource/name`. Source: pkg/controller/garbagecollector.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from emulator.api.kinds import KINDS, Kind, kind_by_name
from emulator.api.meta import JsonObject, ObjectKey, is_terminating, key_of
from emulator.client.index import Change
from emulator.controllers.changes import NOTHING, Changes, Controller, Delete, Propagation, View, Write

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
BY_RESOURCE = {kind.resource: kind for kind in KINDS}


def plan_garbage(key: ObjectKey, view: View, at: datetime) -> Changes:
    """What becomes of one object: deleted when no owner is left, finished when it waits for its dependents."""
    resource, _, name = key.name.partition("/")
    kind = BY_RESOURCE[resource]
    object = view.get(kind, name, key.namespace)
    if object is None:
        return NOTHING
    finalizers = object["metadata"].get("finalizers") or []
    if is_terminating(object) and (FOREGROUND in finalizers or ORPHAN in finalizers):
        return _finish(kind, object, finalizers, view)
    owners = object["metadata"].get("ownerReferences") or []
    if not owners or is_terminating(object):
        return NOTHING
    solid = [owner for owner in owners if _stands(owner, object, view)]
    if not solid:
        return _collect(kind, object, view)
    if len(solid) == len(owners):
        return NOTHING
    return Changes(updates=(Write(kind, _with_owners(object, solid)),))


def _stands(reference: dict[str, Any], object: JsonObject, view: View) -> bool:
    """Whether the owner is there and does not itself wait for its dependents to go."""
    if not _can_be_found(reference, object):
        return True
    owner = _owner(reference, object, view)
    return owner is not None and not _awaits_dependents(owner)


def _can_be_found(reference: dict[str, Any], object: JsonObject) -> bool:
    """Not so for kinds that are not served, and for namespaced ones named by an object without a namespace."""
    kind = kind_by_name(reference["apiVersion"], reference["kind"])
    return kind is not None and (not kind.namespaced or bool(object["metadata"].get("namespace")))


def _owner(reference: dict[str, Any], object: JsonObject, view: View) -> JsonObject | None:
    kind = kind_by_name(reference["apiVersion"], reference["kind"])
    if kind is None:
        return None
    place = object["metadata"].get("namespace", "") if kind.namespaced else ""
    found = view.get(kind.stored, reference["name"], place)
    return found if found is not None and found["metadata"]["uid"] == reference["uid"] else None


def _awaits_dependents(object: JsonObject) -> bool:
    return is_terminating(object) and FOREGROUND in (object["metadata"].get("finalizers") or ())


def _finish(kind: Kind, object: JsonObject, finalizers: list[str], view: View) -> Changes:
    dependents = list(_dependents(object, view))
    if ORPHAN in finalizers:
        uid = object["metadata"]["uid"]
        freed = tuple(
            Write(k, _with_owners(d, [o for o in d["metadata"]["ownerReferences"] if o["uid"] != uid]))
            for k, d in dependents
        )
        if freed:
            return Changes(updates=freed)
        return Changes(updates=(Write(kind, _without(object, ORPHAN)),))
    if any(_blocks(dependent, object) for _, dependent in dependents):
        return NOTHING  # each dependent is a key of its own
    return Changes(updates=(Write(kind, _without(object, FOREGROUND)),))


def _dependents(owner: JsonObject, view: View) -> Iterable[tuple[Kind, JsonObject]]:
    """Those of a namespaced owner are in its namespace."""
    uid, namespace = owner["metadata"]["uid"], owner["metadata"].get("namespace")
    for kind in KINDS:
        for key, object in list(view.dependents(kind, uid).items()):
            if not namespace or key.namespace == namespace:
                yield kind, object


def _blocks(dependent: JsonObject, owner: JsonObject) -> bool:
    uid = owner["metadata"]["uid"]
    return any(o["uid"] == uid and o.get("blockOwnerDeletion") for o in dependent["metadata"]["ownerReferences"])


def _with_owners(object: JsonObject, owners: list[Any]) -> JsonObject:
    return {**object, "metadata": {**object["metadata"], "ownerReferences": owners}}


def _without(object: JsonObject, finalizer: str) -> JsonObject:
    left = [entry for entry in object["metadata"]["finalizers"] if entry != finalizer]
    return {**object, "metadata": {**object["metadata"], "finalizers": left}}


def _collect(kind: Kind, object: JsonObject, view: View) -> Changes:
    """The deletion of an object without owners: in the foreground when one waits for what it has to wait for itself."""
    metadata = object["metadata"]
    finalizers, references = metadata.get("finalizers") or (), metadata["ownerReferences"]
    propagation: Propagation = "Orphan" if ORPHAN in finalizers else "Background"
    owners = [_owner(reference, object, view) for reference in references]
    dependents = [dependent for _, dependent in _dependents(object, view)]
    if FOREGROUND in finalizers:
        propagation = "Foreground"
    elif dependents and any(owner is not None and _awaits_dependents(owner) for owner in owners):
        propagation = "Foreground"
        circular = any(_awaits_dependents(dependent) for dependent in dependents)
        if circular and any(reference.get("blockOwnerDeletion") for reference in references):
            free = [{**reference, "blockOwnerDeletion": False} for reference in references]
            return Changes(updates=(Write(kind, _with_owners(object, free)),))  # else both would wait for ever
    return Changes(deletes=(Delete(kind, key_of(object), metadata["uid"], propagation=propagation),))


def _key(kind: Kind, object: JsonObject) -> ObjectKey:
    key = key_of(object)
    return ObjectKey(key.namespace, f"{kind.resource}/{key.name}")


def _keys(change: Change, view: View) -> Iterable[ObjectKey]:
    """The object itself; its dependents when it goes or waits for them; owners that wait, those it had too."""
    object = change.object
    waits = is_terminating(object) or object["metadata"].get("ownerReferences")
    found = [_key(change.kind, object)] if waits and change.type != "DELETED" else []
    starts_waiting = _awaits_dependents(object) and not (change.previous and _awaits_dependents(change.previous))
    if change.type == "DELETED" or starts_waiting:
        found += [_key(kind, dependent) for kind, dependent in _dependents(object, view)]
    previous = change.previous["metadata"].get("ownerReferences") if change.previous else None
    for reference in [*(object["metadata"].get("ownerReferences") or ()), *(previous or ())]:
        kind = kind_by_name(reference["apiVersion"], reference["kind"])
        owner = _owner(reference, object, view)
        if kind is not None and owner is not None and is_terminating(owner):
            found.append(_key(kind.stored, owner))
    return found


CONTROLLER = Controller("garbage", dict.fromkeys(KINDS, _keys), plan_garbage)
