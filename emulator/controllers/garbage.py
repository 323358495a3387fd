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
from emulator.controllers.changes import NOTHING, Changes, Controller, Delete, View, Write

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
    solid = [owner for owner in owners if _exists(owner, object, view)]
    if not solid:
        return Changes(deletes=(_delete(kind, object),))
    if len(solid) == len(owners):
        return NOTHING
    return Changes(updates=(Write(kind, _with_owners(object, solid)),))


def _exists(owner: dict[str, Any], object: JsonObject, view: View) -> bool:
    """Whether the owner is there; owners of kinds that are not served are left alone."""
    kind = kind_by_name(owner["apiVersion"], owner["kind"])
    if kind is None:
        return True
    kind = kind.stored
    found = view.get(kind, owner["name"], object["metadata"].get("namespace", "") if kind.namespaced else "")
    return found is not None and found["metadata"]["uid"] == owner["uid"]


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
    blocking = [(k, d) for k, d in dependents if _blocks(d, object)]
    deletes = tuple(_delete(k, d) for k, d in dependents if not is_terminating(d))
    if deletes or blocking:
        return Changes(deletes=deletes)
    return Changes(updates=(Write(kind, _without(object, FOREGROUND)),))


def _dependents(owner: JsonObject, view: View) -> Iterable[tuple[Kind, JsonObject]]:
    uid, namespace = owner["metadata"]["uid"], owner["metadata"].get("namespace")
    for kind in KINDS:
        objects = view.in_namespace(kind, namespace).values() if namespace else view.all(kind)
        for object in objects:
            if any(reference["uid"] == uid for reference in object["metadata"].get("ownerReferences") or ()):
                yield kind, object


def _blocks(dependent: JsonObject, owner: JsonObject) -> bool:
    uid = owner["metadata"]["uid"]
    return any(o["uid"] == uid and o.get("blockOwnerDeletion") for o in dependent["metadata"]["ownerReferences"])


def _with_owners(object: JsonObject, owners: list[Any]) -> JsonObject:
    return {**object, "metadata": {**object["metadata"], "ownerReferences": owners}}


def _without(object: JsonObject, finalizer: str) -> JsonObject:
    left = [entry for entry in object["metadata"]["finalizers"] if entry != finalizer]
    return {**object, "metadata": {**object["metadata"], "finalizers": left}}


def _delete(kind: Kind, object: JsonObject) -> Delete:
    return Delete(kind, key_of(object), object["metadata"]["uid"])


def _key(kind: Kind, object: JsonObject) -> ObjectKey:
    key = key_of(object)
    return ObjectKey(key.namespace, f"{kind.resource}/{key.name}")


def _keys(change: Change, view: View) -> Iterable[ObjectKey]:
    """The object itself when it has owners or waits; its dependents when it goes; its owners when they wait."""
    metadata = change.object["metadata"]
    if change.type == "DELETED":
        found = [_key(kind, dependent) for kind, dependent in _dependents(change.object, view)]
    else:
        concerned = metadata.get("ownerReferences") or metadata.get("deletionTimestamp")
        found = [_key(change.kind, change.object)] if concerned else []
    for owner in metadata.get("ownerReferences") or ():
        named = kind_by_name(owner["apiVersion"], owner["kind"])
        kind = named.stored if named else None
        held = view.get(kind, owner["name"], metadata.get("namespace", "") if kind.namespaced else "") if kind else None
        if kind is not None and held is not None and is_terminating(held):
            found.append(_key(kind, held))
    return found


CONTROLLER = Controller("garbage", dict.fromkeys(KINDS, _keys), plan_garbage)
