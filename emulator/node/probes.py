"""Probes as numbers: when to try, and what a run of results means. The trying itself is io/prober.py's.

Source: kubernetes pkg/kubelet/prober/worker.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ProbeType = Literal["readiness", "liveness", "startup"]
PROBE_FIELDS: Mapping[ProbeType, str] = {
    "readiness": "readinessProbe",
    "liveness": "livenessProbe",
    "startup": "startupProbe",
}


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """One probe of one container; `handler` is the manifest's own (httpGet, tcpSocket, grpc, exec)."""

    type: ProbeType
    handler: Mapping[str, Any]
    initial_delay_seconds: float = 0.0
    timeout_seconds: float = 1.0
    period_seconds: float = 10.0
    success_threshold: int = 1
    failure_threshold: int = 3
    grace_period_seconds: int | None = None

    @property
    def action(self) -> str:
        """Which of the handlers the probe uses; "" for none."""
        return next((name for name in ("exec", "httpGet", "tcpSocket", "grpc") if name in self.handler), "")


def probe_specs(container: Mapping[str, Any]) -> tuple[ProbeSpec, ...]:
    """The probes a container declares."""
    return tuple(probe_spec(type, container[field]) for type, field in PROBE_FIELDS.items() if container.get(field))


def probe_spec(type: ProbeType, manifest: Mapping[str, Any]) -> ProbeSpec:
    """A probe with the API's defaults; a zero means the default, as the API's own defaulting has it."""
    return ProbeSpec(
        type=type,
        handler=manifest,
        initial_delay_seconds=max(0.0, float(manifest.get("initialDelaySeconds") or 0)),
        timeout_seconds=float(manifest.get("timeoutSeconds") or 1),
        period_seconds=float(manifest.get("periodSeconds") or 10),
        success_threshold=int(manifest.get("successThreshold") or 1),
        failure_threshold=int(manifest.get("failureThreshold") or 3),
        grace_period_seconds=manifest.get("terminationGracePeriodSeconds"),
    )


@dataclass(slots=True)
class ProbeState:
    """The verdict of one probe so far. Readiness starts as failed, liveness as passed, startup as not passed."""

    spec: ProbeSpec
    passed: bool = False
    _last: bool | None = None
    _run: int = 0

    def __post_init__(self) -> None:
        self.passed = self.spec.type == "liveness"

    def record(self, success: bool) -> bool:
        """Count one result; True when the verdict changed, or failed once more past its threshold."""
        self._run = self._run + 1 if success is self._last else 1
        self._last = success
        threshold = self.spec.success_threshold if success else self.spec.failure_threshold
        if self._run < threshold:
            return False
        changed = self.passed is not success
        self.passed = success
        return changed or (not success and self.spec.type == "startup")

    @property
    def must_restart(self) -> bool:
        """Whether the container has to be restarted because of this probe."""
        return (
            self.spec.type != "readiness"
            and not self.passed
            and self._last is False
            and self._run >= self.spec.failure_threshold
        )


def needs_program(spec: ProbeSpec) -> bool:
    """Whether the probe can only be run by a program inside the container."""
    return spec.action in ("exec", "")


def port_number(reference: Any, container: Mapping[str, Any]) -> int | None:
    """The number of a probe's port, given as a number or as the name of one of the container's ports."""
    if isinstance(reference, int) and not isinstance(reference, bool):
        return reference
    for port in container.get("ports") or ():
        if port.get("name") == reference:
            return int(port["containerPort"])
    text = str(reference)
    return int(text) if text.isdigit() else None
