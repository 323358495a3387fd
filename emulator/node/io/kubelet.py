"""The node agent: registers nodes, runs every pod bound to them, and answers for their state.

One agent serves all nodes of the cluster. Pods without probes cost no task: work happens when something changes.
"""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from emulator.api.errors import AlreadyExists, ApiError
from emulator.api.kinds import CONFIG_MAP, ENDPOINT_SLICE, NODE, POD, SECRET, SERVICE
from emulator.api.meta import JsonObject, ObjectKey, is_terminating, key_of
from emulator.client.index import Change
from emulator.client.io.informer import Informers
from emulator.client.io.protocol import Client
from emulator.config.presets import node_address
from emulator.config.settings import ClusterConfig
from emulator.io import clock
from emulator.io.network import Network
from emulator.io.tasks import TaskOwner
from emulator.node import nodes
from emulator.node.envvars import MASTER_NAMESPACE, service_variables
from emulator.node.io.events import EventRecorder
from emulator.node.io.heartbeat import Heartbeat
from emulator.node.io.keyqueue import KeyQueue
from emulator.node.io.podend import delete_object, end_pod
from emulator.node.io.podprocess import stop_all
from emulator.node.io.podrun import NodePlace, PodRun
from emulator.node.lifecycle import is_finished
from emulator.node.podips import PodAddresses, node_ranges
from emulator.node.serving import ServingPods

if TYPE_CHECKING:
    from emulator.node.io.processes import ProcessRuntime

log = logging.getLogger(__name__)

WORKERS = 8
MAX_PROBES_UNDER_WAY = 1000
MAX_ENDINGS = 20_000
RETRY_SECONDS = 1.0  # after an error of the API or the network
_ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}  # Python's words -> Go's


class NodeAgent:
    """A Service; ready once the Node objects are there and the caches are filled. Fulfils podrun.World."""

    name = "node agent"

    def __init__(
        self,
        client: Client,
        informers: Informers,
        network: Network,
        config: ClusterConfig,
        *,
        node_names: Sequence[str] | None = None,
        host_network: Network | None = None,
        node_resolv_conf: str = "",
        processes: ProcessRuntime | None = None,
        at: Callable[[], datetime] = clock.utc_now,
        now: Callable[[], float] = clock.now,
    ) -> None:
        """network: where pods listen. host_network: where processes behind kubemu.dev/backend are reached.

        processes: runs containers as processes of this host; None simulates all of them.
        """
        self.client = client
        self.network = network
        self.host_network = host_network or network
        self.cluster_domain = config.cluster_domain
        self.cluster_dns: tuple[str, ...] = (config.addresses.dns,)
        self.node_resolv_conf = node_resolv_conf
        self.processes = processes
        self.at = at
        self.now = now
        self.probes = TaskOwner("probes", limit=MAX_PROBES_UNDER_WAY)
        self.places = _places(config, node_names)
        self._queue = KeyQueue()
        self.events = EventRecorder(client, at, lambda: len(self._queue) > 0)
        self._endings = TaskOwner("pod endings", limit=MAX_ENDINGS)
        self._runs: dict[ObjectKey, PodRun] = {}
        self._by_uid: dict[str, PodRun] = {}
        self._serving = ServingPods()
        self._links: dict[tuple[str, bool], Mapping[str, str]] = {}
        self._informers = informers
        self._pods = informers[POD]
        self._services = informers[SERVICE]
        self._config_maps = informers[CONFIG_MAP]
        self._secrets = informers[SECRET]
        self._slices = informers[ENDPOINT_SLICE]
        self._heartbeat = Heartbeat(client, informers[NODE], at, self._health_changed, self._status_of)
        self._allocatable: Mapping[str, str] = nodes.allocatable(nodes.MAX_PODS)

    async def run(self, ready: Callable[[], None]) -> None:
        await self._informers.wait_synced([POD, SERVICE, CONFIG_MAP, SECRET, ENDPOINT_SLICE, NODE])
        for place in self.places.values():
            await self._register(place)
        self._services.listen(self._service_changed)
        self._slices.listen(self._slice_changed)
        self._config_maps.listen(self._reference_changed)
        self._secrets.listen(self._reference_changed)
        self._pods.listen(self._pod_changed)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.events.run(), name="pod events")
                group.create_task(self._heartbeat.run(self.places), name="heartbeat")
                for number in range(WORKERS):
                    group.create_task(self._work(), name=f"node worker {number}")
                ready()
        finally:
            await self._stop()

    # -- for others ------------------------------------------------------------------------------------------------

    def run_of(self, namespace: str, pod: str) -> PodRun | None:
        """What runs for a pod, None for one that is not of these nodes."""
        return self._runs.get(ObjectKey(namespace, pod))

    def variables(self, namespace: str, pod: str, container: str = "") -> Mapping[str, str] | None:
        """The environment of a running container (the first by default) as it was started; None if none runs."""
        run = self._runs.get(ObjectKey(namespace, pod))
        for each in run.containers if run is not None else ():
            if each.running and each.role == "container" and container in ("", each.name):
                return each.variables
        return None

    # -- podrun.World ----------------------------------------------------------------------------------------------

    def again(self, key: ObjectKey) -> None:
        self._queue.add(key)

    def link_variables(self, namespace: str, enable_service_links: bool) -> Mapping[str, str]:
        """The Service variables of a namespace, worked out once until a Service changes."""
        found = self._links.get((namespace, enable_service_links))
        if found is None:
            services = [*self._services.index.in_namespace(namespace).values()]
            if namespace != MASTER_NAMESPACE:
                services += self._services.index.in_namespace(MASTER_NAMESPACE).values()
            found = service_variables(namespace, services, enable_service_links)
            self._links[namespace, enable_service_links] = found
        return found

    def config_maps(self, namespace: str) -> Mapping[str, JsonObject]:
        return self._config_maps.index.in_namespace(namespace)

    def secrets(self, namespace: str) -> Mapping[str, JsonObject]:
        return self._secrets.index.in_namespace(namespace)

    def allocatable(self) -> Mapping[str, str]:
        return self._allocatable

    def vouches_for(self, node: str) -> bool:
        """Whether containers of the node may be ready at all."""
        return self._heartbeat.health(node) == "ready"

    # -- what informers tell ---------------------------------------------------------------------------------------

    def _pod_changed(self, change: Change) -> None:
        if change.key in self._runs or (change.object.get("spec") or {}).get("nodeName") in self.places:
            self._queue.add(change.key)

    def _health_changed(self, node: str) -> None:
        for key, run in self._runs.items():
            if run.place.name == node:
                self._queue.add(key)
        for pod in self._pods.index:
            if (pod.get("spec") or {}).get("nodeName") == node:
                self._queue.add(key_of(pod))

    def _service_changed(self, change: Change) -> None:
        self._links.clear()

    def _slice_changed(self, change: Change) -> None:
        for uid in self._serving.apply(change):
            if (run := self._by_uid.get(uid)) is not None:
                run.endpoint_out.set()

    def _reference_changed(self, change: Change) -> None:
        for key, run in self._runs.items():
            if key.namespace != change.key.namespace:
                continue
            if run.lacks_reference:
                self._queue.add(key)
            if run.processes is not None:
                word = "secret" if change.kind is SECRET else "configmap"
                run.processes.refresh_files(word, change.key.name)
                if run.processes.lacks_volume:
                    self._queue.add(key)

    # -- work ------------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._sync(key)
            except Exception:  # one bad pod must not stop the others
                log.exception("pod %s", key)
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._queue.add, key)
            finally:
                self._queue.done(key)

    async def _sync(self, key: ObjectKey) -> None:
        pod = self._pods.index.by_key(key)
        run = self._runs.get(key)
        if run is not None and (pod is None or pod["metadata"].get("uid") != run.uid):
            await self._drop(run)
            run = None
        if pod is None or self._is_silent(pod):
            return
        if run is None:
            place = self.places.get((pod.get("spec") or {}).get("nodeName") or "")
            if place is None or (is_finished(pod) and not is_terminating(pod)):
                return
            run = self._runs[key] = PodRun(self, place, pod)
            self._by_uid[run.uid] = run
            if is_finished(pod) or is_terminating(pod):
                run.finished = True  # nothing ever ran here: only the object is to go
        if is_terminating(pod):
            await self._terminate(run, pod)
        else:
            await run.sync(pod)

    def _is_silent(self, pod: JsonObject) -> bool:
        """Whether nobody hears of the pod's node: then nothing of its pods is told or done either."""
        return self._heartbeat.health((pod.get("spec") or {}).get("nodeName") or "") == "silent"

    async def _terminate(self, run: PodRun, pod: JsonObject) -> None:
        run.pod = pod
        if run.ending is not None:
            await run.sync(pod)
        elif run.finished:
            await delete_object(pod, run)
        else:
            run.endpoint_out.clear()
            run.ending = self._endings.start(
                end_pod(run, serving=run.uid in self._serving), name=f"end of pod {run.key}"
            )

    async def _drop(self, run: PodRun) -> None:
        """The object is gone: nothing may be left of the pod."""
        del self._runs[run.key]
        self._by_uid.pop(run.uid, None)
        if run.ending is not None and not run.finished:
            run.ending.cancel()
        await run.release()

    async def _stop(self) -> None:
        await self._endings.close()
        await self.probes.close()
        if self.processes is not None:
            await stop_all([run.processes for run in self._runs.values() if run.processes is not None])
        for run in list(self._runs.values()):
            await run.release()
        self._runs.clear()
        self._by_uid.clear()
        if self.processes is not None:
            await self.processes.close()

    def _manifest_of(self, place: NodePlace) -> JsonObject:
        machine = platform.machine()
        return nodes.node_object(
            place.name,
            place.address,
            str(place.addresses.network),
            pods=place.addresses.capacity,
            architecture=_ARCHITECTURES.get(machine, machine),
            kernel=platform.release(),
            at=self.at(),
        )

    def _status_of(self, node: str) -> JsonObject:
        found: JsonObject = self._manifest_of(self.places[node])["status"]
        return found

    async def _register(self, place: NodePlace) -> None:
        """Create the Node, or bring the status of the one there is up to date."""
        manifest = self._manifest_of(place)
        self._allocatable = manifest["status"]["allocatable"]
        try:
            created = await self.client.create(NODE, {key: manifest[key] for key in manifest if key != "status"})
        except AlreadyExists:
            created = await self.client.get(NODE, place.name)
        try:
            await self.client.update(NODE, {**created, "status": manifest["status"]}, subresource="status")
        except ApiError as error:
            log.warning("node %s: status not written: %s", place.name, error)


def _places(config: ClusterConfig, node_names: Sequence[str] | None) -> dict[str, NodePlace]:
    names = list(node_names) if node_names is not None else [f"node-{number + 1}" for number in range(config.nodes)]
    ranges = node_ranges(config.addresses.pods, len(names))
    return {
        name: NodePlace(name, node_address(config.addresses, number), PodAddresses(ranges[number - 1]))
        for number, name in enumerate(names, 1)
    }
