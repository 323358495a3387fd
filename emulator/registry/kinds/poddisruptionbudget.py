"""PodDisruptionBudget: at most one of its two numbers, and a status that is always written.

Source: pkg/apis/policy/validation/validation.go, pkg/registry/policy/poddisruptionbudget/strategy.go.
"""

from __future__ import annotations

from typing import Any

from emulator.api.errors import FieldError, invalid, not_supported
from emulator.api.kinds import POD_DISRUPTION_BUDGET
from emulator.api.meta import JsonObject
from emulator.registry.kinds import workload
from emulator.registry.kinds.pod_affinity import label_selector_errors
from emulator.registry.kinds.shaping import drop_empty, part
from emulator.registry.strategy import Context, Strategy

EVICTION_POLICIES = ("AlwaysAllow", "IfHealthyBudget")
_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def default(budget: JsonObject, context: Context) -> None:
    part(budget, "spec")
    status = part(budget, "status")
    drop_empty(status, "observedGeneration", "disruptedPods")
    for name in _COUNTS:
        status.setdefault(name, 0)


def prepare_create(budget: JsonObject, context: Context) -> None:
    budget["status"] = dict.fromkeys(_COUNTS, 0)


def validate(budget: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource == "status":
        return []
    spec = budget["spec"]
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    errors: list[FieldError] = []
    if least is not None and most is not None:
        errors.append(invalid("spec", _shown(spec), "minAvailable and maxUnavailable cannot be both set"))
    for name, value in (("minAvailable", least), ("maxUnavailable", most)):
        if value is not None:
            errors += workload.int_or_percent_errors(f"spec.{name}", value)
            errors += workload.at_most_all_errors(f"spec.{name}", value)
    errors += label_selector_errors("spec.selector", spec.get("selector"))
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in EVICTION_POLICIES:
        errors.append(not_supported("spec.unhealthyPodEvictionPolicy", policy, EVICTION_POLICIES))
    return errors


def _shown(spec: JsonObject) -> dict[str, Any]:
    # The internal type has no JSON names.
    return {
        "MinAvailable": spec.get("minAvailable"),
        "Selector": workload.shown_selector(spec.get("selector")),
        "MaxUnavailable": spec.get("maxUnavailable"),
        "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
    }


def validate_update(budget: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    return workload.counts_errors(budget["status"], _COUNTS) if context.subresource == "status" else []


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        POD_DISRUPTION_BUDGET,
        default=default,
        prepare_create=prepare_create,
        validate=validate,
        validate_update=validate_update,
        has_generation=True,
    ),
)
