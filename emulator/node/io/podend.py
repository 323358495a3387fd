"""The graceful end of a pod, in Kubernetes' order: out of the endpoints, drained, stopped, deleted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from emulator.api.errors import Conflict, NotFound
from emulator.api.kinds import POD
from emulator.api.meta import JsonObject
from emulator.node.io.containerrun import ContainerRun
from emulator.node.io.podrun import PodRun
from emulator.node.lifecycle import Terminated, final_phase, is_finished, restart_policy_of

DEFAULT_GRACE_SECONDS = 30
MAX_ENDPOINT_WAIT_SECONDS = 1.0  # a cluster without controllers never takes the endpoint out
SETTLE_SECONDS = 0.03  # for proxies to hear of it, and connections on their way to arrive
EXIT_ON_TERM = 143  # 128 + SIGTERM: a run that was to end by itself did not
LOOK_SECONDS = 1.0  # how often the wait looks whether the grace was cut short


async def end_pod(run: PodRun, *, serving: bool) -> None:
    """End `run` and delete its object. serving: whether an EndpointSlice still lists it as ready.

    Waits for open connections at most the pod's grace period; what is open then is cut.
    """
    begun = run.world.now()
    stages = _stages(run.containers)
    for container in run.containers:
        container.hold_restarts()
    _tell_killing(run, stages[0])
    if serving:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(MAX_ENDPOINT_WAIT_SECONDS, max(0.0, grace_seconds(run.pod)))):
                await run.endpoint_out.wait()
    if any(container.backend is not None for container in run.containers):
        await asyncio.sleep(SETTLE_SECONDS)
    for number, stage in enumerate(stages):
        if number:
            _tell_killing(run, stage)
        await _end_stage(run, stage, begun)
    run.last_phase = "" if is_finished(run.pod) else _last_phase(run)
    await run.release()
    await run.write_status()
    await delete_object(run.pod, run)


def _stages(containers: Sequence[ContainerRun]) -> list[list[ContainerRun]]:
    """Who ends together: all but the sidecars first, then each sidecar, the last one started first."""
    sidecars = [[container] for container in containers if container.role == "sidecar"]
    return [[container for container in containers if container.role != "sidecar"], *reversed(sidecars)]


def _tell_killing(run: PodRun, stage: Sequence[ContainerRun]) -> None:
    for container in stage:
        if container.running:
            run.told.killing(container)


async def _end_stage(run: PodRun, stage: Sequence[ContainerRun], begun: float) -> None:
    """Hooks, no new connections, the open ones drained, and the end."""
    for container in stage:
        await _pre_stop(run, container, begun)
    for container in stage:
        if container.backend is not None:
            container.backend.stop_listening()
    for container in stage:
        await _drain(run, container, begun)
    ended_at = run.world.at()
    for container in stage:
        if run.processes is not None and run.processes.runs(container):
            await run.processes.end(container)
        else:
            container.end(exit_code(run), ended_at)


async def delete_object(pod: JsonObject, run: PodRun) -> None:
    """Take the object away for good; that somebody did so already is fine."""
    metadata = pod["metadata"]
    with contextlib.suppress(NotFound, Conflict):
        await run.world.client.delete(
            POD, metadata["name"], metadata.get("namespace") or "", uid=metadata.get("uid"), grace_period_seconds=0
        )


def grace_seconds(pod: JsonObject) -> float:
    grace = pod["metadata"].get("deletionGracePeriodSeconds")
    return float(DEFAULT_GRACE_SECONDS if grace is None else grace)


def exit_code(run: PodRun) -> int:
    """A server stops cleanly when told to; work that was to end by itself was cut off."""
    return 0 if restart_policy_of(run.pod) == "Always" else EXIT_ON_TERM


def _last_phase(run: PodRun) -> str:
    observed = run.observed()
    ended = any(isinstance(each.state, Terminated) for each in observed.containers)
    return final_phase(observed) if ended else ""


async def _pre_stop(run: PodRun, container: ContainerRun, begun: float) -> None:
    """Only `sleep` is honoured; programs and requests of a simulated container have nothing to do."""
    if run.processes is not None and run.processes.runs(container):
        await run.processes.pre_stop(container, max(0.0, begun + grace_seconds(run.pod) - run.world.now()))
        return
    hook = (container.manifest.get("lifecycle") or {}).get("preStop") or {}
    until = begun + min(float((hook.get("sleep") or {}).get("seconds") or 0), grace_seconds(run.pod))
    if container.running and (rest := until - run.world.now()) > 0:
        await asyncio.sleep(rest)


async def _drain(run: PodRun, container: ContainerRun, begun: float) -> None:
    """Until the last connection ended or the grace is over; the grace may be cut short meanwhile."""
    while container.backend is not None and container.backend.connections:
        rest = begun + grace_seconds(run.pod) - run.world.now()
        if rest <= 0 or await container.backend.drained(min(rest, LOOK_SECONDS)):
            return
