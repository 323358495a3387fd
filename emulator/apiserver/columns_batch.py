"""Tables of Job, CronJob and HorizontalPodAutoscaler.

Source: pkg/printers/internalversion/printers.go (printJob, printCronJob, printHorizontalPodAutoscaler).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from emulator.api.meta import JsonObject, condition_of, is_terminating, parse_time
from emulator.apiserver.cells import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    Column,
    age,
    human_duration,
    label_selector_text,
    name_of,
    since,
)
from emulator.apiserver.columns_apps import CONTAINERS, IMAGES, SELECTOR, template_cells

MAX_METRICS = 2  # listed in one cell

JOB = (
    NAME,
    Column("Status", "How it stands."),
    Column("Completions", "Pods that succeeded of all that must."),
    Column("Duration", "How long it ran."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
)
CRON_JOB = (
    NAME,
    Column("Schedule", "When a Job is made."),
    Column("Timezone", "In whose time."),
    Column("Suspend", "Whether it rests.", type="boolean"),
    Column("Active", "How many of its Jobs run.", type="integer"),
    Column("Last Schedule", "The time since a Job was made last."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
)
AUTOSCALER = (
    NAME,
    Column("Reference", "What it scales."),
    Column("Targets", "The present and the wanted value of each metric."),
    Column("MinPods", "The fewest Pods."),
    Column("MaxPods", "The most Pods."),
    Column("Replicas", "How many Pods there are."),
    AGE,
)


def job_cells(job: JsonObject, at: datetime) -> list[Any]:
    spec = job.get("spec") or {}
    return [
        name_of(job),
        _job_status(job),
        _completions(job),
        _duration(job.get("status") or {}, at),
        age(job, at),
        *template_cells(spec.get("template")),
        label_selector_text(spec.get("selector")),
    ]


def _job_status(job: JsonObject) -> str:
    def has(type: str) -> bool:
        return (condition_of(job, type) or {}).get("status") == "True"

    for type in ("Complete", "Failed"):
        if has(type):
            return type
    if is_terminating(job):
        return "Terminating"
    found = next((type for type in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if has(type)), None)
    return found or "Running"


def _completions(job: JsonObject) -> str:
    spec = job.get("spec") or {}
    succeeded = (job.get("status") or {}).get("succeeded") or 0
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 0
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _duration(status: Mapping[str, Any], at: datetime) -> str:
    started, ended = status.get("startTime"), status.get("completionTime")
    if not started:
        return ""
    end = parse_time(ended) if ended else at
    return human_duration((end - parse_time(started)).total_seconds())


def cron_job_cells(cron_job: JsonObject, at: datetime) -> list[Any]:
    spec, status = cron_job.get("spec") or {}, cron_job.get("status") or {}
    template = (spec.get("jobTemplate") or {}).get("spec") or {}
    suspended = spec.get("suspend")
    last = status.get("lastScheduleTime")
    return [
        name_of(cron_job),
        spec.get("schedule") or "",
        NONE if spec.get("timeZone") is None else spec["timeZone"],
        UNSET if suspended is None else str(bool(suspended)),
        len(status.get("active") or ()),
        since(last, at) if last else NONE,
        age(cron_job, at),
        *template_cells(template.get("template")),
        label_selector_text(template.get("selector")),
    ]


def autoscaler_cells(autoscaler: JsonObject, at: datetime) -> list[Any]:
    spec, status = autoscaler.get("spec") or {}, autoscaler.get("status") or {}
    target = spec.get("scaleTargetRef") or {}
    least = spec.get("minReplicas")
    return [
        name_of(autoscaler),
        f"{target.get('kind')}/{target.get('name')}",
        _metrics(spec.get("metrics") or (), status.get("currentMetrics") or ()),
        UNSET if least is None else str(least),
        spec.get("maxReplicas") or 0,
        status.get("currentReplicas") or 0,
        age(autoscaler, at),
    ]


def _metrics(specs: Sequence[Mapping[str, Any]], statuses: Sequence[Mapping[str, Any]]) -> str:
    if not specs:
        return NONE
    listed = [_metric(spec, statuses[at] if at < len(statuses) else {}) for at, spec in enumerate(specs)]
    shown = ", ".join(listed[:MAX_METRICS])
    return f"{shown} + {len(listed) - MAX_METRICS} more..." if len(listed) > MAX_METRICS else shown


_SOURCES = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def _metric(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    name = _SOURCES.get(spec.get("type") or "")
    if name is None:
        return "<unknown type>"
    source = spec.get(name) or {}
    target, current = source.get("target") or {}, (status.get(name) or {}).get("current") or {}
    if name == "pods":
        return _compared(current, target, "averageValue")
    if name in ("external", "object"):
        if target.get("averageValue") is not None:
            return f"{_compared(current, target, 'averageValue')} (avg)"
        return _compared(current, target, "value")
    if target.get("averageValue") is not None:
        return f"{source.get('name')}: {_compared(current, target, 'averageValue')}"
    present, wanted = current.get("averageUtilization"), target.get("averageUtilization")
    return (
        f"{source.get('name')}: {UNKNOWN if present is None else f'{present}%'}/"
        f"{'<auto>' if wanted is None else f'{wanted}%'}"
    )


def _compared(current: Mapping[str, Any], target: Mapping[str, Any], name: str) -> str:
    present = current.get(name)
    return f"{UNKNOWN if present is None else present}/{target.get(name)}"
