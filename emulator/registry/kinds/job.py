"""Job: defaults, its generated selector and labels, what may change later, warnings.

Source: pkg/apis/batch/v1/defaults.go, pkg/apis/batch/validation/validation.go, pkg/registry/batch/job/strategy.go.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from emulator.api import names
from emulator.api.errors import FieldError, invalid, required
from emulator.api.kinds import JOB
from emulator.api.meta import JsonObject
from emulator.registry.kinds import fields, job_status, workload
from emulator.registry.kinds.internal_form import shown_policy, shown_template
from emulator.registry.kinds.job_validation import is_indexed, job_spec_errors
from emulator.registry.kinds.pod_affinity import label_selector_errors
from emulator.registry.kinds.shaping import drop_empty, part
from emulator.registry.strategy import Context, Strategy

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
OLD_CONTROLLER_UID, OLD_JOB_NAME = "controller-uid", "job-name"
DEFAULT_BACKOFF_LIMIT, UNLIMITED = 6, 2**31 - 1
MANY_COMPLETIONS, MUCH_PARALLELISM = 100_000, 10_000

_IMMUTABLE = {
    "completionMode": "",
    "podFailurePolicy": "PodFailurePolicy",
    "backoffLimitPerIndex": "",
    "managedBy": "",
    "successPolicy": "SuccessPolicy",
}
"""What no update may change, with the internal type of what is no single value."""

_OPTIONAL_COUNTS = ("active", "succeeded", "failed", "completedIndexes")


def default(job: JsonObject, context: Context) -> None:
    spec = part(job, "spec")
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    if spec.get("backoffLimit") is None:
        spec["backoffLimit"] = UNLIMITED if spec.get("backoffLimitPerIndex") is not None else DEFAULT_BACKOFF_LIMIT
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    if spec.get("podReplacementPolicy") is None:
        spec["podReplacementPolicy"] = "Failed" if spec.get("podFailurePolicy") is not None else "TerminatingOrFailed"
    default_template(spec)
    labels = workload.template_labels(spec["template"])
    if labels and not job["metadata"].get("labels"):
        job["metadata"]["labels"] = labels  # the same map: labels generated for the template show on the Job too
    status = part(job, "status")
    drop_empty(status, *_OPTIONAL_COUNTS)
    workload.default_conditions(status, "lastProbeTime", "lastTransitionTime")


def default_template(spec: JsonObject) -> None:
    """The defaults below a Job's spec that hold for the Jobs of a CronJob too."""
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"
    workload.default_template(spec)


def prepare_create(job: JsonObject, context: Context) -> None:
    job["status"] = {}
    if not job["spec"].get("manualSelector"):
        _generate_selector(job)


def _generate_selector(job: JsonObject) -> None:
    """The Job's uid as selector; uid and name as labels of its Pods. What the client set stays, and is checked."""
    metadata, spec = job["metadata"], job["spec"]
    template = spec["template"]["metadata"]
    shared = metadata.get("labels") is not None and metadata["labels"] is template.get("labels")
    uid, name = metadata.get("uid", ""), metadata.get("name", "")
    generated = {OLD_JOB_NAME: name, JOB_NAME: name, OLD_CONTROLLER_UID: uid, CONTROLLER_UID: uid}
    template["labels"] = {**generated, **(template.get("labels") or {})}
    if shared:
        metadata["labels"] = dict(template["labels"])
    selector = part(spec, "selector")
    selector["matchLabels"] = {CONTROLLER_UID: uid, **(selector.get("matchLabels") or {})}


def prepare_update(job: JsonObject, old: JsonObject, context: Context) -> None:
    labels, template = job["metadata"].get("labels"), job["spec"]["template"]["metadata"]
    if labels is not None and labels is template.get("labels"):
        job["metadata"]["labels"] = dict(labels)


def validate(job: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource == "status":
        return []
    spec, metadata = job["spec"], job["metadata"]
    errors = _generated_errors(job)
    errors += job_spec_errors(spec, "spec")
    errors += [required("spec.selector")] if spec.get("selector") is None else []
    errors += label_selector_errors("spec.selector", spec.get("selector"))
    selector = workload.selector_of(spec.get("selector"))
    if selector is not None:
        errors += workload.match_errors(selector, spec["template"])
    completions = spec.get("completions") or 0
    if is_indexed(spec) and completions > 0:
        longest = f"{metadata.get('name', '')}-{completions - 1}"
        if names.dns1123_label(longest):
            text = f"will not able to create pod with invalid DNS label: {longest}"
            errors.append(invalid("metadata.name", metadata.get("name", ""), text))
    return errors


def _generated_errors(job: JsonObject) -> list[FieldError]:
    """Mistakes when the labels that were to be generated are not what they should be."""
    spec, metadata = job["spec"], job["metadata"]
    if spec.get("manualSelector") or spec.get("selector") is None:
        return []
    labels = workload.template_labels(spec["template"])
    uid, name = metadata.get("uid", ""), metadata.get("name", "")
    expected = {OLD_CONTROLLER_UID: uid, OLD_JOB_NAME: name, CONTROLLER_UID: uid, JOB_NAME: name}
    errors: list[FieldError] = []
    for key, value in expected.items():
        at, text = f"spec.template.metadata.labels[{key}]", f"must be '{value}'"
        if key not in labels:
            errors.append(required(at, text))
        elif labels[key] != value:
            errors.append(invalid(at, dict(sorted(labels.items())), text))
    selector = workload.selector_of(spec["selector"])
    if selector is not None and not selector.matches(expected):
        text = "`selector` not auto-generated"
        errors.append(invalid("spec.selector", workload.shown_selector(spec["selector"]), text))
    return errors


def validate_update(job: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource == "status":
        return job_status.job_status_errors(job, old)
    spec, before = job["spec"], old["spec"]
    errors = _completions_errors(spec, before)
    errors += workload.selector_change_errors(spec, before)
    if spec["template"] != _changeable_undone(job, old):
        errors.append(invalid("spec.template", shown_template(spec["template"]), fields.IMMUTABLE))
    for name, type in _IMMUTABLE.items():
        if spec.get(name) != before.get(name):
            shown = shown_policy(type, spec.get(name)) if type else spec.get(name)
            errors.append(invalid(f"spec.{name}", shown, fields.IMMUTABLE))
    return errors


def _completions_errors(spec: JsonObject, old: JsonObject) -> list[FieldError]:
    completions = spec.get("completions")
    if completions == old.get("completions"):
        return []
    if not is_indexed(spec):
        return [invalid("spec.completions", completions, fields.IMMUTABLE)]
    if completions is None or completions == spec.get("parallelism"):
        return []
    return [invalid("spec.completions", completions, "can only be modified in tandem with spec.parallelism")]


def _changeable_undone(job: JsonObject, old: JsonObject) -> JsonObject:
    """The old template with what the update may change taken from the new: where a suspended Job's Pods will run."""
    template: JsonObject = job["spec"]["template"]
    before: JsonObject = copy.deepcopy(old["spec"]["template"])
    status = workload.status_of(old)
    may_move = old["spec"].get("suspend") and (not status.get("startTime") or not status.get("active"))
    if not may_move:
        return before
    for name in ("labels", "annotations"):
        _take(before["metadata"], template["metadata"], name)
    for name in ("nodeSelector", "tolerations", "schedulingGates"):
        _take(before["spec"], template["spec"], name)
    affinity: JsonObject = before["spec"].get("affinity") or {}
    _take(affinity, template["spec"].get("affinity") or {}, "nodeAffinity")
    before["spec"].pop("affinity", None)
    if affinity or template["spec"].get("affinity") is not None:
        before["spec"]["affinity"] = affinity
    for part_name in ("containers", "initContainers"):
        new = template["spec"].get(part_name) or ()
        for container, changed in zip(before["spec"].get(part_name) or (), new, strict=False):
            _take(container, changed, "resources")
    return before


def _take(into: JsonObject, source: Mapping[str, Any], name: str) -> None:
    into.pop(name, None)
    if name in source:
        into[name] = source[name]


def job_spec_warnings(spec: Mapping[str, Any], path: str) -> list[str]:
    """path: `spec` or `spec.jobTemplate.spec`."""
    texts: list[str] = []
    completions, parallelism = spec.get("completions") or 0, spec.get("parallelism") or 0
    if is_indexed(spec) and completions > MANY_COMPLETIONS and parallelism > MUCH_PARALLELISM:
        texts.append(
            f"{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than "
            "10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        )
    return texts + workload.template_warnings(spec.get("template") or {}, f"{path}.template")


def warnings(job: JsonObject, old: JsonObject | None, context: Context) -> list[str]:
    if old is None:
        return workload.name_warnings(job) + job_spec_warnings(job["spec"], "spec")
    if context.subresource == "status" or not workload.is_new_generation(job, old):
        return []
    return job_spec_warnings(job["spec"], "spec")


def field_labels(job: JsonObject) -> Mapping[str, str]:
    return {"status.successful": str(workload.status_of(job).get("succeeded") or 0)}


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        JOB,
        default=default,
        prepare_create=prepare_create,
        prepare_update=prepare_update,
        validate=validate,
        validate_update=validate_update,
        warnings=warnings,
        field_labels=field_labels,
        field_label_names=frozenset(("status.successful",)),
        has_generation=True,
    ),
)
