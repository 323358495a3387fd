"""The Store protocol: what the registry needs of a place to keep objects, fit for memory, SQLite and etcd.

Objects handed in are not changed, objects handed out are shared and must not be. Keys are `namespace/name`, or
`name` for cluster-scoped kinds; they order lists.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from emulator.api.meta import JsonObject
from emulator.store.history import Event


class Watcher(Protocol):
    """The changes of one resource from a revision on."""

    @property
    def revision(self) -> int:
        """Every change up to this revision has been handed out."""
        ...

    async def next(self, timeout_seconds: float | None = None) -> list[Event]:
        """At least one change, or none when the time is up or it was roused. Raises Compacted when it fell behind."""
        ...

    def take(self) -> list[Event]:
        """The changes that are there. Raises Compacted when the watcher fell behind."""
        ...

    def divert(self, wake: Callable[[], None]) -> None:
        """From now on a change calls `wake` instead of ending the wait in `next`; what waits there is ended by `rouse`."""
        ...

    def rouse(self) -> None: ...


class Store(Protocol):
    """Every commit is wholly visible or not at all, and is numbered by one counter."""

    async def revision(self) -> int:
        """The revision of the newest commit."""
        ...

    async def get(self, resource: str, key: str) -> JsonObject | None: ...

    async def values(self, resource: str, prefix: str = "") -> tuple[list[JsonObject], int]:
        """Every object whose key has the prefix, in key order, and the revision they stand at."""
        ...

    async def range(
        self, resource: str, prefix: str = "", *, start: str = "", revision: int | None = None
    ) -> tuple[list[tuple[str, JsonObject]], int]:
        """(key, object) in key order from `start` on, as they stood at `revision`. Raises Compacted."""
        ...

    async def commit(self, resource: str, key: str, object: JsonObject | None, *, expected: str) -> Event:
        """Put, or delete with None, if the object's resourceVersion is `expected` ("" for absent).

        Raises Superseded when it is not; then nothing changed. The stored object carries the new resourceVersion.
        """
        ...

    def watch(self, resource: str, prefix: str = "", *, revision: int) -> AbstractAsyncContextManager[Watcher]:
        """The changes after `revision`. Raises Compacted on entering when they are forgotten."""
        ...

    async def compact(self, revision: int) -> None:
        """Forget old states up to and including `revision`."""
        ...

    async def close(self) -> None: ...
