from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from emulator.api.kinds import CRON_JOB, JOB
from emulator.api.meta import JsonObject, ObjectKey, format_time
from emulator.controllers.cronjob import CONTROLLER
from emulator.controllers.crontimes import times_of
from tests.support.world import World, reasons

KEY = ObjectKey("default", "hello")


def cron_job(schedule: str = "* * * * *", **spec: Any) -> JsonObject:
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "hello"},
        "spec": {
            "schedule": schedule,
            "concurrencyPolicy": "Allow",
            "suspend": False,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"template": {"spec": {}}}},
            **spec,
        },
    }


def tick(world: World, seconds: float = 60) -> World:
    world.wait(seconds)
    world.settle(CONTROLLER, KEY)
    return world


def status(world: World) -> JsonObject:
    held = world.get(CRON_JOB, "hello", "default")
    assert held is not None
    found: JsonObject = held.get("status") or {}
    return found


def jobs(world: World) -> list[str]:
    return sorted(job["metadata"]["name"] for job in world.all(JOB))


def end(world: World, name: str, type: str = "Complete") -> None:
    held = world.get(JOB, name, "default")
    assert held is not None
    now = format_time(world.at)
    ended: JsonObject = {"startTime": now, "conditions": [{"type": type, "status": "True", "lastTransitionTime": now}]}
    if type == "Complete":
        ended["completionTime"] = now
    world.update(JOB, {**held, "status": ended}, status=True)
    world.settle(CONTROLLER, KEY)


def name_at(world: World) -> str:
    return f"hello-{int(world.at.timestamp()) // 60}"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "expected"),
    [
        ("*/15 * * * *", None, "2026-03-01T12:01:00Z", "2026-03-01T12:15:00Z"),
        ("0 9 * * *", "Europe/Berlin", "2026-01-10T12:00:00Z", "2026-01-11T08:00:00Z"),
        ("0 9 * * *", "Europe/Berlin", "2026-07-10T12:00:00Z", "2026-07-11T07:00:00Z"),
        ("0 0 * * *", "Asia/Kolkata", "2026-07-10T12:00:00Z", "2026-07-10T18:30:00Z"),
        ("TZ=Asia/Tokyo 0 9 * * *", None, "2026-07-10T12:00:00Z", "2026-07-11T00:00:00Z"),
        ("@every 90s", None, "2026-07-10T12:00:00Z", "2026-07-10T12:01:30Z"),
        # The hour that is left out does not run; that which comes twice runs twice.
        ("30 2 11 3 *", "America/New_York", "2012-03-11T00:00:00-05:00", "2013-03-11T02:30:00-04:00"),
        ("0 3 * * *", "America/New_York", "2012-03-11T00:00:00-05:00", "2012-03-11T03:00:00-04:00"),
        ("0 1 * * *", "America/New_York", "2012-11-04T00:00:00-04:00", "2012-11-04T01:00:00-04:00"),
        ("0 1 * * *", "America/New_York", "2012-11-04T01:00:00-04:00", "2012-11-04T01:00:00-05:00"),
        ("0 1 * * *", "America/New_York", "2012-11-04T01:00:00-05:00", "2012-11-05T01:00:00-05:00"),
        ("*/15 * * * *", "America/New_York", "2012-11-04T01:45:00-04:00", "2012-11-04T01:00:00-05:00"),
        ("0 * * * *", "America/New_York", "2012-03-11T01:00:00-05:00", "2012-03-11T03:00:00-04:00"),
    ],
)
def test_next_time(schedule: str, zone: str | None, after: str, expected: str) -> None:
    assert times_of({"schedule": schedule, "timeZone": zone}).next(at(after)) == at(expected)


@pytest.mark.parametrize(
    ("schedule", "until", "expected", "missed"),
    [
        ("0 * * * *", "2026-03-01T11:59:59Z", None, 0),
        ("0 * * * *", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z", 1),
        ("0 * * * *", "2026-03-01T15:10:00Z", "2026-03-01T15:00:00Z", 4),
        ("* * * * *", "2026-03-03T11:30:30Z", "2026-03-03T11:30:00Z", 2880),
        ("0,1 * * * *", "2026-03-02T12:30:00Z", "2026-03-02T12:01:00Z", 1471),
        ("0 0 31 12 *", "2030-01-02T00:00:00Z", "2029-12-31T00:00:00Z", 4),
        ("0 0 30 2 *", "2030-01-02T00:00:00Z", None, 0),
    ],
)
def test_what_is_due(schedule: str, until: str, expected: str | None, missed: int) -> None:
    due = times_of({"schedule": schedule}).due(at("2026-03-01T11:30:30Z"), at(until))
    assert (due.time, due.missed) == (at(expected) if expected else None, missed)


def test_starts_a_job_a_minute() -> None:
    world = tick(World(cron_job()), 0)
    assert jobs(world) == []
    assert CONTROLLER.plan(KEY, world, world.at).retry_after_seconds == pytest.approx(30.1)
    tick(world, 31)
    (job,) = world.all(JOB)
    assert job["metadata"]["name"] == name_at(world)
    assert job["metadata"]["labels"] == {"a": "b"}
    assert job["metadata"]["annotations"] == {"batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-03-01T12:01:00Z"}
    assert job["metadata"]["ownerReferences"][0]["kind"] == "CronJob"
    assert status(world)["lastScheduleTime"] == "2026-03-01T12:01:00Z"
    assert [entry["name"] for entry in status(world)["active"]] == [name_at(world)]
    assert world.events == [("SuccessfulCreate", f"Created job {name_at(world)}")]
    tick(world, 20)
    assert len(jobs(world)) == 1


def test_the_annotation_is_in_its_time_zone() -> None:
    world = tick(World(cron_job(timeZone="Asia/Kolkata")), 31)
    (job,) = world.all(JOB)
    assert list(job["metadata"]["annotations"].values()) == ["2026-03-01T17:31:00+05:30"]
    assert status(world)["lastScheduleTime"] == "2026-03-01T12:01:00Z"


def test_ended_jobs_leave_the_active_ones_and_old_ones_go() -> None:
    world = World(cron_job(successfulJobsHistoryLimit=1))
    ended = []
    for _ in range(3):
        tick(world)
        ended.append(name_at(world))
        end(world, ended[-1])
    assert "active" not in status(world)
    assert jobs(world) == ended[-1:]
    assert status(world)["lastSuccessfulTime"] == format_time(world.at)
    assert ("SawCompletedJob", f"Saw completed job: {ended[0]}, condition: Complete") in world.events
    assert ("SuccessfulDelete", f"Deleted job {ended[0]}") in world.events
    tick(world)
    end(world, name_at(world), "Failed")
    assert len(jobs(world)) == 2


def test_policies_while_one_runs() -> None:
    world = tick(tick(World(cron_job(concurrencyPolicy="Allow"))))
    assert len(jobs(world)) == len(status(world)["active"]) == 2
    world = tick(tick(World(cron_job(concurrencyPolicy="Forbid"))))
    assert len(jobs(world)) == 1
    assert reasons(world)[-1] == "JobAlreadyActive"
    end(world, jobs(world)[0])
    assert len(jobs(world)) == 2  # the one that was held back starts at once
    world = tick(tick(World(cron_job(concurrencyPolicy="Replace"))))
    assert jobs(world) == [name_at(world)] == [entry["name"] for entry in status(world)["active"]]
    assert "MissingJob" not in reasons(world)
    assert "UnexpectedJob" not in reasons(world)


def test_suspended_or_late_it_starts_nothing() -> None:
    assert jobs(tick(World(cron_job(suspend=True)))) == []
    world = World(cron_job("0 * * * *", startingDeadlineSeconds=20))
    assert jobs(tick(world, 3600)) == []
    world = World(cron_job("0 * * * *", startingDeadlineSeconds=3600))
    assert len(jobs(tick(world, 7200))) == 1
    world = World(cron_job("0 * * * *"))
    tick(world, 101 * 3600)
    assert sorted(reasons(world)) == ["SuccessfulCreate", "TooManyMissedTimes"]


def test_tells_of_strange_and_missing_jobs() -> None:
    world = tick(World(cron_job()))
    (job,) = world.all(JOB)
    manual = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "manual", "ownerReferences": job["metadata"]["ownerReferences"]},
        "spec": {},
    }
    world.create(manual)
    world.delete(JOB, ObjectKey("default", job["metadata"]["name"]))
    world.settle(CONTROLLER, KEY)
    assert {"UnexpectedJob", "MissingJob"} <= set(reasons(world))
    assert "active" not in status(world)
    assert jobs(world) == ["manual"]  # the same time does not start another


def test_what_cannot_be_read_is_told() -> None:
    assert reasons(tick(World(cron_job("nonsense")))) == ["UnparseableSchedule"]
    assert reasons(tick(World(cron_job(timeZone="Mars/Olympus")))) == ["UnknownTimeZone"]
