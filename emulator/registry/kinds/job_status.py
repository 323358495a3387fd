"""What is wrong with a change of a Job's status: conditions that exclude each other, counters that went back.

A rule about a field holds only for writes that touch it, so that a status that was wrong before can still be mended.
Source: pkg/apis/batch/validation/validation.go (ValidateJobStatusUpdate), pkg/registry/batch/job/strategy.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.api.errors import FieldError, duplicate, invalid, required
from emulator.api.meta import JsonObject, condition_of
from emulator.registry.kinds import workload
from emulator.registry.kinds.job_validation import index_intervals, is_indexed

Status = Mapping[str, Any]

_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")
_TERMINAL = ("Failed", "Complete", "FailureTarget")


def is_true(job: JsonObject, type: str) -> bool:
    """Whether a Job has this condition."""
    return (condition_of(job, type) or {}).get("status") == "True"


def is_finished(job: JsonObject) -> bool:
    return is_true(job, "Complete") or is_true(job, "Failed")


def job_status_errors(job: JsonObject, old: JsonObject) -> list[FieldError]:
    status, before = workload.status_of(job), workload.status_of(old)
    errors = workload.counts_errors(status, _COUNTS)
    errors += _uncounted_errors(status)
    errors += _completion_errors(job, old, status, before)
    errors += _finish_errors(job, old, status, before)
    errors += _index_errors(job, status, before)
    errors += _criteria_errors(job)
    return errors + _transition_errors(job, old, status, before)


def _conditions_error(text: str) -> FieldError:
    return FieldError("status.conditions", "FieldValueInvalid", f"Invalid value: {text}")


def _uncounted_errors(status: Status) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for part in ("succeeded", "failed"):
        for index, uid in enumerate((status.get("uncountedTerminatedPods") or {}).get(part) or ()):
            at = f"status.uncountedTerminatedPods.{part}[{index}]"
            if not uid:
                errors.append(invalid(at, uid, "must not be empty"))
            elif uid in seen:
                errors.append(duplicate(at, uid))
            seen.add(uid)
    return errors


def _completion_errors(job: JsonObject, old: JsonObject, status: Status, before: Status) -> list[FieldError]:
    complete, failed = is_true(job, "Complete"), is_true(job, "Failed")
    completed_at, started_at = status.get("completionTime"), status.get("startTime")
    changed = {type: is_true(job, type) != is_true(old, type) for type in _TERMINAL}
    moved = {name: status.get(name) != before.get(name) for name in ("startTime", "completionTime")}
    errors: list[FieldError] = []
    if (changed["Complete"] or changed["Failed"]) and complete and failed:
        errors.append(_conditions_error("cannot set Complete=True and Failed=true conditions"))
    if (changed["Complete"] or changed["FailureTarget"]) and complete and is_true(job, "FailureTarget"):
        errors.append(_conditions_error("cannot set Complete=True and FailureTarget=true conditions"))
    if changed["Complete"] or moved["completionTime"]:
        if completed_at and not complete:
            text = "cannot set completionTime when there is no Complete=True condition"
            errors.append(invalid("status.completionTime", completed_at, text))
        if complete and not completed_at:
            errors.append(required("status.completionTime", "completionTime is required for Complete jobs"))
    if (moved["startTime"] or moved["completionTime"]) and started_at and completed_at and completed_at < started_at:
        text = "completionTime cannot be set before startTime"
        errors.append(invalid("status.completionTime", completed_at, text))
    return errors


def _finish_errors(job: JsonObject, old: JsonObject, status: Status, before: Status) -> list[FieldError]:
    if not is_finished(job):
        return []
    now_finished = not is_finished(old)

    def touched(name: str) -> bool:
        return now_finished or status.get(name) != before.get(name)

    errors: list[FieldError] = []
    if touched("active") and (status.get("active") or 0) > 0:
        errors.append(invalid("status.active", status["active"], "active>0 is invalid for finished job"))
    if touched("startTime") and not status.get("startTime"):
        errors.append(required("status.startTime", "startTime is required for finished job"))
    uncounted = status.get("uncountedTerminatedPods") or {}
    if touched("uncountedTerminatedPods") and (uncounted.get("failed") or uncounted.get("succeeded")):
        shown = {"Succeeded": uncounted.get("succeeded"), "Failed": uncounted.get("failed")}
        text = "uncountedTerminatedPods needs to be empty for finished job"
        errors.append(invalid("status.uncountedTerminatedPods", shown, text))
    return errors


def _index_errors(job: JsonObject, status: Status, before: Status) -> list[FieldError]:
    spec, errors = job["spec"], list[FieldError]()
    completions, per_index = spec.get("completions"), spec.get("backoffLimitPerIndex")
    completed, failed = status.get("completedIndexes") or "", status.get("failedIndexes")
    completed_moved = completed != (before.get("completedIndexes") or "")
    failed_moved = failed != before.get("failedIndexes")
    if completed_moved and completions is not None:
        errors += _format_errors("completedIndexes", completed, completions)
    if failed_moved and completions is not None and per_index is not None and failed is not None:
        errors += _format_errors("failedIndexes", failed, completions)
    if completed_moved and completed and not is_indexed(spec):
        text = "cannot set non-empty completedIndexes when non-indexed completion mode"
        errors.append(invalid("status.completedIndexes", completed, text))
    if failed_moved and per_index is None and failed is not None:
        text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        errors.append(invalid("status.failedIndexes", failed, text))
    if (failed_moved or completed_moved) and completions is not None and failed:
        overlap = _overlap(completed, failed, completions)
        if overlap is not None:
            text = f"failedIndexes and completedIndexes overlap at index: {overlap}"
            errors.append(invalid("status.failedIndexes", failed, text))
    return errors


def _format_errors(name: str, text: str, completions: int) -> list[FieldError]:
    try:
        index_intervals(text, completions)
    except ValueError as error:
        return [invalid(f"status.{name}", text, f"error parsing {name}: {error}")]
    return []


def _overlap(completed: str, failed: str, completions: int) -> int | None:
    try:
        done, lost = index_intervals(completed, completions), index_intervals(failed, completions)
    except ValueError:
        return None  # told already
    common = [max(a, c) for a, b in done for c, d in lost if a <= d and c <= b]
    return min(common, default=None)


def _criteria_errors(job: JsonObject) -> list[FieldError]:
    met = is_true(job, "SuccessCriteriaMet")
    errors: list[FieldError] = []
    if met and is_true(job, "Failed"):
        errors.append(_conditions_error("cannot set SuccessCriteriaMet=True and Failed=true conditions"))
    if met and is_true(job, "FailureTarget"):
        errors.append(_conditions_error("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"))
    if job["spec"].get("successPolicy") is not None and not met and is_true(job, "Complete"):
        text = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        errors.append(_conditions_error(text))
    return errors


def _transition_errors(job: JsonObject, old: JsonObject, status: Status, before: Status) -> list[FieldError]:
    errors = [
        _conditions_error(f"cannot disable the terminal {type}=True condition")
        for type in _TERMINAL
        if is_true(old, type) and not is_true(job, type)
    ]
    spec = job["spec"]
    elastic = is_indexed(spec) and spec.get("completions") == spec.get("parallelism")
    for name in ("failed", "succeeded"):
        if name == "succeeded" and elastic:
            continue  # such a Job may be scaled down
        if (status.get(name) or 0) < (before.get(name) or 0):
            errors.append(invalid(f"status.{name}", status.get(name) or 0, f"cannot decrease the {name} counter"))
    completed_at, earlier = status.get("completionTime"), before.get("completionTime")
    if completed_at and earlier and completed_at != earlier:
        errors.append(invalid("status.completionTime", completed_at, "completionTime cannot be mutated"))
    started = before.get("startTime")
    if started and started != status.get("startTime") and not spec.get("suspend"):
        errors.append(required("status.startTime", "startTime cannot be removed for unsuspended job"))
    if is_true(old, "SuccessCriteriaMet") and not is_true(job, "SuccessCriteriaMet"):
        errors.append(_conditions_error("cannot disable the SuccessCriteriaMet=True condition"))
    if is_true(old, "Complete") and not is_true(old, "SuccessCriteriaMet") and is_true(job, "SuccessCriteriaMet"):
        text = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        errors.append(_conditions_error(text))
    return errors
