"""Who owns what after a write: the rules of updates, of applied configurations, and of conflicts between them.

Managers are looked up by a key of the caller's choosing; the caller keeps their times and names.
Source: sigs.k8s.io/structured-merge-diff merge/update.go.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from emulator.api.apply.fieldsets import (
    NOTHING,
    FieldSet,
    difference,
    intersection,
    paths,
    recursive_difference,
    union,
)
from emulator.api.apply.shapes import MapOf
from emulator.api.apply.typed import Comparison, compare, fields_of, merge, remove, with_named_fields


@dataclass(frozen=True, slots=True)
class Owned:
    """What a manager owns; applied: by applied configurations, else by updates."""

    fields: FieldSet
    applied: bool = False


Key = TypeVar("Key", bound=Hashable)
Managers = dict[Key, Owned]
Path = tuple[str, ...]


class OwnershipConflict(Exception, Generic[Key]):
    """An applied configuration changes fields others own: (manager, path) of each, grouped by manager."""

    def __init__(self, conflicts: list[tuple[Key, Path]]) -> None:
        super().__init__(f"{len(conflicts)} conflicts")
        self.conflicts = conflicts


def update(
    shape: MapOf, live: dict[str, Any], new: dict[str, Any], managers: Mapping[Key, Owned], who: Key, ignored: FieldSet
) -> Managers[Key]:
    """The managers after `who` wrote `new` over `live`: `who` owns what changed, nobody what is gone.

    ignored: fields this kind of request cannot write. Raises ShapeError.
    """
    changes = _compare(shape, live, new, ignored)
    left = _without(managers, who, changes)
    held = managers[who].fields if who in managers else NOTHING
    fields = union(union(difference(held, changes.removed), changes.modified), changes.added)
    fields = recursive_difference(fields, ignored)
    if fields:
        left[who] = Owned(fields)
    return left


def apply(
    shape: MapOf,
    live: dict[str, Any],
    config: dict[str, Any],
    managers: Mapping[Key, Owned],
    who: Key,
    ignored: FieldSet,
    *,
    force: bool,
) -> tuple[dict[str, Any], Managers[Key]]:
    """`live` with the configuration merged in and what `who` applied before and now left out taken away.

    Left-out fields stay when another manager owns them. Raises OwnershipConflict unless forced, and ShapeError.
    """
    merged: dict[str, Any] = merge(live, config, shape)
    last = managers.get(who)
    now = {**managers, who: Owned(recursive_difference(fields_of(config, shape), ignored), applied=True)}
    if last is not None and last.fields:
        merged = _pruned(shape, merged, last.fields, now)
    changes = _compare(shape, live, merged, ignored)
    if not force:
        conflicts = _conflicts(now, who, changes)
        if conflicts:
            raise OwnershipConflict(conflicts)
    after = _without(now, who, changes)
    if now[who].fields:
        after[who] = now[who]
    return merged, after


def _compare(shape: MapOf, live: dict[str, Any], new: dict[str, Any], ignored: FieldSet) -> Comparison:
    found = compare(live, new, shape)
    if not ignored:
        return found
    return Comparison(*(recursive_difference(fields, ignored) for fields in found))


def _conflicts(managers: Mapping[Key, Owned], who: Key, changes: Comparison) -> list[tuple[Key, Path]]:
    written = union(changes.modified, changes.added)
    return [
        (key, path)
        for key, owned in managers.items()
        if key != who
        for path in paths(intersection(owned.fields, written))
    ]


def _without(managers: Mapping[Key, Owned], who: Key, changes: Comparison) -> Managers[Key]:
    """The other managers without what was written by `who` and what is gone."""
    lost = union(union(changes.modified, changes.added), changes.removed)
    left: Managers[Key] = {}
    for key, owned in managers.items():
        if key == who:
            continue
        fields = difference(owned.fields, lost)
        if fields:
            left[key] = owned if fields is owned.fields else replace(owned, fields=fields)
    return left


def _pruned(shape: MapOf, merged: dict[str, Any], last: FieldSet, managers: Mapping[Key, Owned]) -> dict[str, Any]:
    """The merged object without what only the last configuration owned.

    First all of it goes, then what others own comes back, then what `last` never owned.
    """
    last = with_named_fields(last, shape)
    everything = with_named_fields(fields_of(merged, shape), shape)
    pruned = remove(merged, last, shape) or {}
    kept = with_named_fields(fields_of(pruned, shape), shape)
    owned = NOTHING
    for held in managers.values():
        owned = union(owned, held.fields)
    pruned = remove(merged, difference(everything, union(kept, with_named_fields(owned, shape))), shape) or {}
    kept = with_named_fields(fields_of(pruned, shape), shape)
    left: dict[str, Any] = remove(merged, intersection(difference(everything, kept), last), shape) or {}
    return left
