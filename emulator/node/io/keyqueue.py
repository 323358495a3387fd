"""A queue of keys: one that waits is not queued twice, and one in work is not handed to a second worker."""

from __future__ import annotations

import asyncio
from collections import deque

from emulator.api.meta import ObjectKey


class KeyQueue:
    """Bounded by the number of keys there are."""

    def __init__(self) -> None:
        self._waiting: deque[ObjectKey] = deque()
        self._dirty: set[ObjectKey] = set()
        self._in_work: set[ObjectKey] = set()
        self._available = asyncio.Event()

    def __len__(self) -> int:
        return len(self._dirty) + len(self._in_work)

    def add(self, key: ObjectKey) -> None:
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._in_work:
            self._waiting.append(key)
            self._available.set()

    async def get(self) -> ObjectKey:
        """The next key; hand it back with `done`."""
        while not self._waiting:
            self._available.clear()
            await self._available.wait()
        key = self._waiting.popleft()
        self._dirty.discard(key)
        self._in_work.add(key)
        return key

    def done(self, key: ObjectKey) -> None:
        self._in_work.discard(key)
        if key in self._dirty:
            self._waiting.append(key)
            self._available.set()
