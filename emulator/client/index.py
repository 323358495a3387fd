"""An index of one kind's objects, kept current one event at a time. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject, ObjectKey, key_of


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the index before and after; `previous` is None only for ADDED."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    kind: Kind
    object: JsonObject
    previous: JsonObject | None

    @property
    def key(self) -> ObjectKey:
        return key_of(self.object)


Listener = Callable[[Change], None]


class Index:
    """Objects of one kind by key and by namespace. They are shared: never change one."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.revision = 0
        """The greatest resourceVersion told, a deletion's included: a write up to it shows here."""
        self._by_namespace: dict[str, dict[str, JsonObject]] = {}
        self._by_owner: dict[tuple[str, str], dict[str, JsonObject]] = {}
        self._by_reference: dict[str, dict[ObjectKey, JsonObject]] = {}

    def __len__(self) -> int:
        return sum(len(objects) for objects in self._by_namespace.values())

    def __iter__(self) -> Iterator[JsonObject]:
        for objects in list(self._by_namespace.values()):
            yield from list(objects.values())

    def get(self, name: str, namespace: str = "") -> JsonObject | None:
        return self._by_namespace.get(namespace, {}).get(name)

    def by_key(self, key: ObjectKey) -> JsonObject | None:
        return self.get(key.name, key.namespace)

    def in_namespace(self, namespace: str) -> Mapping[str, JsonObject]:
        """The namespace's objects by name; a live view."""
        return self._by_namespace.get(namespace, {})

    def owned_by(self, uid: str, namespace: str) -> Mapping[str, JsonObject]:
        """The namespace's objects whose controlling owner has this uid, "" for those without one; a live view."""
        return self._by_owner.get((namespace, uid), {})

    def dependents(self, uid: str) -> Mapping[ObjectKey, JsonObject]:
        """The objects with an owner of this uid, controlling or not; a live view."""
        return self._by_reference.get(uid, {})

    def put(self, object: JsonObject) -> Change | None:
        """Add or replace; None when this very resourceVersion is already held."""
        key = key_of(object)
        self._note(object)
        objects = self._by_namespace.setdefault(key.namespace, {})
        previous = objects.get(key.name)
        if previous is not None:
            held, came = previous["metadata"], object["metadata"]
            if held.get("resourceVersion") == came.get("resourceVersion") and held.get("uid") == came.get("uid"):
                return None
        if previous is not None:
            self._disown(key, previous)
        objects[key.name] = object
        self._by_owner.setdefault((key.namespace, controller_uid(object)), {})[key.name] = object
        for reference in object["metadata"].get("ownerReferences") or ():
            self._by_reference.setdefault(reference["uid"], {})[key] = object
        return Change("ADDED" if previous is None else "MODIFIED", self.kind, object, previous)

    def remove(self, object: JsonObject) -> Change | None:
        """Take away; the change carries the last state told. None when it was not held."""
        key = key_of(object)
        self._note(object)
        objects = self._by_namespace.get(key.namespace)
        if objects is None or key.name not in objects:
            return None
        previous = objects.pop(key.name)
        if not objects:
            del self._by_namespace[key.namespace]
        self._disown(key, previous)
        return Change("DELETED", self.kind, object, previous)

    def _note(self, object: JsonObject) -> None:
        version = object["metadata"].get("resourceVersion") or ""
        if version.isdigit():
            self.revision = max(self.revision, int(version))

    def _disown(self, key: ObjectKey, object: JsonObject) -> None:
        place = (key.namespace, controller_uid(object))
        owned = self._by_owner[place]
        del owned[key.name]
        if not owned:
            del self._by_owner[place]
        for reference in object["metadata"].get("ownerReferences") or ():
            dependents = self._by_reference.get(reference["uid"], {})
            dependents.pop(key, None)
            if not dependents:
                self._by_reference.pop(reference["uid"], None)

    def replace(self, objects: list[JsonObject]) -> list[Change]:
        """The changes that make the index hold exactly `objects` (after a fresh list), already applied."""
        wanted = {key_of(object) for object in objects}
        gone = [object for object in self if key_of(object) not in wanted]
        changes = [self.remove(object) for object in gone] + [self.put(object) for object in objects]
        return [change for change in changes if change is not None]


def controller_uid(object: JsonObject) -> str:
    """The uid of the controlling owner, "" without one."""
    for owner in object["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return str(owner["uid"])
    return ""
