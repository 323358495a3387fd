"""The one loop that runs every controller: keys in, Changes out, applied through the client.

A key is planned again only when the informers show what the last plan of it wrote (io/writer.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from emulator.api.errors import Conflict, NotFound
from emulator.api.kinds import KINDS, NAMESPACE, Kind
from emulator.api.meta import JsonObject, ObjectKey
from emulator.client.index import Change
from emulator.client.io.informer import Informers
from emulator.client.io.protocol import Client
from emulator.config.presets import ingress_address
from emulator.config.settings import ClusterConfig
from emulator.controllers import (
    cronjob,
    daemonset,
    deployment,
    disruption,
    endpoints,
    endpointslice,
    endpointslicemirroring,
    garbage,
    ingressstatus,
    job,
    kubernetesservice,
    loadbalancer,
    namespace,
    nodelifecycle,
    podgc,
    replicaset,
    scheduler,
    statefulset,
    tainteviction,
    ttlafterfinished,
)
from emulator.controllers.changes import Controller
from emulator.controllers.io.writer import Expected, Unfinished, Writer, namespace_goes
from emulator.io import clock
from emulator.io.workqueue import WorkQueue

log = logging.getLogger(__name__)

SYNC_SECONDS = 30.0
LONG_SECONDS = (
    0.002  # of CPU: a plan that looks at so much is followed by a rest; one that was only kept waiting is not
)
REST = 20  # times as long as it took: with the writes that follow, a tenth of the loop's time for one key


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

    def dependents(self, kind: Kind, uid: str) -> Mapping[ObjectKey, JsonObject]:
        return self.indexes[kind.resource].dependents(uid)


def controllers_of(config: ClusterConfig, api_endpoint: tuple[str, int] | None, ca: str) -> list[Controller]:
    """The controllers of a cluster with this config."""
    found = [
        namespace.controller(ca),
        endpoints.controller(),
        endpointslice.controller(),
        endpointslicemirroring.CONTROLLER,
        garbage.CONTROLLER,
        deployment.CONTROLLER,
        daemonset.CONTROLLER,
        statefulset.CONTROLLER,
        *replicaset.CONTROLLERS,
        *job.CONTROLLERS,
        cronjob.CONTROLLER,
        ttlafterfinished.CONTROLLER,
        disruption.CONTROLLER,
        nodelifecycle.controller(),
        tainteviction.controller(),
        podgc.controller(),
    ]
    if api_endpoint is not None:
        found.append(kubernetesservice.controller(config.addresses.kubernetes, api_endpoint))
    if config.load_balancer == "assign":
        found.append(loadbalancer.controller(config.addresses))
        if config.ingress and config.nodes:
            found.append(ingressstatus.controller(ingress_address(config.preset, config.addresses)))
    if config.nodes:
        found.append(scheduler.controller())
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
        self.writer = Writer(client, self._view, lambda kind: informers[kind].index.revision, at)
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


class _Loop:
    """One controller's queue and worker."""

    def __init__(self, runner: ControllerRunner, controller: Controller) -> None:
        self.runner = runner
        self.controller = controller
        self.queue: WorkQueue[ObjectKey] = WorkQueue()
        self.expected: dict[ObjectKey, list[Expected]] = {}
        self._rests: dict[ObjectKey, float] = {}  # until when a key that took long is left alone

    def on_change(self, change: Change) -> None:
        for key in self.controller.watches[change.kind](change, self.runner.view):
            self._add(key)

    def _add(self, key: ObjectKey) -> None:
        """Queue a key; one whose last plan took long waits, so that a burst of changes makes few plans of it."""
        until = self._rests.get(key)
        rest = until - clock.now() if until is not None else 0.0
        if rest > 0:
            self.queue.add_after(key, rest)
        else:
            self._rests.pop(key, None)
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
        if not self._sees_own_writes(key):
            return
        began = clock.cpu()
        try:
            changes = self.controller.plan(key, self.runner.view, self.runner.now())
            planned = clock.cpu() - began
            self._expect(key, await self.runner.writer.apply(changes))
        except Unfinished as stopped:
            self._expect(key, stopped.expected)
            if namespace_goes(stopped.error):
                self.queue.forget(key)
                return
            seconds = self.queue.retry(key)
            if not isinstance(stopped.error, (Conflict, NotFound)):
                log.warning("%s %s: %s; again in %.3g s", self.controller.name, key, stopped.error, seconds)
        except Exception:
            seconds = self.queue.retry(key)
            log.exception("%s %s failed; again in %.3g s", self.controller.name, key, seconds)
        else:
            self.queue.forget(key)
            if planned > LONG_SECONDS:
                self._rests[key] = clock.now() + planned * REST
            if changes.retry_after_seconds is not None:
                self.queue.add_after(key, changes.retry_after_seconds)

    def _expect(self, key: ObjectKey, expected: list[Expected]) -> None:
        if expected:
            self.expected[key] = expected

    def _sees_own_writes(self, key: ObjectKey) -> bool:
        """Whether the informers show what the last plan of the key wrote; if not, it is looked at again later."""
        left = self.runner.writer.unseen(self.expected.pop(key, []))
        if left:
            self.expected[key] = left
            self.queue.retry(key)
        return not left
