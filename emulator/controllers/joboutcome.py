"""How a Job ends: the reasons to fail or to succeed, and the conditions that say so. Pure.

Source: pkg/controller/job/job_controller.go (syncJob, finalizeJob, pastBackoffLimitOnFailure).
"""

from __future__ import annotations

from emulator.api.meta import (
    condition_of,
    format_time,
    is_terminating,
    parse_time,
)
from emulator.controllers.jobindexes import is_indexed
from emulator.controllers.jobpods import (
    is_failed,
    is_tracked,
    restarts,
)
from emulator.controllers.jobpolicies import success_message, verdict
from emulator.controllers.jobsync import (
    COMPLETE,
    FAILURE_TARGET,
    SUCCESS_CRITERIA,
    Outcome,
    Sync,
    condition_entry,
    is_suspended,
    is_true,
)
from emulator.controllers.owned import (
    is_finished,
)


def outcome_of(sync: Sync) -> Outcome | None:
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
    if deadline is not None and not is_suspended(job) and sync.status.get("startTime"):
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


def has_enough(sync: Sync) -> bool:
    active = len(sync.active) + sync.created - len(sync.deleted)
    if active:
        return False
    return sync.succeeded > 0 if sync.spec.get("completions") is None else sync.succeeded >= sync.completions


def conclude(sync: Sync, outcome: Outcome) -> None:
    """Say that the end is decided, and, once all pods are counted and gone, that it is reached."""
    if not is_true(sync, outcome.type):
        sync.conditions.append(condition_entry(outcome.type, "True", outcome.reason, outcome.message, sync.at))
    waiting = sync.succeeded_uids or sync.failed_uids or sync.deleted
    if waiting or any(is_terminating(pod) and not is_finished(pod) for pod in sync.pods):
        return
    if any(is_tracked(pod) for pod in sync.pods):
        return
    sync.conditions.append(condition_entry(outcome.final, "True", outcome.reason, outcome.message, sync.at))
    sync.status.setdefault("startTime", format_time(sync.at))
    if outcome.final == COMPLETE:
        sync.status["completionTime"] = format_time(sync.at)
        sync.tell("Completed", "Job completed")
    else:
        sync.tell(outcome.reason, outcome.message, type="Warning")
