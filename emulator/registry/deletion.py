"""What a DELETE does to an object, decided without doing it: go at once, be marked and wait, or nothing.

Works on a private copy. No I/O.
Source: k8s.io/apiserver pkg/registry/rest/delete.go, pkg/registry/generic/registry/store.go;
pkg/registry/core/namespace/storage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from emulator.api.errors import Conflict
from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject, format_time, parse_time
from emulator.registry.options import DeleteOptions
from emulator.registry.strategy import Strategy

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"


@dataclass(frozen=True, slots=True)
class Deletion:
    """mark: the object to store first, None to leave it; remove: take it away (then)."""

    mark: JsonObject | None
    remove: bool


def check_preconditions(kind: Kind, object: Mapping[str, Any], options: DeleteOptions) -> None:
    """Raises Conflict when the object is not the one meant."""
    metadata = object["metadata"]
    of = f"{kind.kind}.{kind.group}" if kind.group else kind.kind  # upstream names the kind here, not the resource
    if options.uid is not None and options.uid != metadata["uid"]:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({metadata['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise Conflict.of(of, metadata["name"], why)
    if options.resource_version is not None and options.resource_version != metadata["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion "
            f"in record ({metadata['resourceVersion']}). The object might have been modified"
        )
        raise Conflict.of(of, metadata["name"], why)


def plan_deletion(strategy: Strategy, object: JsonObject, options: DeleteOptions, *, at: datetime) -> Deletion:
    """object: a private copy of the stored one, which the mark is made on. Raises Conflict."""
    check_preconditions(strategy.kind, object, options)
    if strategy.grace_period_seconds is None:
        return _without_grace(object, options, at)
    metadata = object["metadata"]
    if metadata.get("deletionTimestamp"):
        return _again(object, options, at)
    seconds = _grace(strategy.grace_period_seconds(object), options.grace_period_seconds)
    metadata["deletionTimestamp"] = format_time(at + timedelta(seconds=seconds))
    metadata["deletionGracePeriodSeconds"] = seconds
    if metadata.get("generation"):
        metadata["generation"] += 1
    _set_finalizers(metadata, options)
    return Deletion(object, remove=seconds == 0 and not metadata.get("finalizers"))


def _grace(default: int, asked: int | None) -> int:
    """A kind whose default is 0 (a Pod that runs nowhere) has nothing to wait for, whatever was asked."""
    if asked is None or default == 0:
        return default
    return asked if asked >= 0 else 1


def _without_grace(object: JsonObject, options: DeleteOptions, at: datetime) -> Deletion:
    metadata = object["metadata"]
    changed = _set_finalizers(metadata, options)
    if not metadata.get("finalizers"):
        return Deletion(None, remove=True)
    if metadata.get("deletionTimestamp") and not changed:
        return Deletion(None, remove=False)
    mark_deleting(metadata, at)
    return Deletion(object, remove=False)


def mark_deleting(metadata: JsonObject, at: datetime) -> None:
    """The object goes as soon as its finalizers are gone."""
    if "deletionGracePeriodSeconds" not in metadata and metadata.get("generation"):
        metadata["generation"] += 1
    now = format_time(at)
    metadata["deletionTimestamp"] = min(metadata.get("deletionTimestamp") or now, now)
    metadata["deletionGracePeriodSeconds"] = 0


def _again(object: JsonObject, options: DeleteOptions, at: datetime) -> Deletion:
    """A deletion is pending already: a later one can only shorten the wait."""
    metadata = object["metadata"]
    pending = metadata.get("deletionGracePeriodSeconds") or 0
    if pending == 0:
        return _without_grace(object, options, at)
    asked = options.grace_period_seconds
    if asked is None or asked >= pending:
        return Deletion(None, remove=False)
    asked = max(asked, 0)
    ends = parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=pending - asked)
    metadata["deletionTimestamp"] = format_time(ends)
    metadata["deletionGracePeriodSeconds"] = asked
    _set_finalizers(metadata, options)
    return Deletion(object, remove=asked == 0 and not metadata.get("finalizers"))


def _set_finalizers(metadata: JsonObject, options: DeleteOptions) -> bool:
    """The propagation policy as a finalizer that the garbage collector acts on. True when they changed."""
    before = list(metadata.get("finalizers") or ())
    if options.propagation is None:
        return False  # what an earlier delete or the owner asked for stays
    kept = [name for name in before if name not in (ORPHAN, FOREGROUND)]
    if options.propagation == "Orphan":
        kept.append(ORPHAN)
    elif options.propagation == "Foreground":
        kept.append(FOREGROUND)
    if set(kept) == set(before):
        return False
    if kept:
        metadata["finalizers"] = kept
    else:
        metadata.pop("finalizers", None)
    return True


def plan_namespace_deletion(
    strategy: Strategy, namespace: JsonObject, options: DeleteOptions, *, at: datetime
) -> Deletion:
    """A Namespace first becomes Terminating; it goes once its spec's finalizers, then its metadata's, are gone."""
    metadata = namespace["metadata"]
    for field, asked, held in (
        ("UID", options.uid, metadata["uid"]),
        ("ResourceVersion", options.resource_version, metadata["resourceVersion"]),
    ):
        if asked is not None and asked != held:  # namespaces have a storage of their own, with words of its own
            why = f"Precondition failed: {field} in precondition: {asked}, {field} in object meta: {held}"
            raise Conflict.of(strategy.kind.resource, metadata["name"], why)
    if not metadata.get("deletionTimestamp"):
        mark_deleting(metadata, at)
        metadata.pop("deletionGracePeriodSeconds", None)  # upstream sets the time alone here
        namespace.setdefault("status", {})["phase"] = "Terminating"
        waits = bool((namespace.get("spec") or {}).get("finalizers") or metadata.get("finalizers"))
        return Deletion(namespace, remove=not waits)
    if (namespace.get("spec") or {}).get("finalizers"):
        return Deletion(None, remove=False)
    return _without_grace(namespace, options, at)


def goes_with_update(kind: Kind, object: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether an update took away the last thing a pending deletion waited for."""
    metadata, before = object["metadata"], old["metadata"]
    if not before.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if kind.resource == "namespaces":
        return not (object.get("spec") or {}).get("finalizers")
    return not before.get("deletionGracePeriodSeconds")
