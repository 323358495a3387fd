"""Deployments: one ReplicaSet a template, and pods moved from the old ones to the new. Pure.

Each plan takes one step and the next follows when the ReplicaSets have changed, as upstream's sync does.
Source: pkg/controller/deployment/{deployment_controller,sync,rolling,recreate,progress}.go, util/deployment_util.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from emulator.api.kinds import DEPLOYMENT, POD, REPLICA_SET
from emulator.api.meta import (
    JsonObject,
    ObjectKey,
    annotations_of,
    condition_of,
    format_time,
    is_terminating,
    key_of,
    parse_time,
)
from emulator.client.index import Change
from emulator.controllers.changes import NOTHING, Changes, Controller, Delete, View, Write, own_key
from emulator.controllers.owned import (
    LAST_APPLIED,
    claim,
    controller_reference,
    is_finished,
    owner_keys,
    reference_to,
    told,
)
from emulator.controllers.revisions import template_hash
from emulator.controllers.rollout import (
    DESIRED,
    MAXIMUM,
    is_rolling,
    max_unavailable,
    new_set_replicas,
    old_set_replicas,
    rescaled,
    spec_replicas,
    status_count,
    surge_and_unavailable,
    total,
    total_status,
)

COMPONENT = "deployment-controller"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
MAX_HISTORY_CHARS = 2000
HASH_LABEL = "pod-template-hash"
NOT_COPIED = (LAST_APPLIED, REVISION, HISTORY, DESIRED, MAXIMUM, "deprecated.deployment.rollback.to")
NO_DEADLINE = 2147483647
AVAILABLE, PROGRESSING, REPLICA_FAILURE = "Available", "Progressing", "ReplicaFailure"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"
NEW_SET, FOUND_SET = "NewReplicaSetCreated", "FoundNewReplicaSet"
UPDATED, COMPLETE, TIMED_OUT = "ReplicaSetUpdated", "NewReplicaSetAvailable", "ProgressDeadlineExceeded"


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


def plan_deployment(key: ObjectKey, view: View, at: datetime) -> Changes:
    """One step of a rollout, a scaling, or nothing but the status."""
    deployment = view.get(DEPLOYMENT, key.name, key.namespace)
    if deployment is None:
        return NOTHING
    if not deployment["spec"].get("selector"):
        return NOTHING
    claimed = claim(deployment, DEPLOYMENT, REPLICA_SET, view)
    if claimed.writes:
        return Changes(claimed.writes)
    sets = sorted(
        claimed.objects, key=lambda found: (found["metadata"]["creationTimestamp"], found["metadata"]["name"])
    )
    step = Step(deployment, at, sets, _newest(deployment, sets))
    step.conditions = list((deployment.get("status") or {}).get("conditions") or ())
    step.annotations = dict(annotations_of(deployment))
    if is_terminating(deployment):
        return _done(step, rollout=False)
    _note_pause(step)
    if deployment["spec"].get("paused"):
        _renew_revisions(step)
        _scale(step)
        return _done(step, rollout=False)
    if _was_scaled(step):
        _renew_revisions(step)
        _scale(step)
        return _done(step, rollout=False)
    if is_rolling(deployment):
        _roll(step, view)
    else:
        _recreate(step, view)
    return _done(step, rollout=True)


# -- the strategies ----------------------------------------------------------------------------------------------


def _roll(step: Step, view: View) -> None:
    if not _with_new_set(step, view):
        return
    assert step.new is not None
    size = spec_replicas(step.new)
    wanted = spec_replicas(step.deployment)
    grown = wanted if size > wanted else new_set_replicas(step.deployment, step.sets, step.new)
    if size not in (wanted, grown):
        _resize(step, step.new, grown)
        return
    smaller = old_set_replicas(step.deployment, step.sets, step.new, step.olds)
    for name, count in smaller.items():
        _resize(step, _named(step.sets, name), count)
    if not smaller:
        _clean_up_if_complete(step)


def _recreate(step: Step, view: View) -> None:
    active = [old for old in step.olds if spec_replicas(old) > 0]
    if active:
        for old in active:
            _resize(step, old, 0)
        return
    namespace = step.deployment["metadata"]["namespace"]
    running = any(
        not is_finished(pod)
        for old in step.olds
        for pod in view.owned_by(POD, old["metadata"]["uid"], namespace).values()
    )
    if running or not _with_new_set(step, view):
        return
    assert step.new is not None
    if spec_replicas(step.new) != spec_replicas(step.deployment):
        _resize(step, step.new, spec_replicas(step.deployment))
        return
    _clean_up_if_complete(step)


def _scale(step: Step) -> None:
    """Follow a change of spec.replicas without moving from one template to another."""
    sizes = rescaled(step.deployment, step.sets, step.new)
    for found in list(step.sets):
        name = found["metadata"]["name"]
        if name in sizes or (spec_replicas(found) > 0 and _size_annotations(step) != _sizes_told(found)):
            _resize(step, found, sizes.get(name, spec_replicas(found)))
    if step.deployment["spec"].get("paused"):
        _clean_up(step)


def _was_scaled(step: Step) -> bool:
    wanted = str(spec_replicas(step.deployment))
    active = [found for found in step.sets if spec_replicas(found) > 0]
    return any(annotations_of(found).get(DESIRED) not in (None, wanted) for found in active)


# -- ReplicaSets -------------------------------------------------------------------------------------------------


def _newest(deployment: Mapping[str, Any], sets: Sequence[JsonObject]) -> JsonObject | None:
    """The oldest set that has the Deployment's template."""
    template = deployment["spec"]["template"]
    return next((found for found in sets if _same_template(template, found["spec"]["template"])), None)


def _same_template(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return _without_hash(one) == _without_hash(other)


def _without_hash(template: Mapping[str, Any]) -> JsonObject:
    metadata = dict(template.get("metadata") or {})
    metadata.pop("creationTimestamp", None)
    labels = {key: value for key, value in (metadata.pop("labels", None) or {}).items() if key != HASH_LABEL}
    return {"metadata": metadata, "labels": labels, "spec": template.get("spec")}


def _with_new_set(step: Step, view: View) -> bool:
    """See that there is a set of the present template; False when this step makes one."""
    if step.new is not None:
        _renew_revisions(step)
        return True
    deployment = step.deployment
    metadata, spec = deployment["metadata"], deployment["spec"]
    collisions = (deployment.get("status") or {}).get("collisionCount")
    hash = template_hash(spec["template"], collisions)
    name = f"{metadata['name']}-{hash}"
    if view.get(REPLICA_SET, name, metadata["namespace"]) is not None:
        step.collisions = (collisions or 0) + 1
        return False
    replicas = new_set_replicas(deployment, step.sets, None)
    template = spec["template"]
    labels = {**((template.get("metadata") or {}).get("labels") or {}), HASH_LABEL: hash}
    selector = spec["selector"]
    revision = str(_greatest_revision(step.sets) + 1)
    made: JsonObject = {
        "apiVersion": REPLICA_SET.api_version,
        "kind": REPLICA_SET.kind,
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": {**_copied(deployment), REVISION: revision, **_size_annotations(step)},
            "ownerReferences": [reference_to(deployment, DEPLOYMENT)],
        },
        "spec": {
            "replicas": replicas,
            "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), HASH_LABEL: hash}},
            "template": {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}},
        },
    }
    if spec.get("minReadySeconds"):
        made["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    step.creates.append(Write(REPLICA_SET, made))
    if replicas:
        _tell(step, f"Scaled up replica set {name} from 0 to {replicas}")
    step.annotations[REVISION] = revision
    if _has_deadline(deployment):
        _set_condition(step, PROGRESSING, "True", NEW_SET, f'Created new replica set "{name}"')
    return False


def _renew_revisions(step: Step) -> None:
    """The newest set carries the greatest revision and the Deployment's annotations; the Deployment says which."""
    new = step.new
    if new is None:
        return
    revision = _greatest_revision(step.olds) + 1
    held = annotations_of(new)
    annotations = {**held, **_copied(step.deployment)}
    own = int(held.get(REVISION, "0") or 0)
    if own < revision:
        annotations[REVISION] = str(revision)
        if own:
            annotations[HISTORY] = _history(held.get(HISTORY, ""), str(own))
    wanted_ready = step.deployment["spec"].get("minReadySeconds") or 0
    spec = new["spec"]
    if annotations != held or (spec.get("minReadySeconds") or 0) != wanted_ready:
        changed = {**new, "metadata": {**new["metadata"], "annotations": annotations}}
        step.replace(new, {**changed, "spec": {**spec, "minReadySeconds": wanted_ready}})
    step.annotations[REVISION] = annotations[REVISION]
    if _has_deadline(step.deployment) and _condition(step, PROGRESSING) is None:
        _set_condition(step, PROGRESSING, "True", FOUND_SET, f'Found new replica set "{new["metadata"]["name"]}"')


def _history(text: str, revision: str) -> str:
    entries = [*(entry for entry in text.split(",") if entry), revision]
    while len(",".join(entries)) > MAX_HISTORY_CHARS:
        entries.pop(0)
    return ",".join(entries)


def _resize(step: Step, found: JsonObject, size: int) -> None:
    before = spec_replicas(found)
    annotations = {**annotations_of(found), **_size_annotations(step)}
    metadata = {**found["metadata"], "annotations": annotations}
    step.replace(found, {**found, "metadata": metadata, "spec": {**found["spec"], "replicas": size}})
    if size != before:
        way = "up" if size > before else "down"
        _tell(step, f"Scaled {way} replica set {found['metadata']['name']} from {before} to {size}")


def _size_annotations(step: Step) -> dict[str, str]:
    replicas = spec_replicas(step.deployment)
    return {DESIRED: str(replicas), MAXIMUM: str(replicas + surge_and_unavailable(step.deployment)[0])}


def _sizes_told(found: Mapping[str, Any]) -> dict[str, str | None]:
    return {name: annotations_of(found).get(name) for name in (DESIRED, MAXIMUM)}


def _copied(deployment: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in annotations_of(deployment).items() if name not in NOT_COPIED}


def _greatest_revision(sets: Iterable[Mapping[str, Any]]) -> int:
    texts = (annotations_of(found).get(REVISION, "0") for found in sets)
    return max((int(text) for text in texts if text.isdigit()), default=0)


def _named(sets: Sequence[JsonObject], name: str) -> JsonObject:
    return next(found for found in sets if found["metadata"]["name"] == name)


def _clean_up_if_complete(step: Step) -> None:
    if _is_complete(step.deployment, _counts(step)):
        _clean_up(step)


def _clean_up(step: Step) -> None:
    """Old sets beyond the history limit go, the oldest first."""
    limit = step.deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == NO_DEADLINE:
        return
    olds = [old for old in step.olds if not is_terminating(old)]
    by_revision = sorted(olds, key=lambda old: int(annotations_of(old).get(REVISION, "0") or 0))
    for old in by_revision[: max(len(olds) - limit, 0)]:
        settled = status_count(old, "observedGeneration") >= old["metadata"].get("generation", 0)
        if not spec_replicas(old) and not status_count(old, "replicas") and settled:
            step.deletes.append(Delete(REPLICA_SET, key_of(old), old["metadata"]["uid"]))


# -- status ------------------------------------------------------------------------------------------------------


def _done(step: Step, *, rollout: bool) -> Changes:
    """The step's changes with the status that tells of it."""
    deployment = step.deployment
    counts = _counts(step)
    available = counts["availableReplicas"] >= spec_replicas(deployment) - max_unavailable(deployment)
    if available:
        _set_condition(step, AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        said = "Deployment does not have minimum availability."
        _set_condition(step, AVAILABLE, "False", "MinimumReplicasUnavailable", said)
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


def _counts(step: Step) -> dict[str, int]:
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
    if not _has_deadline(deployment):
        step.conditions = [entry for entry in step.conditions if entry["type"] != PROGRESSING]
        return None
    held = condition_of(deployment, PROGRESSING)
    finished = counts["replicas"] == counts["updatedReplicas"] and held is not None and held.get("reason") == COMPLETE
    if finished:
        return None
    who = (
        f'ReplicaSet "{step.new["metadata"]["name"]}"' if step.new is not None else f'Deployment "{_name(deployment)}"'
    )
    if _is_complete(deployment, counts):
        _set_condition(step, PROGRESSING, "True", COMPLETE, f"{who} has successfully progressed.")
        return None
    if _has_progressed(deployment, counts):
        since = held.get("lastTransitionTime") if held is not None and held["status"] == "True" else None
        step.conditions = [entry for entry in step.conditions if entry["type"] != PROGRESSING]
        _set_condition(step, PROGRESSING, "True", UPDATED, f"{who} is progressing.", since=since)
    elif (left := _seconds_left(step)) is not None and left <= 0:
        _set_condition(step, PROGRESSING, "False", TIMED_OUT, f"{who} has timed out progressing.")
        return None
    return _seconds_left(step)


def _copy_failure(step: Step) -> None:
    """A set that may not make its pods is the Deployment's failure too; the newest set's counts first."""
    sets = [step.new, *step.olds] if step.new is not None else step.olds
    found = next((failure for each in sets if (failure := condition_of(each, REPLICA_FAILURE))), None)
    if found is None:
        step.conditions = [entry for entry in step.conditions if entry["type"] != REPLICA_FAILURE]
        return
    held = _condition(step, REPLICA_FAILURE)
    if held is not None and (held["status"], held.get("reason")) == (found["status"], found.get("reason")):
        return
    since = dict.fromkeys(("lastUpdateTime", "lastTransitionTime"), found["lastTransitionTime"])
    told_of = {name: found.get(name, "") for name in ("reason", "message")}
    others = [entry for entry in step.conditions if entry is not held]
    step.conditions = [*others, {"type": REPLICA_FAILURE, "status": found["status"], **since, **told_of}]


def _is_complete(deployment: Mapping[str, Any], counts: Mapping[str, int]) -> bool:
    wanted = spec_replicas(deployment)
    return all(counts[name] == wanted for name in ("updatedReplicas", "replicas", "availableReplicas"))


def _has_progressed(deployment: Mapping[str, Any], counts: Mapping[str, int]) -> bool:
    before = {name: status_count(deployment, name) for name in counts}
    old_before, old_now = (c["replicas"] - c["updatedReplicas"] for c in (before, counts))
    rising = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return old_now < old_before or any(counts[name] > before[name] for name in rising)


def _seconds_left(step: Step) -> float | None:
    """Until the progress deadline; None when it does not run."""
    condition = _condition(step, PROGRESSING)
    if condition is None or condition.get("reason") in (COMPLETE, PAUSED) or not condition.get("lastUpdateTime"):
        return None
    if condition.get("reason") == TIMED_OUT:
        return 0.0
    deadline = parse_time(condition["lastUpdateTime"])
    due = deadline + timedelta(seconds=step.deployment["spec"]["progressDeadlineSeconds"])
    return (due - step.at).total_seconds() + 1  # times are in whole seconds


def _has_deadline(deployment: Mapping[str, Any]) -> bool:
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return seconds is not None and seconds != NO_DEADLINE


def _note_pause(step: Step) -> None:
    if not _has_deadline(step.deployment):
        return
    condition = _condition(step, PROGRESSING)
    if condition is not None and condition.get("reason") == TIMED_OUT:
        return
    noted = condition is not None and condition.get("reason") == PAUSED
    paused = bool(step.deployment["spec"].get("paused"))
    if paused and not noted:
        _set_condition(step, PROGRESSING, "Unknown", PAUSED, "Deployment is paused")
    elif not paused and noted:
        _set_condition(step, PROGRESSING, "Unknown", RESUMED, "Deployment is resumed")


def _condition(step: Step, type: str) -> JsonObject | None:
    return next((entry for entry in step.conditions if entry["type"] == type), None)


def _set_condition(step: Step, type: str, status: str, reason: str, message: str, *, since: str | None = None) -> None:
    """Renew a condition; one that says the same already is left alone, and comes last when it is new."""
    held = _condition(step, type)
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


def _tell(step: Step, message: str) -> None:
    step.events.append(told(COMPONENT, step.deployment, DEPLOYMENT, "ScalingReplicaSet", message, step.at))


def _name(object: Mapping[str, Any]) -> str:
    return str(object["metadata"]["name"])


# -- keys --------------------------------------------------------------------------------------------------------


def _deployments_of_set(change: Change, view: View) -> Iterable[ObjectKey]:
    return owner_keys(change, view, DEPLOYMENT)


def _deployments_of_pod(change: Change, view: View) -> Iterable[ObjectKey]:
    """Recreate waits for pods to be gone."""
    if change.type != "DELETED":
        return ()
    sets = (view.get(REPLICA_SET, key.name, key.namespace) for key in owner_keys(change, view, REPLICA_SET))
    references = (controller_reference(found) for found in sets if found is not None)
    namespace = change.key.namespace
    return [ObjectKey(namespace, r["name"]) for r in references if r is not None and r["kind"] == DEPLOYMENT.kind]


CONTROLLER = Controller(
    "deployment", {DEPLOYMENT: own_key, REPLICA_SET: _deployments_of_set, POD: _deployments_of_pod}, plan_deployment
)
