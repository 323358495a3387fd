"""One step of a Deployment while it is decided: its sets, conditions and Events as they will be. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from emulator.api.kinds import DEPLOYMENT, REPLICA_SET
from emulator.api.meta import (
    JsonObject,
    format_time,
)
from emulator.controllers.changes import Delete, Write
from emulator.controllers.owned import (
    told,
)

COMPONENT = "deployment-controller"
NO_DEADLINE = 2147483647
AVAILABLE, PROGRESSING, REPLICA_FAILURE = "Available", "Progressing", "ReplicaFailure"


@dataclass(slots=True)
class Step:
    """What one plan decides, while it is being decided. `sets` are as they will be after its writes."""

    deployment: JsonObject
    at: datetime
    sets: list[JsonObject]
    new: JsonObject | None
    updates: list[Write] = field(default_factory=list)
    creates: list[Write] = field(default_factory=list)
    deletes: list[Delete] = field(default_factory=list)
    events: list[JsonObject] = field(default_factory=list)
    conditions: list[JsonObject] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    collisions: int | None = None

    @property
    def olds(self) -> list[JsonObject]:
        return [found for found in self.sets if self.new is None or found is not self.new]

    def replace(self, before: JsonObject, after: JsonObject) -> None:
        """A set that this step changes; later changes of it in the same step make one write."""
        self.sets = [after if found is before else found for found in self.sets]
        if self.new is before:
            self.new = after
        self.updates = [write for write in self.updates if write.object is not before]
        self.updates.append(Write(REPLICA_SET, after))


def has_deadline(deployment: Mapping[str, Any]) -> bool:
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return seconds is not None and seconds != NO_DEADLINE


def condition_in(step: Step, type: str) -> JsonObject | None:
    return next((entry for entry in step.conditions if entry["type"] == type), None)


def set_condition(step: Step, type: str, status: str, reason: str, message: str, *, since: str | None = None) -> None:
    """Renew a condition; one that says the same already is left alone, and comes last when it is new."""
    held = condition_in(step, type)
    if held is not None and held["status"] == status and held.get("reason") == reason:
        return
    now = format_time(step.at)
    if held is not None and held["status"] == status:
        since = held["lastTransitionTime"]
    entry = {
        "type": type,
        "status": status,
        "lastUpdateTime": now,
        "lastTransitionTime": since or now,
        "reason": reason,
        "message": message,
    }
    step.conditions = [*(other for other in step.conditions if other["type"] != type), entry]


def tell(step: Step, message: str) -> None:
    step.events.append(told(COMPONENT, step.deployment, DEPLOYMENT, "ScalingReplicaSet", message, step.at))
