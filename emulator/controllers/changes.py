"""What a plan is given and what it gives back. Pure.

A Controller is a declaration: a name, the kinds it watches with the keys each change concerns, and a plan. A plan may
only read its View, never change an object of it, and settled state gives empty Changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from emulator.api.errors import ApiError
from emulator.api.kinds import EVENT, Kind
from emulator.api.meta import JsonObject, ObjectKey, format_time
from emulator.client.index import Change

Propagation = Literal["Background", "Foreground", "Orphan"]


class View(Protocol):
    """The objects a plan may read; shared, never changed here."""

    def get(self, kind: Kind, name: str, namespace: str = "") -> JsonObject | None: ...

    def in_namespace(self, kind: Kind, namespace: str) -> Mapping[str, JsonObject]: ...

    def all(self, kind: Kind) -> Iterable[JsonObject]: ...

    def owned_by(self, kind: Kind, uid: str, namespace: str) -> Mapping[str, JsonObject]:
        """Objects whose controlling owner has this uid; "" for those that have none."""
        ...

    def dependents(self, kind: Kind, uid: str) -> Mapping[ObjectKey, JsonObject]:
        """Objects with an owner of this uid, controlling or not."""
        ...


@dataclass(frozen=True, slots=True)
class Write:
    """A create or an update of an object; subresource "" or "status"."""

    kind: Kind
    object: JsonObject
    subresource: str = ""
    told: Callable[[JsonObject], JsonObject] | None = None
    """The Event to write once it is done, made of the object as it came back."""


@dataclass(frozen=True, slots=True)
class Delete:
    """A deletion of the object with this uid only."""

    kind: Kind
    key: ObjectKey
    uid: str
    grace_period_seconds: int | None = None
    propagation: Propagation = "Background"


@dataclass(frozen=True, slots=True)
class Changes:
    """What a plan wants; applied in this order: updates, creates, deletes, events.

    refused: what is written instead of the rest when a create is refused, from the refusal; the plan is tried again.
    """

    updates: tuple[Write, ...] = ()
    creates: tuple[Write, ...] = ()
    deletes: tuple[Delete, ...] = ()
    events: tuple[JsonObject, ...] = field(default=())
    retry_after_seconds: float | None = None
    refused: Callable[[ApiError], Changes] | None = None

    @property
    def is_empty(self) -> bool:
        return not self.count

    @property
    def count(self) -> int:
        """How many objects are written or deleted, Events aside."""
        return len(self.updates) + len(self.creates) + len(self.deletes)


NOTHING = Changes()

Plan = Callable[[ObjectKey, View, datetime], Changes]
Keys = Callable[[Change, View], Iterable[ObjectKey]]


@dataclass(frozen=True, slots=True)
class Controller:
    """reads: kinds the plan looks at without being told of their changes."""

    name: str
    watches: Mapping[Kind, Keys]
    plan: Plan
    reads: tuple[Kind, ...] = ()
    start_keys: tuple[ObjectKey, ...] = ()


def own_key(change: Change, view: View) -> Iterable[ObjectKey]:
    """The changed object's own key: for kinds that a controller is about."""
    return (change.key,)


def event(
    component: str, about: JsonObject, kind: Kind, *, type: str, reason: str, message: str, at: datetime, suffix: str
) -> JsonObject:
    """An Event as client-go's recorder writes it; suffix makes its name unique."""
    metadata = about["metadata"]
    namespace = metadata.get("namespace") or "default"
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": f"{metadata['name']}.{suffix}", "namespace": namespace},
        "involvedObject": {
            "kind": kind.kind,
            "apiVersion": kind.api_version,
            "name": metadata["name"],
            **({"namespace": metadata["namespace"]} if metadata.get("namespace") else {}),
            "uid": metadata.get("uid", ""),
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
        "type": type,
        "reason": reason,
        "message": message,
        "source": {"component": component},
        "reportingComponent": component,
        "firstTimestamp": format_time(at),
        "lastTimestamp": format_time(at),
        "count": 1,
    }
