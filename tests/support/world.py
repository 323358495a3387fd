"""A small world for plans: objects in indexes, Changes applied as the API would, a kubelet and a scheduler in a line."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from emulator.api.kinds import KINDS, POD, Kind, kind_by_name
from emulator.api.meta import JsonObject, ObjectKey, format_time, is_terminating, key_of
from emulator.client.index import Index
from emulator.controllers.changes import Changes, Controller
from emulator.controllers.daemonpods import target_node

START = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


class World:
    """A View of its own objects; `events` keeps (reason, message) of all that was told."""

    def __init__(self, *objects: JsonObject, at: datetime = START) -> None:
        self.at = at
        self.indexes = {kind.resource: Index(kind) for kind in KINDS}
        self.events: list[tuple[str, str]] = []
        self.serial = 0
        for each in objects:
            self.create(each)

    # the View

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

    # what the API does

    def create(self, object: JsonObject) -> JsonObject:
        kind = kind_by_name(object["apiVersion"], object["kind"])
        assert kind is not None
        made = copy.deepcopy(object)
        metadata = made["metadata"]
        self.serial += 1
        if "name" not in metadata:
            metadata["name"] = f"{metadata['generateName']}{self.serial:05}"
        if kind.namespaced:
            metadata.setdefault("namespace", "default")
        metadata.setdefault("uid", f"uid-{self.serial}")
        metadata.setdefault("creationTimestamp", format_time(self.at))
        metadata.setdefault("generation", 1)
        if kind is POD:
            made.setdefault("status", {"phase": "Pending"})
        self._put(kind, made)
        return made

    def _put(self, kind: Kind, object: JsonObject) -> None:
        self.serial += 1
        object["metadata"]["resourceVersion"] = str(self.serial)
        self.indexes[kind.resource].put(object)

    def update(self, kind: Kind, object: JsonObject, *, status: bool = False) -> JsonObject:
        held = self.get(kind, *reversed(key_of(object)))
        assert held is not None
        assert held["metadata"]["uid"] == object["metadata"]["uid"]
        made = copy.deepcopy({**held, "status": object["status"]} if status else object)
        if status and object["metadata"].get("annotations"):  # /status takes them, of Deployments revisions
            made["metadata"]["annotations"] = dict(object["metadata"]["annotations"])
        if not status and made.get("spec") != held.get("spec"):
            made["metadata"]["generation"] = held["metadata"].get("generation", 0) + 1
        if is_terminating(made) and not made["metadata"].get("finalizers") and kind is not POD:
            self.indexes[kind.resource].remove(made)
        else:
            self._put(kind, made)
        return made

    def edit(self, kind: Kind, name: str, change: Callable[[JsonObject], None], namespace: str = "default") -> None:
        """Change an object in place, as somebody with kubectl would."""
        held = self.get(kind, name, namespace if kind.namespaced else "")
        assert held is not None
        wanted = copy.deepcopy(held)
        change(wanted)
        self.update(kind, wanted)

    def delete(self, kind: Kind, key: ObjectKey) -> None:
        held = self.get(kind, key.name, key.namespace)
        if held is None:
            return
        runs = kind is POD and held["spec"].get("nodeName")
        if runs or held["metadata"].get("finalizers"):
            self._put(kind, _going(held, self.at))
        else:
            self.indexes[kind.resource].remove(held)

    def apply(self, changes: Changes) -> None:
        for write in changes.updates:
            written = self.update(write.kind, write.object, status=write.subresource == "status")
            if write.told is not None:
                self._tell(write.told(written))
        for write in changes.creates:
            name = write.object["metadata"].get("name")
            if name and self.get(write.kind, name, write.object["metadata"].get("namespace", "")) is not None:
                continue
            made = self.create(write.object)
            if write.told is not None:
                self._tell(write.told(made))
        for each in changes.deletes:
            self.delete(each.kind, each.key)
        for told in changes.events:
            self._tell(told)

    def _tell(self, event: JsonObject) -> None:
        self.events.append((event["reason"], event["message"]))

    # what happens meanwhile

    def settle(self, controller: Controller, key: ObjectKey, rounds: int = 50) -> int:
        """Plan until nothing is left to do; in how many rounds."""
        for count in range(rounds):
            changes = controller.plan(key, self, self.at)
            self.apply(changes)
            if changes.is_empty:
                return count
        raise AssertionError(f"{controller.name} {key} does not settle")

    def kubelet(self, *, run: bool = True) -> None:
        """Bind, run and end pods: what is meant for a node runs there, what is going is gone."""
        for pod in list(self.all(POD)):
            if is_terminating(pod):
                if not pod["metadata"].get("finalizers"):
                    self.indexes[POD.resource].remove(pod)
                elif (pod.get("status") or {}).get("phase") in ("Pending", "Running"):
                    self.set_phase(pod, "Failed")
            elif run and (pod.get("status") or {}).get("phase") == "Pending":
                bound = {**pod, "spec": {**pod["spec"], "nodeName": target_node(pod) or "node-1"}}
                self.set_phase(bound, "Running")

    def set_phase(self, pod: JsonObject, phase: str, **status: Any) -> None:
        made = copy.deepcopy(pod)
        ready = "True" if phase == "Running" else "False"
        condition = {"type": "Ready", "status": ready, "lastTransitionTime": format_time(self.at)}
        made["status"] = {"phase": phase, "conditions": [condition], **status}
        if is_terminating(made) and not made["metadata"].get("finalizers"):
            self.indexes[POD.resource].remove(made)
        else:
            self._put(POD, made)

    def pods(self) -> list[JsonObject]:
        return sorted(self.all(POD), key=lambda pod: str(pod["metadata"]["name"]))

    def wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def _going(object: JsonObject, at: datetime) -> JsonObject:
    made = copy.deepcopy(object)
    made["metadata"].setdefault("deletionTimestamp", format_time(at))
    made["metadata"].setdefault("deletionGracePeriodSeconds", 30)
    return made


def reasons(world: World) -> list[str]:
    return [reason for reason, _ in world.events]
