"""CronJob: defaults, its schedule and time zone, the Jobs it is to make.

Source: pkg/apis/batch/v1/defaults.go, pkg/apis/batch/validation/validation.go, pkg/registry/batch/cronjob/strategy.go.
"""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

from emulator.api.errors import FieldError, invalid, not_supported, required
from emulator.api.kinds import CRON_JOB
from emulator.api.meta import JsonObject
from emulator.api.schedule import ScheduleError, parse_schedule
from emulator.registry.kinds import fields, job, workload
from emulator.registry.kinds.job_validation import job_spec_errors
from emulator.registry.kinds.shaping import part
from emulator.registry.strategy import Context, Strategy

MAX_NAME_CHARACTERS = 52  # a Job's 63 less the 11 of `-$TIMESTAMP`
CONCURRENCY = ("Allow", "Forbid", "Replace")
ZONE_IN_SCHEDULE = (
    "cannot use TZ or CRON_TZ in spec.schedule, use timeZone instead, see "
    "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
)

_ZONE_PART = re.compile(r"[A-Za-z.\-_0-9+]{1,14}")


def default(cron_job: JsonObject, context: Context) -> None:
    spec = part(cron_job, "spec")
    spec.setdefault("schedule", "")
    if not spec.get("concurrencyPolicy"):
        spec["concurrencyPolicy"] = "Allow"
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    template = part(spec, "jobTemplate")
    part(template, "metadata")
    job.default_template(part(template, "spec"))
    part(cron_job, "status")


def prepare_create(cron_job: JsonObject, context: Context) -> None:
    cron_job["status"] = {}


def validate(cron_job: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource == "status":
        return []
    spec = cron_job["spec"]
    errors: list[FieldError] = []
    if not spec["schedule"]:
        errors.append(required("spec.schedule"))
    else:
        try:
            parse_schedule(spec["schedule"])
        except ScheduleError as error:
            errors.append(invalid("spec.schedule", spec["schedule"], str(error)))
        if "TZ" in spec["schedule"] and not context.is_update:
            text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            errors.append(invalid("spec.schedule", spec["schedule"], text))
    errors += fields.not_negative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    if not context.is_update:
        errors += time_zone_errors(spec.get("timeZone"))
    if spec["concurrencyPolicy"] not in CONCURRENCY:
        errors.append(not_supported("spec.concurrencyPolicy", spec["concurrencyPolicy"], CONCURRENCY))
    errors += _template_errors(spec["jobTemplate"]["spec"])
    for name in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        errors += fields.not_negative(f"spec.{name}", spec.get(name))
    name = cron_job["metadata"].get("name", "")
    if not context.is_update and len(name) > MAX_NAME_CHARACTERS:
        errors.append(invalid("metadata.name", name, f"must be no more than {MAX_NAME_CHARACTERS} characters"))
    return errors


def _template_errors(spec: JsonObject) -> list[FieldError]:
    path = "spec.jobTemplate.spec"
    errors = job_spec_errors(spec, path)
    if spec.get("selector") is not None:
        shown = workload.shown_selector(spec["selector"])
        errors.append(invalid(f"{path}.selector", shown, "`selector` will be auto-generated"))
    if spec.get("manualSelector"):
        errors.append(fields.unsupported(f"{path}.manualSelector", True, ("nil", "false")))
    return errors


def time_zone_errors(zone: str | None) -> list[FieldError]:
    """A name of the IANA time zone database, or none at all."""
    path = "spec.timeZone"
    if zone is None:
        return []
    if not zone:
        return [invalid(path, zone, "timeZone must be nil or non-empty string")]
    unknown = invalid(path, zone, f"unknown time zone {zone}")
    for name in zone.split("/"):
        if name in (".", "..") or name.startswith("-") or not _ZONE_PART.fullmatch(name):
            return [unknown]
    if zone.lower() == "local":
        text = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        errors = [invalid(path, zone, text)]
        return errors if zone == "Local" else [*errors, unknown]
    return [] if is_time_zone(zone) else [unknown]


def is_time_zone(zone: str) -> bool:
    """Whether the time zone database of this machine has the name."""
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        return False
    return True


def validate_update(cron_job: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource == "status":
        return []
    spec, before = cron_job["spec"], old["spec"]
    schedule, had_zone = spec["schedule"], "TZ" in before["schedule"]
    errors: list[FieldError] = []
    if "TZ" in schedule and not had_zone:
        text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        errors.append(invalid("spec.schedule", schedule, text))
    elif "TZ" in schedule and spec.get("timeZone") is not None:
        text = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        errors.append(invalid("spec.schedule", schedule, text))
    if spec.get("timeZone") != before.get("timeZone"):
        errors += time_zone_errors(spec.get("timeZone"))
    return errors


def warnings(cron_job: JsonObject, old: JsonObject | None, context: Context) -> list[str]:
    if context.subresource == "status":
        return []
    spec, path = cron_job["spec"], "spec.jobTemplate.spec"
    texts: list[str] = []
    if old is None:
        texts += workload.name_warnings(cron_job) + job.job_spec_warnings(spec["jobTemplate"]["spec"], path)
    elif workload.is_new_generation(cron_job, old):
        texts += job.job_spec_warnings(spec["jobTemplate"]["spec"], path)
    return [*texts, ZONE_IN_SCHEDULE] if "TZ" in spec["schedule"] else texts


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        CRON_JOB,
        default=default,
        prepare_create=prepare_create,
        validate=validate,
        validate_update=validate_update,
        warnings=warnings,
        has_generation=True,
    ),
)
