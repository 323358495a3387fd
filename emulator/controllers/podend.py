"""What controllers write on a pod that they take away. Pure."""

from __future__ import annotations

from datetime import datetime

from emulator.api.kinds import POD
from emulator.api.meta import JsonObject, format_time
from emulator.controllers.changes import Write

DISRUPTION_TARGET = "DisruptionTarget"


def disruption_target(pod: JsonObject, reason: str, message: str, at: datetime, *, phase: str) -> Write:
    """The status that says who takes the pod, and in which phase it ends; "" leaves the phase."""
    status = pod.get("status") or {}
    condition: JsonObject = {
        "type": DISRUPTION_TARGET,
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": format_time(at),
        "reason": reason,
        "message": message,
    }
    if generation := pod["metadata"].get("generation"):
        condition["observedGeneration"] = generation
    others = [each for each in status.get("conditions") or () if each["type"] != DISRUPTION_TARGET]
    ended = {"phase": phase} if phase and status.get("phase") not in ("Succeeded", "Failed") else {}
    return Write(POD, {**pod, "status": {**status, **ended, "conditions": [*others, condition]}}, "status")
