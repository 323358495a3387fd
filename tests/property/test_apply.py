"""What holds of field ownership whatever is written: idempotence, independence of disjoint owners, nothing left behind."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from emulator.api.apply import ownership
from emulator.api.apply.fieldsets import (
    FieldSet,
    arranged,
    difference,
    has,
    intersection,
    parse,
    paths,
    recursive_difference,
    set_of,
    union,
)
from emulator.api.apply.ownership import Managers, Owned
from emulator.api.apply.shapes import shape_of
from emulator.api.apply.typed import compare, fields_of, merge
from emulator.api.kinds import POD
from emulator.api.meta import JsonObject

SHAPE = shape_of(POD)
ZERO: JsonObject = {"metadata": {}, "spec": {"containers": None}}
WORDS = st.sampled_from(["a", "b", "c", "d"])
VALUES = st.sampled_from(["1", "2", "3"])


def unique(items: st.SearchStrategy[JsonObject], key: str) -> st.SearchStrategy[list[JsonObject]]:
    return st.lists(items, max_size=3, unique_by=itemgetter(key))


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[JsonObject]:
    return st.fixed_dictionaries({}, optional=fields)


def item(keys: dict[str, st.SearchStrategy[Any]], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[JsonObject]:
    return st.fixed_dictionaries(keys, optional=fields)


PORTS = unique(
    item({"containerPort": st.integers(1, 4)}, protocol=st.sampled_from(["TCP", "UDP"]), name=WORDS), "containerPort"
)
CONTAINERS = unique(
    item(
        {"name": WORDS},
        image=VALUES,
        args=st.lists(VALUES, max_size=2),
        env=unique(item({"name": WORDS}, value=VALUES), "name"),
        ports=PORTS,
        resources=some(limits=st.dictionaries(WORDS, VALUES, max_size=2)),
    ),
    "name",
)
CONFIGS = some(
    metadata=some(
        labels=st.dictionaries(WORDS, VALUES, max_size=3),
        finalizers=st.lists(WORDS, max_size=3, unique=True),
    ),
    spec=some(
        containers=CONTAINERS,
        nodeSelector=st.dictionaries(WORDS, VALUES, max_size=2),
        tolerations=st.lists(some(key=WORDS), max_size=2),
        hostname=VALUES,
        securityContext=st.just({}),
    ),
)
OTHER_WORDS = st.sampled_from(["w", "x", "y"])
OTHER_CONFIGS = some(
    metadata=some(labels=st.dictionaries(OTHER_WORDS, VALUES, min_size=1, max_size=3)),
    spec=some(
        containers=unique(item({"name": OTHER_WORDS}, image=VALUES, args=st.lists(VALUES)), "name"),
        subdomain=VALUES,
        volumes=unique(item({"name": WORDS}, emptyDir=st.just({})), "name"),
    ),
)
"""Configurations that say nothing of what CONFIGS speak of."""
ELEMENTS = st.sampled_from(["f:a", "f:b", "f:c", 'k:{"x":1}', 'v:"x"', "i:0"])
SETS = st.lists(st.lists(ELEMENTS, min_size=1, max_size=4).map(tuple), max_size=8).map(lambda found: set_of(*found))


def apply(
    live: JsonObject, config: JsonObject, managers: Managers[str], who: str, *, force: bool = True
) -> tuple[JsonObject, Managers[str]]:
    return ownership.apply(SHAPE, live, config, managers, who, {}, force=force)


def tidy(value: Any) -> Any:
    """Without nulls and what is empty: how a typed server would write it."""
    if isinstance(value, dict):
        found = {key: tidy(child) for key, child in value.items()}
        return {key: child for key, child in found.items() if child not in (None, {}, [])}
    return [tidy(child) for child in value] if isinstance(value, list) else value


def unordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: unordered(child) for key, child in value.items()}
    return sorted((unordered(child) for child in value), key=str) if isinstance(value, list) else value


@given(SETS, SETS)
def test_sets_are_sets(a: FieldSet, b: FieldSet) -> None:
    ours, theirs = set(paths(a)), set(paths(b))
    assert set(paths(union(a, b))) == ours | theirs
    assert set(paths(intersection(a, b))) == ours & theirs
    assert set(paths(difference(a, b))) == ours - theirs
    deep = {path for path in ours if not any(path[: len(cut)] == cut for cut in theirs)}
    assert set(paths(recursive_difference(a, b))) == deep
    assert set_of(*ours) == a == parse(a) == arranged(a)


@given(CONFIGS, CONFIGS)
def test_a_comparison_tells_the_whole_difference(old: JsonObject, new: JsonObject) -> None:
    found = compare(old, new, SHAPE)
    sets = [set(paths(fields)) for fields in found]
    assert sum(map(len, sets)) == len(set.union(*sets)), "no field is in two of the sets"
    back = compare(new, old, SHAPE)
    assert (back.added, back.modified, back.removed) == (found.removed, found.modified, found.added)
    if unordered(old) == unordered(new) and old.get("spec", {}).get("tolerations") == new.get("spec", {}).get(
        "tolerations"
    ):
        assert not found.added
        assert not found.removed


@given(CONFIGS, CONFIGS)
def test_a_merge_says_what_the_configuration_says(live: JsonObject, config: JsonObject) -> None:
    merged = merge(live, config, SHAPE)
    assert merge(merged, config, SHAPE) == merged
    assert merge(live, live, SHAPE) == live
    said = fields_of(config, SHAPE)
    missing = difference(said, fields_of(merged, SHAPE))
    empty = set(paths(missing))  # what is said to be empty is not emptied
    assert all(has(said, path) for path in empty)
    assert not set(paths(compare(config, merged, SHAPE).removed)) - empty


@given(CONFIGS, CONFIGS)
def test_applying_twice_is_applying_once(live: JsonObject, config: JsonObject) -> None:
    owners: Managers[str] = ownership.update(SHAPE, ZERO, live, {}, "base", {})
    once, after_once = apply(live, config, owners, "m")
    twice, after_twice = apply(once, config, after_once, "m", force=False)
    assert twice == once
    assert after_twice == after_once


@given(CONFIGS, OTHER_CONFIGS)
def test_owners_of_different_fields_do_not_meet(first: JsonObject, second: JsonObject) -> None:
    assume(not any(paths(intersection(fields_of(first, SHAPE), fields_of(second, SHAPE)))))  # both may say {}
    object_a, owners_a = apply(ZERO, first, {}, "one", force=False)
    object_a, owners_a = apply(object_a, second, owners_a, "two", force=False)
    object_b, owners_b = apply(ZERO, second, {}, "two", force=False)
    object_b, owners_b = apply(object_b, first, owners_b, "one", force=False)
    assert owners_a == owners_b
    assert unordered(tidy(object_a)) == unordered(tidy(object_b))


@given(CONFIGS, CONFIGS)
def test_what_was_taken_by_force_goes_when_it_is_dropped(live: JsonObject, config: JsonObject) -> None:
    owners: Managers[str] = ownership.update(SHAPE, ZERO, live, {}, "base", {})
    taken, after = apply(live, config, owners, "m")
    left, after = apply(taken, {}, after, "m")
    assert "m" not in after
    kept = after["base"].fields if "base" in after else {}
    remaining = fields_of(tidy(left), SHAPE)
    owned_alone = difference(fields_of(tidy(config), SHAPE), kept)
    for path in paths(intersection(remaining, owned_alone)):
        # an item or a map stays for what others own in it
        below: Any = kept
        for element in path:
            below = below.get(element, {})
        assert below, path
    assert not set(paths(difference(fields_of(tidy(live), SHAPE), union(remaining, fields_of(config, SHAPE)))))


@given(CONFIGS, CONFIGS)
def test_everything_that_is_written_has_an_owner(live: JsonObject, changed: JsonObject) -> None:
    owners: Managers[str] = ownership.update(SHAPE, ZERO, live, {}, "one", {})
    owned = owners.get("one", Owned({})).fields
    assert not any(paths(difference(fields_of(tidy(live), SHAPE), owned)))
    owners = ownership.update(SHAPE, live, changed, owners, "two", {})
    everybody: FieldSet = {}
    for held in owners.values():
        assert not any(paths(intersection(everybody, held.fields))), "an update leaves each field one owner"
        everybody = union(everybody, held.fields)
    assert not any(paths(difference(fields_of(tidy(changed), SHAPE), everybody)))
