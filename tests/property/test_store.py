"""The store against a dict: at every revision the same objects, and a list plus its watch is the state."""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st

from emulator.api.meta import JsonObject
from emulator.store.history import Compacted, History, Superseded, version_of
from emulator.store.watchcache import WatchCache

KEYS = st.sampled_from(["a", "n/a", "n/b", "n-x/a", "m/a"])
RESOURCES = st.sampled_from(["things", "others"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "drop", "stale", "compact"]), RESOURCES, KEYS, st.integers(0, 9)), max_size=40
)
State = dict[tuple[str, str], int]


def contents(found: list[tuple[str, JsonObject]]) -> list[tuple[str, int]]:
    return [(key, object["value"]) for key, object in found]


def apply(history: History, model: State, step: tuple[str, str, str, int]) -> None:
    action, resource, key, value = step
    expected = version_of(history.get(resource, key))
    if action == "compact":
        history.compact(history.revision - value)
        return
    new = {"metadata": {"name": key}, "value": value} if action != "drop" else None
    try:
        history.commit(resource, key, new, expected="stale" if action == "stale" else expected)
    except Superseded:
        assert action == "stale" or (action == "drop" and (resource, key) not in model)
    else:
        if new is None:
            del model[resource, key]
        else:
            model[resource, key] = value


@given(STEPS)
def test_every_revision_reads_as_the_dict_was(steps: list[tuple[str, str, str, int]]) -> None:
    history, model = History(), State()
    past = {history.revision: dict(model)}
    for step in steps:
        apply(history, model, step)
        past[history.revision] = dict(model)
    for revision, state in past.items():
        for resource in ("things", "others"):
            wanted = sorted((key, value) for (of, key), value in state.items() if of == resource)
            if revision >= history.oldest:
                assert contents(history.range(resource, revision=revision)) == wanted
                for start in ("m", "n/", "n/b"):
                    page = [item for item in wanted if item[0] >= start]
                    assert contents(history.range(resource, start=start, revision=revision)) == page
            else:
                try:
                    history.range(resource, revision=revision)
                except Compacted:
                    continue
                raise AssertionError("a compacted revision was answered")


@given(STEPS, st.integers(0, 40), st.sampled_from(["", "n/"]))
def test_a_list_and_its_watch_are_the_state(steps: list[tuple[str, str, str, int]], begin: int, prefix: str) -> None:
    history, model = History(), State()
    steps = [step for step in steps if step[0] != "compact"]
    cache = WatchCache(history)
    for step in steps[:begin]:
        apply(history, model, step)
    held = dict(history.range("things", prefix))
    queue = cache.add("things", prefix, history.revision)
    for step in steps[begin:]:
        before = history.revision
        apply(history, model, step)
        for event in history.since(before, "things") + history.since(before, "others"):
            list(cache.publish(event))
    for event in queue.take(history.revision):
        if event.type == "DELETED":
            assert held.pop(event.key) == event.previous
        else:
            assert held.get(event.key) == event.previous
            held[event.key] = event.object
    assert held == dict(history.range("things", prefix))


@given(STEPS)
def test_stored_objects_are_never_changed(steps: list[tuple[str, str, str, int]]) -> None:
    history, model = History(), State()
    seen: list[tuple[JsonObject, JsonObject]] = []
    for step in steps:
        apply(history, model, step)
        seen += [(object, copy.deepcopy(object)) for object in history.values("things")]
    assert all(object == as_it_was for object, as_it_was in seen)
