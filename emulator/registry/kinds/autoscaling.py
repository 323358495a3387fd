"""HorizontalPodAutoscaler (v2): defaults, checks of its metrics and scaling behaviour. Nothing here scales anything.

Source: pkg/apis/autoscaling/v2/defaults.go, pkg/apis/autoscaling/validation/validation.go,
pkg/registry/autoscaling/horizontalpodautoscaler/strategy.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.api.errors import FieldError, forbidden_field, invalid, not_supported, required
from emulator.api.kinds import HORIZONTAL_POD_AUTOSCALER
from emulator.api.meta import JsonObject
from emulator.registry.kinds import fields, quantities, workload
from emulator.registry.kinds.shaping import drop_empty, part
from emulator.registry.strategy import Context, Strategy

Spec = Mapping[str, Any]

DEFAULT_CPU_UTILIZATION = 80  # autoscaling.DefaultCPUUtilization
MAX_PERIOD_SECONDS, MAX_STABILIZATION_SECONDS = 1800, 3600
METRIC_TYPES = ("ContainerResource", "External", "Object", "Pods", "Resource")
SELECT_POLICIES = ("Disabled", "Max", "Min")
POLICY_TYPES = ("Percent", "Pods")
_SOURCES = {"object": "Object", "external": "External", "pods": "Pods", "resource": "Resource"} | {
    "containerResource": "ContainerResource"
}
_PERIOD_SECONDS = 15
_UP = (
    {"type": "Pods", "value": 4, "periodSeconds": _PERIOD_SECONDS},
    {"type": "Percent", "value": 100, "periodSeconds": _PERIOD_SECONDS},
)
_DOWN = ({"type": "Percent", "value": 100, "periodSeconds": _PERIOD_SECONDS},)


def default(autoscaler: JsonObject, context: Context) -> None:
    spec = part(autoscaler, "spec")
    target = part(spec, "scaleTargetRef")
    target.setdefault("kind", "")
    target.setdefault("name", "")
    drop_empty(target, "apiVersion")
    if spec.get("minReplicas") is None:
        spec["minReplicas"] = 1
    spec.setdefault("maxReplicas", 0)
    if not spec.get("metrics"):
        cpu = {"type": "Utilization", "averageUtilization": DEFAULT_CPU_UTILIZATION}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": cpu}}]
    for metric in spec["metrics"]:
        _default_metric(metric)
    if spec.get("behavior") is not None:
        _default_rules(part(spec["behavior"], "scaleUp"), _UP, stabilization=0)
        _default_rules(part(spec["behavior"], "scaleDown"), _DOWN, stabilization=None)
    status = part(autoscaler, "status")
    drop_empty(status, "currentReplicas")
    status.setdefault("desiredReplicas", 0)
    status.setdefault("currentMetrics", None)
    for condition in status.get("conditions") or ():
        condition.setdefault("lastTransitionTime", None)


def _default_metric(metric: JsonObject) -> None:
    for name in _SOURCES:
        source = metric.get(name)
        if source is None:
            continue
        target = part(source, "target")
        for amount in ("value", "averageValue"):
            if target.get(amount) is not None:
                target[amount] = quantities.canonical(target[amount])


def _default_rules(rules: JsonObject, policies: tuple[JsonObject, ...], *, stabilization: int | None) -> None:
    if rules.get("selectPolicy") is None:
        rules["selectPolicy"] = "Max"
    if rules.get("stabilizationWindowSeconds") is None and stabilization is not None:
        rules["stabilizationWindowSeconds"] = stabilization
    if rules.get("policies") is None:
        rules["policies"] = [dict(policy) for policy in policies]


def prepare_create(autoscaler: JsonObject, context: Context) -> None:
    autoscaler["status"] = {"desiredReplicas": 0, "currentMetrics": None}


def validate(autoscaler: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource == "status":
        return []
    spec = autoscaler["spec"]
    least, most = spec["minReplicas"], spec["maxReplicas"]
    errors: list[FieldError] = []
    if least < 1:
        errors.append(invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        errors.append(invalid("spec.maxReplicas", most, "must be greater than 0"))
    if most < least:
        errors.append(invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    errors += _reference_errors("spec.scaleTargetRef", spec["scaleTargetRef"])
    for index, metric in enumerate(spec["metrics"]):
        errors += _metric_errors(f"spec.metrics[{index}]", metric)
    for name in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(name)
        errors += _rules_errors(f"spec.behavior.{name}", rules) if rules is not None else []
    return errors


def path_segment_errors(path: str, value: str) -> list[FieldError]:
    """A name that can stand in a URL."""
    if value in (".", ".."):
        return [invalid(path, value, f"may not be '{value}'")]
    return [invalid(path, value, f"may not contain '{sign}'") for sign in ("/", "%") if sign in value]


def _reference_errors(path: str, reference: Spec) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in ("kind", "name"):
        value = reference.get(name) or ""
        errors += path_segment_errors(f"{path}.{name}", value) if value else [required(f"{path}.{name}")]
    return errors


def _rules_errors(path: str, rules: Spec) -> list[FieldError]:
    errors: list[FieldError] = []
    window, select = rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy")
    at = f"{path}.stabilizationWindowSeconds"
    if window is not None and window < 0:
        errors.append(invalid(at, window, "must be greater than or equal to zero"))
    if window is not None and window > MAX_STABILIZATION_SECONDS:
        errors.append(invalid(at, window, f"must be less than or equal to {MAX_STABILIZATION_SECONDS}"))
    if select is not None and select not in SELECT_POLICIES:
        errors.append(not_supported(f"{path}.selectPolicy", select, SELECT_POLICIES))
    policies = rules.get("policies") or ()
    if not policies:
        errors.append(required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(policies):
        errors += _policy_errors(f"{path}.policies[{index}]", policy)
    tolerance = rules.get("tolerance")
    if tolerance is not None and (quantities.value(tolerance) or 0) < 0:
        errors.append(invalid(f"{path}.tolerance", tolerance, fields.NOT_NEGATIVE))
    return errors


def _policy_errors(path: str, policy: Spec) -> list[FieldError]:
    errors: list[FieldError] = []
    period = policy.get("periodSeconds") or 0
    if policy.get("type") not in POLICY_TYPES:
        errors.append(not_supported(f"{path}.type", policy.get("type") or "", POLICY_TYPES))
    for name in ("value", "periodSeconds"):
        number = policy.get(name) or 0
        if number <= 0:
            errors.append(invalid(f"{path}.{name}", number, "must be greater than zero"))
    if period > MAX_PERIOD_SECONDS:
        errors.append(invalid(f"{path}.periodSeconds", period, f"must be less than or equal to {MAX_PERIOD_SECONDS}"))
    return errors


def _metric_errors(path: str, metric: Spec) -> list[FieldError]:
    type = metric.get("type") or ""
    errors = [] if type else [required(f"{path}.type", "must specify a metric source type")]
    if type not in METRIC_TYPES:
        errors.append(not_supported(f"{path}.type", type, METRIC_TYPES))
    given = [name for name in _SOURCES if metric.get(name) is not None]
    if given:
        errors += _source_errors(f"{path}.{given[0]}", given[0], metric[given[0]])
    expected = next((name for name, of_type in _SOURCES.items() if of_type == type), "")
    if expected and expected not in given:
        errors.append(required(f"{path}.{expected}", "must populate information for the given metric source"))
    if len(given) != 1:
        errors += [
            forbidden_field(f"{path}.{name}", "must populate the given metric source only")
            for name in given
            if name != expected
        ]
    return errors


def _source_errors(path: str, name: str, source: Spec) -> list[FieldError]:
    target = source.get("target") or {}
    value, average = target.get("value"), target.get("averageValue")
    utilization = target.get("averageUtilization")
    errors: list[FieldError] = []
    if name == "object":
        errors += _reference_errors(f"{path}.describedObject", source.get("describedObject") or {})
    if name in ("object", "external", "pods"):
        errors += _identifier_errors(f"{path}.metric", source.get("metric") or {})
    else:
        errors += _resource_errors(path, name, source)
    errors += _target_errors(f"{path}.target", target)
    at = f"{path}.target"
    if name == "object" and value is None and average is None:
        errors.append(required(f"{at}.averageValue", "must set either a target value or averageValue"))
    if name == "external" and value is None and average is None:
        text = "must set either a target value for metric or a per-pod target"
        errors.append(required(f"{at}.averageValue", text))
    if name == "external" and value is not None and average is not None:
        text = "may not set both a target value for metric and a per-pod target"
        errors.append(forbidden_field(f"{at}.value", text))
    if name == "pods" and average is None:
        errors.append(required(f"{at}.averageValue", "must specify a positive target averageValue"))
    if name in ("resource", "containerResource"):
        if utilization is None and average is None:
            text = "must set either a target raw value or a target utilization"
            errors.append(required(f"{at}.averageUtilization", text))
        if utilization is not None and average is not None:
            text = "may not set both a target raw value and a target utilization"
            errors.append(forbidden_field(f"{at}.averageValue", text))
    return errors


def _identifier_errors(path: str, identifier: Spec) -> list[FieldError]:
    name = identifier.get("name") or ""
    if not name:
        return [required(f"{path}.name", "must specify a metric name")]
    return path_segment_errors(f"{path}.name", name)


def _resource_errors(path: str, name: str, source: Spec) -> list[FieldError]:
    errors = [] if source.get("name") else [required(f"{path}.name", "must specify a resource name")]
    if name == "containerResource":
        container = source.get("container") or ""
        at = f"{path}.container"
        errors += fields.label(at, container) if container else [required(at, "must specify a container")]
    return errors


def _target_errors(path: str, target: Spec) -> list[FieldError]:
    type = target.get("type") or ""
    errors = [] if type else [required(f"{path}.type", "must specify a metric target type")]
    if type not in ("Utilization", "Value", "AverageValue"):
        errors.append(invalid(f"{path}.type", type, "must be either Utilization, Value, or AverageValue"))
    for name in ("value", "averageValue"):
        amount = target.get(name)
        if amount is not None and (quantities.value(amount) or 0) <= 0:
            errors.append(invalid(f"{path}.{name}", amount, "must be positive"))
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        errors.append(invalid(f"{path}.averageUtilization", utilization, "must be greater than 0"))
    return errors


def validate_update(autoscaler: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource != "status":
        return []
    return workload.counts_errors(workload.status_of(autoscaler), ("currentReplicas", "desiredReplicas"))


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        HORIZONTAL_POD_AUTOSCALER,
        default=default,
        prepare_create=prepare_create,
        validate=validate,
        validate_update=validate_update,
    ),
)
