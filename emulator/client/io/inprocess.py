"""The Client protocol without HTTP: straight to the registry of the same process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from emulator.api.kinds import BINDING, Kind
from emulator.api.meta import JsonObject
from emulator.client.io.protocol import ObjectList, PatchType, Propagation, WatchEvent
from emulator.registry.io.pipeline import Registry
from emulator.registry.io.podwrites import PodWrites
from emulator.registry.options import DeleteOptions, WriteOptions

CONTROLLERS = "kube-controller-manager"
"""Who writes in process, unless it says otherwise: as managedFields of a real cluster have it."""


class InProcessClient:
    """Fulfils Client. Objects handed in are not changed, objects handed out are shared."""

    def __init__(self, registry: Registry, *, manager: str = CONTROLLERS) -> None:
        """manager: who owns the fields that are written."""
        self._registry = registry
        self._pods = PodWrites(registry)
        self._write = WriteOptions(field_manager=manager, field_validation="Ignore")
        self._strict = replace(self._write, field_validation="Strict")

    async def get(self, kind: Kind, name: str, namespace: str = "") -> JsonObject:
        return await self._registry.get(kind, name, namespace)

    async def list(
        self, kind: Kind, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> ObjectList:
        found = await self._registry.list(kind, namespace, label_selector=label_selector, field_selector=field_selector)
        return ObjectList(found.items, found.resource_version)

    @asynccontextmanager
    async def watch(
        self, kind: Kind, namespace: str = "", *, resource_version: str
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        async with self._registry.watch(kind, namespace, resource_version=resource_version) as events:
            yield _Translated(events)

    async def create(
        self, kind: Kind, object: JsonObject, *, dry_run: bool = False, strict: bool = False
    ) -> JsonObject:
        namespace = (object.get("metadata") or {}).get("namespace") or ""
        options = self._strict if strict else self._write
        if dry_run:
            options = replace(options, dry_run=True)
        if kind is BINDING:
            return (await self._pods.bind("", namespace, object, options=options)).object
        written = await self._registry.create(kind, object, namespace, options=options)
        return written.object

    async def update(self, kind: Kind, object: JsonObject, *, subresource: str = "") -> JsonObject:
        metadata = object["metadata"]
        written = await self._registry.update(
            kind,
            metadata["name"],
            metadata.get("namespace") or "",
            object,
            subresource=subresource,
            options=self._write,
        )
        return written.object

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        patch: Any,
        patch_type: PatchType = "merge",
        subresource: str = "",
        strict: bool = False,
        manager: str = "",
        force: bool = False,
    ) -> JsonObject:
        options = self._strict if strict else self._write
        if manager or force:
            options = replace(options, field_manager=manager or options.field_manager, force=force)
        written = await self._registry.patch(
            kind, name, namespace, patch, patch_type, subresource=subresource, options=options
        )
        return written.object

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        uid: str | None = None,
        propagation: Propagation | None = None,
        grace_period_seconds: int | None = None,
    ) -> JsonObject:
        options = DeleteOptions(uid=uid, propagation=propagation, grace_period_seconds=grace_period_seconds)
        return (await self._registry.delete(kind, name, namespace, options=options)).object


class _Translated:
    """A registry's events as the protocol's. Not a generator: nothing to close."""

    def __init__(self, events: Any) -> None:
        self._next = events.__anext__

    def __aiter__(self) -> _Translated:
        return self

    async def __anext__(self) -> WatchEvent:
        event = await self._next()
        return WatchEvent(event.type, event.object)
