"""What is wrong with resource requests and limits, and the quality of service they make.

Source: pkg/apis/core/validation/validation.go (validateResourceRequirements), pkg/apis/core/helper/qos.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.api.errors import FieldError, forbidden_field, invalid, required
from emulator.api.meta import JsonObject
from emulator.registry.kinds import fields, quantities

_STANDARD = ("cpu", "memory", "ephemeral-storage")
_KNOWN_ELSEWHERE = ("storage", "pods", "services", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")


def resource_requirement_errors(path: str, resources: Mapping[str, Any]) -> list[FieldError]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    errors: list[FieldError] = []
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, quantity in sorted(amounts.items()):
            at = f"{path}.{part}[{name}]"
            errors += _name_errors(at, name) + quantities.resource_errors(at, name, quantity)
            if part == "requests":
                errors += _request_errors(path, name, quantity, limits)
    counted = {*limits, *requests}
    if any(_is_huge_page(name) for name in counted) and not counted & {"cpu", "memory"}:
        errors.append(forbidden_field(path, "HugePages require cpu or memory"))
    return errors


def _name_errors(path: str, name: str) -> list[FieldError]:
    if errors := fields.qualified(path, name):
        return errors
    if "/" in name or name in _STANDARD or _is_huge_page(name):
        return []
    errors = []
    if name not in _KNOWN_ELSEWHERE:
        errors.append(invalid(path, name, "must be a standard resource type or fully qualified"))
    return [*errors, invalid(path, name, "must be a standard resource for containers")]


def _request_errors(path: str, name: str, quantity: Any, limits: Mapping[str, Any]) -> list[FieldError]:
    firm = quantities.is_extended(name) or _is_huge_page(name)
    if name not in limits:
        text = "Limit must be set for non overcommitable resources"
        return [required(f"{path}.limits", text)] if firm else []
    wanted, limit = quantities.value(quantity), quantities.value(limits[name])
    if wanted is None or limit is None:
        return []
    shown, most = str(quantities.canonical(quantity)), quantities.canonical(limits[name])
    if firm and wanted != limit:
        return [invalid(f"{path}.requests", shown, f"must be equal to {name} limit of {most}")]
    if wanted > limit:
        return [invalid(f"{path}.requests", shown, f"must be less than or equal to {name} limit of {most}")]
    return []


def _is_huge_page(name: str) -> bool:
    return name.startswith("hugepages-")


def qos_class(spec: JsonObject) -> str:
    """Guaranteed, Burstable or BestEffort, from the cpu and memory of all containers."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    resources = [container.get("resources") or {} for container in containers]
    if spec.get("resources"):
        resources = [spec["resources"]]
    requested = limited = False
    guaranteed = True
    for entry in resources:
        requests, limits = _positive(entry.get("requests")), _positive(entry.get("limits"))
        requested, limited = requested or bool(requests), limited or bool(limits)
        if limits.keys() != {"cpu", "memory"} or any(
            requests.get(name, limits[name]) != limits[name] for name in limits
        ):
            guaranteed = False
    if not requested and not limited:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _positive(amounts: Mapping[str, Any] | None) -> dict[str, Any]:
    found = {name: quantities.value(amount) for name, amount in (amounts or {}).items() if name in ("cpu", "memory")}
    return {name: amount for name, amount in found.items() if amount}
