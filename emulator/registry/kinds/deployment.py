"""Deployment: defaults, what a write may change, checks, warnings.

Its generation rises with annotations too: the controller copies them to ReplicaSets, so clients wait for that.
Source: pkg/apis/apps/v1/defaults.go, pkg/apis/apps/validation/validation.go, pkg/registry/apps/deployment/strategy.go.
"""

from __future__ import annotations

from emulator.api.errors import FieldError, forbidden_field, invalid, required
from emulator.api.kinds import DEPLOYMENT
from emulator.api.meta import JsonObject, annotations_of
from emulator.registry.kinds import fields, workload
from emulator.registry.kinds.shaping import drop_empty, part
from emulator.registry.strategy import Context, Strategy

_COUNTS = (
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "collisionCount",
)


def default(deployment: JsonObject, context: Context) -> None:
    spec = part(deployment, "spec")
    workload.default_replicas(spec)
    workload.default_template(spec)
    drop_empty(spec, "paused")
    strategy = part(spec, "strategy")
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = part(strategy, "rollingUpdate")
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    status = part(deployment, "status")
    drop_empty(status, *(name for name in _COUNTS if name != "collisionCount"))
    workload.default_conditions(status, "lastUpdateTime", "lastTransitionTime")


def prepare_create(deployment: JsonObject, context: Context) -> None:
    deployment["status"] = {}


def prepare_update(deployment: JsonObject, old: JsonObject, context: Context) -> None:
    metadata, before = deployment["metadata"], old["metadata"]
    if context.subresource == "status":
        metadata.pop("labels", None)
        if before.get("labels"):
            metadata["labels"] = before["labels"]
    elif annotations_of(deployment) != annotations_of(old):
        metadata["generation"] = (before.get("generation") or 0) + 1


def validate(deployment: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource == "status":
        return []
    spec = deployment["spec"]
    errors = fields.not_negative("spec.replicas", spec.get("replicas"))
    errors += workload.replicated_errors(spec)
    errors += _strategy_errors(spec["strategy"])
    for name in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        errors += fields.not_negative(f"spec.{name}", spec.get(name))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        errors.append(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return errors


def _strategy_errors(strategy: JsonObject) -> list[FieldError]:
    path, rolling = "spec.strategy.rollingUpdate", strategy.get("rollingUpdate")
    if strategy["type"] == "Recreate":
        text = "may not be specified when strategy `type` is 'Recreate'"
        return [] if rolling is None else [forbidden_field(path, text)]
    if strategy["type"] != "RollingUpdate":
        shown = {"Type": strategy["type"], "RollingUpdate": _shown(rolling)}  # the internal type has no JSON names
        return [fields.unsupported("spec.strategy", shown, ("Recreate", "RollingUpdate"))]
    if rolling is None:
        return [required(path, "this should be defaulted and never be nil")]
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    errors = workload.int_or_percent_errors(f"{path}.maxUnavailable", unavailable)
    errors += workload.int_or_percent_errors(f"{path}.maxSurge", surge)
    if not workload.int_or_percent_number(unavailable) and not workload.int_or_percent_number(surge):
        text = "may not be 0 when `maxSurge` is 0"
        errors.append(invalid(f"{path}.maxUnavailable", unavailable, text))
    return errors + workload.at_most_all_errors(f"{path}.maxUnavailable", unavailable)


def _shown(rolling: JsonObject | None) -> JsonObject | None:
    if rolling is None:
        return None
    return {"MaxUnavailable": rolling.get("maxUnavailable", 0), "MaxSurge": rolling.get("maxSurge", 0)}


def validate_update(deployment: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource == "status":
        return _status_errors(workload.status_of(deployment), workload.status_of(old))
    return workload.selector_change_errors(deployment["spec"], old["spec"])


def _status_errors(status: JsonObject, old: JsonObject) -> list[FieldError]:
    errors = workload.counts_errors(status, _COUNTS)
    errors += workload.over_errors(status, ("updatedReplicas", "readyReplicas", "availableReplicas"))
    errors += workload.available_errors(status, "cannot be greater than readyReplicas")
    return errors + workload.collision_errors(status, old)


def warnings(deployment: JsonObject, old: JsonObject | None, context: Context) -> list[str]:
    template = deployment["spec"]["template"]
    if old is None:
        return workload.name_warnings(deployment) + workload.template_warnings(template)
    if context.subresource == "status" or not workload.is_new_generation(deployment, old):
        return []
    return workload.template_warnings(template)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        DEPLOYMENT,
        default=default,
        prepare_create=prepare_create,
        prepare_update=prepare_update,
        validate=validate,
        validate_update=validate_update,
        warnings=warnings,
        has_generation=True,
    ),
)
