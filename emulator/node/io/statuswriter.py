"""Writes one pod's status, and only when it says something new."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from emulator.api.errors import Conflict, NotFound
from emulator.api.kinds import POD
from emulator.api.meta import JsonObject, key_of
from emulator.client.io.protocol import Client

log = logging.getLogger(__name__)

MAX_TRIES = 8


class StatusWriter:
    """One at a time for a pod; what others wrote meanwhile is kept."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = asyncio.Lock()
        self._written: JsonObject | None = None

    async def write(self, pod: JsonObject, status_of: Callable[[JsonObject], JsonObject]) -> None:
        """status_of: from the newest state of the pod to its status, called again after a conflict."""
        async with self._lock:
            base = pod
            if self._written is not None and _revision(self._written) > _revision(pod):
                base = self._written  # the informer has not told us yet of what we wrote
            for _ in range(MAX_TRIES):
                status = status_of(base)
                if _pruned(status) == _pruned(base.get("status") or {}):
                    return
                try:
                    self._written = await self._client.update(POD, {**base, "status": status}, subresource="status")
                    return
                except Conflict:
                    fresh = await self._fetch(pod)
                except NotFound:
                    return
                if fresh is None:
                    return
                base = fresh
            log.warning("pod %s: its status could not be written, others write all the time", key_of(pod))

    async def _fetch(self, pod: JsonObject) -> JsonObject | None:
        key = key_of(pod)
        try:
            fresh = await self._client.get(POD, key.name, key.namespace)
        except NotFound:
            return None
        return fresh if fresh["metadata"].get("uid") == pod["metadata"].get("uid") else None


def _revision(object: JsonObject) -> int:
    text = str(object["metadata"].get("resourceVersion") or "0")
    return int(text) if text.isdigit() else 0


def _pruned(value: object) -> object:
    """`value` without what a typed server may drop: nulls and empty objects."""
    if isinstance(value, dict):
        pruned = {key: _pruned(each) for key, each in value.items()}
        return {key: each for key, each in pruned.items() if each is not None and each not in ({}, [], "")}
    return [_pruned(each) for each in value] if isinstance(value, list) else value
