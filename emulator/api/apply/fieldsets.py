"""Sets of fields in the form of FieldsV1, and the algebra on them.

A set is a tree of dicts. Keys are path elements: `f:NAME` a field, `k:{"port":80}` the list item with these keys,
`v:"x"` the item of a set, `i:0` an index. An empty dict is a field that is in the set; `.` beside deeper keys says that
the field itself is in it too. The root never has `.`. Sets share parts: nothing here changes one, and nobody may.
Source: sigs.k8s.io/structured-merge-diff fieldpath/{set,element,serialize}.go; k8s.io/api FieldsV1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

FieldSet = dict[str, Any]

SELF = "."
LEAF: FieldSet = {}
"""A field that is in the set; shared."""
NOTHING: FieldSet = {}
"""The empty set."""
ELEMENT_KINDS = ("f", "k", "v", "i")
MAX_DEPTH = 200  # nested levels of a set a client sends; real ones stay below 20

_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def is_member(node: FieldSet) -> bool:
    """Whether the field a node stands for is itself in the set."""
    return not node or SELF in node


def below(node: FieldSet) -> FieldSet:
    """What the set holds below a node's field."""
    if SELF not in node:
        return node
    return {key: child for key, child in node.items() if key != SELF}


def node(member: bool, children: FieldSet) -> FieldSet | None:
    """The node of a field that is in the set or not, with what is below it; None for nothing at all."""
    if not children:
        return LEAF if member else None
    return {SELF: LEAF, **children} if member else children


def with_self(found: FieldSet | None) -> FieldSet:
    """The node with its own field in the set."""
    return found if found and SELF in found else {SELF: LEAF, **found} if found else LEAF


def union(a: FieldSet, b: FieldSet) -> FieldSet:
    if not a or not b:
        return a or b
    out = dict(a)
    for key, theirs in b.items():
        ours = out.get(key)
        if ours is None:
            out[key] = theirs
        elif ours is not theirs:
            out[key] = _union_of_nodes(ours, theirs)
    return out


def _union_of_nodes(a: FieldSet, b: FieldSet) -> FieldSet:
    if not a or not b:
        return with_self(a or b)
    return union(a, b)


def intersection(a: FieldSet, b: FieldSet) -> FieldSet:
    out: FieldSet = {}
    for key, ours in a.items():
        theirs = b.get(key)
        if theirs is None:
            continue
        both = node(is_member(ours) and is_member(theirs), intersection(below(ours), below(theirs)))
        if both is not None:
            out[key] = both
    return out


def difference(a: FieldSet, b: FieldSet) -> FieldSet:
    """The fields of `a` that are not in `b`; `a` itself when that is all. A field in `b` takes nothing below it along."""
    if not b or a.keys().isdisjoint(b):
        return a
    out: FieldSet = {}
    for key, ours in a.items():
        theirs = b.get(key)
        if theirs is None:
            out[key] = ours
            continue
        rest = node(is_member(ours) and not is_member(theirs), difference(below(ours), below(theirs)))
        if rest is not None:
            out[key] = rest
    return out


def recursive_difference(a: FieldSet, b: FieldSet) -> FieldSet:
    """The fields of `a` that are neither in `b` nor below a field in `b`."""
    if not b or a.keys().isdisjoint(b):
        return a
    out: FieldSet = {}
    for key, ours in a.items():
        theirs = b.get(key)
        if theirs is None:
            out[key] = ours
        elif not is_member(theirs):
            rest = node(is_member(ours), recursive_difference(below(ours), theirs))
            if rest is not None:
                out[key] = rest
    return out


def set_of(*paths: tuple[str, ...]) -> FieldSet:
    """The set of these paths, each a tuple of path elements."""
    found: FieldSet = NOTHING
    for path in paths:
        branch: FieldSet = LEAF
        for element in reversed(path):
            branch = {element: branch}
        found = union(found, branch)
    return found


def has(fields: FieldSet, path: tuple[str, ...]) -> bool:
    for element in path:
        if element not in fields:
            return False
        fields = fields[element]
    return bool(path) and is_member(fields)


def paths(fields: FieldSet, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every path in the set: at each level the fields that are in it, then what is below each."""
    ordered = sorted((key for key in fields if key != SELF), key=element_order)
    for key in ordered:
        if is_member(fields[key]):
            yield (*prefix, key)
    for key in ordered:
        if fields[key]:
            yield from paths(fields[key], (*prefix, key))


def arranged(fields: FieldSet) -> FieldSet:
    """The same set with its elements in upstream's order, as it goes on the wire."""
    keys = sorted(fields, key=element_order) if len(fields) > 1 else fields
    return {key: arranged(child) if (child := fields[key]) else child for key in keys}


def path_text(path: tuple[str, ...]) -> str:
    """`.spec.ports[port=80,protocol="TCP"].nodePort`."""
    return "".join(element_text(element) for element in path)


def element_text(element: str) -> str:
    kind, rest = element[0], element[2:]
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        return "[" + ",".join(f"{name}={_value_text(value)}" for name, value in json.loads(rest).items()) + "]"
    return f"[={_value_text(json.loads(rest))}]" if kind == "v" else f"[{rest}]"


@lru_cache(maxsize=8192)
def element_order(element: str) -> tuple[Any, ...]:
    """What to sort path elements by: the node itself, fields, items by their keys, items of sets, indexes."""
    kind, rest = element[0], element[2:]
    if kind == "f":
        return (0, rest)
    if kind == "k":
        return (1, tuple((name, _value_order(value)) for name, value in json.loads(rest).items()))
    if kind == "v":
        return (2, _value_order(json.loads(rest)))
    return (3, int(rest)) if kind == "i" else (-1, "")


def item_by_keys(keys: Mapping[str, Any]) -> str:
    """The element of a list item with these keys, which must come sorted by name."""
    return "k:{" + ",".join(f"{value_json(name)}:{value_json(value)}" for name, value in keys.items()) + "}"


def item_by_value(value: Any) -> str:
    """The element of an item of a set."""
    return "v:" + value_json(value)


def value_json(value: Any) -> str:
    """A value as Go's encoder writes it: compact, with HTML's characters escaped."""
    if type(value) is str:
        return _text_json(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True).translate(_ESCAPES)


@lru_cache(maxsize=8192)
def _text_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).translate(_ESCAPES)


def parse(fields: Any) -> FieldSet:
    """The set that a client's FieldsV1 means, in the one form used here. Raises ValueError."""
    found, _ = _parse(fields, 0)
    return found


def _parse(fields: Any, depth: int) -> tuple[FieldSet, bool]:
    if not isinstance(fields, dict) or depth > MAX_DEPTH:
        raise ValueError("fieldsV1 is no tree of objects")
    member, children = False, {}
    for key, value in fields.items():
        if key == SELF:
            member = True
            continue
        element = _element(key)
        below_it, is_in = _parse(value, depth + 1)
        if element is not None:
            found = node(is_in, below_it)
            if found is not None:
                children[element] = found
    return children, member or not children


def _element(key: str) -> str | None:
    """The element in its one form, None for a kind nobody knows yet (which is dropped). Raises ValueError."""
    if len(key) < 2 or key[1] != ":":
        raise ValueError(f"{key} is no path element")
    kind, rest = key[0], key[2:]
    if kind not in ELEMENT_KINDS:
        return None
    if kind == "k":
        keys = json.loads(rest)
        if not isinstance(keys, dict):
            raise ValueError(f"{key} has no keys")
        return item_by_keys(dict(sorted(keys.items())))
    if kind == "v":
        return item_by_value(json.loads(rest))
    return f"i:{int(rest)}" if kind == "i" else key


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else "null" if value is None else str(value)


def _value_order(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bool):
        return (2, value)
    if isinstance(value, int | float):
        return (0, value)
    return (1, value) if isinstance(value, str) else (3, json.dumps(value))
