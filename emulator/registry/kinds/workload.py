"""What the kinds that make Pods from a template share: defaults, selectors against templates, counts, warnings.

Nothing here changes an object but the `default_` functions, which change the private copy they are handed.
Source: pkg/apis/apps/validation/validation.go, pkg/registry/apps/*/strategy.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from emulator.api import names
from emulator.api.errors import BadRequest, FieldError, forbidden_field, invalid, not_supported, required
from emulator.api.meta import JsonObject
from emulator.api.selectors import LabelSelector, label_selector_from_object
from emulator.registry.kinds import fields
from emulator.registry.kinds.pod_affinity import label_selector_errors
from emulator.registry.kinds.pod_defaults import default_pod_template
from emulator.registry.kinds.pod_validation import validate_pod_template
from emulator.registry.kinds.pod_warnings import spec_warnings
from emulator.registry.kinds.shaping import drop_empty, part

Spec = Mapping[str, Any]

NO_MATCH = "`selector` does not match template `labels`"
OVER_REPLICAS = "cannot be greater than status.replicas"
PERCENT_TEXT = (
    "a valid percent string must be a numeric string followed by an ending '%' "
    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)

_PERCENT = re.compile(r"[0-9]+%")


def default_template(spec: JsonObject) -> None:
    """The pod template of a workload's spec, with its defaults; made when absent, as Go writes it."""
    template = part(spec, "template")
    default_pod_template(template)
    drop_empty(template["metadata"], "labels", "annotations")


def default_replicas(spec: JsonObject) -> None:
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    drop_empty(spec, "minReadySeconds")


def selector_of(selector: Spec | None) -> LabelSelector | None:
    """The selector, which matches nothing when absent; None if it cannot be made sense of."""
    for requirement in (selector or {}).get("matchExpressions") or ():
        values, operator = requirement.get("values") or (), requirement.get("operator") or ""
        if (operator in ("In", "NotIn")) != bool(values) or not requirement.get("key"):
            return None
    try:
        return label_selector_from_object(selector)
    except BadRequest:
        return None


def shown_selector(selector: Spec | None) -> JsonObject | None:
    """A label selector as messages show it: the fields in upstream's order, without empty ones."""
    if selector is None:
        return None
    shown: JsonObject = {}
    if selector.get("matchLabels"):
        shown["matchLabels"] = dict(sorted(selector["matchLabels"].items()))
    if selector.get("matchExpressions"):
        order = ("key", "operator", "values")
        shown["matchExpressions"] = [
            {name: entry[name] for name in order if name in entry} for entry in selector["matchExpressions"]
        ]
    return shown


def template_labels(template: Spec) -> Mapping[str, str]:
    return (template.get("metadata") or {}).get("labels") or {}


def selector_errors(spec: Spec, noun: str) -> list[FieldError]:
    """Mistakes of spec.selector, which must be there and select something. noun: `deployment`, for the text."""
    selector = spec.get("selector")
    if selector is None:
        return [required("spec.selector")]
    errors = label_selector_errors("spec.selector", selector)
    if is_empty_selector(selector):
        errors.append(invalid("spec.selector", shown_selector(selector), f"empty selector is invalid for {noun}"))
    return errors


def is_empty_selector(selector: Spec | None) -> bool:
    """Present and selecting everything."""
    return selector is not None and not (selector.get("matchLabels") or selector.get("matchExpressions"))


def match_errors(selector: LabelSelector, template: Spec, path: str = "spec.template") -> list[FieldError]:
    """A mistake unless the template's labels are selected; a selector of everything is no mistake."""
    labels = template_labels(template)
    if selector.matches(labels):
        return []
    shown = dict(sorted(labels.items())) or None
    return [invalid(f"{path}.metadata.labels", shown, NO_MATCH)]


def replicated_errors(spec: Spec) -> list[FieldError]:
    """The selector and template of a Deployment or ReplicaSet."""
    errors = selector_errors(spec, "deployment")
    selector = selector_of(spec.get("selector"))
    if selector is None:
        shown = shown_selector(spec.get("selector"))
        return [*errors, invalid("spec.selector", shown, "invalid label selector")]
    template = spec.get("template") or {}
    return errors + match_errors(selector, template) + template_errors(template, "ReplicaSet")


def template_errors(template: Spec, kind: str) -> list[FieldError]:
    """Mistakes of a template whose Pods are to run for ever. kind: `ReplicaSet`, for the text."""
    return validate_pod_template(template, "spec.template") + running_errors(template, kind)


def running_errors(template: Spec, kind: str) -> list[FieldError]:
    """Settings of a template that would let its Pods end."""
    pod, path = template.get("spec") or {}, "spec.template.spec"
    errors: list[FieldError] = []
    policy = pod.get("restartPolicy")
    if policy != "Always":
        errors.append(not_supported(f"{path}.restartPolicy", policy, ("Always",)))
    if pod.get("activeDeadlineSeconds") is not None:
        text = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.append(forbidden_field(f"{path}.activeDeadlineSeconds", text))
    return errors


def int_or_percent_errors(path: str, value: Any) -> list[FieldError]:
    """A number that is not negative, or a percentage."""
    if isinstance(value, str):
        return [] if _PERCENT.fullmatch(value) else [invalid(path, value, PERCENT_TEXT)]
    return fields.not_negative(path, value)


def at_most_all_errors(path: str, value: Any) -> list[FieldError]:
    """A mistake for a percentage over 100."""
    if isinstance(value, str) and _PERCENT.fullmatch(value) and int(value[:-1]) > 100:
        return [invalid(path, value, "must not be greater than 100%")]
    return []


def int_or_percent_number(value: Any) -> int:
    """The number, or the percentage's number; 0 for what is neither."""
    if isinstance(value, str):
        text = value.removesuffix("%")
        return int(text) if text.isascii() and text.isdigit() else 0
    return int(value or 0)


def counts_errors(status: Spec, counted: Iterable[str]) -> list[FieldError]:
    """Numbers of a status that must not be negative."""
    return [error for name in counted for error in fields.not_negative(f"status.{name}", status.get(name))]


def over_errors(status: Spec, counted: Iterable[str]) -> list[FieldError]:
    """Numbers of a status that must not be over status.replicas."""
    total = status.get("replicas") or 0
    return [
        invalid(f"status.{name}", status.get(name) or 0, OVER_REPLICAS)
        for name in counted
        if (status.get(name) or 0) > total
    ]


def available_errors(status: Spec, text: str) -> list[FieldError]:
    """A mistake when more are available than ready."""
    available = status.get("availableReplicas") or 0
    if available <= (status.get("readyReplicas") or 0):
        return []
    return [invalid("status.availableReplicas", available, text)]


def collision_errors(status: Spec, old: Spec) -> list[FieldError]:
    """A mistake when collisionCount, which only counts up, went down."""
    now, before = status.get("collisionCount"), old.get("collisionCount")
    if before is None or (now is not None and now >= before):
        return []
    return [invalid("status.collisionCount", now or 0, "cannot be decremented")]


def selector_change_errors(spec: Spec, old: Spec) -> list[FieldError]:
    """A mistake when spec.selector changed."""
    now, before = shown_selector(spec.get("selector")), shown_selector(old.get("selector"))
    return [] if (now or None) == (before or None) else [invalid("spec.selector", now, fields.IMMUTABLE)]


def template_warnings(template: Spec, path: str = "spec.template") -> list[str]:
    return spec_warnings(template.get("spec") or {}, f"{path}.spec")


def name_warnings(object: JsonObject) -> list[str]:
    """What is said of a name that makes no good host name of a Pod."""
    problems = names.dns1123_label(object["metadata"].get("name") or "")
    if not problems:
        return []
    advice = (
        "this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended"
    )
    return [f"metadata.name: {advice}: [{' '.join(problems)}]"]


def is_new_generation(object: JsonObject, old: JsonObject) -> bool:
    """Whether an update changed what is wanted; only then is warned again."""
    return bool(object["metadata"].get("generation") != old["metadata"].get("generation"))


def status_of(object: JsonObject) -> JsonObject:
    found: JsonObject = object.get("status") or {}
    return found


def default_conditions(status: JsonObject, *times: str) -> None:
    """The fields of conditions that are always written."""
    for condition in status.get("conditions") or ():
        for name in times:
            condition.setdefault(name, None)
    drop_empty(status, "conditions")
