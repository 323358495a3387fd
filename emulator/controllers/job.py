"""Jobs: pods until enough have succeeded or too many have failed. Pure.

One plan takes one step of counting; see jobcounting.
Source: pkg/controller/job/job_controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from emulator.api.kinds import JOB, POD
from emulator.api.meta import (
    JsonObject,
    ObjectKey,
    format_time,
    is_terminating,
    key_of,
)
from emulator.client.index import Change
from emulator.controllers.changes import NOTHING, Changes, Controller, View, Write, own_key
from emulator.controllers.jobcounting import count_ended, done
from emulator.controllers.jobindexes import first_pending, index_of, is_indexed
from emulator.controllers.joboutcome import conclude, has_enough, outcome_of
from emulator.controllers.jobpods import (
    all_failures,
    backoff_seconds,
    finished_at,
    indexes_of,
    is_tracked,
    last_failed,
    new_pod,
    replaces_only_failed,
    tracked,
    untracked,
    wait_after_failures,
)
from emulator.controllers.jobsync import (
    COMPONENT,
    SUCCESS_CRITERIA,
    SUSPENDED,
    Outcome,
    Sync,
    begin,
    condition_entry,
    finished,
    is_suspended,
    terminating,
)
from emulator.controllers.owned import (
    MAX_BURST,
    claim,
    controller_reference,
    created_pod,
    deleted_pod,
    is_active,
    is_finished,
    owner_keys,
)
from emulator.controllers.replicaset import by_dispensability

MANAGED_BY = "kubernetes.io/job-controller"
REACHED = ("CompletionsReached", "Reached expected number of succeeded pods")


def plan_job(key: ObjectKey, view: View, at: datetime) -> Changes:
    """The next step of a Job: count what ended, make or delete pods, or finish."""
    job = view.get(JOB, key.name, key.namespace)
    if job is None or finished(job) or job["spec"].get("managedBy") not in (None, MANAGED_BY):
        return NOTHING
    claimed = claim(job, JOB, POD, view)
    if claimed.writes:
        uid = job["metadata"]["uid"]
        return Changes(tuple(_adopted_or_released(write, uid) for write in claimed.writes))
    sync = begin(job, sorted(claimed.objects, key=lambda pod: str(pod["metadata"]["name"])), at)
    outcome = outcome_of(sync)
    if outcome is not None:
        _delete(sync, [pod for pod in sync.pods if is_active(pod)], counted=True)
    else:
        _manage(sync)
        if has_enough(sync):
            outcome = Outcome(SUCCESS_CRITERIA, *REACHED)
    count_ended(sync, outcome)
    if outcome is not None:
        conclude(sync, outcome)
    return done(sync)


def _adopted_or_released(write: Write, uid: str) -> Write:
    pod = write.object
    owner = controller_reference(pod)
    if owner is not None and owner["uid"] == uid:
        return replace(write, object=tracked(pod))
    return untracked(pod)


# -- pods ------------------------------------------------------------------------------------------------------------


def _manage(sync: Sync) -> None:
    """Make pods, or delete those that are too many; never both at once."""
    if is_terminating(sync.job):
        return
    _follow_suspension(sync)
    if is_suspended(sync.job):
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
    going = terminating(sync) if replaces_only_failed(sync.job) else 0
    missing = min(wanted - active - going, MAX_BURST)
    if missing > 0:
        _create(sync, missing)


def _follow_suspension(sync: Sync) -> None:
    held = next((entry for entry in sync.conditions if entry["type"] == SUSPENDED), None)
    suspended = is_suspended(sync.job)
    if suspended == (held is not None and held["status"] == "True"):
        return
    if held is None and not suspended:
        return
    reason, message = ("JobSuspended", "Job suspended") if suspended else ("JobResumed", "Job resumed")
    entry = condition_entry(SUSPENDED, "True" if suspended else "False", reason, message, sync.at)
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


# -- pods whose Job is gone ------------------------------------------------------------------------------------------


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
