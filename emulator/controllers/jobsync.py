"""One plan of one Job while it is made: what is there, counted as if all that ended were counted already. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from emulator.api.kinds import JOB
from emulator.api.meta import (
    JsonObject,
    condition_of,
    format_time,
    is_terminating,
)
from emulator.controllers.changes import Write
from emulator.controllers.jobindexes import index_of, is_indexed, parse_indexes
from emulator.controllers.jobpods import (
    fails_index,
    indexes_of,
    is_failed,
    is_tracked,
    phase_of,
)
from emulator.controllers.jobpolicies import verdict
from emulator.controllers.owned import (
    is_active,
    is_finished,
    told,
)

COMPONENT = "job-controller"
COMPLETE, FAILED = "Complete", "Failed"
SUCCESS_CRITERIA, FAILURE_TARGET, SUSPENDED = "SuccessCriteriaMet", "FailureTarget", "Suspended"


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


def finished(job: Mapping[str, Any]) -> bool:
    return any((condition_of(job, type) or {}).get("status") == "True" for type in (COMPLETE, FAILED))


def begin(job: JsonObject, pods: list[JsonObject], at: datetime) -> Sync:
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
    new = [pod for pod in pods if is_tracked(pod) and has_place(sync, pod)]
    new_succeeded = [p for p in new if phase_of(p) == "Succeeded" and uid_of(p) not in sync.succeeded_uids]
    new_failed = [p for p in new if is_failed(p, job) and uid_of(p) not in sync.failed_uids]
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
    if not held.get("startTime") and not is_suspended(job):
        sync.status["startTime"] = format_time(at)
    return sync


def uid_of(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"]["uid"])


def has_place(sync: Sync, pod: JsonObject) -> bool:
    """Whether the pod counts: in an Indexed Job only one with an index in range."""
    if not is_indexed(sync.job):
        return True
    index = index_of(pod)
    return index is not None and index < sync.completions


def is_suspended(job: Mapping[str, Any]) -> bool:
    return bool(job["spec"].get("suspend"))


def terminating(sync: Sync) -> int:
    return sum(is_terminating(pod) and not is_finished(pod) for pod in sync.pods)


def is_true(sync: Sync, type: str) -> bool:
    return any(entry["type"] == type and entry["status"] == "True" for entry in sync.conditions)


def condition_entry(type: str, status: str, reason: str, message: str, at: datetime) -> JsonObject:
    now = format_time(at)
    return {
        "type": type,
        "status": status,
        "lastProbeTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }
