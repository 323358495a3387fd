"""The life signs of emulated nodes: a Lease renewed, and a status that says how the node is.

An annotation on the Node steers them: kubemu.dev/ready "false" reports the node not ready, "unknown" falls silent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from datetime import datetime

from emulator.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from emulator.api.kinds import LEASE, NODE
from emulator.api.meta import JsonObject, format_micro_time
from emulator.client.index import Change
from emulator.client.io.informer import Informer
from emulator.client.io.protocol import Client
from emulator.node import nodes
from emulator.node.nodes import Health

log = logging.getLogger(__name__)

RENEW_SECONDS = 10.0  # a quarter of the lease, as the kubelet does
MAX_TRIES = 5


class Heartbeat:
    """Of all nodes of one agent. `changed` is called with a node's name when its health is steered another way."""

    def __init__(
        self,
        client: Client,
        informer: Informer,
        at: Callable[[], datetime],
        changed: Callable[[str], None],
        status_of: Callable[[str], JsonObject],
    ) -> None:
        """status_of: the whole status of a node, for a Node object that has lost it."""
        self._client = client
        self._index = informer.index
        self._at = at
        self._changed = changed
        self._status_of = status_of
        self._health: dict[str, Health] = {}
        self._due = asyncio.Event()
        informer.listen(self._node_changed)

    def health(self, node: str) -> Health:
        return self._health.get(node, "ready")

    async def run(self, names: Iterable[str]) -> None:
        """Beat until cancelled."""
        own = list(names)
        while True:
            self._due.clear()
            for name in own:
                try:
                    await self._beat(name)
                except ApiError as error:
                    log.debug("node %s: no life sign: %s", name, error)  # the next one may go through
            try:
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._due.wait()
            except TimeoutError:
                continue

    def _node_changed(self, change: Change) -> None:
        name = change.key.name
        if change.type == "DELETED":
            return  # its pods stay what they were until somebody collects them
        steered = nodes.steered_health(change.object)
        if change.type == "ADDED":
            self._due.set()
        if steered != self._health.get(name, "ready"):
            self._health[name] = steered
            self._due.set()
            self._changed(name)

    async def _beat(self, name: str) -> None:
        node = self._index.get(name)
        if node is None or self.health(name) == "silent":
            return
        await self._renew(name, node)
        for _ in range(MAX_TRIES):
            held = node.get("status") or {}
            held = held if held.get("allocatable") else self._status_of(name)
            status = nodes.with_health(held, self.health(name), self._at())
            if status is None and held is not node.get("status"):
                status = held
            if status is None:
                return
            try:
                await self._client.update(NODE, {**node, "status": status}, subresource="status")
                return
            except Conflict:
                node = await self._client.get(NODE, name)
            except NotFound:
                return

    async def _renew(self, name: str, node: JsonObject) -> None:
        lease = nodes.lease_object(node, format_micro_time(self._at()))
        owners, renewed = lease["metadata"]["ownerReferences"], lease["spec"]["renewTime"]
        change = {"metadata": {"ownerReferences": owners}, "spec": {"renewTime": renewed}}
        try:
            await self._client.patch(LEASE, name, nodes.LEASES, patch=change)
        except NotFound:
            with contextlib.suppress(AlreadyExists):
                await self._client.create(LEASE, lease)
