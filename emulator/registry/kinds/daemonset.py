"""DaemonSet: defaults, its template's own generation (kept in an annotation), checks, warnings.

Source: pkg/apis/apps/v1/{defaults,conversion}.go, pkg/apis/apps/validation/validation.go,
pkg/registry/apps/daemonset/strategy.go.
"""

from __future__ import annotations

from emulator.api.errors import FieldError, invalid, required
from emulator.api.kinds import DAEMON_SET
from emulator.api.meta import JsonObject, annotations_of
from emulator.registry.kinds import fields, workload
from emulator.registry.kinds.pod_affinity import label_selector_errors
from emulator.registry.kinds.shaping import drop_empty, part
from emulator.registry.strategy import Context, Strategy

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_ALWAYS_WRITTEN = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
_OPTIONAL = ("observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable")
_COUNTS = (*_ALWAYS_WRITTEN, *_OPTIONAL, "collisionCount")


def default(daemon_set: JsonObject, context: Context) -> None:
    spec = part(daemon_set, "spec")
    workload.default_template(spec)
    drop_empty(spec, "minReadySeconds")
    strategy = part(spec, "updateStrategy")
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = part(strategy, "rollingUpdate")
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    status = part(daemon_set, "status")
    drop_empty(status, *_OPTIONAL)
    for name in _ALWAYS_WRITTEN:
        status.setdefault(name, 0)
    workload.default_conditions(status, "lastTransitionTime")


def template_generation(daemon_set: JsonObject) -> int:
    """How many templates it has had; 0 if the annotation does not say."""
    text = annotations_of(daemon_set).get(TEMPLATE_GENERATION) or ""
    return int(text) if text.isascii() and text.isdigit() else 0


def _set_template_generation(daemon_set: JsonObject, number: int) -> None:
    metadata = daemon_set["metadata"]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), TEMPLATE_GENERATION: str(number)}


def prepare_create(daemon_set: JsonObject, context: Context) -> None:
    daemon_set["status"] = dict.fromkeys(_ALWAYS_WRITTEN, 0)
    _set_template_generation(daemon_set, max(template_generation(daemon_set), 1))


def prepare_update(daemon_set: JsonObject, old: JsonObject, context: Context) -> None:
    changed = context.subresource != "status" and daemon_set["spec"]["template"] != old["spec"]["template"]
    _set_template_generation(daemon_set, template_generation(old) + changed)


def validate(daemon_set: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource == "status":
        return []
    spec = daemon_set["spec"]
    selector = spec.get("selector")
    errors = label_selector_errors("spec.selector", selector)
    parsed = workload.selector_of(selector)
    if parsed is not None:
        errors += workload.match_errors(parsed, spec["template"])
    if workload.is_empty_selector(selector):
        errors.append(
            invalid("spec.selector", workload.shown_selector(selector), "empty selector is invalid for daemonset")
        )
    errors += workload.template_errors(spec["template"], "DaemonSet")
    errors += fields.not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    errors += _strategy_errors(spec["updateStrategy"])
    return errors + fields.not_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))


def _strategy_errors(strategy: JsonObject) -> list[FieldError]:
    path = "spec.updateStrategy"
    rolling = strategy.get("rollingUpdate")
    if strategy["type"] == "OnDelete":
        return []
    if strategy["type"] != "RollingUpdate":
        shown_rolling = rolling and {
            "MaxUnavailable": rolling.get("maxUnavailable", 0),
            "MaxSurge": rolling.get("maxSurge", 0),
        }
        shown = {"Type": strategy["type"], "RollingUpdate": shown_rolling}
        return [fields.unsupported(path, shown, ("RollingUpdate", "OnDelete"))]
    if rolling is None:
        return [required(f"{path}.rollingUpdate")]
    return _rolling_errors(f"{path}.rollingUpdate", rolling)


def _rolling_errors(path: str, rolling: JsonObject) -> list[FieldError]:
    unavailable, surge = rolling["maxUnavailable"], rolling["maxSurge"]
    errors: list[FieldError] = []
    for check in (workload.int_or_percent_errors, workload.at_most_all_errors):
        errors += check(f"{path}.maxUnavailable", unavailable) + check(f"{path}.maxSurge", surge)
    has_unavailable = workload.int_or_percent_number(unavailable) != 0
    has_surge = workload.int_or_percent_number(surge) != 0
    if has_unavailable and has_surge:
        errors.append(invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero"))
    elif not has_unavailable and not has_surge:
        errors.append(required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return errors


def validate_update(daemon_set: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource == "status":
        status = workload.status_of(daemon_set)
        return workload.counts_errors(status, _COUNTS) + workload.collision_errors(status, workload.status_of(old))
    return workload.selector_change_errors(daemon_set["spec"], old["spec"])


def warnings(daemon_set: JsonObject, old: JsonObject | None, context: Context) -> list[str]:
    template = daemon_set["spec"]["template"]
    if old is None:
        return workload.template_warnings(template)
    if context.subresource == "status" or template_generation(daemon_set) == template_generation(old):
        return []
    return workload.template_warnings(template)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        DAEMON_SET,
        default=default,
        prepare_create=prepare_create,
        prepare_update=prepare_update,
        validate=validate,
        validate_update=validate_update,
        warnings=warnings,
        has_generation=True,
    ),
)
