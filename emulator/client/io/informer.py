"""Informers: list once, then watch, and tell listeners each change synchronously.

A listener must not await and must not change the object. What it raises is logged, never spread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from emulator.api.errors import ApiError, Expired
from emulator.api.kinds import Kind
from emulator.client.index import Change, Index, Listener
from emulator.client.io.protocol import Client

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.2  # between attempts to list when the API refuses


class Informer:
    """The index of one kind and its listeners; a Service once it runs."""

    def __init__(self, client: Client, kind: Kind) -> None:
        self.kind = kind
        self.index = Index(kind)
        self.synced = asyncio.Event()
        self._client = client
        self._listeners: list[Listener] = []

    @property
    def name(self) -> str:
        return f"informer {self.kind.resource}"

    def listen(self, listener: Listener) -> None:
        """Tell `listener` every change from now on, and the present objects as ADDED first."""
        for object in self.index:
            listener(Change("ADDED", self.kind, object, None))
        self._listeners.append(listener)

    async def run(self, ready: Callable[[], None]) -> None:
        while True:
            try:
                listed = await self._client.list(self.kind)
                for change in self.index.replace(listed.items):
                    self._tell(change)
                self.synced.set()
                ready()
                async with self._client.watch(self.kind, resource_version=listed.resource_version) as events:
                    async for event in events:
                        if event.type == "DELETED":
                            told = self.index.remove(event.object)
                        elif event.type == "BOOKMARK":
                            continue
                        else:
                            told = self.index.put(event.object)
                        if told is not None:
                            self._tell(told)
            except Expired:
                continue  # fell behind: list again
            except ApiError as error:
                log.warning("%s: %s; listing again", self.name, error)
                await asyncio.sleep(RETRY_SECONDS)

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            try:
                listener(change)
            except Exception:
                log.exception("%s: a listener failed on %s", self.name, change.key)


class Informers:
    """The informers of one cluster, one for each kind somebody asked for; shared by all parts. A Service."""

    name = "informers"

    def __init__(self, client: Client) -> None:
        self.client = client
        self._informers: dict[str, Informer] = {}
        self._running = False

    def __getitem__(self, kind: Kind) -> Informer:
        """The informer of this kind; ask before `run`, which starts those that were asked for."""
        if kind.resource not in self._informers:
            if self._running:
                raise RuntimeError(f"informer for {kind.resource} asked for after the start")
            self._informers[kind.resource] = Informer(self.client, kind)
        return self._informers[kind.resource]

    def __contains__(self, kind: Kind) -> bool:
        return kind.resource in self._informers

    @property
    def synced(self) -> bool:
        return self._running and all(informer.synced.is_set() for informer in self._informers.values())

    async def wait_synced(self, kinds: Iterable[Kind] = ()) -> None:
        for kind in list(kinds):
            await self[kind].synced.wait()

    async def run(self, ready: Callable[[], None]) -> None:
        self._running = True
        async with asyncio.TaskGroup() as group:
            for informer in self._informers.values():
                group.create_task(informer.run(lambda: None), name=informer.name)
            for informer in self._informers.values():
                await informer.synced.wait()
            ready()
