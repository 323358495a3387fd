"""One container of one running pod: its state, its backend and its probes. The pod decides when each step comes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from emulator.api.meta import JsonObject
from emulator.io.tasks import TaskOwner
from emulator.node.backends import Target
from emulator.node.containerlog import ContainerLog
from emulator.node.io.backend import Backend
from emulator.node.io.prober import ProbedContainer, ProbeRun, Result, attempt
from emulator.node.lifecycle import (
    Container,
    ContainerState,
    Role,
    Running,
    Terminated,
    Waiting,
    ended_with,
)
from emulator.node.probes import ProbeSpec
from emulator.node.restarts import next_backoff

ProbeTold = Callable[["ContainerRun", ProbeRun, Result, bool], None]


class ContainerRun:
    """Mutable; only its pod's sync, its probes and the pod's ending touch it."""

    def __init__(self, manifest: JsonObject, role: Role, restart_count: int, waiting: Waiting) -> None:
        self.manifest = manifest
        self.role = role
        self.name: str = manifest["name"]
        self.state: ContainerState = waiting
        self.last: Terminated | None = None
        self.restart_count = restart_count
        self.variables: dict[str, str] = {}
        self.log: ContainerLog | None = None
        self.previous_log: ContainerLog | None = None
        self.backend: Backend | None = None
        self.target: Target | None = None
        self.probes: dict[str, ProbeRun] = {}
        self.specs: tuple[ProbeSpec, ...] = ()
        self.started_monotonic = 0.0
        self.ends_at: float | None = None
        self.restart_at: float | None = None
        self._backoff: float | None = None
        self._begin_probe: Callable[[ProbeSpec], ProbeRun] | None = None

    @property
    def running(self) -> bool:
        return isinstance(self.state, Running)

    @property
    def started(self) -> bool:
        startup = self.probes.get("startup")
        return self.running and (startup is None or startup.state.passed)

    @property
    def probes_ready(self) -> bool:
        """Started, and what a readiness probe says, if there is one."""
        if not self.started:
            return False
        readiness = self.probes.get("readiness")
        declared = any(spec.type == "readiness" for spec in self.specs)
        return readiness.state.passed if readiness is not None else not declared

    @property
    def must_restart(self) -> str:
        """The type of the probe that demands a restart, or ""."""
        return next((type for type, run in self.probes.items() if run.state.must_restart), "")

    def view(self, *, ready: bool) -> Container:
        """What the status shows; an init container is ready once it has succeeded."""
        ended_well = isinstance(self.state, Terminated) and self.state.exit_code == 0
        shown_ready = ended_well if self.role == "init" else ready
        return Container(
            name=self.name,
            image=self.manifest.get("image") or "",
            role=self.role,
            state=self.state,
            last=self.last,
            restart_count=self.restart_count,
            started=self.started,
            ready=shown_ready,
        )

    def say(self, at: datetime, text: str) -> None:
        """A line of the log."""
        if self.log is not None:
            self.log.add(at, text.encode() + b"\n")

    def begin(self, at: datetime, now: float, run_seconds: float | None) -> None:
        """It runs from now on."""
        if self.restart_at is not None:
            self.restart_count += 1
        self.restart_at = None
        self.previous_log, self.log = self.log, ContainerLog()
        self.state = Running(at)
        self.started_monotonic = now
        self.ends_at = None if run_seconds is None else now + run_seconds

    def begin_probes(
        self, specs: tuple[ProbeSpec, ...], probed: ProbedContainer, owner: TaskOwner, told: ProbeTold
    ) -> None:
        """The startup probe first; the others once it has passed."""

        async def tried(spec: ProbeSpec) -> Result:
            return await attempt(spec, probed)

        def heard(run: ProbeRun, result: Result, decided: bool) -> None:
            told(self, run, result, decided)

        self.specs = specs
        self._begin_probe = lambda spec: ProbeRun(spec, owner, tried, heard)
        self.start_due_probes()

    def start_due_probes(self) -> None:
        begin = self._begin_probe
        if begin is None:
            return
        for spec in self.specs:
            if spec.type not in self.probes and (spec.type == "startup" or self.started):
                self.probes[spec.type] = begin(spec)
        startup = self.probes.get("startup")
        if startup is not None and startup.state.passed:
            startup.stop()

    def stop_probes(self) -> None:
        """Stop and forget all; their verdicts no longer count."""
        for run in self.probes.values():
            run.stop()
        self.probes.clear()
        self._begin_probe = None

    def hold_restarts(self) -> None:
        """Keep only what says whether it is ready: it is about to be stopped anyway."""
        for type in ("liveness", "startup"):
            if (run := self.probes.get(type)) is not None:
                run.stop()

    def end(self, code: int, at: datetime, message: str = "") -> None:
        """It ended; what it served is closed by the pod."""
        self.stop_probes()
        if self.log is not None:
            self.log.end()
        if isinstance(self.state, Running):
            self.state = ended_with(code, started_at=self.state.started_at, finished_at=at, message=message)
        self.ends_at = None

    def plan_restart(self, now: float) -> float:
        """Remember this end and say in how many seconds the next run begins."""
        if isinstance(self.state, Terminated):
            self.last = self.state
        self._backoff = next_backoff(self._backoff, now - self.started_monotonic)
        self.restart_at = now + self._backoff
        return self._backoff
