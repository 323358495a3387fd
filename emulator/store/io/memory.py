"""The Store that lives and ends with the process. No method but a watcher's `next` gives up its turn of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from emulator.api.meta import JsonObject
from emulator.store.history import RETAINED_EVENTS, Compacted, Event, History
from emulator.store.watchcache import QUEUE_LIMIT, Queue, WatchCache


class MemoryStore:
    """Fulfils Store."""

    def __init__(self, *, retained: int = RETAINED_EVENTS, queue_limit: int = QUEUE_LIMIT) -> None:
        self._history = History(retained)
        self._cache = WatchCache(self._history)
        self._queue_limit = queue_limit
        self._watchers: dict[int, MemoryWatcher] = {}

    async def revision(self) -> int:
        return self._history.revision

    async def get(self, resource: str, key: str) -> JsonObject | None:
        return self._history.get(resource, key)

    async def values(self, resource: str, prefix: str = "") -> tuple[list[JsonObject], int]:
        return self._history.values(resource, prefix), self._history.revision

    async def range(
        self, resource: str, prefix: str = "", *, start: str = "", revision: int | None = None
    ) -> tuple[list[tuple[str, JsonObject]], int]:
        found = self._history.range(resource, prefix, start=start, revision=revision)
        return found, self._history.revision if revision is None else revision

    async def commit(self, resource: str, key: str, object: JsonObject | None, *, expected: str) -> Event:
        event = self._history.commit(resource, key, object, expected=expected)
        for queue in self._cache.publish(event):
            self._watchers[id(queue)].wake()
        return event

    @asynccontextmanager
    async def watch(self, resource: str, prefix: str = "", *, revision: int) -> AsyncIterator[MemoryWatcher]:
        queue = self._cache.add(resource, prefix, revision, self._queue_limit)
        watcher = self._watchers[id(queue)] = MemoryWatcher(self._history, queue)
        try:
            yield watcher
        finally:
            self._cache.remove(queue)
            del self._watchers[id(queue)]

    async def compact(self, revision: int) -> None:
        self._history.compact(revision)

    async def close(self) -> None:
        """Nothing to release."""


class MemoryWatcher:
    """Fulfils Watcher."""

    def __init__(self, history: History, queue: Queue) -> None:
        self._history = history
        self._queue = queue
        self._awake = asyncio.Event()
        self.wake: Callable[[], None] = self._awake.set

    @property
    def revision(self) -> int:
        return self._queue.taken

    async def next(self, timeout_seconds: float | None = None) -> list[Event]:
        if not self._queue and not self._queue.expired:
            self._awake.clear()
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._awake.wait()
            except TimeoutError:
                pass
        return self.take()

    def take(self) -> list[Event]:
        if self._queue.expired:
            raise Compacted(self._queue.taken, self._history.revision)
        return self._queue.take(self._history.revision)

    def divert(self, wake: Callable[[], None]) -> None:
        self.wake = wake

    def rouse(self) -> None:
        self._awake.set()
