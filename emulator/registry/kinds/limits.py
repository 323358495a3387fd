"""LimitRange, ResourceQuota and PriorityClass: stored and checked; of these only classes are applied to Pods.

Source: pkg/apis/core/{v1/defaults.go,validation/validation.go}, pkg/apis/scheduling/{v1/defaults.go,validation}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from emulator.api.errors import FieldError, Forbidden, duplicate, forbidden_field, invalid, required
from emulator.api.kinds import LIMIT_RANGE, PRIORITY_CLASS, RESOURCE_QUOTA
from emulator.api.meta import JsonObject
from emulator.registry.kinds import fields, quantities
from emulator.registry.kinds.shaping import drop_empty, nullable, part, written
from emulator.registry.strategy import Context, Strategy

Amounts = Mapping[str, Any]

LIMIT_PARTS = ("default", "defaultRequest", "max", "maxLimitRequestRatio", "min")
HIGHEST_USER_PRIORITY = 1_000_000_000
QUOTA_RESOURCES = frozenset(
    (
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.storage",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "persistentvolumeclaims",
        "configmaps",
        "services.nodeports",
        "services.loadbalancers",
    )
)
SYSTEM_PREFIX = "system-"
SYSTEM_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
PREEMPTION_POLICIES = ("Never", "PreemptLowerPriority")
SCOPES = ("BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating")


def default_limit_range(limit_range: JsonObject, context: Context) -> None:
    """A container's default limit is the maximum, its default request the limit, or the minimum."""
    spec = part(limit_range, "spec")
    nullable(spec, "limits")
    for limit in spec["limits"] or ():
        written(limit, "type")
        for name in LIMIT_PARTS:
            quantities.canonicalise(limit.get(name))
        if limit["type"] == "Container":
            limit["default"] = {**(limit.get("max") or {}), **(limit.get("default") or {})}
            limit["defaultRequest"] = {
                **(limit.get("min") or {}),
                **limit["default"],
                **(limit.get("defaultRequest") or {}),
            }
        drop_empty(limit, *LIMIT_PARTS)


def validate_limit_range(limit_range: JsonObject, context: Context) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, limit in enumerate(limit_range["spec"]["limits"] or ()):
        path, kind = f"spec.limits[{index}]", limit["type"]
        errors += fields.qualified(f"{path}.type", kind)
        if kind in seen:
            errors.append(duplicate(f"{path}.type", kind))
        seen.add(kind)
        if kind == "Pod":
            text = "may not be specified when `type` is 'Pod'"
            errors += [
                forbidden_field(f"{path}.{name}", text) for name in ("default", "defaultRequest") if limit.get(name)
            ]
        if kind == "PersistentVolumeClaim" and not any("storage" in (limit.get(n) or {}) for n in ("min", "max")):
            text = "either minimum or maximum storage value is required, but neither was provided"
            errors.append(required(f"{path}.limits", text))
        for name in sorted({key for part_name in LIMIT_PARTS for key in limit.get(part_name) or {}}):
            errors += _limit_errors(limit, name, path)
    return errors


def _limit_errors(limit: Amounts, name: str, path: str) -> list[FieldError]:
    """Of one resource: minimum <= default request <= default <= maximum."""
    errors: list[FieldError] = []
    held = {p: quantities.value(limit[p][name]) for p in LIMIT_PARTS if name in (limit.get(p) or {})}
    text = {p: str(limit[p][name]) for p in held}

    def ordered(low: str, high: str, at: str, what: str) -> None:
        if held.get(low) is not None and held.get(high) is not None and _more(held[low], held[high]):
            errors.append(invalid(f"{path}.{at}[{name}]", text[at], what.format(text[low], text[high])))

    ordered("min", "max", "min", "min value {} is greater than max value {}")
    ordered("min", "defaultRequest", "defaultRequest", "min value {} is greater than default request value {}")
    ordered("defaultRequest", "max", "defaultRequest", "default request value {} is greater than max value {}")
    over = "default request value {} is greater than default limit value {}"
    ordered("defaultRequest", "default", "defaultRequest", over)
    ordered("min", "default", "default", "min value {} is greater than default value {}")
    ordered("default", "max", "default", "default value {} is greater than max value {}")
    ratio = held.get("maxLimitRequestRatio")
    if ratio is not None and ratio < 1:
        shown = text["maxLimitRequestRatio"]
        errors.append(invalid(f"{path}.maxLimitRequestRatio[{name}]", shown, f"ratio {shown} is less than 1"))
    return errors


def _more(low: Fraction | None, high: Fraction | None) -> bool:
    return low is not None and high is not None and low > high


def default_resource_quota(quota: JsonObject, context: Context) -> None:
    spec = part(quota, "spec")
    quantities.canonicalise(spec.get("hard"))
    drop_empty(spec, "hard", "scopes")
    status = part(quota, "status")
    for name in ("hard", "used"):
        quantities.canonicalise(status.get(name))
        drop_empty(status, name)


def prepare_resource_quota(quota: JsonObject, context: Context) -> None:
    quota["status"] = {}


def validate_resource_quota(quota: JsonObject, context: Context) -> list[FieldError]:
    errors: list[FieldError] = []
    for part_path, amounts in (
        ("spec.hard", quota["spec"].get("hard")),
        ("status.hard", quota["status"].get("hard")),
        ("status.used", quota["status"].get("used")),
    ):
        for name in sorted(amounts or {}):
            path = f"{part_path}[{name}]"
            errors += fields.qualified(path, name) or _quota_name_errors(path, name)
            errors += quantities.resource_errors(path, name, (amounts or {})[name])
    scopes = quota["spec"].get("scopes") or []
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        errors.append(invalid("spec.scopes", scopes, "unsupported scope"))
    for one, other in (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")):
        if one in scopes and other in scopes:
            errors.append(invalid("spec.scopes", scopes, "conflicting scopes"))
    return errors


def _quota_name_errors(path: str, name: str) -> list[FieldError]:
    """A name without a domain must be one of those that quotas know."""
    if "/" in name or name in QUOTA_RESOURCES:
        return []
    standard = name == "storage" or name.startswith("hugepages-")
    texts = [] if standard else ["must be a standard resource type or fully qualified"]
    texts += [] if name.startswith("requests.hugepages-") else ["must be a standard resource for quota"]
    return [invalid(path, name, text) for text in texts]


def validate_resource_quota_update(quota: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    scopes = quota["spec"].get("scopes") or []
    if sorted(scopes) == sorted(old["spec"].get("scopes") or []):
        return []
    return [invalid("spec.scopes", scopes, fields.IMMUTABLE)]


def admit_priority_class(
    priority_class: JsonObject, stored: Mapping[str, Sequence[JsonObject]], context: Context
) -> None:
    """Raises Forbidden for a second default."""
    if not priority_class.get("globalDefault"):
        return
    for other in stored[PRIORITY_CLASS.resource]:
        name = other["metadata"]["name"]
        if other.get("globalDefault") and name != priority_class["metadata"].get("name"):
            why = f"PriorityClass {name} is already marked as default. Only one default can exist"
            raise Forbidden.of(PRIORITY_CLASS.resource, priority_class["metadata"].get("name") or "", why)


def default_priority_class(priority_class: JsonObject, context: Context) -> None:
    priority_class.setdefault("value", 0)
    drop_empty(priority_class, "globalDefault", "description")
    if priority_class.get("preemptionPolicy") is None:
        priority_class["preemptionPolicy"] = "PreemptLowerPriority"


def validate_priority_class(priority_class: JsonObject, context: Context) -> list[FieldError]:
    name, value = priority_class["metadata"].get("name") or "", priority_class["value"]
    errors: list[FieldError] = []
    if name.startswith(SYSTEM_PREFIX):
        if SYSTEM_PRIORITIES.get(name) != value:
            known = "value of" if name in SYSTEM_PRIORITIES else f"{name} is not a known system priority class"
            why = f"{known} {name} PriorityClass must be {SYSTEM_PRIORITIES[name]}" if known == "value of" else known
            text = "priority class names with 'system-' prefix are reserved for system use only. error: "
            errors.append(forbidden_field("metadata.name", text + why))
    elif value > HIGHEST_USER_PRIORITY:
        text = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        errors.append(forbidden_field("value", text))
    if priority_class["preemptionPolicy"] not in PREEMPTION_POLICIES:
        errors += fields.one_of("preemptionPolicy", priority_class["preemptionPolicy"], PREEMPTION_POLICIES)
    return errors


def validate_priority_class_update(new: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    errors: list[FieldError] = []
    if new["value"] != old["value"]:
        errors.append(forbidden_field("value", "may not be changed in an update."))
    return errors + fields.immutable("preemptionPolicy", new["preemptionPolicy"], old["preemptionPolicy"])


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(LIMIT_RANGE, default=default_limit_range, validate=validate_limit_range, create_on_update=True),
    Strategy(
        RESOURCE_QUOTA,
        default=default_resource_quota,
        prepare_create=prepare_resource_quota,
        validate=validate_resource_quota,
        validate_update=validate_resource_quota_update,
        returns_deleted_object=True,
    ),
    Strategy(
        PRIORITY_CLASS,
        default=default_priority_class,
        admission_kinds=(PRIORITY_CLASS,),
        admit_create=admit_priority_class,
        validate=validate_priority_class,
        validate_update=validate_priority_class_update,
        create_on_update=True,
        has_generation=True,
    ),
)
