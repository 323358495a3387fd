"""Ended pods of a Job counted, each once, and the status that a plan leaves. Pure.

A pod that ended is first named in status.uncountedTerminatedPods, then loses its finalizer, and is counted when that
is seen; so nothing is counted twice, whatever fails in between.
Source: pkg/controller/job/job_controller.go (trackJobStatusAndRemoveFinalizers).
"""

from __future__ import annotations

from collections.abc import Callable

from emulator.api.errors import ApiError
from emulator.api.kinds import JOB, POD
from emulator.api.meta import (
    JsonObject,
    is_terminating,
    key_of,
)
from emulator.controllers.changes import Changes, Delete, Write
from emulator.controllers.jobindexes import format_indexes, is_indexed
from emulator.controllers.jobpods import (
    indexes_of,
    is_failed,
    is_tracked,
    last_failed,
    phase_of,
    untracked,
)
from emulator.controllers.jobpolicies import verdict
from emulator.controllers.jobsync import COMPONENT, FAILURE_TARGET, Outcome, Sync, has_place, terminating, uid_of
from emulator.controllers.owned import (
    failed_create,
    is_ready,
    soonest,
)

MAX_UNCOUNTED = 500  # uids in a status: 20 kB


def count_ended(sync: Sync, outcome: Outcome | None) -> None:
    """Move what has lost its finalizer into the counters; name what ended since, and free it."""
    held = {uid_of(pod) for pod in sync.pods if is_tracked(pod)}
    for name, uids in (("succeeded", sync.succeeded_uids), ("failed", sync.failed_uids)):
        left = [uid for uid in uids if uid in held]
        sync.status[name] = int(sync.status.get(name) or 0) + len(uids) - len(left)
        uids[:] = left
    kept = _kept_for_their_count(sync)
    free: list[JsonObject] = []
    dropped = {uid_of(pod) for pod in sync.deleted} if outcome is None else set()
    for pod in sync.pods:
        uid = uid_of(pod)
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
            counts = has_place(sync, pod) and verdict(sync.job, pod).counted
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
    return is_failed(pod, sync.job) and uid_of(pod) not in kept


def _kept_for_their_count(sync: Sync) -> set[str]:
    """Failed pods whose failure count the next pod of their index still has to take over."""
    if not sync.per_index:
        return set()
    done = sync.succeeded_indexes | sync.failed_indexes | indexes_of(sync.active, sync.completions)
    return {uid_of(pod) for pod in last_failed(sync.job, sync.pods, done).values()}


def done(sync: Sync) -> Changes:
    """The changes, the status before the finalizers that it lets go of."""
    status, gone = sync.status, len(sync.deleted)
    status["active"] = len(sync.active) + sync.created - gone
    status["ready"] = sum(is_ready(pod) for pod in sync.active) - sum(is_ready(pod) for pod in sync.deleted)
    status["terminating"] = terminating(sync) + gone
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
    deletes = tuple(Delete(POD, key_of(pod), uid_of(pod)) for pod in sync.deleted)
    wait = soonest(sync.waits)
    return Changes(tuple(updates), tuple(sync.creates), deletes, tuple(sync.events), wait, _refused(sync))


def _refused(sync: Sync) -> Callable[[ApiError], Changes]:
    return lambda error: Changes(events=(failed_create(COMPONENT, sync.job, JOB, error, sync.at),))
