"""Reads: get, list in pages at one revision, and watch with selectors. Nothing here writes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from emulator.api.errors import ApiError, BadRequest, Expired, Invalid, NotFound, invalid
from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject
from emulator.registry.metadata import key_in, prefix_of
from emulator.registry.options import Listing, WatchEvent
from emulator.registry.paging import INCONSISTENT, ContinueExpired, decode_token, encode_token
from emulator.registry.predicates import Predicate, predicate, watched
from emulator.registry.strategy import Strategy
from emulator.store.history import Compacted, Event
from emulator.store.io.store import Store, Watcher

Change = Event
BOOKMARK_SECONDS = 60.0  # k8s.io/apiserver's cacher sends one about every minute
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Reader:
    """Reads from one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, kind: Kind, name: str, namespace: str) -> JsonObject:
        object = await self._store.get(kind.resource, key_in(namespace if kind.namespaced else "", name))
        if object is None:
            raise NotFound.of(kind.resource, name)
        return object

    async def list(
        self,
        strategy: Strategy,
        namespace: str,
        *,
        label_selector: str,
        field_selector: str,
        limit: int,
        continue_token: str,
        resource_version: str,
        resource_version_match: str,
    ) -> Listing:
        resource, prefix = strategy.kind.resource, prefix_of(namespace)
        selects = predicate(strategy, label_selector, field_selector)
        asked = _parsed(resource_version)
        if continue_token and asked:
            raise BadRequest("specifying resource version is not allowed when using continue")
        exact = bool(asked) and (resource_version_match == "Exact" or (bool(limit) and not resource_version_match))
        if not (limit or continue_token or exact):
            items, revision = await self._store.values(resource, prefix)
            _refuse_future(asked, revision)
            return Listing(items if selects is None else [item for item in items if selects(item)], str(revision))
        start, at = decode_token(continue_token, prefix) if continue_token else ("", asked if exact else None)
        if at is not None:
            _refuse_future(at, await self._store.revision())
        try:
            found, revision = await self._store.range(
                resource, prefix, start=start, revision=None if at == INCONSISTENT else at
            )
        except Compacted:
            if continue_token:
                raise ContinueExpired(encode_token(start.removesuffix("\0"), prefix, INCONSISTENT)) from None
            raise Expired("The resourceVersion for the provided list is too old.") from None
        if not continue_token and not exact:
            _refuse_future(asked, revision)
        return _page(found, selects, limit, prefix, revision)

    @asynccontextmanager
    async def watch(
        self,
        strategy: Strategy,
        namespace: str,
        *,
        resource_version: str,
        label_selector: str,
        field_selector: str,
        allow_bookmarks: bool,
        send_initial_events: bool | None,
        timeout_seconds: float | None,
        shown: Callable[[WatchEvent], WatchEvent] | None = None,
    ) -> AsyncIterator[Events]:
        """shown: how a client of another version sees an event."""
        kind, prefix = strategy.kind, prefix_of(namespace)
        selects = predicate(strategy, label_selector, field_selector)
        revision = _watch_revision(kind, resource_version)
        first: list[WatchEvent] = []
        if send_initial_events or not revision:
            items, present = await self._store.values(kind.resource, prefix)
            _refuse_future(revision, present)
            revision = present
            if send_initial_events is not False:
                first = [WatchEvent("ADDED", item) for item in items if selects is None or selects(item)]
            if send_initial_events and allow_bookmarks:
                first.append(bookmark(kind, present, initial_events_end=True))
        async with AsyncExitStack() as stack:
            watcher: Watcher | Compacted
            try:
                watcher = await stack.enter_async_context(self._store.watch(kind.resource, prefix, revision=revision))
            except Compacted as error:
                watcher = error  # told by the stream, as its first event
            yield Events(
                kind, watcher, selects, first, bookmarks=allow_bookmarks, timeout_seconds=timeout_seconds, shown=shown
            )


class Events:
    """The events of one watch; raises Expired when the revision is forgotten or the watcher fell behind."""

    def __init__(
        self,
        kind: Kind,
        watcher: Watcher | Compacted,
        selects: Predicate | None,
        first: Iterable[WatchEvent],
        *,
        bookmarks: bool,
        timeout_seconds: float | None,
        shown: Callable[[WatchEvent], WatchEvent] | None = None,
    ) -> None:
        self._kind = kind
        self._watcher = watcher
        self._selects = selects
        self._shown = shown
        self._pending = deque(first if shown is None else map(shown, first))
        self._bookmarks = bookmarks
        now = asyncio.get_running_loop().time()
        self._ends = None if timeout_seconds is None else now + timeout_seconds
        self._next_bookmark = now + BOOKMARK_SECONDS

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> WatchEvent:
        while not self._pending:
            await self._more()
        return self._pending.popleft()

    def ready(self) -> list[WatchEvent]:
        """What can be had without waiting; taken."""
        events = list(self._pending)
        self._pending.clear()
        return events

    @property
    def whole(self) -> bool:
        """Whether every change is told as it is: no selector, no other version."""
        return self._selects is None and self._shown is None

    def divert(self, wake: Callable[[], None]) -> None:
        """From now on a change calls `wake`, for somebody who then takes it; `rouse` ends a wait in this iterator."""
        if not isinstance(self._watcher, Compacted):
            self._watcher.divert(wake)

    def rouse(self) -> None:
        if not isinstance(self._watcher, Compacted):
            self._watcher.rouse()

    def take(self) -> list[Change]:
        """The changes that are there, of which `told` are to be told. Raises Expired."""
        try:
            return [] if isinstance(self._watcher, Compacted) else self._watcher.take()
        except Compacted as error:
            raise Expired(str(error)) from None

    def told(self, changes: Iterable[Change]) -> list[WatchEvent]:
        found = [told for change in changes if (told := watched(change, self._selects)) is not None]
        return found if self._shown is None else [self._shown(event) for event in found]

    async def _more(self) -> None:
        if isinstance(self._watcher, Compacted):
            raise Expired(str(self._watcher))
        now = asyncio.get_running_loop().time()
        if self._ends is not None and now >= self._ends:
            raise StopAsyncIteration
        if self._bookmarks and now >= self._next_bookmark:
            self._next_bookmark = now + BOOKMARK_SECONDS
            mark = bookmark(self._kind, self._watcher.revision)
            self._pending.append(mark if self._shown is None else self._shown(mark))
            return
        wakes = [at for at in (self._ends, self._next_bookmark if self._bookmarks else None) if at is not None]
        try:
            events = await self._watcher.next(max(min(wakes) - now, 0) if wakes else None)
        except Compacted as error:
            raise Expired(str(error)) from None
        self._pending.extend(self.told(events))


def bookmark(kind: Kind, revision: int, *, initial_events_end: bool = False) -> WatchEvent:
    """Says that everything up to `revision` has been told."""
    metadata: JsonObject = {"resourceVersion": str(revision)}
    if initial_events_end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    return WatchEvent("BOOKMARK", {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata})


def _page(
    found: list[tuple[str, JsonObject]], selects: Predicate | None, limit: int, prefix: str, revision: int
) -> Listing:
    if selects is None:
        items = [object for _, object in (found[:limit] if limit else found)]
        if not limit or len(found) <= limit:
            return Listing(items, str(revision))
        token = encode_token(found[limit - 1][0], prefix, revision)
        return Listing(items, str(revision), token, len(found) - limit)
    items = []
    for index, (key, object) in enumerate(found):
        if not selects(object):
            continue
        items.append(object)
        if limit and len(items) == limit and index + 1 < len(found):
            return Listing(items, str(revision), encode_token(key, prefix, revision))
    return Listing(items, str(revision))


def _parsed(resource_version: str) -> int:
    """The revision asked for, 0 for any."""
    if not resource_version:
        return 0
    if not (resource_version.isascii() and resource_version.isdigit()):
        raise BadRequest(f"invalid resource version: {_no_number(resource_version)}")
    return int(resource_version)


def _watch_revision(kind: Kind, resource_version: str) -> int:
    if resource_version and not (resource_version.isascii() and resource_version.isdigit()):
        text = f'strconv.ParseUint: parsing "{resource_version}": invalid syntax'
        raise Invalid.of(kind.plural, kind.group, "", [invalid("resourceVersion", resource_version, text)])
    return int(resource_version or 0)


def _no_number(text: str) -> str:
    return str(invalid("resourceVersion", text, f'strconv.ParseUint: parsing "{text}": invalid syntax'))


def _refuse_future(asked: int, present: int) -> None:
    """There is one writer, so a revision not reached yet will not come by waiting."""
    if asked <= present:
        return
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    raise ApiError(
        f"Timeout: Too large resource version: {asked}, current: {present}",
        code=504,
        reason="Timeout",
        details={"causes": [cause], "retryAfterSeconds": 1},
    )
