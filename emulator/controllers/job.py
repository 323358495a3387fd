"""Jobs: pods until enough have succeeded or too many have failed, each counted once. Pure.

A pod that ended is first named in status.uncountedTerminatedPods, then loses its finalizer, and is counted when that
is seen; so nothing is counted twice, whatever fails in between. One plan takes one such step.
Source: pkg/controller/job/job_controller.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from emulator.api.errors import ApiError
from emulator.api.kinds import JOB, POD
from emulator.api.meta import (
    JsonObject,
    ObjectKey,
    condition_of,
    format_time,
    is_terminating,
    key_of,
    parse_time,
)
from emulator.client.index import Change
from emulator.controllers.changes import NOTHING, Changes, Controller, Delete, View, Write, own_key
from emulator.controllers.jobindexes import first_pending, format_indexes, index_of, is_indexed, parse_indexes
from emulator.controllers.jobpods import (
    all_failures,
    backoff_seconds,
    fails_index,
    finished_at,
    indexes_of,
    is_failed,
    is_tracked,
    last_failed,
    new_pod,
    phase_of,
    replaces_only_failed,
    restarts,
    tracked,
    untracked,
    wait_after_failures,
)
from emulator.controllers.jobpolicies import success_message, verdict
from emulator.controllers.owned import (
    MAX_BURST,
    claim,
    controller_reference,
    created_pod,
    deleted_pod,
    failed_create,
    is_active,
    is_finished,
    is_ready,
    owner_keys,
    soonest,
    told,
)
from emulator.controllers.replicaset import by_dispensability

COMPONENT = "job-controller"
MANAGED_BY = "kubernetes.io/job-controller"
MAX_UNCOUNTED = 500  # uids in a status: 20 kB
COMPLETE, FAILED = "Complete", "Failed"
SUCCESS_CRITERIA, FAILURE_TARGET, SUSPENDED = "SuccessCriteriaMet", "FailureTarget", "Suspended"
REACHED = ("CompletionsReached", "Reached expected number of succeeded pods")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a Job ends: `type` is SuccessCriteriaMet or FailureTarget; the final condition says the same."""

    type: str
    reason: str
    message: str

    @property
    def final(self) -> str:
        return COMPLETE if self.type == SUCCESS_CRITERIA else FAILED


@dataclass(slots=True)
class Sync:
    """One plan of one Job while it is made; `status` is built up, the Job and its pods never change."""

    job: JsonObject
    pods: list[JsonObject]
    at: datetime
    conditions: list[JsonObject]
    status: JsonObject
    succeeded_uids: list[str]
    failed_uids: list[str]
    succeeded: int = 0
    failed: int = 0
    succeeded_indexes: frozenset[int] = frozenset()
    failed_indexes: frozenset[int] = frozenset()
    active: list[JsonObject] = field(default_factory=list)
    created: int = 0
    deleted: list[JsonObject] = field(default_factory=list)
    updates: list[Write] = field(default_factory=list)
    creates: list[Write] = field(default_factory=list)
    events: list[JsonObject] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    @property
    def spec(self) -> JsonObject:
        found: JsonObject = self.job["spec"]
        return found

    @property
    def completions(self) -> int:
        return int(self.spec.get("completions") or 0)

    @property
    def per_index(self) -> bool:
        return self.spec.get("backoffLimitPerIndex") is not None

    def tell(self, reason: str, message: str, *, type: str = "Normal") -> None:
        self.events.append(told(COMPONENT, self.job, JOB, reason, message, self.at, type=type))


def plan_job(key: ObjectKey, view: View, at: datetime) -> Changes:
    """The next step of a Job: count what ended, make or delete pods, or finish."""
    job = view.get(JOB, key.name, key.namespace)
    if job is None or finished(job) or job["spec"].get("managedBy") not in (None, MANAGED_BY):
        return NOTHING
    claimed = claim(job, JOB, POD, view)
    if claimed.writes:
        uid = job["metadata"]["uid"]
        return Changes(tuple(_adopted_or_released(write, uid) for write in claimed.writes))
    sync = _begin(job, sorted(claimed.objects, key=lambda pod: str(pod["metadata"]["name"])), at)
    outcome = _outcome(sync)
    if outcome is not None:
        _delete(sync, [pod for pod in sync.pods if is_active(pod)], counted=True)
    else:
        _manage(sync)
        if _has_enough(sync):
            outcome = Outcome(SUCCESS_CRITERIA, *REACHED)
    _count_ended(sync, outcome)
    if outcome is not None:
        _conclude(sync, outcome)
    return _done(sync)


def finished(job: Mapping[str, Any]) -> bool:
    return any((condition_of(job, type) or {}).get("status") == "True" for type in (COMPLETE, FAILED))


def _adopted_or_released(write: Write, uid: str) -> Write:
    pod = write.object
    owner = controller_reference(pod)
    if owner is not None and owner["uid"] == uid:
        return replace(write, object=tracked(pod))
    return untracked(pod)


def _begin(job: JsonObject, pods: list[JsonObject], at: datetime) -> Sync:
    """Count what is there, as if everything that ended were counted already."""
    held = job.get("status") or {}
    uncounted = held.get("uncountedTerminatedPods") or {}
    sync = Sync(
        job=job,
        pods=pods,
        at=at,
        conditions=[dict(entry) for entry in held.get("conditions") or ()],
        status={name: value for name, value in held.items() if name != "conditions"},
        succeeded_uids=list(uncounted.get("succeeded") or ()),
        failed_uids=list(uncounted.get("failed") or ()),
        active=[pod for pod in pods if is_active(pod)],
    )
    new = [pod for pod in pods if is_tracked(pod) and _has_place(sync, pod)]
    new_succeeded = [p for p in new if phase_of(p) == "Succeeded" and _uid(p) not in sync.succeeded_uids]
    new_failed = [p for p in new if is_failed(p, job) and _uid(p) not in sync.failed_uids]
    sync.succeeded = int(held.get("succeeded") or 0) + len(new_succeeded) + len(sync.succeeded_uids)
    counted = sum(verdict(job, pod).counted for pod in new_failed)
    sync.failed = int(held.get("failed") or 0) + counted + len(sync.failed_uids)
    if is_indexed(job):
        ended = indexes_of(new_succeeded, sync.completions)
        sync.succeeded_indexes = parse_indexes(held.get("completedIndexes"), sync.completions) | ended
        sync.succeeded = len(sync.succeeded_indexes)
        if sync.per_index:
            failing = indexes_of((pod for pod in new if fails_index(job, pod)), sync.completions)
            sync.failed_indexes = parse_indexes(held.get("failedIndexes"), sync.completions) | failing
    if not held.get("startTime") and not _is_suspended(job):
        sync.status["startTime"] = format_time(at)
    return sync


def _uid(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"]["uid"])


def _has_place(sync: Sync, pod: JsonObject) -> bool:
    """Whether the pod counts: in an Indexed Job only one with an index in range."""
    if not is_indexed(sync.job):
        return True
    index = index_of(pod)
    return index is not None and index < sync.completions


def _is_suspended(job: Mapping[str, Any]) -> bool:
    return bool(job["spec"].get("suspend"))


# -- how it ends -------------------------------------------------------------------------------------------------


def _outcome(sync: Sync) -> Outcome | None:
    """The end that was decided before or is decided now; enough completions aside."""
    for type in (SUCCESS_CRITERIA, FAILURE_TARGET):
        held = condition_of(sync.job, type)
        if held is not None and held["status"] == "True":
            return Outcome(type, held.get("reason", ""), held.get("message", ""))
    why = _failure(sync)
    if why is not None:
        return Outcome(FAILURE_TARGET, *why)
    if is_indexed(sync.job) and (said := success_message(sync.job, sync.succeeded_indexes)) is not None:
        return Outcome(SUCCESS_CRITERIA, "SuccessPolicy", said)
    return None


def _failure(sync: Sync) -> tuple[str, str] | None:
    """Reason and message of a failure of the whole Job."""
    spec, job = sync.spec, sync.job
    for pod in sync.pods:
        if spec.get("podFailurePolicy") and is_failed(pod, job) and (message := verdict(job, pod).message):
            return "PodFailurePolicy", message
    limit = spec.get("backoffLimit", 6)
    if sync.failed > limit or _restarted_too_often(sync, limit):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not _is_suspended(job) and sync.status.get("startTime"):
        left = deadline - (sync.at - parse_time(sync.status["startTime"])).total_seconds()
        if left <= 0 and (job.get("status") or {}).get("startTime"):
            return "DeadlineExceeded", "Job was active longer than specified deadline"
        sync.waits.append(max(left, 0.05))
    if is_indexed(job) and sync.per_index and sync.failed_indexes:
        most = spec.get("maxFailedIndexes")
        if most is not None and len(sync.failed_indexes) > most:
            return "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
        if len(sync.failed_indexes) + len(sync.succeeded_indexes) >= sync.completions:
            return "FailedIndexes", "Job has failed indexes"
    return None


def _restarted_too_often(sync: Sync, limit: int) -> bool:
    if (sync.spec["template"].get("spec") or {}).get("restartPolicy") != "OnFailure":
        return False
    count = restarts(sync.pods)
    return count >= limit if limit else count > 0


def _has_enough(sync: Sync) -> bool:
    active = len(sync.active) + sync.created - len(sync.deleted)
    if active:
        return False
    return sync.succeeded > 0 if sync.spec.get("completions") is None else sync.succeeded >= sync.completions


def _conclude(sync: Sync, outcome: Outcome) -> None:
    """Say that the end is decided, and, once all pods are counted and gone, that it is reached."""
    if not _is_true(sync, outcome.type):
        sync.conditions.append(_condition(outcome.type, "True", outcome.reason, outcome.message, sync.at))
    waiting = sync.succeeded_uids or sync.failed_uids or sync.deleted
    if waiting or any(is_terminating(pod) and not is_finished(pod) for pod in sync.pods):
        return
    if any(is_tracked(pod) for pod in sync.pods):
        return
    sync.conditions.append(_condition(outcome.final, "True", outcome.reason, outcome.message, sync.at))
    sync.status.setdefault("startTime", format_time(sync.at))
    if outcome.final == COMPLETE:
        sync.status["completionTime"] = format_time(sync.at)
        sync.tell("Completed", "Job completed")
    else:
        sync.tell(outcome.reason, outcome.message, type="Warning")


# -- pods --------------------------------------------------------------------------------------------------------


def _manage(sync: Sync) -> None:
    """Make pods, or delete those that are too many; never both at once."""
    if is_terminating(sync.job):
        return
    _follow_suspension(sync)
    if _is_suspended(sync.job):
        _delete(sync, sync.active)
        return
    active, parallelism = len(sync.active), int(sync.spec.get("parallelism", 1))
    if sync.spec.get("completions") is None:
        wanted = active if sync.succeeded > 0 else parallelism
    else:
        wanted = max(min(sync.completions - sync.succeeded, parallelism), 0)
    spare = _spare(sync, max(active - wanted, 0))
    if spare:
        _delete(sync, spare[:MAX_BURST])
        return
    going = _terminating(sync) if replaces_only_failed(sync.job) else 0
    missing = min(wanted - active - going, MAX_BURST)
    if missing > 0:
        _create(sync, missing)


def _follow_suspension(sync: Sync) -> None:
    held = next((entry for entry in sync.conditions if entry["type"] == SUSPENDED), None)
    suspended = _is_suspended(sync.job)
    if suspended == (held is not None and held["status"] == "True"):
        return
    if held is None and not suspended:
        return
    reason, message = ("JobSuspended", "Job suspended") if suspended else ("JobResumed", "Job resumed")
    entry = _condition(SUSPENDED, "True" if suspended else "False", reason, message, sync.at)
    sync.conditions = [entry if other is held else other for other in sync.conditions]
    if held is None:
        sync.conditions.append(entry)
    if suspended:
        sync.status.pop("startTime", None)
    else:
        sync.status["startTime"] = format_time(sync.at)
    sync.tell("Suspended" if suspended else "Resumed", message)


def _spare(sync: Sync, at_least: int) -> list[JsonObject]:
    """Active pods to delete: those with an index out of range or taken twice, then the most dispensable."""
    spare: list[JsonObject] = []
    left = sync.active
    if is_indexed(sync.job):
        by_index: dict[int, list[JsonObject]] = {}
        for pod in sync.active:
            index = index_of(pod)
            if index is None or index >= sync.completions:
                spare.append(pod)
            else:
                by_index.setdefault(index, []).append(pod)
        left = []
        for same in by_index.values():
            ordered = by_dispensability(same, {}, sync.at)
            spare += ordered[:-1]
            left.append(ordered[-1])
    if len(spare) < at_least:
        spare += by_dispensability(left, {}, sync.at)[: at_least - len(spare)]
    return spare


def _create(sync: Sync, missing: int) -> None:
    job = sync.job
    if not is_indexed(job):
        if not _waits_after_failures(sync):
            _made(sync, [new_pod(job)] * missing)
        return
    done = sync.succeeded_indexes | sync.failed_indexes
    busy = [pod for pod in sync.pods if is_active(pod) or (replaces_only_failed(job) and not is_finished(pod))]
    indexes = first_pending(missing, sync.completions, done | indexes_of(busy, sync.completions))
    if not sync.per_index:
        if not _waits_after_failures(sync):
            _made(sync, [new_pod(job, index) for index in indexes])
        return
    before = last_failed(job, sync.pods, done)
    waits = {index: _wait_for_index(before.get(index), sync.at) for index in indexes}
    _made(sync, [new_pod(job, index, before.get(index)) for index in indexes if not waits[index]])
    sync.waits += [wait for wait in waits.values() if wait]


def _waits_after_failures(sync: Sync) -> bool:
    wait = wait_after_failures(sync.job, sync.pods, sync.at)
    if wait:
        sync.waits.append(wait)
    return wait > 0


def _wait_for_index(replaced: JsonObject | None, at: datetime) -> float:
    if replaced is None:
        return 0.0
    return backoff_seconds(all_failures(replaced) + 1, finished_at(replaced), at)


def _made(sync: Sync, pods: Iterable[JsonObject]) -> None:
    tell = created_pod(COMPONENT, sync.job, JOB, sync.at)
    sync.creates += [Write(POD, pod, told=tell) for pod in pods]
    sync.created = len(sync.creates)


def _delete(sync: Sync, pods: list[JsonObject], *, counted: bool = False) -> None:
    """counted: the pods are counted as the outcome says before they go; else they were simply too many."""
    sync.deleted += pods
    sync.events += [deleted_pod(COMPONENT, sync.job, JOB, pod, sync.at) for pod in pods]
    if not counted:
        sync.updates += [untracked(pod) for pod in pods if is_tracked(pod)]


def _terminating(sync: Sync) -> int:
    return sum(is_terminating(pod) and not is_finished(pod) for pod in sync.pods)


# -- counting ----------------------------------------------------------------------------------------------------


def _count_ended(sync: Sync, outcome: Outcome | None) -> None:
    """Move what has lost its finalizer into the counters; name what ended since, and free it."""
    held = {_uid(pod) for pod in sync.pods if is_tracked(pod)}
    for name, uids in (("succeeded", sync.succeeded_uids), ("failed", sync.failed_uids)):
        left = [uid for uid in uids if uid in held]
        sync.status[name] = int(sync.status.get(name) or 0) + len(uids) - len(left)
        uids[:] = left
    kept = _kept_for_their_count(sync)
    free: list[JsonObject] = []
    dropped = {_uid(pod) for pod in sync.deleted} if outcome is None else set()
    for pod in sync.pods:
        uid = _uid(pod)
        if not is_tracked(pod) or uid in dropped or not _may_go(sync, pod, outcome, kept):
            continue
        if len(sync.succeeded_uids) + len(sync.failed_uids) >= MAX_UNCOUNTED:
            break
        free.append(pod)
        failed_job = outcome is not None and outcome.type == FAILURE_TARGET
        if phase_of(pod) == "Succeeded" and uid not in sync.failed_uids:
            if not is_indexed(sync.job) and uid not in sync.succeeded_uids:
                sync.succeeded_uids.append(uid)
        elif is_failed(pod, sync.job) or failed_job:
            counts = _has_place(sync, pod) and verdict(sync.job, pod).counted
            if counts and uid not in sync.failed_uids:
                sync.failed_uids.append(uid)
    if is_indexed(sync.job):
        sync.status["succeeded"] = len(sync.succeeded_indexes)
        sync.status["completedIndexes"] = format_indexes(sync.succeeded_indexes)
        if sync.per_index:
            sync.status["failedIndexes"] = format_indexes(sync.failed_indexes)
    sync.updates += [untracked(pod) for pod in free]


def _may_go(sync: Sync, pod: JsonObject, outcome: Outcome | None, kept: set[str]) -> bool:
    if is_terminating(sync.job) or outcome is not None or phase_of(pod) == "Succeeded":
        return True
    return is_failed(pod, sync.job) and _uid(pod) not in kept


def _kept_for_their_count(sync: Sync) -> set[str]:
    """Failed pods whose failure count the next pod of their index still has to take over."""
    if not sync.per_index:
        return set()
    done = sync.succeeded_indexes | sync.failed_indexes | indexes_of(sync.active, sync.completions)
    return {_uid(pod) for pod in last_failed(sync.job, sync.pods, done).values()}


def _done(sync: Sync) -> Changes:
    """The changes, the status before the finalizers that it lets go of."""
    status, gone = sync.status, len(sync.deleted)
    status["active"] = len(sync.active) + sync.created - gone
    status["ready"] = sum(is_ready(pod) for pod in sync.active) - sum(is_ready(pod) for pod in sync.deleted)
    status["terminating"] = _terminating(sync) + gone
    status["uncountedTerminatedPods"] = {
        name: uids for name, uids in (("succeeded", sync.succeeded_uids), ("failed", sync.failed_uids)) if uids
    }
    for name in ("active", "succeeded", "failed", "completedIndexes"):
        if not status.get(name):
            status.pop(name, None)
    if sync.conditions:
        status["conditions"] = sync.conditions
    updates = list(sync.updates)
    if status != (sync.job.get("status") or {}):
        updates.insert(0, Write(JOB, {**sync.job, "status": status}, "status"))
    deletes = tuple(Delete(POD, key_of(pod), _uid(pod)) for pod in sync.deleted)
    wait = soonest(sync.waits)
    return Changes(tuple(updates), tuple(sync.creates), deletes, tuple(sync.events), wait, _refused(sync))


def _refused(sync: Sync) -> Callable[[ApiError], Changes]:
    return lambda error: Changes(events=(failed_create(COMPONENT, sync.job, JOB, error, sync.at),))


def _is_true(sync: Sync, type: str) -> bool:
    return any(entry["type"] == type and entry["status"] == "True" for entry in sync.conditions)


def _condition(type: str, status: str, reason: str, message: str, at: datetime) -> JsonObject:
    now = format_time(at)
    return {
        "type": type,
        "status": status,
        "lastProbeTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }


# -- pods whose Job is gone --------------------------------------------------------------------------------------


def plan_orphan(key: ObjectKey, view: View, at: datetime) -> Changes:
    """Let go of a tracked pod that no Job will count any more."""
    pod = view.get(POD, key.name, key.namespace)
    if pod is None or not is_tracked(pod):
        return NOTHING
    owner = controller_reference(pod)
    if owner is not None and owner["kind"] == JOB.kind:
        job = view.get(JOB, owner["name"], key.namespace)
        if job is not None and job["metadata"]["uid"] == owner["uid"] and not finished(job):
            return NOTHING
    return Changes((untracked(pod),))


def _jobs_of_pod(change: Change, view: View) -> Iterable[ObjectKey]:
    return owner_keys(change, view, JOB)


def _tracked_key(change: Change, view: View) -> Iterable[ObjectKey]:
    return (change.key,) if change.type != "DELETED" and is_tracked(change.object) else ()


def _pods_of_job(change: Change, view: View) -> Iterable[ObjectKey]:
    if change.type != "DELETED" and not finished(change.object):
        return ()
    owned = view.owned_by(POD, change.object["metadata"]["uid"], change.key.namespace)
    return [key_of(pod) for pod in owned.values() if is_tracked(pod)]


CONTROLLERS = (
    Controller("job", {JOB: own_key, POD: _jobs_of_pod}, plan_job),
    Controller("job-orphans", {POD: _tracked_key, JOB: _pods_of_job}, plan_orphan),
)
