"""What every Store must do, whatever keeps its objects: a test class that a backend's tests inherit.

A backend gives `open_store`; the rest is the same for memory, SQLite and etcd.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from emulator.api.meta import JsonObject
from emulator.store.history import ABSENT, Compacted, Event, Superseded, version_of
from emulator.store.io.store import Store, Watcher

SECONDS = 5.0  # no wait of the suite takes longer


def thing(name: str, value: int = 0) -> JsonObject:
    return {"metadata": {"name": name}, "value": value}


async def put(store: Store, key: str, value: int = 0, resource: str = "things") -> JsonObject:
    expected = version_of(await store.get(resource, key))
    return (await store.commit(resource, key, thing(key, value), expected=expected)).object


async def drop(store: Store, key: str, resource: str = "things") -> None:
    await store.commit(resource, key, None, expected=version_of(await store.get(resource, key)))


class StoreContract:
    def open_store(self, *, queue_limit: int = 1000) -> AbstractAsyncContextManager[Store]:
        raise NotImplementedError

    async def test_what_is_put_is_got(self) -> None:
        async with self.open_store() as store:
            stored = await put(store, "n/a", 1)
            assert await store.get("things", "n/a") == stored
            assert version_of(stored) == str(await store.revision())
            assert await store.get("things", "n/b") is None
            assert await store.get("others", "n/a") is None

    async def test_commits_compare_versions(self) -> None:
        async with self.open_store() as store:
            first = await put(store, "a", 1)
            second = await put(store, "a", 2)
            for stale in (ABSENT, version_of(first)):
                with pytest.raises(Superseded):
                    await store.commit("things", "a", thing("a", 3), expected=stale)
                with pytest.raises(Superseded):
                    await store.commit("things", "a", None, expected=stale)
            assert await store.get("things", "a") == second

    async def test_of_two_writers_one_wins(self) -> None:
        async with self.open_store() as store:
            first = await put(store, "a")
            tries = (store.commit("things", "a", thing("a", n), expected=version_of(first)) for n in range(8))
            done = await asyncio.gather(*tries, return_exceptions=True)
            assert sum(not isinstance(outcome, BaseException) for outcome in done) == 1
            assert sum(isinstance(outcome, Superseded) for outcome in done) == 7

    async def test_lists_are_in_key_order_and_say_their_revision(self) -> None:
        async with self.open_store() as store:
            for key in ("b/a", "a/x", "a-b/x", "a/b"):
                await put(store, key)
            values, revision = await store.values("things", "a/")
            assert [value["metadata"]["name"] for value in values] == ["a/b", "a/x"]
            found, same = await store.range("things")
            assert [key for key, _ in found] == ["a-b/x", "a/b", "a/x", "b/a"]
            assert revision == same == await store.revision()

    async def test_an_old_revision_can_be_read(self) -> None:
        async with self.open_store() as store:
            await put(store, "a", 1)
            await put(store, "b", 1)
            at = await store.revision()
            await put(store, "a", 2)
            await drop(store, "b")
            found, revision = await store.range("things", revision=at)
            assert [(key, object["value"]) for key, object in found] == [("a", 1), ("b", 1)]
            assert revision == at

    async def test_a_watch_replays_then_follows(self) -> None:
        async with self.open_store() as store:
            await put(store, "n/a")
            at = await store.revision()
            await put(store, "n/a", 1)
            async with store.watch("things", "n/", revision=at) as watcher, asyncio.timeout(SECONDS):
                assert [event.type for event in await watcher.next()] == ["MODIFIED"]
                await put(store, "m/a")
                await put(store, "n/b")
                await drop(store, "n/a")
                told: list[Event] = []
                while len(told) < 2:
                    told += await watcher.next()
                assert [(event.type, event.key) for event in told] == [("ADDED", "n/b"), ("DELETED", "n/a")]
                assert watcher.revision == await store.revision()

    async def test_a_waiting_watcher_is_woken(self) -> None:
        async with (
            self.open_store() as store,
            store.watch("things", revision=await store.revision()) as watcher,
            asyncio.TaskGroup() as group,
            asyncio.timeout(SECONDS),
        ):
            waiting = group.create_task(watcher.next())
            await asyncio.sleep(0)
            await put(store, "a")
            assert [event.key for event in await waiting] == ["a"]

    async def test_a_quiet_watch_comes_back_in_time(self) -> None:
        async with self.open_store() as store, store.watch("things", revision=await store.revision()) as watcher:
            assert await watcher.next(0.01) == []

    async def test_a_slow_watcher_expires_and_does_not_slow_the_writer(self) -> None:
        async with (
            self.open_store(queue_limit=3) as store,
            store.watch("things", revision=await store.revision()) as watcher,
        ):
            for value in range(10):
                await put(store, "a", value)
            with pytest.raises(Compacted):
                await self._drain(watcher)

    async def _drain(self, watcher: Watcher) -> None:
        while await watcher.next(0.1):
            pass

    async def test_a_cancelled_watcher_can_wait_again(self) -> None:
        async with self.open_store() as store, store.watch("things", revision=await store.revision()) as watcher:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await watcher.next()
            await put(store, "a")
            assert len(await watcher.next(SECONDS)) == 1

    async def test_what_is_compacted_has_no_answer(self) -> None:
        async with self.open_store() as store:
            await put(store, "a", 1)
            at = await store.revision()
            await put(store, "a", 2)
            await store.compact(await store.revision())
            with pytest.raises(Compacted):
                await store.range("things", revision=at)
            with pytest.raises(Compacted):
                async with store.watch("things", revision=at):
                    pass
