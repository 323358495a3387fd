"""The status of a Deployment: its counts, whether it is available, progresses, or has failed to. Pure.

Source: pkg/controller/deployment/{sync,progress}.go, util/deployment_util.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from emulator.api.kinds import DEPLOYMENT
from emulator.api.meta import (
    JsonObject,
    annotations_of,
    condition_of,
    parse_time,
)
from emulator.controllers.changes import Changes, Write
from emulator.controllers.deploymentstep import (
    AVAILABLE,
    PROGRESSING,
    REPLICA_FAILURE,
    Step,
    condition_in,
    has_deadline,
    set_condition,
)
from emulator.controllers.rollout import (
    max_unavailable,
    spec_replicas,
    status_count,
    total,
    total_status,
)

PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"
UPDATED, COMPLETE, TIMED_OUT = "ReplicaSetUpdated", "NewReplicaSetAvailable", "ProgressDeadlineExceeded"


def done(step: Step, *, rollout: bool) -> Changes:
    """The step's changes with the status that tells of it."""
    deployment = step.deployment
    counts = counts_of(step)
    available = counts["availableReplicas"] >= spec_replicas(deployment) - max_unavailable(deployment)
    if available:
        set_condition(step, AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        said = "Deployment does not have minimum availability."
        set_condition(step, AVAILABLE, "False", "MinimumReplicasUnavailable", said)
    wait = _judge_progress(step, counts) if rollout else None
    if rollout:
        _copy_failure(step)
    status = _status(step, counts)
    updates = [write for write in step.updates if write.object is not None]
    annotations = annotations_of(deployment)
    if status != (deployment.get("status") or {}) or step.annotations != annotations:
        metadata = deployment["metadata"]
        if step.annotations != annotations:
            metadata = {**metadata, "annotations": step.annotations}
        updates.append(Write(DEPLOYMENT, {**deployment, "metadata": metadata, "status": status}, "status"))
    return Changes(
        tuple(updates), tuple(step.creates), tuple(step.deletes), tuple(step.events), retry_after_seconds=wait
    )


def counts_of(step: Step) -> dict[str, int]:
    available = total_status(step.sets, "availableReplicas")
    return {
        "replicas": total_status(step.sets, "replicas"),
        "updatedReplicas": status_count(step.new, "replicas") if step.new is not None else 0,
        "readyReplicas": total_status(step.sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(total(step.sets) - available, 0),
    }


def _status(step: Step, counts: Mapping[str, int]) -> JsonObject:
    status: JsonObject = {}
    if generation := step.deployment["metadata"].get("generation"):
        status["observedGeneration"] = generation
    status |= {name: count for name, count in counts.items() if count}
    status["terminatingReplicas"] = total_status(step.sets, "terminatingReplicas")
    if step.conditions:
        status["conditions"] = step.conditions
    collisions = step.collisions
    if collisions is None:
        collisions = (step.deployment.get("status") or {}).get("collisionCount")
    if collisions is not None:
        status["collisionCount"] = collisions
    return status


def _judge_progress(step: Step, counts: Mapping[str, int]) -> float | None:
    """Keep the Progressing condition; in how many seconds the deadline is over, if it runs."""
    deployment = step.deployment
    if not has_deadline(deployment):
        step.conditions = [entry for entry in step.conditions if entry["type"] != PROGRESSING]
        return None
    held = condition_of(deployment, PROGRESSING)
    finished = counts["replicas"] == counts["updatedReplicas"] and held is not None and held.get("reason") == COMPLETE
    if finished:
        return None
    who = (
        f'ReplicaSet "{step.new["metadata"]["name"]}"' if step.new is not None else f'Deployment "{_name(deployment)}"'
    )
    if is_complete(deployment, counts):
        set_condition(step, PROGRESSING, "True", COMPLETE, f"{who} has successfully progressed.")
        return None
    if _has_progressed(deployment, counts):
        since = held.get("lastTransitionTime") if held is not None and held["status"] == "True" else None
        step.conditions = [entry for entry in step.conditions if entry["type"] != PROGRESSING]
        set_condition(step, PROGRESSING, "True", UPDATED, f"{who} is progressing.", since=since)
    elif (left := _seconds_left(step)) is not None and left <= 0:
        set_condition(step, PROGRESSING, "False", TIMED_OUT, f"{who} has timed out progressing.")
        return None
    return _seconds_left(step)


def _copy_failure(step: Step) -> None:
    """A set that may not make its pods is the Deployment's failure too; the newest set's counts first."""
    sets = [step.new, *step.olds] if step.new is not None else step.olds
    found = next((failure for each in sets if (failure := condition_of(each, REPLICA_FAILURE))), None)
    if found is None:
        step.conditions = [entry for entry in step.conditions if entry["type"] != REPLICA_FAILURE]
        return
    held = condition_in(step, REPLICA_FAILURE)
    if held is not None and (held["status"], held.get("reason")) == (found["status"], found.get("reason")):
        return
    since = dict.fromkeys(("lastUpdateTime", "lastTransitionTime"), found["lastTransitionTime"])
    told_of = {name: found.get(name, "") for name in ("reason", "message")}
    others = [entry for entry in step.conditions if entry is not held]
    step.conditions = [*others, {"type": REPLICA_FAILURE, "status": found["status"], **since, **told_of}]


def is_complete(deployment: Mapping[str, Any], counts: Mapping[str, int]) -> bool:
    wanted = spec_replicas(deployment)
    return all(counts[name] == wanted for name in ("updatedReplicas", "replicas", "availableReplicas"))


def _has_progressed(deployment: Mapping[str, Any], counts: Mapping[str, int]) -> bool:
    before = {name: status_count(deployment, name) for name in counts}
    old_before, old_now = (c["replicas"] - c["updatedReplicas"] for c in (before, counts))
    rising = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return old_now < old_before or any(counts[name] > before[name] for name in rising)


def _seconds_left(step: Step) -> float | None:
    """Until the progress deadline; None when it does not run."""
    condition = condition_in(step, PROGRESSING)
    if condition is None or condition.get("reason") in (COMPLETE, PAUSED) or not condition.get("lastUpdateTime"):
        return None
    if condition.get("reason") == TIMED_OUT:
        return 0.0
    deadline = parse_time(condition["lastUpdateTime"])
    due = deadline + timedelta(seconds=step.deployment["spec"]["progressDeadlineSeconds"])
    return (due - step.at).total_seconds() + 1  # times are in whole seconds


def note_pause(step: Step) -> None:
    if not has_deadline(step.deployment):
        return
    condition = condition_in(step, PROGRESSING)
    if condition is not None and condition.get("reason") == TIMED_OUT:
        return
    noted = condition is not None and condition.get("reason") == PAUSED
    paused = bool(step.deployment["spec"].get("paused"))
    if paused and not noted:
        set_condition(step, PROGRESSING, "Unknown", PAUSED, "Deployment is paused")
    elif not paused and noted:
        set_condition(step, PROGRESSING, "Unknown", RESUMED, "Deployment is resumed")


def _name(object: Mapping[str, Any]) -> str:
    return str(object["metadata"]["name"])
