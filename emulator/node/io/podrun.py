"""One pod on one node: brings what runs in line with the manifest, step by step, and writes its status.

Its `sync` is called by one worker at a time whenever something changed; it never waits for the pod's own time to
pass. Ending a pod does wait, so that is a task of its own (podend.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from emulator.api.meta import JsonObject, ObjectKey, key_of
from emulator.client.io.protocol import Client
from emulator.io.network import Network
from emulator.io.tasks import TaskOwner
from emulator.node import lifecycle
from emulator.node.backends import (
    ANY_ADDRESS,
    BadBackend,
    Target,
    declared_ports,
    default_probe,
    target_of,
    target_of_or_none,
)
from emulator.node.echoapp import EchoPod
from emulator.node.envvars import UnresolvedVariable, environment
from emulator.node.hosts import pod_hostname, system_hostname
from emulator.node.io.backend import Backend, Listen
from emulator.node.io.containerrun import ContainerRun
from emulator.node.io.echo import EchoBackend
from emulator.node.io.events import EventRecorder
from emulator.node.io.external import ExternalBackend
from emulator.node.io.podaddress import free_address
from emulator.node.io.podevents import PodEvents
from emulator.node.io.podprocess import PodProcesses
from emulator.node.io.prober import ProbedContainer, ProbeRun, Result
from emulator.node.io.statuswriter import StatusWriter
from emulator.node.lifecycle import Observed, Terminated, Waiting
from emulator.node.podips import NoPodAddress, PodAddresses
from emulator.node.probes import needs_program, probe_specs
from emulator.node.resolvconf import pod_resolv_conf
from emulator.node.restarts import is_restarted

if TYPE_CHECKING:
    from emulator.node.io.processes import ProcessRuntime

LACKS_REFERENCE = "CreateContainerConfigError"


@dataclass(frozen=True, slots=True)
class NodePlace:
    """One node of the agent."""

    name: str
    address: str
    addresses: PodAddresses


class World(Protocol):
    """What a pod may use; the agent fulfils it."""

    client: Client
    network: Network
    host_network: Network
    events: EventRecorder
    probes: TaskOwner
    cluster_domain: str
    cluster_dns: tuple[str, ...]
    node_resolv_conf: str
    processes: ProcessRuntime | None

    def at(self) -> datetime: ...
    def now(self) -> float: ...
    def again(self, key: ObjectKey) -> None: ...
    def link_variables(self, namespace: str, enable_service_links: bool) -> Mapping[str, str]: ...
    def config_maps(self, namespace: str) -> Mapping[str, JsonObject]: ...
    def secrets(self, namespace: str) -> Mapping[str, JsonObject]: ...
    def allocatable(self) -> Mapping[str, str]: ...
    def vouches_for(self, node: str) -> bool: ...


class PodRun:
    """What runs for one pod."""

    def __init__(self, world: World, place: NodePlace, pod: JsonObject) -> None:
        self.world = world
        self.place = place
        self.pod = pod
        self.key = key_of(pod)
        self.uid: str = pod["metadata"].get("uid") or ""
        self.address = ""
        self.own_address = ""
        self.network: Network = world.network
        self.started_at: datetime | None = None
        self.started_monotonic = 0.0
        self.failure: tuple[str, str] | None = None
        self.finished = False  # the containers have ended for good
        self.last_phase = ""  # the phase of a pod that was ended from outside
        self.ending: asyncio.Task[None] | None = None
        self.endpoint_out = asyncio.Event()
        self.told = PodEvents(self, world.events)
        self.processes = PodProcesses(self, world.processes) if world.processes is not None else None
        self._status = StatusWriter(world.client)
        self._timer: asyncio.TimerHandle | None = None
        counts = {
            each["name"]: each.get("restartCount") or 0
            for field in ("initContainerStatuses", "containerStatuses")
            for each in (pod.get("status") or {}).get(field) or ()
        }
        waiting = Waiting("PodInitializing" if (pod.get("spec") or {}).get("initContainers") else "ContainerCreating")
        self.containers = [
            ContainerRun(manifest, role, counts.get(manifest["name"], 0), waiting)
            for role, manifest in lifecycle.declared_containers(pod)
        ]

    # -- steps -----------------------------------------------------------------------------------------------------

    async def sync(self, pod: JsonObject) -> None:
        """Bring everything up to date with `pod` and the time."""
        self.pod = pod
        if not self.finished:
            if not self.address and not await self._take_address():
                await self.write_status()
                return
            if self.ending is None:
                await self._advance()
                for container in self.containers:
                    container.start_due_probes()
        if self.ending is None or not self.finished:
            await self.write_status()
        self._arm()

    async def _take_address(self) -> bool:
        if self.started_at is None:
            self.started_at, self.started_monotonic = self.world.at(), self.world.now()
        if (self.pod.get("spec") or {}).get("hostNetwork"):
            self.address = self.place.address
        else:
            try:
                ports = [port for each in self.containers for port in declared_ports(each.manifest)]
                present = (self.pod.get("status") or {}).get("podIP") or ""
                self.own_address = await free_address(self.place.addresses, self.world.network, ports, present)
                if self.processes is not None:
                    await self.processes.open_network()
                self.address = self.own_address
            except (NoPodAddress, OSError) as error:
                self._free_address()
                self.told.warn("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
                return False
        conf = pod_resolv_conf(self.pod, self.world.node_resolv_conf, self.world.cluster_dns, self.world.cluster_domain)
        for event in conf.events:
            self.told.warn(event.reason, event.message)
        return True

    async def _advance(self) -> None:
        """Start, end and restart containers as far as that is due now."""
        deadline = (self.pod.get("spec") or {}).get("activeDeadlineSeconds")
        if deadline and self.world.now() - self.started_monotonic >= deadline:
            await self._fail("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
            return
        for container in self.containers:
            if container.role == "init":
                if not await self._advance_init(container):
                    return
                continue
            await self._advance_long(container)
            if container.role == "sidecar" and not container.started:
                return
        regular = [container for container in self.containers if container.role == "container"]
        if regular and all(isinstance(each.state, Terminated) and each.restart_at is None for each in regular):
            await self._finish()

    async def _advance_init(self, container: ContainerRun) -> bool:
        """Whether the init container is through; simulated ones succeed at once, or as their own annotations say."""
        if self.processes is not None and self.processes.backs(container):
            return await self._advance_real_init(container)
        run_seconds, code = lifecycle.init_run(self.pod, container.name)
        while True:
            now = self.world.now()
            if isinstance(container.state, Terminated) and container.restart_at is None:
                if container.state.exit_code == 0:
                    return True
                if lifecycle.restart_policy_of(self.pod) == "Never":
                    await self._finish()
                    return False
                self._wait_for_restart(container)
            if not container.running:
                if (container.restart_at is not None and container.restart_at > now) or not self._prepare(container):
                    return False
                container.begin(self.world.at(), now, run_seconds)
                self.told.started(container)
            if container.ends_at is not None and container.ends_at > now:
                return False
            await self._end(container, code)

    async def _advance_real_init(self, container: ContainerRun) -> bool:
        """Whether it has succeeded; one that failed is tried again, or fails the pod."""
        if container.running and self.processes is not None:
            await self.processes.advance(container)
        if isinstance(container.state, Terminated) and container.restart_at is None:
            if container.state.exit_code == 0:
                return True
            if lifecycle.restart_policy_of(self.pod) == "Never":
                await self._finish()
                return False
            self._wait_for_restart(container)
        if not container.running and (container.restart_at is None or container.restart_at <= self.world.now()):
            await self._start(container)
        return isinstance(container.state, Terminated) and container.state.exit_code == 0

    async def _advance_long(self, container: ContainerRun) -> None:
        now = self.world.now()
        if container.running and self.processes is not None and self.processes.runs(container):
            await self.processes.advance(container)
        elif container.running:
            if target_of_or_none(self.pod, container.name) != container.target:
                await self._replace_backend(container)
            elif probe := container.must_restart:
                self.told.of(
                    container,
                    "Normal",
                    "Killing",
                    f"Container {container.name} failed {probe} probe, will be restarted",
                )
                await self._end(container, 137)
            elif container.ends_at is not None and container.ends_at <= now:
                await self._end(container, lifecycle.exit_code(self.pod, container.name))
        if isinstance(container.state, Terminated) and container.restart_at is None:
            if not is_restarted(lifecycle.restart_policy_of(self.pod), container.state.exit_code) and (
                container.role == "container"
            ):
                return
            self._wait_for_restart(container)
        if not container.running and (container.restart_at is None or container.restart_at <= self.world.now()):
            await self._start(container)

    async def _end(self, container: ContainerRun, code: int) -> None:
        said = [line.text for line in container.log.after(0)[0]] if container.log is not None else []
        message = lifecycle.termination_message(self.pod, container.manifest, code, said)
        container.end(code, self.world.at(), message)
        if container.backend is not None:
            await container.backend.abort()

    def _wait_for_restart(self, container: ContainerRun) -> None:
        seconds = container.plan_restart(self.world.now())
        if not seconds:
            return
        full = f"{self.key.name}_{self.key.namespace}({self.uid})"
        container.state = Waiting(
            "CrashLoopBackOff",
            f"back-off {_go_duration(seconds)} restarting failed container={container.name} pod={full}",
        )
        self.told.of(
            container, "Warning", "BackOff", f"Back-off restarting failed container {container.name} in pod {full}"
        )

    # -- starting a container --------------------------------------------------------------------------------------

    def _prepare(self, container: ContainerRun) -> bool:
        """Work out what the container is started with; False leaves it waiting."""
        namespace = self.key.namespace
        links = (self.pod.get("spec") or {}).get("enableServiceLinks") is not False
        pod = {**self.pod, "status": {**(self.pod.get("status") or {}), **self._addresses()}}
        try:
            variables = environment(
                pod,
                container.manifest,
                (),
                config_maps=self.world.config_maps(namespace),
                secrets=self.world.secrets(namespace),
                allocatable=self.world.allocatable(),
                link_variables=self.world.link_variables(namespace, links),
            )
            target_of(self.pod, container.name)
        except (UnresolvedVariable, BadBackend) as error:
            waiting = Waiting(LACKS_REFERENCE, str(error))
            if container.state != waiting:
                container.state = waiting
                self.told.of(container, "Warning", "Failed", f"Error: {error}")
            return False
        container.variables = {"HOSTNAME": system_hostname(self.pod, self.world.cluster_domain), **variables}
        return True

    def _addresses(self) -> JsonObject:
        return {
            "hostIP": self.place.address,
            "hostIPs": [{"ip": self.place.address}],
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
        }

    async def _start(self, container: ContainerRun) -> None:
        if not self._prepare(container):
            return
        target = target_of(self.pod, container.name)
        if target is None and self.processes is not None and self.processes.backs(container):
            if await self.processes.start(container):
                self._begin_probes(container, None)
            elif isinstance(container.state, Terminated) and is_restarted(
                lifecycle.restart_policy_of(self.pod), container.state.exit_code
            ):
                self._wait_for_restart(container)
            return
        container.begin(
            self.world.at(), self.world.now(), None if target else lifecycle.run_seconds(self.pod, container.name)
        )
        await self._open_backend(container, target)
        self.told.started(container)
        self._begin_probes(container, target)

    async def _replace_backend(self, container: ContainerRun) -> None:
        """The annotation names another process now: the container goes on with that one behind it."""
        container.stop_probes()
        if container.backend is not None:
            await container.backend.abort()
        target = target_of_or_none(self.pod, container.name)
        await self._open_backend(container, target)
        self._begin_probes(container, target)

    async def _open_backend(self, container: ContainerRun, target: Target | None) -> None:
        container.target = target
        container.backend = self._backend(container, target)
        ports = ", ".join(f"{port.protocol} {port.port}" for port in declared_ports(container.manifest)) or "no port"
        container.say(self.world.at(), f"{target or 'echo'} stands behind {ports} of {self.address}")
        for failure in await container.backend.bind(list(self._listens(container))):
            self.told.unbound(container, failure)

    def _begin_probes(self, container: ContainerRun, target: Target | None) -> None:
        specs = probe_specs(container.manifest)
        if target is not None and (extra := default_probe(container.manifest)):
            specs = (*specs, extra)
        run_program = self.processes.prober(container) if self.processes is not None else None
        if run_program is None and any(needs_program(spec) for spec in specs):
            self.told.programs_pass(container)
        probed = ProbedContainer(
            container.manifest,
            self.address,
            self.world.host_network if target else self.world.network,
            target,
            run_program,
        )
        container.begin_probes(specs, probed, self.world.probes, self._probe_told)

    def _backend(self, container: ContainerRun, target: Target | None) -> Backend:
        if target is not None:
            return ExternalBackend(self.network, self.world.host_network, target)
        described = EchoPod(
            pod=self.key.name,
            namespace=self.key.namespace,
            node=self.place.name,
            address=self.address,
            hostname=pod_hostname(self.pod),
            container=container.name,
            variables=container.variables,
            is_ready=lambda: self.is_ready(container),
            log=lambda line: container.say(self.world.at(), line),
        )
        return EchoBackend(self.network, described)

    def _listens(self, container: ContainerRun) -> Iterator[Listen]:
        shared = self.network is self.world.network  # else the pod's own, where the others look for it on localhost
        for port in declared_ports(container.manifest):
            yield Listen(port.protocol, self.address if shared else ANY_ADDRESS, port.port, port.port)
            if port.host_port and self.own_address:
                yield Listen(port.protocol, port.host_ip or self.place.address, port.host_port, port.port)

    # -- status ----------------------------------------------------------------------------------------------------

    def is_ready(self, container: ContainerRun) -> bool:
        if not container.probes_ready or not self.world.vouches_for(self.place.name):
            return False
        return lifecycle.steered_ready(self.pod, self.world.now() - container.started_monotonic)[0]

    def observed(self) -> Observed:
        return Observed(
            containers=tuple(each.view(ready=self.is_ready(each)) for each in self.containers),
            host_ip=self.place.address,
            pod_ips=(self.address,) if self.address else (),
            started_at=self.started_at,
            failure=self.failure,
        )

    async def write_status(self) -> None:
        """Write the status if it differs from the one the API has."""
        await self._status.write(
            self.pod,
            lambda base: lifecycle.pod_status(base, self.observed(), at=self.world.at(), phase=self.last_phase),
        )

    @property
    def lacks_reference(self) -> bool:
        """Whether a container waits for a ConfigMap or Secret."""
        return any(isinstance(each.state, Waiting) and each.state.reason == LACKS_REFERENCE for each in self.containers)

    def _arm(self) -> None:
        """Come back when the next thing happens by itself."""
        now, due = self.world.now(), [moment for moment in self._moments() if moment is not None]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due and not self.finished:
            delay = max(0.0, min(due) - now)
            self._timer = asyncio.get_running_loop().call_later(delay, self.world.again, self.key)

    def _moments(self) -> Iterator[float | None]:
        if (deadline := (self.pod.get("spec") or {}).get("activeDeadlineSeconds")) and self.ending is None:
            yield self.started_monotonic + deadline
        for container in self.containers:
            if self.ending is None:
                waits = container.restart_at is not None and container.restart_at > self.world.now()
                yield container.restart_at if waits else None  # one that is due already lacks something else
                yield container.ends_at
            if container.probes_ready:
                running_seconds = self.world.now() - container.started_monotonic
                wait = lifecycle.steered_ready(self.pod, running_seconds)[1]
                yield None if wait is None else self.world.now() + wait
        if not self.address:
            yield self.world.now() + 1.0  # no free address: look again

    # -- ends ------------------------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Every container ended for good: free what the pod held; its status stays."""
        if self.processes is not None:
            await self.processes.stop_rest()
        for container in self.containers:
            if container.running:
                await self._end(container, 0)
        await self.release()

    async def _fail(self, reason: str, message: str) -> None:
        self.failure = (reason, message)
        self.told.warn(reason, message)
        for container in self.containers:
            await self._end(container, 137)
        await self.release()

    async def release(self) -> None:
        """Cut everything and free the address; may be called again."""
        self.finished = True
        if self._timer is not None:
            self._timer.cancel()
        for container in self.containers:
            container.stop_probes()
            if container.log is not None:
                container.log.end()
            if container.backend is not None:
                await container.backend.abort()
                container.backend = None
        if self.processes is not None:
            await self.processes.close()
        self._free_address()

    def _free_address(self) -> None:
        if self.own_address:
            self.place.addresses.release(self.own_address)
            self.own_address = ""

    # -- what is told ----------------------------------------------------------------------------------------------

    def _probe_told(self, container: ContainerRun, run: ProbeRun, result: Result, decided: bool) -> None:
        if not result.success:
            kind = run.spec.type.capitalize()
            self.told.of(container, "Warning", "Unhealthy", f"{kind} probe failed: {result.output}")
        if decided:
            self.world.again(self.key)


def _go_duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
