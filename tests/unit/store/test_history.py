"""Revisions, snapshots and compaction, without a loop."""

from __future__ import annotations

import pytest

from emulator.api.meta import JsonObject
from emulator.store.history import ABSENT, Compacted, History, Superseded, version_of


def thing(name: str, value: int = 0) -> JsonObject:
    return {"metadata": {"name": name}, "value": value}


def put(history: History, name: str, value: int = 0, resource: str = "things") -> JsonObject:
    expected = version_of(history.get(resource, name))
    return history.commit(resource, name, thing(name, value), expected=expected).object


def test_one_counter_numbers_every_resource() -> None:
    history = History()
    first = put(history, "a")
    second = put(history, "a", resource="others")
    assert int(version_of(second)) == int(version_of(first)) + 1 == history.revision


def test_the_object_handed_in_is_not_changed() -> None:
    history, object = History(), thing("a")
    stored = history.commit("things", "a", object, expected=ABSENT).object
    assert object == thing("a")
    assert stored["metadata"]["resourceVersion"] == str(history.revision)


def test_a_commit_names_what_it_replaces() -> None:
    history = History()
    first = put(history, "a", 1)
    event = history.commit("things", "a", thing("a", 2), expected=version_of(first))
    assert (event.type, event.previous) == ("MODIFIED", first)
    gone = history.commit("things", "a", None, expected=version_of(event.object))
    assert gone.type == "DELETED"
    assert gone.object["value"] == 2
    assert gone.object["metadata"]["resourceVersion"] == str(history.revision)
    assert event.object["metadata"]["resourceVersion"] != gone.object["metadata"]["resourceVersion"]


@pytest.mark.parametrize("expected", ["", "1", "999"])
def test_a_stale_commit_changes_nothing(expected: str) -> None:
    history = History()
    stored, revision = put(history, "a"), history.revision
    with pytest.raises(Superseded) as raised:
        history.commit("things", "a", thing("a", 9), expected=expected)
    assert raised.value.actual is stored
    assert (history.revision, history.get("things", "a")) == (revision, stored)


def test_deleting_what_is_absent_is_refused() -> None:
    with pytest.raises(Superseded):
        History().commit("things", "a", None, expected=ABSENT)


def test_keys_come_in_the_order_of_their_text() -> None:
    history = History()
    for key in ("a/x", "a-b/x", "b/a", "a/b"):
        put(history, key)
    assert [key for key, _ in history.range("things")] == ["a-b/x", "a/b", "a/x", "b/a"]
    assert [key for key, _ in history.range("things", "a/")] == ["a/b", "a/x"]
    assert [key for key, _ in history.range("things", "a/", start="a/c")] == ["a/x"]
    assert len(history.values("things", "a/")) == 2
    assert history.values("nothing") == []


def test_a_snapshot_is_the_state_at_its_revision() -> None:
    history = History()
    put(history, "a", 1)
    put(history, "b", 1)
    at = history.revision
    put(history, "a", 2)
    history.commit("things", "b", None, expected=version_of(history.get("things", "b")))
    put(history, "c", 1)
    assert [(key, object["value"]) for key, object in history.range("things", revision=at)] == [("a", 1), ("b", 1)]
    assert [key for key, _ in history.range("things", start="b", revision=at)] == ["b"]


def test_since_gives_only_the_later_changes_of_its_keys() -> None:
    history = History()
    put(history, "n/a")
    at = history.revision
    put(history, "n/b")
    put(history, "m/c")
    put(history, "n/d", resource="others")
    assert [event.key for event in history.since(at, "things", "n/")] == ["n/b"]
    assert history.since(history.revision + 5, "things") == []


def test_what_is_compacted_has_no_answer() -> None:
    history = History()
    for value in range(5):
        put(history, "a", value)
    history.compact(4)
    assert [event.revision for event in history.since(4, "things")] == [5, 6]
    with pytest.raises(Compacted, match=r"too old resource version: 3 \(4\)"):
        history.since(3, "things")
    with pytest.raises(Compacted):
        history.range("things", revision=3)
    assert history.range("things", revision=4)[0][1]["value"] == 2


def test_history_is_bounded() -> None:
    history = History(retained=10)
    for value in range(100):
        put(history, "a", value)
    assert history.revision - history.oldest < 20
    assert len(history.since(history.oldest, "things")) == history.revision - history.oldest
