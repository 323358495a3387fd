"""Binding and evicting pods: requests of their own that end as ordinary writes of the registry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from emulator.api.errors import Conflict, NotFound
from emulator.api.kinds import BINDING, EVICTION_KIND, POD, POD_DISRUPTION_BUDGET
from emulator.api.meta import JsonObject
from emulator.io.clock import utc_now
from emulator.registry import podwrites
from emulator.registry.decoding import decoded
from emulator.registry.io.commits import ATTEMPTS
from emulator.registry.io.pipeline import Registry
from emulator.registry.options import DeleteOptions, WriteOptions, Written

DONE: JsonObject = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class PodWrites:
    """Those of one registry. Raises the ApiError kinds."""

    def __init__(self, registry: Registry, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._registry = registry
        self._clock = clock

    async def bind(self, name: str, namespace: str, binding: JsonObject, *, options: WriteOptions) -> Written:
        """name: of the URL; "" for the collection `bindings`, then the Binding's own counts."""
        own, warnings = decoded(BINDING, binding, options)
        node = podwrites.check_binding(own, name)
        wanted = name or (own.get("metadata") or {}).get("name") or ""
        for attempt in range(ATTEMPTS):
            pod = await self._registry.get(POD, wanted, namespace)
            changed = podwrites.bound(pod, own, node, at=self._clock())
            try:
                await self._registry.update(POD, wanted, namespace, changed, subresource="binding", options=options)
            except Conflict:
                if attempt == ATTEMPTS - 1:
                    raise
                continue
            break
        return Written(DONE, warnings, created=True)

    async def evict(self, name: str, namespace: str, eviction: JsonObject, *, options: WriteOptions) -> Written:
        """Delete the pod as far as its disruption budget allows."""
        own, warnings = decoded(EVICTION_KIND, eviction, options)
        dry_run = podwrites.check_eviction(own, name, options.dry_run)
        used = False  # the budget pays once, however often the pod changes meanwhile
        for attempt in range(ATTEMPTS):
            pod = await self._registry.get(POD, name, namespace)
            try:
                if not used and not podwrites.ignores_budgets(pod):
                    await self._use_budget(pod, dry_run, options)
                    used = True
                if not dry_run:
                    pod = await self._mark(pod, options)
                await self._registry.delete(POD, name, namespace, options=_delete_options(own, pod, dry_run, options))
            except Conflict:
                if attempt == ATTEMPTS - 1 or (own.get("deleteOptions") or {}).get("preconditions"):
                    raise
                continue
            break
        return Written(DONE, warnings, created=True)

    async def _use_budget(self, pod: JsonObject, dry_run: bool, options: WriteOptions) -> None:
        namespace = pod["metadata"]["namespace"]
        listing = await self._registry.list(POD_DISRUPTION_BUDGET, namespace)
        found = podwrites.disruption(pod, listing.items, at=self._clock())
        if found is not None and not dry_run:
            name = found.budget["metadata"]["name"]
            await self._registry.update(
                POD_DISRUPTION_BUDGET, name, namespace, found.budget, subresource="status", options=options
            )

    async def _mark(self, pod: JsonObject, options: WriteOptions) -> JsonObject:
        metadata = pod["metadata"]
        marked = podwrites.with_disruption_target(pod, at=self._clock())
        try:
            written = await self._registry.update(
                POD, metadata["name"], metadata["namespace"], marked, subresource="status", options=options
            )
        except NotFound:
            return pod  # the delete will say so
        return written.object


def _delete_options(eviction: JsonObject, pod: JsonObject, dry_run: bool, options: WriteOptions) -> DeleteOptions:
    asked: dict[str, Any] = eviction.get("deleteOptions") or {}
    preconditions = asked.get("preconditions") or {}
    return DeleteOptions(
        dry_run=dry_run,
        propagation=asked.get("propagationPolicy"),
        grace_period_seconds=asked.get("gracePeriodSeconds"),
        uid=preconditions.get("uid") or pod["metadata"].get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        user=options.user,
    )
