"""The parts of an object that every kind shares: identity, labels, times."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

JsonObject = dict[str, Any]
"""A manifest or any other JSON object. Cached ones are shared: copy before you change one."""


class ObjectKey(NamedTuple):
    """Names one object of a kind; `namespace` is "" for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def key_of(object: Mapping[str, Any]) -> ObjectKey:
    """The (namespace, name) of an object that has metadata."""
    metadata = object["metadata"]
    return ObjectKey(metadata.get("namespace") or "", metadata["name"])


def labels_of(object: Mapping[str, Any]) -> Mapping[str, str]:
    return object["metadata"].get("labels") or {}


def annotations_of(object: Mapping[str, Any]) -> Mapping[str, str]:
    return object["metadata"].get("annotations") or {}


def is_terminating(object: Mapping[str, Any]) -> bool:
    return bool(object["metadata"].get("deletionTimestamp"))


def condition_of(object: Mapping[str, Any], type: str) -> Mapping[str, Any] | None:
    """The entry of `status.conditions` with this type, or None."""
    for condition in (object.get("status") or {}).get("conditions") or ():
        if condition.get("type") == type:
            found: Mapping[str, Any] = condition
            return found
    return None


def format_time(at: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as metav1.Time is written."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds, as metav1.MicroTime is written."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@lru_cache(maxsize=8192)
def parse_time(text: str) -> datetime:
    """The UTC time of an RFC 3339 text. Raises ValueError if it is none."""
    return datetime.fromisoformat(text).astimezone(UTC)


def owner_reference(owner: Mapping[str, Any], *, api_version: str, kind: str) -> JsonObject:
    """A controller reference to `owner`, as controllers put on what they create."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
