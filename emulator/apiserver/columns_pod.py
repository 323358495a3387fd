"""The table of Pods; its Status column is a judgement on all of a Pod's containers.

Source: pkg/printers/internalversion/printers.go (printPod).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from emulator.api.meta import JsonObject, condition_of, is_terminating
from emulator.apiserver.cells import AGE, NAME, NONE, Column, age, name_of, since

POD = (
    NAME,
    Column("Ready", "Ready containers of all."),
    Column("Status", "The state of its containers, or its phase."),
    Column("Restarts", "How often its containers were restarted, and when last."),
    AGE,
    Column("IP", "Its address.", wide=True),
    Column("Node", "Where it runs.", wide=True),
    Column("Nominated Node", "Where room is being made for it.", wide=True),
    Column("Readiness Gates", "True readiness gates of all.", wide=True),
)

_FINISHED = {
    "Succeeded": "The pod has completed successfully.",
    "Failed": "The pod failed.",
}


def conditions(pod: JsonObject) -> list[JsonObject]:
    """The row condition of a finished Pod, by which clients hide it."""
    phase = (pod.get("status") or {}).get("phase")
    if phase not in _FINISHED:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _FINISHED[phase]}]


@dataclass(slots=True)
class _Tally:
    """What walking over the container statuses finds out."""

    reason: str
    ready: int = 0
    restarts: int = 0
    restarted_at: str = ""

    def count(self, status: Mapping[str, Any]) -> None:
        self.restarts += status.get("restartCount") or 0
        ended = ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        self.restarted_at = max(self.restarted_at, ended)


def pod_cells(pod: JsonObject, at: datetime) -> list[Any]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    sidecars = {c.get("name") for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    tally = _judge(pod, sidecars)
    restarts = str(tally.restarts)
    if tally.restarts and tally.restarted_at:
        restarts += f" ({since(tally.restarted_at, at)} ago)"
    addresses = [entry.get("ip") for entry in status.get("podIPs") or ()] or [status.get("podIP")]
    return [
        name_of(pod),
        f"{tally.ready}/{len(spec.get('containers') or ()) + len(sidecars)}",
        tally.reason,
        restarts,
        age(pod, at),
        addresses[0] or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(pod),
    ]


def _judge(pod: JsonObject, sidecars: set[str]) -> _Tally:
    status = pod.get("status") or {}
    phase = status.get("phase") or ""
    tally = _Tally(status.get("reason") or phase)
    scheduled = condition_of(pod, "PodScheduled") or {}
    if scheduled.get("reason") == "SchedulingGated":
        tally.reason = "SchedulingGated"
    initialising = _walk_init_containers(pod, sidecars, tally)
    initialised = (condition_of(pod, "Initialized") or {}).get("status") == "True"
    if not initialising or initialised:
        tally.restarts, tally.restarted_at = 0, ""
        for entry in status.get("initContainerStatuses") or ():
            if entry.get("name") in sidecars:
                tally.count(entry)
        _walk_containers(pod, tally)
    if is_terminating(pod):
        if status.get("reason") == "NodeLost":
            tally.reason = "Unknown"
        elif phase not in _FINISHED:
            tally.reason = "Terminating"
    return tally


def _walk_init_containers(pod: JsonObject, sidecars: set[str], tally: _Tally) -> bool:
    """Whether one of them still has to run; the reason then says which and how it stands."""
    total = len((pod.get("spec") or {}).get("initContainers") or ())
    for index, entry in enumerate((pod.get("status") or {}).get("initContainerStatuses") or ()):
        tally.count(entry)
        state = entry.get("state") or {}
        ended = state.get("terminated")
        if ended is not None and not ended.get("exitCode"):
            continue
        if entry.get("name") in sidecars and entry.get("started"):
            tally.ready += bool(entry.get("ready"))
            continue
        waiting = (state.get("waiting") or {}).get("reason") or ""
        if ended is not None:
            tally.reason = f"Init:{_end_text(ended)}"
        elif waiting and waiting != "PodInitializing":
            tally.reason = f"Init:{waiting}"
        else:
            tally.reason = f"Init:{index}/{total}"
        return True
    return False


def _walk_containers(pod: JsonObject, tally: _Tally) -> None:
    running = False
    for entry in reversed((pod.get("status") or {}).get("containerStatuses") or ()):
        tally.count(entry)
        state = entry.get("state") or {}
        waiting = (state.get("waiting") or {}).get("reason")
        if waiting:
            tally.reason = waiting
        elif state.get("terminated") is not None:
            tally.reason = _end_text(state["terminated"])
        elif entry.get("ready") and state.get("running") is not None:
            running = True
            tally.ready += 1
    if tally.reason == "Completed" and running:
        ready = (condition_of(pod, "Ready") or {}).get("status") == "True"
        tally.reason = "Running" if ready else "NotReady"


def _end_text(ended: Mapping[str, Any]) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _gates(pod: JsonObject) -> str:
    gates = (pod.get("spec") or {}).get("readinessGates") or ()
    if not gates:
        return NONE
    true = sum((condition_of(pod, gate.get("conditionType", "")) or {}).get("status") == "True" for gate in gates)
    return f"{true}/{len(gates)}"
