"""The one loop that runs every controller: keys in, Changes out, applied through the client.

A key is planned again only when the informers show what the last plan of it wrote; so a plan never acts on its own past.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime

from emulator.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from emulator.api.kinds import EVENT, KINDS, NAMESPACE, Kind
from emulator.api.meta import JsonObject, ObjectKey, key_of
from emulator.client.index import Change
from emulator.client.io.informer import Informers
from emulator.client.io.protocol import Client
from emulator.config.settings import ClusterConfig
from emulator.controllers import (
    deployment,
    endpoints,
    endpointslice,
    endpointslicemirroring,
    garbage,
    job,
    kubernetesservice,
    loadbalancer,
    namespace,
    replicaset,
    scheduler,
)
from emulator.controllers.changes import Changes, Controller, Delete, Write
from emulator.io import clock
from emulator.io.workqueue import WorkQueue

log = logging.getLogger(__name__)

CATCH_UP_SECONDS = 2.0  # how long a plan waits for the informers to show its last writes
SYNC_SECONDS = 30.0


class InformerView:
    """The informers' indexes as a View."""

    def __init__(self, informers: Informers, kinds: Iterable[Kind]) -> None:
        self.indexes = {kind.resource: informers[kind].index for kind in kinds}

    def get(self, kind: Kind, name: str, namespace: str = "") -> JsonObject | None:
        return self.indexes[kind.resource].get(name, namespace)

    def in_namespace(self, kind: Kind, namespace: str) -> Mapping[str, JsonObject]:
        return self.indexes[kind.resource].in_namespace(namespace)

    def all(self, kind: Kind) -> Iterable[JsonObject]:
        return self.indexes[kind.resource]

    def owned_by(self, kind: Kind, uid: str, namespace: str) -> Mapping[str, JsonObject]:
        return self.indexes[kind.resource].owned_by(uid, namespace)


def controllers_of(config: ClusterConfig, api_endpoint: tuple[str, int] | None, ca: str) -> list[Controller]:
    """The controllers of a cluster with this config."""
    found = [
        namespace.controller(ca),
        endpoints.CONTROLLER,
        endpointslice.CONTROLLER,
        endpointslicemirroring.CONTROLLER,
        garbage.CONTROLLER,
        deployment.CONTROLLER,
        *replicaset.CONTROLLERS,
        *job.CONTROLLERS,
    ]
    if api_endpoint is not None:
        found.append(kubernetesservice.controller(config.addresses.kubernetes, api_endpoint))
    if config.load_balancer == "assign":
        found.append(loadbalancer.controller(config.addresses))
    if config.nodes:
        found.append(scheduler.CONTROLLER)
    return found


class ControllerRunner:
    """Every controller of one cluster. A Service; ready once the system namespaces are there."""

    name = "controllers"

    def __init__(
        self,
        client: Client,
        informers: Informers,
        config: ClusterConfig,
        *,
        api_endpoint: tuple[str, int] | None = None,
        ca: str = "",
        at: Callable[[], datetime] = clock.utc_now,
    ) -> None:
        self._client = client
        self._informers = informers
        self._at = at
        self._view = InformerView(informers, KINDS)
        self._loops = [_Loop(self, controller) for controller in controllers_of(config, api_endpoint, ca)]
        for loop in self._loops:
            for kind in loop.controller.watches:
                informers[kind].listen(loop.on_change)

    @property
    def is_idle(self) -> bool:
        """No controller has anything to do."""
        return all(loop.queue.is_idle for loop in self._loops)

    async def run(self, ready: Callable[[], None]) -> None:
        async with asyncio.timeout(SYNC_SECONDS):
            await self._informers.wait_synced(KINDS)
        async with asyncio.TaskGroup() as group:
            for loop in self._loops:
                group.create_task(loop.run(), name=f"controller {loop.controller.name}")
            async with asyncio.timeout(SYNC_SECONDS):
                while any(self._view.get(NAMESPACE, name) is None for name in namespace.SYSTEM):
                    await asyncio.sleep(0)
            ready()

    @property
    def view(self) -> InformerView:
        return self._view

    def now(self) -> datetime:
        return self._at()

    async def apply(self, changes: Changes) -> None:
        """Write what a plan wants, and wait until the informers show it."""
        written = [(write.kind, await self._update(write)) for write in changes.updates]
        for write in changes.creates:
            try:
                created = await self._client.create(write.kind, write.object)
            except AlreadyExists:
                continue  # somebody was faster; its event brings the key back
            written.append((write.kind, created))
            if write.told is not None:
                await self._tell(write.told(created))
        for delete in changes.deletes:
            await self._delete(delete)
        for told in changes.events:
            await self._tell(told)
        await self._caught_up(written)

    async def _update(self, write: Write) -> JsonObject:
        return await self._client.update(write.kind, write.object, subresource=write.subresource)

    async def _delete(self, delete: Delete) -> None:
        with suppress(NotFound, Conflict):  # it is gone, or another one has its name
            await self._client.delete(
                delete.kind,
                delete.key.name,
                delete.key.namespace,
                uid=delete.uid,
                propagation=delete.propagation,
                grace_period_seconds=delete.grace_period_seconds,
            )

    async def _tell(self, told: JsonObject) -> None:
        try:
            await self._client.create(EVENT, told)
        except ApiError as error:
            log.debug("event not written: %s", error)

    async def _caught_up(self, written: list[tuple[Kind, JsonObject]]) -> None:
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                for kind, object in written:
                    while not self._shows(kind, object):
                        await asyncio.sleep(0)
        except TimeoutError:
            log.warning("informers are %.0f s behind", CATCH_UP_SECONDS)

    def _shows(self, kind: Kind, object: JsonObject) -> bool:
        """Whether the index has this state or a later one, or the object went since."""
        key = key_of(object)
        held = self._view.get(kind, key.name, key.namespace)
        if held is None:
            return bool(object["metadata"].get("deletionTimestamp"))
        return int(held["metadata"]["resourceVersion"]) >= int(object["metadata"]["resourceVersion"])


class _Loop:
    """One controller's queue and worker."""

    def __init__(self, runner: ControllerRunner, controller: Controller) -> None:
        self.runner = runner
        self.controller = controller
        self.queue: WorkQueue[ObjectKey] = WorkQueue()

    def on_change(self, change: Change) -> None:
        for key in self.controller.watches[change.kind](change, self.runner.view):
            self.queue.add(key)

    async def run(self) -> None:
        for key in self.controller.start_keys:
            self.queue.add(key)
        try:
            while True:
                key = await self.queue.get()
                try:
                    await self._one(key)
                finally:
                    self.queue.done(key)
        finally:
            self.queue.close()

    async def _one(self, key: ObjectKey) -> None:
        """Plan and apply; conflicts and refusals are tried again, later each time."""
        try:
            changes = self.controller.plan(key, self.runner.view, self.runner.now())
            await self.runner.apply(changes)
        except Conflict:
            self.queue.retry(key)
        except NotFound:
            self.queue.retry(key)
        except ApiError as error:
            seconds = self.queue.retry(key)
            log.warning("%s %s: %s; again in %.3g s", self.controller.name, key, error, seconds)
        except Exception:
            seconds = self.queue.retry(key)
            log.exception("%s %s failed; again in %.3g s", self.controller.name, key, seconds)
        else:
            self.queue.forget(key)
            if changes.retry_after_seconds is not None:
                self.queue.add_after(key, changes.retry_after_seconds)
