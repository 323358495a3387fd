"""What is wrong with a pod's affinities and topology spread constraints.

Source: pkg/apis/core/validation/validation.go (validateAffinity, validateTopologySpreadConstraints).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emulator.api import names
from emulator.api.errors import FieldError, duplicate, forbidden_field, invalid, required
from emulator.registry.kinds import fields

Term = Mapping[str, Any]

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_WEIGHT = "must be in the range 1-100"


def affinity_errors(path: str, affinity: Term) -> list[FieldError]:
    errors = _node_affinity_errors(f"{path}.nodeAffinity", affinity.get("nodeAffinity") or {})
    for kind in ("podAffinity", "podAntiAffinity"):
        part = affinity.get(kind) or {}
        for index, term in enumerate(part.get(_REQUIRED) or ()):
            errors += _pod_term_errors(f"{path}.{kind}.{_REQUIRED}[{index}]", term)
        for index, weighted in enumerate(part.get(_PREFERRED) or ()):
            at = f"{path}.{kind}.{_PREFERRED}[{index}]"
            errors += _weight_errors(at, weighted)
            errors += _pod_term_errors(f"{at}.podAffinityTerm", weighted.get("podAffinityTerm") or {})
    return errors


def _weight_errors(path: str, term: Term) -> list[FieldError]:
    weight = term.get("weight") or 0
    return [] if 1 <= weight <= 100 else [invalid(f"{path}.weight", weight, _WEIGHT)]


def _node_affinity_errors(path: str, affinity: Term) -> list[FieldError]:
    errors: list[FieldError] = []
    selector = affinity.get(_REQUIRED)
    if selector is not None:
        at = f"{path}.{_REQUIRED}.nodeSelectorTerms"
        terms = selector.get("nodeSelectorTerms") or ()
        if not terms:
            errors.append(required(at, "must have at least one node selector term"))
        for index, term in enumerate(terms):
            errors += _node_term_errors(f"{at}[{index}]", term, check_values=True)
    for index, preference in enumerate(affinity.get(_PREFERRED) or ()):
        at = f"{path}.{_PREFERRED}[{index}]"
        errors += _weight_errors(at, preference)
        errors += _node_term_errors(f"{at}.preference", preference.get("preference") or {}, check_values=False)
    return errors


def _node_term_errors(path: str, term: Term, *, check_values: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        at, key = f"{path}.matchExpressions[{index}]", requirement.get("key") or ""
        values = requirement.get("values") or ()
        errors += _operator_errors(at, requirement.get("operator") or "", values)
        errors += fields.qualified(f"{at}.key", key)
        for position, value in enumerate(values if check_values else ()):
            errors += [invalid(f"{at}.values[{position}]", value, text) for text in names.label_value(value)]
    for index, requirement in enumerate(term.get("matchFields") or ()):
        at, values = f"{path}.matchFields[{index}]", requirement.get("values") or ()
        operator, key = requirement.get("operator") or "", requirement.get("key") or ""
        if operator not in ("In", "NotIn"):
            errors.append(invalid(f"{at}.operator", operator, "not a valid selector operator"))
        elif len(values) != 1:
            text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            errors.append(required(f"{at}.values", text))
        if key != "metadata.name":
            errors.append(invalid(f"{at}.key", key, "not a valid field selector key"))
    return errors


def _operator_errors(path: str, operator: str, values: Sequence[str]) -> list[FieldError]:
    if operator in ("In", "NotIn"):
        text = "must be specified when `operator` is 'In' or 'NotIn'"
        return [] if values else [required(f"{path}.values", text)]
    if operator in ("Exists", "DoesNotExist"):
        text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        return [forbidden_field(f"{path}.values", text)] if values else []
    if operator in ("Gt", "Lt"):
        text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
        return [] if len(values) == 1 else [required(f"{path}.values", text)]
    return [invalid(f"{path}.operator", operator, "not a valid selector operator")]


def _pod_term_errors(path: str, term: Term) -> list[FieldError]:
    errors = label_selector_errors(f"{path}.labelSelector", term.get("labelSelector"))
    errors += label_selector_errors(f"{path}.namespaceSelector", term.get("namespaceSelector"))
    for namespace in term.get("namespaces") or ():
        errors += fields.label(f"{path}.namespace", namespace)
    key = term.get("topologyKey") or ""
    if not key:
        errors.append(required(f"{path}.topologyKey", "can not be empty"))
    return errors + fields.qualified(f"{path}.topologyKey", key)


def label_selector_errors(path: str, selector: Term | None) -> list[FieldError]:
    """Mistakes of a metav1.LabelSelector; workloads use this for theirs."""
    selector = selector or {}
    errors = fields.label_map(f"{path}.matchLabels", selector.get("matchLabels"))
    for index, requirement in enumerate(selector.get("matchExpressions") or ()):
        at, operator = f"{path}.matchExpressions[{index}]", requirement.get("operator") or ""
        values = requirement.get("values") or ()
        if operator in ("In", "NotIn") and not values:
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            errors.append(required(f"{at}.values", text))
        elif operator in ("Exists", "DoesNotExist") and values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden_field(f"{at}.values", text))
        elif operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            errors.append(invalid(f"{at}.operator", operator, "not a valid selector operator"))
        errors += fields.qualified(f"{at}.key", requirement.get("key") or "")
        for position, value in enumerate(values):
            errors += [invalid(f"{at}.values[{position}]", value, text) for text in names.label_value(value)]
    return errors


def spread_errors(path: str, constraints: Sequence[Term]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: list[tuple[str, str]] = []
    for index, constraint in enumerate(constraints):
        at, key = f"{path}[{index}]", constraint.get("topologyKey") or ""
        action = constraint.get("whenUnsatisfiable") or ""
        skew = constraint.get("maxSkew") or 0
        if skew <= 0:
            errors.append(invalid(f"{at}.maxSkew", skew, "must be greater than zero"))
        errors += (
            fields.qualified(f"{at}.topologyKey", key) if key else [required(f"{at}.topologyKey", "can not be empty")]
        )
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            errors.append(fields.unsupported(f"{at}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway")))
        if (key, action) in seen:
            errors.append(duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}"))
        seen.append((key, action))
        errors += label_selector_errors(f"{at}.labelSelector", constraint.get("labelSelector"))
    return errors
