"""Values walked by their shape: which fields they have, how two differ, one merged into another, fields taken away.

No value is changed; results share parts with what they were made from. None is an explicit null; a field that is
not there is ABSENT.
Source: sigs.k8s.io/structured-merge-diff typed/{tofieldset,compare,merge,remove}.go.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from emulator.api.apply.fieldsets import (
    LEAF,
    NOTHING,
    SELF,
    FieldSet,
    is_member,
    item_by_keys,
    item_by_value,
    node,
    with_self,
)
from emulator.api.apply.shapes import ANY, AnyValue, ListOf, MapOf, Scalar, Shape


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Any = _Absent()
_ANY_MAP = MapOf(atomic=False, element=ANY)


class ShapeError(ValueError):
    """A list item cannot be told apart from others."""


class Comparison(NamedTuple):
    """The fields that differ; none is in two of the sets."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet


def item_element(item: Any, shape: ListOf) -> str:
    """The path element of an item of a `map` or `set` list. Raises ShapeError."""
    if shape.relation == "map":
        if not isinstance(item, dict):
            kind = "a null element" if item is None else "non-map elements"
            raise ShapeError(f"associative list with keys may not have {kind}")
        keys = {}
        for name, default in shape.keys:
            value = item.get(name, default)
            if value is None and name not in item:
                raise ShapeError(
                    f'associative list with keys has an element that omits key field "{name}" '
                    "(and doesn't have default value)"
                )
            keys[name] = value
        return item_by_keys(keys)
    if isinstance(item, dict):
        raise ShapeError("associative list without keys has an element that's a map type")
    if isinstance(item, list):
        raise ShapeError("not supported: associative list with lists as elements")
    if item is None:
        raise ShapeError("associative list without keys has an element that's an explicit null")
    return item_by_value(item)


# -- which fields a value has -----------------------------------------------------------------------------------------


def fields_of(value: dict[str, Any], shape: MapOf) -> FieldSet:
    """Every leaf, list item and map entry of a value. Structs on the way are not in the set themselves."""
    return _fields(value, shape) or NOTHING


def _fields(value: Any, shape: Shape) -> FieldSet | None:
    if isinstance(shape, AnyValue) and isinstance(value, dict):
        shape = _ANY_MAP
    if isinstance(shape, MapOf):
        return LEAF if shape.atomic else _map_fields(value, shape)
    if isinstance(shape, ListOf) and shape.relation != "atomic":
        return _list_fields(value, shape)
    return None if value is None and isinstance(shape, AnyValue) else LEAF


def _map_fields(value: Any, shape: MapOf) -> FieldSet | None:
    found: FieldSet = {}
    for key, child in (value or {}).items():
        element, inner, declared = _entry(key, shape)
        below = _fields(child, inner)
        if not declared or child is None or child == {}:
            below = with_self(below)
        if below is not None:
            found[element] = below
    return found or None


def _list_fields(value: Any, shape: ListOf) -> FieldSet | None:
    found: FieldSet = {}
    for element, items in _grouped(value, shape).items():
        found[element] = with_self(_fields(items[0], shape.element)) if len(items) == 1 else LEAF
    return found or None


def _entry(key: str, shape: MapOf) -> tuple[str, Shape, bool]:
    declared = shape.fields.get(key)
    if declared is not None:
        return (*declared, True)
    return f"f:{key}", shape.element or ANY, False


def _grouped(items: Any, shape: ListOf) -> dict[str, list[Any]]:
    """The items by their path element; more than one where a list that should not has duplicates."""
    found: dict[str, list[Any]] = {}
    for item in items or ():
        found.setdefault(item_element(item, shape), []).append(item)
    return found


# -- how two values differ --------------------------------------------------------------------------------------------


def compare(old: Any, new: Any, shape: MapOf) -> Comparison:
    """What the step from `old` to `new` adds, changes and removes. Raises ShapeError."""
    added, modified, removed = _compare(old, new, shape)
    return Comparison(added or NOTHING, modified or NOTHING, removed or NOTHING)


_Differences = tuple[FieldSet | None, FieldSet | None, FieldSet | None]
_SAME: _Differences = (None, None, None)
_MODIFIED: _Differences = (None, LEAF, None)


def _compare(old: Any, new: Any, shape: Shape) -> _Differences:
    if old is ABSENT:
        return whole(new, shape), None, None
    if new is ABSENT:
        return None, None, whole(old, shape)
    if old == new:
        return _SAME
    if isinstance(shape, AnyValue) and isinstance(old or {}, dict) and isinstance(new or {}, dict):
        shape = _ANY_MAP
    if not old and not new:
        return _MODIFIED
    if isinstance(shape, MapOf) and not shape.atomic:
        return _compare_maps(old or {}, new or {}, shape)
    if isinstance(shape, ListOf) and shape.relation != "atomic":
        return _compare_lists(old, new, shape)
    return _MODIFIED


def _compare_maps(old: dict[str, Any], new: dict[str, Any], shape: MapOf) -> _Differences:
    found = _Found()
    for key, value in new.items():
        before = old.get(key, ABSENT)
        if before is value:
            continue
        element, inner, _ = _entry(key, shape)
        found.add(element, _compare(before, value, inner))
    for key, value in old.items():
        if key not in new:
            element, inner, _ = _entry(key, shape)
            found.add(element, (None, None, whole(value, inner)))
    return found.result()


def _compare_lists(old: Any, new: Any, shape: ListOf) -> _Differences:
    found = _Found()
    before, after = _grouped(old, shape), _grouped(new, shape)
    for element in {**before, **after}:
        ours, theirs = before.get(element, []), after.get(element, [])
        found.add(element, _compare_items(ours, theirs, shape.element))
    return found.result()


def _compare_items(old: list[Any], new: list[Any], shape: Shape) -> _Differences:
    """Items with one path element; duplicates are owned together, as if they were one value."""
    if len(old) < 2 and len(new) < 2:
        return _compare(old[0] if old else ABSENT, new[0] if new else ABSENT, shape)
    if len(old) > 1 and len(new) > 1:
        return _SAME if old == new else _MODIFIED
    if len(old) > 1:
        return whole(new[0], shape) if new else None, None, LEAF
    return LEAF, None, whole(old[0], shape) if old else None


class _Found:
    """Differences below one field, as they are found."""

    __slots__ = ("added", "modified", "removed")

    def __init__(self) -> None:
        self.added: FieldSet = {}
        self.modified: FieldSet = {}
        self.removed: FieldSet = {}

    def add(self, element: str, differences: _Differences) -> None:
        added, modified, removed = differences
        if added is not None:
            self.added[element] = added
        if modified is not None:
            self.modified[element] = modified
        if removed is not None:
            self.removed[element] = removed

    def result(self) -> _Differences:
        return self.added or None, self.modified or None, self.removed or None


def whole(value: Any, shape: Shape) -> FieldSet:
    """The node of a value that is new (or gone) altogether: it and everything in it."""
    if not value or isinstance(shape, Scalar):
        return LEAF
    if isinstance(shape, AnyValue):
        if not isinstance(value, dict):
            return LEAF
        shape = _ANY_MAP
    found: FieldSet = {SELF: LEAF}
    if isinstance(shape, MapOf):
        if shape.atomic:
            return LEAF
        fields = shape.fields
        for key, child in value.items():
            declared = fields.get(key)
            if declared is None:
                found[f"f:{key}"] = whole(child, shape.element or ANY)
            elif child.__class__ is dict or child.__class__ is list:
                found[declared[0]] = whole(child, declared[1])
            else:
                found[declared[0]] = LEAF
        return found
    if shape.relation == "atomic":
        return LEAF
    for element, items in _grouped(value, shape).items():
        found[element] = whole(items[0], shape.element) if len(items) == 1 else LEAF
    return found


# -- one value merged into another ------------------------------------------------------------------------------------


def merge(old: Any, new: Any, shape: Shape) -> Any:
    """`old` with what `new` says; nothing is removed. Lists take the order of `new`. Raises ShapeError."""
    if new is ABSENT or old is new:
        return old
    if old is ABSENT or (not old and not new):
        return new
    if isinstance(shape, AnyValue) and isinstance(old, dict) and isinstance(new, dict):
        shape = _ANY_MAP
    if isinstance(shape, MapOf) and not shape.atomic:
        merged = dict(old or {})
        for key, value in (new or {}).items():
            merged[key] = merge(merged.get(key, ABSENT), value, _entry(key, shape)[1])
        return merged
    if isinstance(shape, ListOf) and shape.relation != "atomic":
        return _merge_lists(old or [], new or [], shape)
    return new


def _merge_lists(old: list[Any], new: list[Any], shape: ListOf) -> list[Any]:
    """New items in their order; items only `old` has stay before the shared item that followed them there."""
    ours = [item_element(item, shape) for item in old]
    theirs = [item_element(item, shape) for item in new]
    before: dict[str, Any] = {}
    for element, item in zip(ours, old, strict=True):
        before[element] = None if element in before else item  # duplicates are not merged with the new value
    after = dict(zip(theirs, new, strict=True))
    shared = [element for element in theirs if element in before]
    merged: set[str] = set()
    out: list[Any] = []
    left = right = 0

    def take(element: str) -> None:
        merged.add(element)
        out.append(merge(before.get(element, ABSENT), after[element], shape.element))
        if shared and shared[0] == element:
            shared.pop(0)

    while left < len(ours) or right < len(theirs):
        if left < len(ours) and right < len(theirs):
            if ours[left] == theirs[right]:
                take(ours[left])
                left, right = left + 1, right + 1
                continue
            if ours[left] in after and shared and shared[0] != ours[left]:
                left += 1  # shared, but not the one wanted next
                continue
        if left < len(ours):
            if ours[left] not in after:
                out.append(old[left])
                left += 1
                continue
            if ours[left] in merged:
                left += 1
        if right < len(theirs):
            take(theirs[right])
            right += 1
    return out


# -- fields taken away ------------------------------------------------------------------------------------------------


def remove(value: Any, fields: FieldSet, shape: Shape) -> Any:
    """`value` without the map entries and list items in the set; what is left empty becomes null."""
    if isinstance(shape, AnyValue) and isinstance(value, dict):
        shape = _ANY_MAP
    if isinstance(shape, MapOf):
        return _remove_entries(value, fields, shape)
    if isinstance(shape, ListOf):
        return _remove_items(value, fields, shape)
    return value


def _remove_entries(value: Any, fields: FieldSet, shape: MapOf) -> Any:
    if not isinstance(value, dict) or not value or shape.atomic:
        return None
    left: dict[str, Any] = {}
    for key, child in value.items():
        element, inner, _ = _entry(key, shape)
        found = fields.get(element)
        if found is None:
            left[key] = child
        elif not is_member(found):
            left[key] = remove(child, found, inner)
    return left or None


def _remove_items(value: Any, fields: FieldSet, shape: ListOf) -> Any:
    if not isinstance(value, list) or not value or shape.relation == "atomic":
        return None
    left: list[Any] = []
    for item in value:
        found = fields.get(item_element(item, shape))
        if found is None:
            left.append(item)
        elif not is_member(found):
            left.append(remove(item, found, shape.element))
    return left or None


def with_named_fields(fields: FieldSet, shape: Shape | None) -> FieldSet:
    """The set with every struct field that leads to something in it."""
    out: FieldSet = {}
    for element, found in fields.items():
        if not found or element == SELF:
            out[element] = found
            continue
        inner, declared = _inner(element, shape)
        children = with_named_fields({key: child for key, child in found.items() if key != SELF}, inner)
        out[element] = node(declared or SELF in found, children) or LEAF
    return out


def _inner(element: str, shape: Shape | None) -> tuple[Shape | None, bool]:
    if isinstance(shape, MapOf) and element.startswith("f:"):
        declared = shape.fields.get(element[2:])
        return (declared[1], True) if declared is not None else (shape.element, False)
    if isinstance(shape, ListOf) and element.startswith("k:"):
        return shape.element, False
    return None, False
