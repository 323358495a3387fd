"""CronJobs: a Job whenever the schedule says so, and a bounded past of them. Pure.

A Job is known as started by the schedule from its name and its annotation; so a plan that makes one needs not to be
told what became of it: the next plan finds it and takes it into the status.
Source: pkg/controller/cronjob/{cronjob_controllerv2,utils}.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from emulator.api.errors import ApiError
from emulator.api.kinds import CRON_JOB, JOB
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
from emulator.api.schedule import ScheduleError
from emulator.client.index import Change
from emulator.controllers.changes import NOTHING, Changes, Controller, Delete, View, Write, own_key
from emulator.controllers.crontimes import MANY_MISSED, Times, last_start, times_of
from emulator.controllers.owned import owner_keys, reference_to, told

COMPONENT = "cronjob-controller"
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
DELAY_SECONDS = 0.1  # a plan comes that much after the due time, so that it has surely come
ALREADY_ACTIVE = "Not starting job because prior execution is running and concurrency policy is Forbid"
TOO_MANY_MISSED = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"


@dataclass(slots=True)
class Round:
    """One plan of one CronJob while it is made."""

    cron_job: JsonObject
    jobs: list[JsonObject]
    at: datetime
    active: list[JsonObject]
    status: JsonObject
    creates: list[Write] = field(default_factory=list)
    deletes: list[JsonObject] = field(default_factory=list)
    events: list[JsonObject] = field(default_factory=list)

    @property
    def spec(self) -> JsonObject:
        found: JsonObject = self.cron_job["spec"]
        return found

    def tell(self, reason: str, message: str, *, type: str = "Normal") -> None:
        self.events.append(told(COMPONENT, self.cron_job, CRON_JOB, reason, message, self.at, type=type))

    def delete(self, job: JsonObject) -> None:
        self.deletes.append(job)
        self.active = [entry for entry in self.active if entry.get("uid") != job["metadata"]["uid"]]
        self.tell("SuccessfulDelete", f"Deleted job {job['metadata']['name']}")


def plan_cronjob(key: ObjectKey, view: View, at: datetime) -> Changes:
    """Note what became of its Jobs, start the one that is due, delete those that are past."""
    cron_job = view.get(CRON_JOB, key.name, key.namespace)
    if cron_job is None:
        return NOTHING
    jobs = list(view.owned_by(JOB, cron_job["metadata"]["uid"], key.namespace).values())
    held = cron_job.get("status") or {}
    round = Round(cron_job, sorted(jobs, key=_start_rank), at, list(held.get("active") or ()), dict(held))
    _take_started(round)
    _follow(round)
    wait = None
    if not is_terminating(cron_job) and not round.spec.get("suspend"):
        times = _times(round)
        if times is not None:
            _start(round, times)
            wait = _wait(round, times)
    _drop_past(round)
    return _changes(round, wait)


def _start_rank(job: Mapping[str, Any]) -> tuple[bool, str, str]:
    started = (job.get("status") or {}).get("startTime") or ""
    return not started, started, job["metadata"]["name"]


# -- what became of its Jobs -------------------------------------------------------------------------------------


def _take_started(round: Round) -> None:
    """The Jobs that plans made and that the status does not tell of yet."""
    last = (round.cron_job.get("status") or {}).get("lastScheduleTime")
    for job in round.jobs:
        time = scheduled_time(job)
        if time is None or job["metadata"]["name"] != job_name(round.cron_job, time):
            continue
        if last is None or time > parse_time(last):
            newest = round.status.get("lastScheduleTime")
            if newest is None or time > parse_time(newest):
                round.status["lastScheduleTime"] = format_time(time)
            if not _ended(job) and not _is_active(round, job):
                round.active.append(_reference(job))


def scheduled_time(job: Mapping[str, Any]) -> datetime | None:
    """The time of the schedule for which it was made."""
    try:
        return parse_time(annotations_of(job).get(SCHEDULED, ""))
    except ValueError:
        return None


def _ended(job: Mapping[str, Any]) -> str:
    """Complete, Failed, or "" while it runs."""
    types = ("Complete", "Failed")
    return next((type for type in types if (condition_of(job, type) or {}).get("status") == "True"), "")


def _is_active(round: Round, job: Mapping[str, Any]) -> bool:
    return any(entry.get("uid") == job["metadata"]["uid"] for entry in round.active)


def _reference(job: Mapping[str, Any]) -> JsonObject:
    metadata = job["metadata"]
    return {
        "apiVersion": JOB.api_version,
        "kind": JOB.kind,
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    }


def _follow(round: Round) -> None:
    """Jobs that ended leave the active ones; a strange one is told of, one that is gone is forgotten."""
    for job in round.jobs:
        name, active, ended = job["metadata"]["name"], _is_active(round, job), _ended(job)
        if not active and not ended:
            text = f"Saw a job that the controller did not create or forgot: {name}"
            round.tell("UnexpectedJob", text, type="Warning")
        if active and ended:
            round.active = [entry for entry in round.active if entry.get("uid") != job["metadata"]["uid"]]
            round.tell("SawCompletedJob", f"Saw completed job: {name}, condition: {ended}")
        if ended == "Complete":
            _note_success(round, (job.get("status") or {}).get("completionTime"))
    there = {job["metadata"]["uid"] for job in round.jobs}
    for entry in [entry for entry in round.active if entry.get("uid") not in there]:
        round.active.remove(entry)
        round.tell("MissingJob", f"Active job went missing: {entry.get('name', '')}")


def _note_success(round: Round, time: str | None) -> None:
    held = round.status.get("lastSuccessfulTime")
    if time and (held is None or parse_time(time) > parse_time(held)):
        round.status["lastSuccessfulTime"] = time


# -- the next one ------------------------------------------------------------------------------------------------


def _times(round: Round) -> Times | None:
    """When it is to run; None when its fields do not say."""
    spec = round.spec
    try:
        return times_of(spec)
    except ScheduleError as error:
        text = f'unparseable schedule: "{spec["schedule"]}" : {error}'
        round.tell("UnparseableSchedule", text, type="Warning")
    except (KeyError, ValueError, OSError):
        zone = spec.get("timeZone") or ""
        text = f'invalid timeZone: "{zone}": unknown time zone {zone}'
        round.tell("UnknownTimeZone", text, type="Warning")
    return None


def _start(round: Round, times: Times) -> None:
    """Make the Job of the latest time that has come, unless something is against it."""
    deadline, at = round.spec.get("startingDeadlineSeconds"), round.at
    since = last_start({**round.cron_job, "status": round.status})
    if deadline is not None:
        since = max(since, at - timedelta(seconds=deadline))
    due = times.due(since, at)
    if due.time is None:
        return
    if due.missed > MANY_MISSED:
        round.tell("TooManyMissedTimes", TOO_MANY_MISSED, type="Warning")
    if deadline is not None and due.time + timedelta(seconds=deadline) < at:
        text = due.time.astimezone(UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
        round.tell("MissSchedule", f"Missed scheduled time to start a job: {text}", type="Warning")
        return
    policy, name = round.spec.get("concurrencyPolicy", "Allow"), job_name(round.cron_job, due.time)
    if any(entry.get("name") == name for entry in round.active):
        return
    if policy == "Forbid" and round.active:
        round.tell("JobAlreadyActive", ALREADY_ACTIVE)
        return
    if policy == "Replace":
        for job in [job for job in round.jobs if _is_active(round, job)]:
            round.delete(job)
    round.creates.append(Write(JOB, _new_job(round.cron_job, due.time), told=_created(round)))


def job_name(cron_job: Mapping[str, Any], time: datetime) -> str:
    return f"{cron_job['metadata']['name']}-{int(time.timestamp()) // 60}"


def _new_job(cron_job: JsonObject, time: datetime) -> JsonObject:
    template = cron_job["spec"]["jobTemplate"]
    given = template.get("metadata") or {}
    metadata: JsonObject = {
        "name": job_name(cron_job, time),
        "namespace": cron_job["metadata"]["namespace"],
        "annotations": {**(given.get("annotations") or {}), SCHEDULED: _shown(cron_job, time)},
        "ownerReferences": [reference_to(cron_job, CRON_JOB)],
    }
    if given.get("labels"):
        metadata["labels"] = given["labels"]
    return {"apiVersion": JOB.api_version, "kind": JOB.kind, "metadata": metadata, "spec": template["spec"]}


def _shown(cron_job: Mapping[str, Any], time: datetime) -> str:
    """RFC 3339 in the CronJob's time zone."""
    zone = cron_job["spec"].get("timeZone")
    text = time.astimezone(ZoneInfo(zone) if zone else UTC).replace(microsecond=0).isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _created(round: Round) -> Any:
    cron_job, at = round.cron_job, round.at

    def tell(job: JsonObject) -> JsonObject:
        return told(COMPONENT, cron_job, CRON_JOB, "SuccessfulCreate", f"Created job {job['metadata']['name']}", at)

    return tell


def _wait(round: Round, times: Times) -> float | None:
    """Seconds until the schedule is to be looked at again."""
    upcoming = times.next(round.at)
    return None if upcoming is None else (upcoming - round.at).total_seconds() + DELAY_SECONDS


# -- the past ----------------------------------------------------------------------------------------------------


def _drop_past(round: Round) -> None:
    """Of the ended Jobs the oldest go, of each end its own number."""
    for end, field_name in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
        limit = round.spec.get(field_name)
        ended = [job for job in round.jobs if _ended(job) == end and not is_terminating(job)]
        if limit is not None and len(ended) > limit:
            for job in ended[: len(ended) - limit]:
                round.delete(job)


def _changes(round: Round, wait: float | None) -> Changes:
    cron_job = round.cron_job
    status = {**round.status, "active": round.active}
    if not round.active:
        del status["active"]
    writes = []
    if status != (cron_job.get("status") or {}):
        writes.append(Write(CRON_JOB, {**cron_job, "status": status}, "status"))
    deletes = tuple(Delete(JOB, key_of(job), job["metadata"]["uid"]) for job in round.deletes)

    def refused(error: ApiError) -> Changes:
        text = f"Error creating job: {error.message}"
        return Changes(events=(told(COMPONENT, cron_job, CRON_JOB, "FailedCreate", text, round.at, type="Warning"),))

    return Changes(tuple(writes), tuple(round.creates), deletes, tuple(round.events), wait, refused)


def _owner_of_job(change: Change, view: View) -> Iterable[ObjectKey]:
    return owner_keys(change, view, CRON_JOB)


CONTROLLER = Controller("cronjob", {CRON_JOB: own_key, JOB: _owner_of_job}, plan_cronjob)
