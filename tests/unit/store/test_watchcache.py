"""Replay, and watchers that are too slow."""

from __future__ import annotations

import pytest

from emulator.store.history import ABSENT, Compacted, History
from emulator.store.watchcache import WatchCache


def commit(history: History, cache: WatchCache, key: str, resource: str = "things") -> int:
    event = history.commit(resource, key, {"metadata": {"name": key}}, expected=ABSENT)
    return len(list(cache.publish(event)))


def test_a_queue_begins_with_what_happened_since() -> None:
    history = History()
    cache = WatchCache(history)
    commit(history, cache, "a")
    at = history.revision
    commit(history, cache, "b")
    queue = cache.add("things", "", at)
    commit(history, cache, "c")
    assert [event.key for event in queue.take(history.revision)] == ["b", "c"]
    assert queue.taken == history.revision
    assert not queue


def test_only_those_concerned_are_woken() -> None:
    history = History()
    cache = WatchCache(history)
    cache.add("things", "n/", history.revision)
    cache.add("others", "", history.revision)
    assert commit(history, cache, "n/a") == 1
    assert commit(history, cache, "m/a") == 0
    assert commit(history, cache, "x", "others") == 1


def test_a_full_queue_expires_and_lets_go() -> None:
    history = History()
    cache = WatchCache(history)
    queue = cache.add("things", "", history.revision, limit=2)
    assert [commit(history, cache, key) for key in "abcd"] == [1, 1, 1, 0]
    assert queue.expired
    assert len(queue) == 0


def test_changes_up_to_a_future_revision_are_not_told() -> None:
    history = History()
    cache = WatchCache(history)
    queue = cache.add("things", "", history.revision + 1)
    commit(history, cache, "a")
    commit(history, cache, "b")
    assert [event.key for event in queue.take(history.revision)] == ["b"]


def test_a_removed_queue_is_told_nothing() -> None:
    history = History()
    cache = WatchCache(history)
    queue = cache.add("things", "", history.revision)
    cache.remove(queue)
    cache.remove(queue)
    assert (commit(history, cache, "a"), len(queue), len(cache)) == (0, 0, 0)


def test_a_forgotten_revision_has_no_replay() -> None:
    history = History()
    cache = WatchCache(history)
    for key in "abc":
        commit(history, cache, key)
    history.compact(history.revision)
    with pytest.raises(Compacted):
        cache.add("things", "", 1)
