"""Who is told of which change: replay from a revision, bounded queues, and when a watcher is too slow to be kept.

A watcher that does not take its events expires; it never slows the writer and never misses an event unnoticed.
No I/O.
Source: k8s.io/apiserver pkg/storage/cacher.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from emulator.store.history import Event, History

QUEUE_LIMIT = 20_000  # events a watcher may lag behind; references only, and one turn of a busy loop fits


class Queue:
    """The events one watcher has not taken yet."""

    __slots__ = ("_events", "_limit", "expired", "prefix", "resource", "taken")

    def __init__(self, history: History, resource: str, prefix: str, revision: int, limit: int = QUEUE_LIMIT) -> None:
        """Begin with what happened after `revision`. Raises Compacted."""
        self.resource = resource
        self.prefix = prefix
        self.expired = False
        self.taken = revision
        """Everything up to this revision has been handed out."""
        self._limit = limit
        self._events: deque[Event] = deque(history.since(revision, resource, prefix))

    def __len__(self) -> int:
        return len(self._events)

    def offer(self, event: Event) -> bool:
        """Take note of a new change; True when it is of interest or the queue just expired."""
        if self.expired or event.revision <= self.taken or not event.key.startswith(self.prefix):
            return False
        if len(self._events) >= self._limit:
            self.expired = True
            self._events.clear()
        else:
            self._events.append(event)
        return True

    def take(self, revision: int) -> list[Event]:
        """Every waiting event; afterwards the watcher knows the state up to `revision`, the present one."""
        events = list(self._events)
        self._events.clear()
        self.taken = max(revision, self.taken)
        return events


class WatchCache:
    """The queues of every watcher, by resource."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._queues: dict[str, dict[int, Queue]] = {}

    def __len__(self) -> int:
        return sum(len(queues) for queues in self._queues.values())

    def add(self, resource: str, prefix: str, revision: int, limit: int = QUEUE_LIMIT) -> Queue:
        """A queue that has every change after `revision`. Raises Compacted."""
        queue = Queue(self._history, resource, prefix, revision, limit)
        self._queues.setdefault(resource, {})[id(queue)] = queue
        return queue

    def remove(self, queue: Queue) -> None:
        self._queues.get(queue.resource, {}).pop(id(queue), None)

    def publish(self, event: Event) -> Iterator[Queue]:
        """Hand a change to every queue; yields those whose watcher is to be woken."""
        for queue in self._queues.get(event.resource, {}).values():
            if queue.offer(event):
                yield queue
