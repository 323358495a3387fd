"""The registry: the one way into the store, for kubectl and for every part alike.

Each write is decoded, defaulted, admitted, prepared, given its addresses and ports, validated, and committed; a
failure at any step leaves nothing behind. Objects that come out are shared and must not be changed.
Source: k8s.io/apiserver pkg/registry/generic/registry/store.go and pkg/endpoints/handlers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from emulator.api.errors import AlreadyExists, Conflict, NotFound
from emulator.api.kinds import NAMESPACE, SERVICE, Kind
from emulator.api.meta import JsonObject
from emulator.config.settings import ClusterConfig
from emulator.io.clock import randrange, utc_now
from emulator.registry import service_allocation
from emulator.registry.admission import admit_delete
from emulator.registry.applying import configuration_in_storage, configured
from emulator.registry.conversion.shapes import (
    from_storage,
    shown_event,
    shown_listing,
    shown_written,
    stored_selector,
)
from emulator.registry.decoding import decoded, patched
from emulator.registry.deletion import plan_deletion, plan_namespace_deletion
from emulator.registry.initial import initial_objects
from emulator.registry.io.commits import ATTEMPTS, Commits
from emulator.registry.io.reader import Events, Reader
from emulator.registry.jsoncopy import json_copy
from emulator.registry.metadata import (
    check_version,
    ensure_name,
    ensure_namespace,
    key_in,
    refuse_other_uid,
)
from emulator.registry.options import (
    DEFAULT_DELETE,
    DEFAULT_WRITE,
    Deleted,
    DeleteOptions,
    Listing,
    WriteOptions,
    Written,
)
from emulator.registry.strategies import strategy_of
from emulator.registry.strategy import Strategy
from emulator.store.history import Superseded, version_of
from emulator.store.io.store import Store

WRITES_PER_TURN = 32  # then others get theirs: a store in memory never waits by itself


Texts = list[str]  # the class has a method named list


class Registry:
    """Reads and writes every kind. Raises the ApiError kinds of emulator.api.errors."""

    def __init__(
        self,
        store: Store,
        config: ClusterConfig,
        *,
        clock: Callable[[], datetime] = utc_now,
        rng: Callable[[int], int] = randrange,
    ) -> None:
        self.config = config
        self._store = store
        self._clock = clock
        self._reader = Reader(store)
        self._commits = Commits(store, config, clock, rng)
        self._started = False
        self._starting = asyncio.Lock()
        self._writes = 0

    # -- reads -------------------------------------------------------------------------------------------------

    async def get(self, kind: Kind, name: str, namespace: str = "") -> JsonObject:
        await self.start()
        return from_storage(kind, await self._reader.get(kind, name, namespace))

    async def list(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> Listing:
        """namespace "" lists all namespaces."""
        await self.start()
        listing = await self._reader.list(
            strategy_of(kind),
            namespace,
            label_selector=label_selector,
            field_selector=stored_selector(kind, field_selector),
            limit=limit,
            continue_token=continue_token,
            resource_version=resource_version,
            resource_version_match=resource_version_match,
        )
        return shown_listing(kind, listing)

    @asynccontextmanager
    async def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        allow_bookmarks: bool = False,
        send_initial_events: bool | None = None,
        timeout_seconds: float | None = None,
    ) -> AsyncIterator[Events]:
        """Events after resource_version; "" and "0" begin with the present objects as ADDED.

        The iterator raises Expired for a forgotten revision and for a watcher that fell behind.
        """
        await self.start()
        async with self._reader.watch(
            strategy_of(kind),
            namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=stored_selector(kind, field_selector),
            allow_bookmarks=allow_bookmarks,
            send_initial_events=send_initial_events,
            timeout_seconds=timeout_seconds,
            shown=None if kind.storage is None else partial(shown_event, kind),
        ) as events:
            yield events

    # -- writes ------------------------------------------------------------------------------------------------

    async def create(
        self, kind: Kind, object: JsonObject, namespace: str = "", *, options: WriteOptions = DEFAULT_WRITE
    ) -> Written:
        await self._turn()
        own, warnings = decoded(kind, object, options)
        ensure_namespace(kind, own["metadata"], namespace)
        return shown_written(kind, await self._commits.create(strategy_of(kind), own, warnings, options, kind))

    async def update(
        self,
        kind: Kind,
        name: str,
        namespace: str,
        object: JsonObject,
        *,
        subresource: str = "",
        options: WriteOptions = DEFAULT_WRITE,
    ) -> Written:
        """Replace; with a resourceVersion only if the object still has it."""
        await self._turn()
        strategy = strategy_of(kind)
        for _ in range(ATTEMPTS):
            own, warnings = decoded(kind, object, options)
            metadata = own["metadata"]
            ensure_namespace(kind, metadata, namespace)
            ensure_name(metadata, name)
            key = key_in(metadata.get("namespace", ""), name)
            old = await self._store.get(kind.resource, key)
            if old is None:
                made = await self._create_on_update(strategy, own, warnings, subresource, options, kind)
                return shown_written(kind, made)
            refuse_other_uid(kind, metadata, old["metadata"]["uid"])
            check_version(metadata.get("resourceVersion") or "", version_of(old), kind=kind, name=name)
            try:
                written = await self._commits.replace(strategy, key, own, old, subresource, warnings, options, kind)
            except Superseded:
                continue
            return shown_written(kind, written)
        raise Conflict.of(kind.resource, name)

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str,
        patch: Any,
        patch_type: str,
        *,
        subresource: str = "",
        options: WriteOptions = DEFAULT_WRITE,
    ) -> Written:
        """patch_type: json, merge, strategic or apply (which also creates); tried again when the object changes meanwhile."""
        await self._turn()
        strategy = strategy_of(kind)
        key = key_in(namespace if kind.namespaced else "", name)
        if patch_type == "apply":
            return shown_written(
                kind, await self._apply(strategy, key, name, namespace, patch, subresource, options, kind)
            )
        for _ in range(ATTEMPTS):
            old = await self._store.get(kind.resource, key)
            if old is None:
                raise NotFound.of(kind.resource, name)
            own, warnings = patched(kind, old, patch, patch_type, options)
            metadata = own["metadata"]
            ensure_name(metadata, name)
            ensure_namespace(kind, metadata, namespace)
            check_version(metadata.get("resourceVersion") or "", version_of(old), kind=kind, name=name)
            try:
                written = await self._commits.replace(strategy, key, own, old, subresource, warnings, options, kind)
            except Superseded:
                continue
            return shown_written(kind, written)
        raise Conflict.of(kind.resource, name)

    async def delete(
        self, kind: Kind, name: str, namespace: str = "", *, options: DeleteOptions = DEFAULT_DELETE
    ) -> Deleted:
        """Take away, or mark as going when a grace period or finalizers hold it."""
        await self._turn()
        admit_delete(kind, name)
        strategy = strategy_of(kind)
        key = key_in(namespace if kind.namespaced else "", name)
        for _ in range(ATTEMPTS):
            old = await self._store.get(kind.resource, key)
            if old is None:
                raise NotFound.of(kind.resource, name)
            planner = plan_namespace_deletion if kind.resource == NAMESPACE.resource else plan_deletion
            plan = planner(strategy, json_copy(old), options, at=self._clock())
            if options.dry_run:
                return Deleted(from_storage(kind, plan.mark or old), plan.remove, strategy.returns_deleted_object)
            try:
                deleted = await self._commits.carry_out(strategy, key, old, plan)
            except Superseded:
                continue
            return replace(deleted, object=from_storage(kind, deleted.object))
        raise Conflict.of(kind.resource, name)

    async def delete_collection(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        options: DeleteOptions = DEFAULT_DELETE,
    ) -> Listing:
        """Delete the selected objects, the first `limit` of them if there is one; answers with them as they were."""
        selected = {"label_selector": label_selector, "field_selector": field_selector}
        listing = await self.list(kind, namespace, limit=limit, **selected)
        for item in listing.items:
            metadata = item["metadata"]
            try:
                await self.delete(kind, metadata["name"], metadata.get("namespace", ""), options=options)
            except NotFound:
                continue
        return listing

    # -- steps -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Learn what stored Services hold, and make what every cluster has. Done once, by the first use."""
        if not self._started:
            async with self._starting:
                await self._start()

    async def _start(self) -> None:
        if self._started:
            return  # another task did while this one waited for the lock
        services, _ = await self._store.values(SERVICE.resource)
        for service in services:
            self._commits.allocators.hold(*service_allocation.held(service))
        for kind, object in initial_objects(self.config):
            await self._commits.ensure(kind, object)
        for service in services:
            await self._commits.show_addresses(None, service)
        self._started = True

    async def _turn(self) -> None:
        """Every so many writes the other tasks get the loop. Before anything is taken, so a cancel leaves nothing."""
        if not self._started:
            await self.start()
        self._writes += 1
        if self._writes % WRITES_PER_TURN == 0:
            await asyncio.sleep(0)

    async def _apply(
        self,
        strategy: Strategy,
        key: str,
        name: str,
        namespace: str,
        config: Any,
        subresource: str,
        options: WriteOptions,
        shape: Kind,
    ) -> Written:
        kind = strategy.kind
        config = configuration_in_storage(shape, config)
        for _ in range(ATTEMPTS):
            old = await self._store.get(kind.resource, key)
            found = configured(kind, old, config, options, subresource=subresource, at=self._clock())
            object, entries, warnings = found.object, found.entries, found.warnings
            ensure_namespace(kind, object["metadata"], namespace)
            ensure_name(object["metadata"], name)
            if old is not None:
                sent = object["metadata"].get("resourceVersion") or ""
                check_version(sent, version_of(old), kind=kind, name=name)
            try:
                if old is not None:
                    return await self._commits.replace(
                        strategy, key, object, old, subresource, warnings, options, shape, entries
                    )
                if subresource:
                    raise NotFound.of(kind.resource, name)
                object["metadata"].pop("resourceVersion", None)
                return await self._commits.create(strategy, object, warnings, options, shape, entries)
            except (Superseded, AlreadyExists):
                continue
        raise Conflict.of(kind.resource, name)

    async def _create_on_update(
        self,
        strategy: Strategy,
        object: JsonObject,
        warnings: Texts,
        subresource: str,
        options: WriteOptions,
        shape: Kind,
    ) -> Written:
        kind, metadata = strategy.kind, object["metadata"]
        if subresource or not strategy.create_on_update:
            raise NotFound.of(kind.resource, metadata["name"])
        refuse_other_uid(kind, metadata, "")
        metadata.pop("resourceVersion", None)
        return await self._commits.create(strategy, object, warnings, options, shape)
