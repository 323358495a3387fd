"""Multi-version storage as data: one revision counter, the present objects, and a bounded history of changes.

Never mutates an object it was handed: a commit makes a shallow copy that carries the new resourceVersion, and
everybody shares that copy. No I/O.
Source: etcd's revisions; k8s.io/apiserver pkg/storage/etcd3 (what a resourceVersion is, when the answer is 410).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Literal, NamedTuple

from emulator.api.errors import EmulatorError
from emulator.api.meta import JsonObject

RETAINED_EVENTS = 50_000
"""Changes kept for replay and old snapshots; they only hold references, the objects are shared."""

ABSENT = ""
"""The version of an object that is not there."""


class Superseded(EmulatorError):
    """The object is not at the expected version any more; `actual` is the present one, None when there is none."""

    def __init__(self, key: str, actual: JsonObject | None) -> None:
        super().__init__(f"{key} is at version {version_of(actual) or 'none'}")
        self.actual = actual


class Compacted(EmulatorError):
    """The revision asked for is forgotten; `oldest` is the oldest one that still has an answer."""

    def __init__(self, revision: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {revision} ({oldest})")
        self.revision = revision
        self.oldest = oldest


class Event(NamedTuple):
    """One committed change. A DELETED object is the last state with the deletion's resourceVersion."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    revision: int
    resource: str
    key: str
    object: JsonObject
    previous: JsonObject | None


def version_of(object: JsonObject | None) -> str:
    """The resourceVersion, ABSENT for None."""
    if object is None:
        return ABSENT
    version: str = object["metadata"]["resourceVersion"]
    return version


class _Table:
    """The present objects of one resource: by key, and the keys in order."""

    __slots__ = ("keys", "objects")

    def __init__(self) -> None:
        self.objects: dict[str, JsonObject] = {}
        self.keys: list[str] = []

    def put(self, key: str, object: JsonObject) -> None:
        if key not in self.objects:
            insort(self.keys, key)
        self.objects[key] = object

    def drop(self, key: str) -> None:
        del self.objects[key]
        del self.keys[bisect_left(self.keys, key)]

    def keys_from(self, prefix: str, start: str) -> list[str]:
        """Keys with the prefix that are not below `start`, in order."""
        low = bisect_left(self.keys, max(prefix, start))
        if not prefix:
            return self.keys[low:] if low else self.keys
        return self.keys[low : bisect_left(self.keys, prefix_end(prefix), low)]


def prefix_end(prefix: str) -> str:
    """The first text that sorts after everything with this prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


class History:
    """The state at every retained revision. Not for use by two threads."""

    def __init__(self, retained: int = RETAINED_EVENTS) -> None:
        self.revision = 1
        self.oldest = 1
        """Replay from, and snapshots at, any revision from here on have an answer."""
        self._retained = retained
        self._tables: dict[str, _Table] = {}
        self._events: list[Event] = []  # of revisions oldest + 1 ... revision, without a gap

    def get(self, resource: str, key: str) -> JsonObject | None:
        table = self._tables.get(resource)
        return None if table is None else table.objects.get(key)

    def range(
        self, resource: str, prefix: str = "", *, start: str = "", revision: int | None = None
    ) -> list[tuple[str, JsonObject]]:
        """(key, object) in key order from `start` on, at a revision or now. Raises Compacted."""
        table = self._tables.get(resource) or _Table()
        if revision is not None and revision < self.revision:
            return self._snapshot(table, resource, prefix, start, revision)
        objects = table.objects
        return [(key, objects[key]) for key in table.keys_from(prefix, start)]

    def values(self, resource: str, prefix: str = "") -> list[JsonObject]:
        """The present objects in key order; the cheapest list."""
        table = self._tables.get(resource)
        if table is None:
            return []
        objects = table.objects
        return [objects[key] for key in table.keys_from(prefix, "")]

    def _snapshot(
        self, table: _Table, resource: str, prefix: str, start: str, revision: int
    ) -> list[tuple[str, JsonObject]]:
        """The present state with every later change undone, newest first."""
        objects = {key: table.objects[key] for key in table.keys_from(prefix, start)}
        for event in reversed(self.since(revision, resource, prefix)):
            if event.key < start:
                continue
            if event.previous is None:
                objects.pop(event.key, None)
            else:
                objects[event.key] = event.previous
        return sorted(objects.items(), key=lambda item: item[0])

    def commit(self, resource: str, key: str, object: JsonObject | None, *, expected: str) -> Event:
        """Put (or, with None, delete) if the present version is `expected`, ABSENT for none. Raises Superseded.

        Deleting what is absent raises Superseded as well.
        """
        table = self._tables.get(resource)
        if table is None:
            table = self._tables[resource] = _Table()
        previous = table.objects.get(key)
        if version_of(previous) != expected or (object is None and previous is None):
            raise Superseded(f"{resource} {key}", previous)
        revision = self.revision + 1
        if object is None:
            event = Event("DELETED", revision, resource, key, at_revision(previous or {}, revision), previous)
            table.drop(key)
        else:
            stored = at_revision(object, revision)
            event = Event("ADDED" if previous is None else "MODIFIED", revision, resource, key, stored, previous)
            table.put(key, stored)
        self.revision = revision
        self._events.append(event)
        if len(self._events) >= 2 * self._retained:
            self.compact(self.revision - self._retained)
        return event

    def since(self, revision: int, resource: str, prefix: str = "") -> list[Event]:
        """The changes after `revision`, oldest first; none for a revision not reached yet. Raises Compacted."""
        if revision < self.oldest:
            raise Compacted(revision, self.oldest)
        return list(_of(self._events[revision - self.oldest :], resource, prefix))

    def compact(self, revision: int) -> None:
        """Forget the changes up to and including `revision`."""
        revision = min(revision, self.revision)
        if revision > self.oldest:
            del self._events[: revision - self.oldest]
            self.oldest = revision


def _of(events: Iterable[Event], resource: str, prefix: str) -> Iterable[Event]:
    return (event for event in events if event.resource == resource and event.key.startswith(prefix))


def at_revision(object: JsonObject, revision: int) -> JsonObject:
    """A shallow copy with this resourceVersion; everything below metadata is shared with the original."""
    return {**object, "metadata": {**object["metadata"], "resourceVersion": str(revision)}}
