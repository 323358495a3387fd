"""CronJob: defaults, schedule and time zone, its template, warnings."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.meta import JsonObject
from emulator.registry.kinds.cronjob import ZONE_IN_SCHEDULE
from emulator.registry.kinds.table import STRATEGIES
from tests.unit.registry.kinds.support import context, create_errors, created, patched, texts, warnings
from tests.unit.registry.kinds.workloads import template

RESOURCE = "cronjobs.batch"
ZONE_TEXT = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"


def cron_job(name: str = "c", job: JsonObject | None = None, **spec: Any) -> JsonObject:
    whole = {
        "schedule": "*/5 * * * *",
        "jobTemplate": {"spec": {"template": template(labels=None, restartPolicy="OnFailure"), **(job or {})}},
        **spec,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "namespace": "default", "uid": "u-1"},
        "spec": {key: value for key, value in whole.items() if value is not None},
    }


def update_errors(old: JsonObject, new: JsonObject) -> list[str]:
    strategy = STRATEGIES[RESOURCE]
    at = context()
    strategy.default(new, at)
    return texts(strategy.validate_update(new, old, at))


def test_defaults() -> None:
    made = created(RESOURCE, cron_job())
    spec = made["spec"]
    assert (spec["concurrencyPolicy"], spec["suspend"]) == ("Allow", False)
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (3, 1)
    assert spec["jobTemplate"]["metadata"] == {}
    assert "completions" not in spec["jobTemplate"]["spec"]  # its Jobs get theirs when they are made
    assert spec["jobTemplate"]["spec"]["template"]["spec"]["dnsPolicy"] == "ClusterFirst"
    assert made["status"] == {}


@pytest.mark.parametrize(
    ("object", "wanted"),
    [
        (cron_job(), []),
        (cron_job(timeZone="Europe/Berlin"), []),
        (cron_job(schedule=None), ["spec.schedule: Required value"]),
        (
            cron_job(schedule="* * * *"),
            [
                'spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]',
            ],
        ),
        (
            cron_job(schedule="TZ=UTC * * * * *"),
            [f'spec.schedule: Invalid value: "TZ=UTC * * * * *": {ZONE_TEXT}'],
        ),
        (
            cron_job(timeZone="Mars/Base"),
            ['spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base'],
        ),
        (
            cron_job(timeZone="../etc"),
            ['spec.timeZone: Invalid value: "../etc": unknown time zone ../etc'],
        ),
        (
            cron_job(timeZone=""),
            ['spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string'],
        ),
        (
            cron_job(timeZone="Local"),
            [
                (
                    'spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in '
                    "https://www.iana.org/time-zones"
                )
            ],
        ),
        (
            cron_job(concurrencyPolicy="Queue"),
            ['spec.concurrencyPolicy: Unsupported value: "Queue": supported values: "Allow", "Forbid", "Replace"'],
        ),
        (
            cron_job(startingDeadlineSeconds=-1, failedJobsHistoryLimit=-1),
            [
                "spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0",
                "spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (
            cron_job(job={"template": template(labels=None)}),
            ['spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
        ),
        (
            cron_job(job={"selector": {"matchLabels": {"a": "b"}}, "manualSelector": True}),
            [
                (
                    'spec.jobTemplate.spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: `selector` will be '
                    "auto-generated"
                ),
                'spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false"',
            ],
        ),
        (
            cron_job("a" * 53),
            [f'metadata.name: Invalid value: "{"a" * 53}": must be no more than 52 characters'],
        ),
    ],
)
def test_mistakes(object: JsonObject, wanted: list[str]) -> None:
    assert create_errors(RESOURCE, object) == wanted


def test_a_zone_in_the_schedule_may_stay_where_it_was() -> None:
    plain, zoned = created(RESOURCE, cron_job()), created(RESOURCE, cron_job(schedule="CRON_TZ=UTC * * * * *"))
    assert update_errors(zoned, patched(zoned, suspend=True)) == []
    shown = 'spec.schedule: Invalid value: "CRON_TZ=UTC * * * * *": '
    assert update_errors(zoned, patched(zoned, timeZone="UTC")) == [
        f"{shown}cannot use both timeZone field and TZ or CRON_TZ in schedule"
    ]
    assert update_errors(plain, patched(plain, schedule="CRON_TZ=UTC * * * * *")) == [f"{shown}{ZONE_TEXT}"]


def test_an_unknown_zone_is_only_refused_when_it_is_new() -> None:
    old = created(RESOURCE, cron_job())
    assert update_errors(old, patched(old, timeZone="No/Where")) == [
        'spec.timeZone: Invalid value: "No/Where": unknown time zone No/Where'
    ]
    old["spec"]["timeZone"] = "No/Where"
    assert update_errors(old, patched(old, suspend=True)) == []


def test_warnings() -> None:
    assert warnings(RESOURCE, cron_job()) == []
    assert warnings(RESOURCE, cron_job(schedule="TZ=UTC * * * * *")) == [ZONE_IN_SCHEDULE]
