"""A small world for plans: objects in indexes, and what the API would make of a plan's Changes. No event loop."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from emulator.api.kinds import BINDING, KINDS, NAMESPACE, NODE, POD, SERVICE, Kind, kind_by_name
from emulator.api.meta import JsonObject, ObjectKey, format_time, is_terminating, key_of
from emulator.client.index import Change, Index
from emulator.controllers.changes import Changes, Delete, Write

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
NS = "shop"
FINALIZER_OF = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}


class World:
    """A View, and the API behind it: it gives names, uids and revisions, and takes away what may go."""

    def __init__(self, *objects: JsonObject) -> None:
        self.indexes = {kind.resource: Index(kind) for kind in KINDS}
        self.revision = 0
        self.changes: list[Change] = []
        for object in objects:
            self.put(object)

    def get(self, kind: Kind, name: str, namespace: str = "") -> JsonObject | None:
        return self.indexes[kind.resource].get(name, namespace)

    def in_namespace(self, kind: Kind, namespace: str) -> Mapping[str, JsonObject]:
        return self.indexes[kind.resource].in_namespace(namespace)

    def all(self, kind: Kind) -> Iterable[JsonObject]:
        return self.indexes[kind.resource]

    def owned_by(self, kind: Kind, uid: str, namespace: str) -> Mapping[str, JsonObject]:
        return self.indexes[kind.resource].owned_by(uid, namespace)

    def dependents(self, kind: Kind, uid: str) -> Mapping[ObjectKey, JsonObject]:
        return self.indexes[kind.resource].dependents(uid)

    def the(self, kind: Kind, name: str, namespace: str = NS) -> JsonObject:
        """The object of this name, which must be there."""
        found = self.get(kind, name, namespace if kind.namespaced else "")
        assert found is not None, f"no {kind.kind} {name}"
        return found

    def put(self, object: JsonObject) -> JsonObject:
        """Write an object as it stands; it gets a name, a uid and a revision."""
        kind = kind_by_name(object["apiVersion"], object["kind"])
        assert kind is not None
        self.revision += 1
        stored = copy.deepcopy(object)
        metadata = stored["metadata"]
        if not metadata.get("name"):
            metadata["name"] = f"{metadata['generateName']}{self.revision:05d}"
        metadata.setdefault("uid", f"uid-{kind.plural}-{metadata['name']}")
        metadata.setdefault("creationTimestamp", format_time(AT))
        metadata["resourceVersion"] = str(self.revision)
        for field in ("labels", "annotations", "finalizers", "ownerReferences"):
            if not metadata.get(field):
                metadata.pop(field, None)
        change = self.indexes[kind.resource].put(stored)
        assert change is not None
        self.changes.append(change)
        return stored

    def remove(self, kind: Kind, name: str, namespace: str = NS) -> None:
        change = self.indexes[kind.resource].remove(self.the(kind, name, namespace))
        assert change is not None
        self.changes.append(change)

    def apply(self, changes: Changes) -> None:
        """Do what the writer does, in its order."""
        for write in changes.updates:
            self._update(write)
        for write in changes.creates:
            if write.kind is BINDING:
                self._bind(write.object)
            else:
                self.put(write.object)
        for delete in changes.deletes:
            self.delete(delete)

    def delete(self, delete: Delete) -> None:
        held = self.get(delete.kind, delete.key.name, delete.key.namespace)
        assert held is not None, f"{delete.key} is not there to delete"
        assert held["metadata"]["uid"] == delete.uid
        object = copy.deepcopy(held)
        finalizers = object["metadata"].setdefault("finalizers", [])
        if (own := FINALIZER_OF.get(delete.propagation)) and own not in finalizers:
            finalizers.append(own)
        if delete.kind is NAMESPACE or finalizers:
            object["metadata"].setdefault("deletionTimestamp", format_time(AT))
            self._let_go(delete.kind, object)
        else:
            self.remove(delete.kind, delete.key.name, delete.key.namespace)

    def _bind(self, binding: JsonObject) -> None:
        pod = self.the(POD, binding["metadata"]["name"], binding["metadata"]["namespace"])
        assert pod["metadata"]["uid"] == binding["metadata"]["uid"]
        assert not pod["spec"].get("nodeName")
        self.put({**pod, "spec": {**pod["spec"], "nodeName": binding["target"]["name"]}})

    def _update(self, write: Write) -> None:
        key = key_of(write.object)
        held = self.get(write.kind, key.name, key.namespace)
        assert held is not None, f"{key} is not there to update"
        revision = write.object["metadata"].get("resourceVersion")
        assert revision in (None, held["metadata"]["resourceVersion"]), f"{key}: stale write"
        object = {**write.object, "metadata": {**write.object["metadata"]}}
        for field in ("uid", "creationTimestamp", "generateName", "deletionTimestamp"):
            if field in held["metadata"]:
                object["metadata"][field] = held["metadata"][field]
        if write.subresource == "status":
            object = {**held, "status": object["status"]}
        elif "status" in held:
            object = {**object, "status": held["status"]}
        self._let_go(write.kind, object)

    def _let_go(self, kind: Kind, object: JsonObject) -> None:
        waits = object["metadata"].get("finalizers") or (kind is NAMESPACE and object["spec"].get("finalizers"))
        if is_terminating(object) and not waits:
            self.remove(kind, object["metadata"]["name"], object["metadata"].get("namespace", ""))
        else:
            self.put(object)


def settle(world: World, plan: Callable[[ObjectKey, World], Changes], key: ObjectKey, *, rounds: int = 10) -> int:
    """Plan and apply until the plan wants nothing; how often it wrote."""
    for written in range(rounds):
        changes = plan(key, world)
        if changes.is_empty:
            return written
        world.apply(changes)
    raise AssertionError(f"still not settled after {rounds} rounds: {changes}")


def make(kind: Kind, name: str, namespace: str = NS, **fields: Any) -> JsonObject:
    """An object; `metadata` among the fields is merged in."""
    place = {"namespace": namespace} if kind.namespaced else {}
    metadata = {"name": name, **place, **fields.pop("metadata", {})}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **fields}


def service(name: str = "web", **spec: Any) -> JsonObject:
    """A Service as the API stores it, selecting app=NAME; `labels` and `annotations` go to its metadata."""
    metadata = {field: spec.pop(field) for field in ("labels", "annotations", "uid") if field in spec}
    whole = {
        "type": "ClusterIP",
        "clusterIP": "10.152.183.20",
        "ipFamilies": ["IPv4"],
        "selector": {"app": name},
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}],
        **spec,
    }
    return make(SERVICE, name, metadata=metadata, spec={k: v for k, v in whole.items() if v is not None})


def port(number: int, target: int | str, name: str = "", protocol: str = "TCP", **more: Any) -> JsonObject:
    """A Service port."""
    named = {"name": name} if name else {}
    return {**named, "port": number, "protocol": protocol, "targetPort": target, **more}


def pod(name: str, *ips: str, ready: bool | None = True, app: str = "web", **more: Any) -> JsonObject:
    """A running pod on node n1. ready None: no such condition. Named ports: `ports={"http": 8080}`."""
    since = more.pop("since", "2026-01-01T00:00:00Z")
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": since}
    status: JsonObject = {"phase": more.pop("phase", "Running"), "conditions": [] if ready is None else [condition]}
    if ips:
        status |= {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
    ports = [{"name": n, "containerPort": p, "protocol": "TCP"} for n, p in more.pop("ports", {}).items()]
    metadata: JsonObject = {"labels": {"app": app}, **more.pop("metadata", {})}
    if more.pop("terminating", False):
        metadata["deletionTimestamp"] = "2026-03-04T05:00:00Z"
    spec = {"nodeName": "n1", "containers": [{"name": "c", "ports": ports}], **more}
    return make(POD, name, metadata=metadata, spec={k: v for k, v in spec.items() if v is not None}, status=status)


def node(name: str = "n1", *, room: Mapping[str, str] | None = None, **more: Any) -> JsonObject:
    """A node; room: what it has to give besides CPU and memory in plenty."""
    labels = {"kubernetes.io/hostname": name, **more.pop("labels", {})}
    allocatable = {"cpu": "8", "memory": "32Gi", "pods": "110", **(room or {})}
    return make(NODE, name, metadata={"labels": labels}, spec=more, status={"allocatable": allocatable})
