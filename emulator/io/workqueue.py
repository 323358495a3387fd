"""A queue of keys: repeats merge, a key never runs twice at once, failures back off.

Source: client-go util/workqueue (queue.go, default_rate_limiters.go).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

Key = TypeVar("Key")

FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.005, 30.0


class WorkQueue(Generic[Key]):
    """add() from anywhere in the loop; get() and done() in pairs by the worker."""

    def __init__(self) -> None:
        self._queue: deque[Key] = deque()
        self._dirty: set[Key] = set()
        self._running: set[Key] = set()
        self._wake = asyncio.Event()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_idle(self) -> bool:
        """Nothing queued, running or waiting for its time."""
        return not self._queue and not self._running and not self._timers

    def add(self, key: Key) -> None:
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._running:
            self._queue.append(key)
            self._wake.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Add when the time is up; the sooner of two times wins."""
        loop = asyncio.get_running_loop()
        held = self._timers.get(key)
        if held is not None:
            if held.when() <= loop.time() + seconds:
                return
            held.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    def retry(self, key: Key) -> float:
        """Add again after a time that doubles with each failure; the seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        seconds = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(failures, 20), MAX_BACKOFF_SECONDS)
        self.add_after(key, seconds)
        return seconds

    def forget(self, key: Key) -> None:
        """The key went well: its next failure starts small again."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        while not self._queue:
            self._wake.clear()
            await self._wake.wait()
        key = self._queue.popleft()
        self._dirty.discard(key)
        self._running.add(key)
        return key

    def done(self, key: Key) -> None:
        self._running.discard(key)
        if key in self._dirty:
            self._queue.append(key)
            self._wake.set()

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)
