"""The process-backed containers of one pod: when each is started, what its end means, how it is stopped.

It must never be imported for more than its names where nothing is process-backed: the heavy parts load when used.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from emulator.io.podstreams import Ended, Streams
from emulator.node.backends import declared_ports, target_of_or_none
from emulator.node.io.backend import Listen
from emulator.node.io.containerrun import ContainerRun
from emulator.node.io.prober import Result
from emulator.node.lifecycle import Running, Terminated, Waiting
from emulator.node.program import missing_program

if TYPE_CHECKING:
    from emulator.node.io.podrun import PodRun
    from emulator.node.io.process import ProcessBackend
    from emulator.node.io.processes import ProcessRuntime

START_ERROR_CODE = 128  # containerd's exit code of a container whose command could not be started
NEVER = datetime(1970, 1, 1, tzinfo=UTC)  # when such a container is said to have started
RETRY_SECONDS = 2.0  # for volumes whose objects are not there
STOP_SECONDS = 1.0  # between SIGTERM and SIGKILL when the whole cluster stops
POST_START_SECONDS = 120.0
MIN_GRACE_SECONDS = 2.0  # after SIGTERM, however long the preStop hook took; pkg/kubelet/kuberuntime
TAIL_LINES, TAIL_BYTES = 80, 2048  # of the log, for FallbackToLogsOnError
MAX_PROBE_OUTPUT = 10 * 1024


class PodProcesses:
    def __init__(self, run: PodRun, runtime: ProcessRuntime) -> None:
        self._run = run
        self._runtime = runtime
        self._network_open = False
        self.lacks_volume = False

    # -- what is a process -----------------------------------------------------------------------------------------

    def backs(self, container: ContainerRun) -> bool:
        """Whether the container is to be a process."""
        return target_of_or_none(self._run.pod, container.name) is None and self._runtime.backs(container.manifest)

    def runs(self, container: ContainerRun) -> bool:
        """Whether a process is or was behind its present run."""
        return self._backend(container) is not None

    @staticmethod
    def _backend(container: ContainerRun) -> ProcessBackend | None:
        backend = container.backend
        return backend if backend is not None and hasattr(backend, "exit_code") else None  # type: ignore[return-value]

    # -- the pod ---------------------------------------------------------------------------------------------------

    async def open_network(self) -> None:
        """A network of the pod's own, when one of its containers is a process. Raises OSError."""
        run = self._run
        if not any(self.backs(container) for container in run.containers):
            return
        network = await self._runtime.open_network(run.own_address)
        if network is not None:
            run.network = network
            self._network_open = True

    async def close(self) -> None:
        """Take the pod's network and files away."""
        if self._network_open:
            self._network_open = False
            with contextlib.suppress(OSError):  # the sandbox is gone, and the network with it
                await self._run.network.close()  # type: ignore[attr-defined]
        await self._runtime.close_pod(self._run)

    def refresh_files(self, word: str, name: str) -> None:
        """A ConfigMap or Secret ("configmap" or "secret") is another one now."""
        self._runtime.refresh_files(self._run, word, name)

    # -- containers ------------------------------------------------------------------------------------------------

    async def start(self, container: ContainerRun) -> bool:
        """Start the process; whether it runs. What is in the way is told."""
        from emulator.node.io.process import StartFailure
        from emulator.node.volumes import VolumeFailure

        run = self._run
        program = self._runtime.program(run, container)
        assert program is not None
        try:
            await self._runtime.set_up_files(run)
        except (VolumeFailure, OSError) as error:
            if not isinstance(container.state, Waiting):
                container.state = Waiting("ContainerCreating")
            self.lacks_volume = True
            run.told.warn("FailedMount", str(error))
            asyncio.get_running_loop().call_later(RETRY_SECONDS, run.world.again, run.key)
            return False
        self.lacks_volume = False
        container.begin(run.world.at(), run.world.now(), None)
        try:
            backend = await self._runtime.start(run, container, program)
        except StartFailure as error:
            self._not_started(container, str(error))
            return False
        container.backend = backend
        run.told.started(container)
        for failure in await backend.bind(_node_listens(run, container)):
            run.told.unbound(container, failure)
        if hook := (container.manifest.get("lifecycle") or {}).get("postStart"):
            run.world.probes.start(self._post_start(container, backend, hook), name="postStart hook")
        return True

    async def _post_start(self, container: ContainerRun, backend: ProcessBackend, hook: Mapping[str, Any]) -> None:
        problem = await self._hook(container, backend, hook, POST_START_SECONDS)
        if problem and container.backend is backend and backend.exit_code is None:
            container.say(self._run.world.at(), f"kubemu: postStart hook: {problem}")
            self._run.told.of(container, "Warning", "FailedPostStartHook", "PostStartHook failed")
            self._run.told.of(container, "Normal", "Killing", "FailedPostStartHook")
            backend.terminate(self._grace(container, ""))

    async def pre_stop(self, container: ContainerRun, seconds: float) -> None:
        """Run the hook that comes before SIGTERM, for at most so long."""
        backend = self._backend(container)
        hook = (container.manifest.get("lifecycle") or {}).get("preStop")
        if backend is None or not hook or backend.exit_code is not None:
            return
        problem = await self._hook(container, backend, hook, seconds)
        if problem:
            container.say(self._run.world.at(), f"kubemu: preStop hook: {problem}")
            self._run.told.of(container, "Warning", "FailedPreStopHook", "PreStopHook failed")

    async def _hook(
        self, container: ContainerRun, backend: ProcessBackend, hook: Mapping[str, Any], seconds: float
    ) -> str:
        from emulator.node.io.podhooks import run_hook

        try:
            async with asyncio.timeout(seconds):
                network = self._run.world.network
                return await run_hook(hook, backend, container.manifest, self._run.address, network)
        except TimeoutError:
            return f"it did not end within {seconds:g} s"

    def _not_started(self, container: ContainerRun, why: str) -> None:
        run = self._run
        message = missing_program(why)
        container.say(run.world.at(), f"kubemu: {why}")
        run.told.of(container, "Warning", "Failed", f"Error: {message}")
        container.end(START_ERROR_CODE, run.world.at())
        container.state = Terminated(START_ERROR_CODE, "StartError", NEVER, run.world.at(), message)
        run.world.again(run.key)

    async def advance(self, container: ContainerRun) -> None:
        """Look at a running process: whether it ended, or has to."""
        backend = self._backend(container)
        if backend is None:
            return
        if backend.exit_code is not None:
            await self.end(container)
            if not isinstance(container.state, Running):
                self._run.world.again(self._run.key)
        elif (probe := container.must_restart) and not backend.stopping:
            text = f"Container {container.name} failed {probe} probe, will be restarted"
            self._run.told.of(container, "Normal", "Killing", text)
            backend.stopping = True
            self._run.world.probes.start(self._stop_failed(container, backend, probe), name="failed probe")

    async def _stop_failed(self, container: ContainerRun, backend: ProcessBackend, probe: str) -> None:
        begun, grace = self._run.world.now(), self._grace(container, probe)
        await self.pre_stop(container, grace)
        backend.terminate(max(MIN_GRACE_SECONDS, grace - (self._run.world.now() - begun)))

    async def end(self, container: ContainerRun) -> None:
        """End whatever is left of the process, and take down how it ended."""
        backend = self._backend(container)
        if backend is None:
            return
        await backend.abort()
        if isinstance(container.state, Running):
            code = backend.exit_code if backend.exit_code is not None else 137
            container.end(code, self._run.world.at(), self._message(container, code))

    async def stop_rest(self) -> None:
        """What still runs when the pod's own containers have ended: its sidecars."""
        backends = [each for container in self._run.containers if (each := self._backend(container)) is not None]
        for backend in backends:
            backend.stop_listening()
        for container in self._run.containers:
            if (left := self._backend(container)) is not None:
                await left.drained(STOP_SECONDS)
                await self.end(container)

    def stop_listening(self) -> list[ProcessBackend]:
        """Tell every process to end; those that have not yet."""
        backends = [each for container in self._run.containers if (each := self._backend(container)) is not None]
        for backend in backends:
            backend.stop_listening()
        return [backend for backend in backends if backend.connections]

    def _message(self, container: ContainerRun, code: int) -> str:
        message = self._runtime.message(self._run, container)
        if message or code == 0 or container.manifest.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            return message
        lines = container.log.after(0)[0][-TAIL_LINES:] if container.log is not None else []
        return b"".join(line.text for line in lines)[-TAIL_BYTES:].decode(errors="replace")

    def _grace(self, container: ContainerRun, probe: str) -> float:
        own = next((spec.grace_period_seconds for spec in container.specs if spec.type == probe), None)
        grace = self._run.pod["spec"].get("terminationGracePeriodSeconds")
        return float(own if own is not None else 30 if grace is None else grace)

    # -- streams ---------------------------------------------------------------------------------------------------

    async def exec(self, container: ContainerRun, command: Sequence[str], streams: Streams) -> Ended:
        """Run a command in a running container."""
        from emulator.node.io.inside import run_inside

        backend = self._backend(container)
        assert backend is not None
        return await run_inside(backend, command, streams)

    async def attach(self, container: ContainerRun, streams: Streams) -> int:
        """Be the client of a container's own process; its exit code."""
        backend = self._backend(container)
        assert backend is not None
        return await backend.attach(streams)

    # -- programs inside -------------------------------------------------------------------------------------------

    def prober(self, container: ContainerRun) -> Callable[[list[str], float], Awaitable[Result]] | None:
        """What runs the programs of exec probes; None for a simulated container."""
        backend = self._backend(container)
        if backend is None:
            return None

        async def probe(command: list[str], timeout_seconds: float) -> Result:
            from emulator.node.io.inside import output_of

            try:
                async with asyncio.timeout(timeout_seconds):
                    ended, output = await output_of(backend, command, MAX_PROBE_OUTPUT)
            except TimeoutError:
                return Result(False, f"command timed out: {' '.join(command)!r} timed out after {timeout_seconds:g}s")
            return Result(ended.exit_code == 0, ended.problem or output)

        return probe


async def stop_all(pods: Sequence[PodProcesses]) -> None:
    """End the processes of all pods together: SIGTERM, a moment, then whatever it takes."""
    left = [backend for pod in pods for backend in pod.stop_listening()]
    if left:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                for backend in left:
                    await backend.drained(STOP_SECONDS)


def _node_listens(run: PodRun, container: ContainerRun) -> list[Listen]:
    """The hostPorts of a container, at its node's address."""
    if not run.own_address:
        return []
    return [
        Listen(port.protocol, port.host_ip or run.place.address, port.host_port, port.port)
        for port in declared_ports(container.manifest)
        if port.host_port
    ]
