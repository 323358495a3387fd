"""The three patch types against reference models: the shortest code that could be right."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from emulator.api.errors import ApiError, Invalid
from emulator.api.kinds import SERVICE
from emulator.api.meta import JsonObject
from emulator.api.patch import json_patch, merge_patch, strategic_merge_patch

KEYS = st.sampled_from(["a", "b", "c/d", "e~f", ""])
SCALARS = st.one_of(st.booleans(), st.integers(-3, 3), st.text("xy", max_size=2))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=4)
PORTS = st.dictionaries(st.integers(80, 85), st.fixed_dictionaries({"name": st.sampled_from("abc")}), max_size=4)


def pointer(path: tuple[Any, ...]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def operations(old: Any, new: Any, path: tuple[Any, ...] = ()) -> list[JsonObject]:
    """The operations of RFC 6902 that make `new` of `old`."""
    if type(old) is type(new) and old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        found = [{"op": "remove", "path": pointer((*path, key))} for key in old if key not in new]
        for key, value in new.items():
            at = (*path, key)
            found += (
                operations(old[key], value, at) if key in old else [{"op": "add", "path": pointer(at), "value": value}]
            )
        return found
    if isinstance(old, list) and isinstance(new, list):
        shared = min(len(old), len(new))
        found = [op for index in range(shared) for op in operations(old[index], new[index], (*path, index))]
        found += [{"op": "remove", "path": pointer((*path, shared))} for _ in old[shared:]]
        return found + [{"op": "add", "path": pointer((*path, "-")), "value": value} for value in new[shared:]]
    return [{"op": "replace", "path": pointer(path), "value": new}]


def merge_of(old: JsonObject, new: JsonObject) -> JsonObject:
    """The merge patch of RFC 7386 that makes `new` of `old`; neither holds a null."""
    patch: JsonObject = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            patch[key] = merge_of(before, value)
        elif key not in old or before != value or type(before) is not type(value):
            patch[key] = value
    return patch


@given(DOCUMENTS, DOCUMENTS)
def test_a_json_patch_does_what_its_operations_say(old: JsonObject, new: JsonObject) -> None:
    before, patch = copy.deepcopy(old), operations(old, new)
    asked = copy.deepcopy(patch)
    assert json_patch(old, patch) == new
    assert (old, patch) == (before, asked)


@given(
    DOCUMENTS, st.lists(st.tuples(st.sampled_from(["add", "remove", "replace", "copy", "move", "test"]), KEYS, KEYS))
)
def test_a_json_patch_is_done_whole_or_not_at_all(document: JsonObject, steps: list[tuple[str, str, str]]) -> None:
    patch = [{"op": op, "path": pointer((key,)), "from": pointer((other,)), "value": 1} for op, key, other in steps]
    before = copy.deepcopy(document)
    wanted: JsonObject | None = copy.deepcopy(document)
    for op, key, other in steps:
        if wanted is None:
            break
        missing = {"remove": key, "replace": key, "test": key, "copy": other, "move": other}.get(op)
        if (missing is not None and missing not in wanted) or (
            op == "test" and (wanted[key] != 1 or isinstance(wanted[key], bool))
        ):
            wanted = None
        elif op in ("add", "replace"):
            wanted[key] = 1
        elif op == "remove":
            del wanted[key]
        elif op == "copy":
            wanted[key] = copy.deepcopy(wanted[other])
        elif op == "move":
            wanted[key] = wanted.pop(other)
    try:
        found: JsonObject | None = json_patch(document, patch)
    except Invalid:
        found = None
    assert found == wanted
    assert document == before


@given(DOCUMENTS, DOCUMENTS)
def test_a_merge_patch_makes_the_one_document_of_the_other(old: JsonObject, new: JsonObject) -> None:
    before, patch = copy.deepcopy(old), merge_of(old, new)
    merged = merge_patch(old, patch)
    assert merged == new
    assert merge_patch(merged, patch) == new
    assert old == before


@given(PORTS, PORTS, st.sets(st.integers(80, 85)))
def test_lists_with_a_key_are_maps(old: dict[int, JsonObject], changed: dict[int, JsonObject], gone: set[int]) -> None:
    document = {"spec": {"ports": [{"port": port, **fields, "protocol": "TCP"} for port, fields in old.items()]}}
    before = copy.deepcopy(document)
    changed = {port: fields for port, fields in changed.items() if port not in gone}
    patch: list[JsonObject] = [{"port": port, **fields} for port, fields in changed.items()]
    patch += [{"port": port, "$patch": "delete"} for port in sorted(gone)]
    merged = strategic_merge_patch(SERVICE, document, {"spec": {"ports": patch}})
    kept = {port: {"port": port, **fields, "protocol": "TCP"} for port, fields in old.items() if port not in gone}
    wanted = kept | {port: {**kept.get(port, {"port": port}), **fields} for port, fields in changed.items()}
    assert {item["port"]: item for item in merged["spec"]["ports"]} == wanted
    assert len(merged["spec"]["ports"]) == len(wanted)
    assert document == before


@given(PORTS, st.permutations(range(80, 86)))
def test_an_order_is_kept(ports: dict[int, JsonObject], order: list[int]) -> None:
    document = {"spec": {"ports": [{"port": port, **fields} for port, fields in ports.items()]}}
    patch = {"spec": {"$setElementOrder/ports": [{"port": port} for port in order]}}
    merged = strategic_merge_patch(SERVICE, document, patch)
    assert [item["port"] for item in merged["spec"]["ports"]] == [port for port in order if port in ports]


@given(
    st.lists(st.sampled_from("abcde"), unique=True),
    st.lists(st.sampled_from("abcde"), unique=True),
    st.sets(st.sampled_from("abcde")),
)
def test_lists_without_a_key_are_sets(old: list[str], more: list[str], gone: set[str]) -> None:
    more = [name for name in more if name not in gone]
    patch: JsonObject = {"finalizers": more, "$deleteFromPrimitiveList/finalizers": sorted(gone)}
    merged = strategic_merge_patch(SERVICE, {"metadata": {"finalizers": old}}, {"metadata": patch})
    found = merged["metadata"]["finalizers"]
    assert set(found) == (set(old) | set(more)) - gone
    assert len(found) == len(set(found))


@given(DOCUMENTS, DOCUMENTS)
def test_free_maps_merge_as_a_merge_patch_does(old: JsonObject, new: JsonObject) -> None:
    """Where no schema speaks of a field, strategic merge is plain merge."""
    patch = merge_of(old, new)
    assert strategic_merge_patch(SERVICE, {"unknown": old}, {"unknown": patch})["unknown"] == new


ANYTHING = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-1, 90), st.sampled_from(["a", "delete", "replace", "merge", "80"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "ports",
                    "port",
                    "name",
                    "finalizers",
                    "selector",
                    "$patch",
                    "$retainKeys",
                    "$setElementOrder/ports",
                    "$setElementOrder/finalizers",
                    "$deleteFromPrimitiveList/finalizers",
                    "op",
                    "path",
                    "value",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(ANYTHING, ANYTHING, ANYTHING)
def test_no_patch_surprises_the_server(spec: Any, metadata: Any, anything: Any) -> None:
    document = {
        "metadata": {"name": "a", "finalizers": ["x/a"]},
        "spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81}], "selector": {"a": "b"}},
    }
    before = copy.deepcopy(document)
    for patch in ({"spec": spec, "metadata": metadata}, anything):
        for apply in (json_patch, merge_patch, lambda old, new: strategic_merge_patch(SERVICE, old, new)):
            with suppress(ApiError):
                apply(document, patch)
    assert document == before
