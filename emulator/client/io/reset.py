"""Back to a remembered state: what `kubemu reset` does, through any Client."""

from __future__ import annotations

from contextlib import suppress

from emulator.api.errors import ApiError, NotFound
from emulator.api.kinds import ENDPOINT_SLICE, ENDPOINTS, EVENT, KINDS, LEASE, NAMESPACE, POD, SERVICE, Kind
from emulator.api.meta import JsonObject, ObjectKey, key_of
from emulator.client.io.protocol import Client

Baseline = dict[str, list[JsonObject]]
"""Objects by resource, as they stood."""

DERIVED = (EVENT.resource, ENDPOINTS.resource, ENDPOINT_SLICE.resource)
"""Kinds that controllers make: those with a controlling owner or of these kinds follow by themselves."""

NODE_LEASES = "kube-node-lease"
WORKLOADS = ("apps", "batch")
"""API groups whose controllers make Pods."""


async def take_baseline(client: Client) -> Baseline:
    return {kind.resource: (await client.list(kind)).items for kind in KINDS}


async def restore(client: Client, baseline: Baseline) -> None:
    """Delete what came later, put back what is missing or changed. Status is left to the controllers."""
    for kind in KINDS:
        held = {key_of(object): object for object in baseline.get(kind.resource, [])}
        for object in (await client.list(kind)).items:
            if key_of(object) not in held and not _is_derived(kind, object):
                await _delete(client, kind, key_of(object))
    await _delete_left_behind(client, baseline)
    for kind in sorted(KINDS, key=_rank):
        for object in baseline.get(kind.resource, []):
            if not _is_derived(kind, object):
                await _put_back(client, kind, object)


async def _delete_left_behind(client: Client, baseline: Baseline) -> None:
    """Delete later objects whose owners are gone, and theirs in turn: what follows must not meet their names."""
    held = {object["metadata"]["uid"] for objects in baseline.values() for object in objects}
    later = [
        (kind, object)
        for kind in KINDS
        for object in (await client.list(kind)).items
        if object["metadata"]["uid"] not in held and _is_derived(kind, object) and kind is not LEASE
    ]
    services = {key_of(object) for object in (await client.list(SERVICE)).items}
    alive = held | {object["metadata"]["uid"] for _, object in later}
    gone = True
    while gone:
        gone = False
        for kind, object in list(later):
            owners = object["metadata"].get("ownerReferences") or ()
            if all(owner["uid"] not in alive for owner in owners) and (owners or key_of(object) not in services):
                await _delete(client, kind, key_of(object))
                later.remove((kind, object))
                alive.discard(object["metadata"]["uid"])
                gone = True


def _rank(kind: Kind) -> int:
    """Namespaces hold the rest, and a Pod's variables are those of the Services that exist before it."""
    return 0 if kind is NAMESPACE else 2 if kind is POD or kind.group in WORKLOADS else 1


def _is_derived(kind: Kind, object: JsonObject) -> bool:
    owned = any(owner.get("controller") for owner in object["metadata"].get("ownerReferences") or ())
    if kind is LEASE and object["metadata"]["namespace"] == NODE_LEASES:
        return True  # a life sign of the past would make its node look dead
    return owned or (
        kind.resource in DERIVED and "endpoints.kubernetes.io/managed-by" in (object["metadata"].get("labels") or {})
    )


async def _delete(client: Client, kind: Kind, key: ObjectKey) -> None:
    with suppress(NotFound):
        await client.delete(kind, key.name, key.namespace, grace_period_seconds=0)


async def _put_back(client: Client, kind: Kind, object: JsonObject) -> None:
    key = key_of(object)
    wanted = {k: v for k, v in object.items() if k != "status"}
    metadata = {k: v for k, v in object["metadata"].items() if k not in ("resourceVersion", "uid", "creationTimestamp")}
    try:
        live = await client.get(kind, key.name, key.namespace)
    except NotFound:
        spec = wanted.get("spec")
        if isinstance(spec, dict) and "nodeName" in spec:
            wanted = {**wanted, "spec": {k: v for k, v in spec.items() if k != "nodeName"}}
        await _create(client, kind, {**wanted, "metadata": metadata})
        return
    same = {k: v for k, v in live.items() if k != "status"}
    ignored = ("resourceVersion", "generation", "uid")
    if {**same, "metadata": _without(same["metadata"], ignored)} == {
        **wanted,
        "metadata": _without(object["metadata"], ignored),
    }:
        return
    try:
        await client.update(kind, {**wanted, "metadata": {**metadata, "uid": live["metadata"]["uid"]}})
    except ApiError:  # an immutable field changed: only a new object can have the old state
        await _delete(client, kind, key)
        await _create(client, kind, {**wanted, "metadata": metadata})


async def _create(client: Client, kind: Kind, wanted: JsonObject) -> None:
    """Make it again as its owner did: what was applied stays that manager's, so that it may apply something else."""
    entries = wanted["metadata"].get("managedFields") or ()
    manager = next((entry["manager"] for entry in entries if entry.get("operation") == "Apply"), "")
    if not manager:
        await client.create(kind, wanted)
        return
    key = key_of(wanted)
    applied = {**wanted, "metadata": _without(wanted["metadata"], ("managedFields", "generation"))}
    await client.patch(kind, key.name, key.namespace, patch=applied, patch_type="apply", manager=manager, force=True)


def _without(metadata: JsonObject, keys: tuple[str, ...]) -> JsonObject:
    return {k: v for k, v in metadata.items() if k not in keys}
