"""What is wrong with a Job's spec, which CronJobs check too: counts, completion modes, policies, the template.

Source: pkg/apis/batch/validation/validation.go (validateJobSpec and what it calls).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from emulator.api import names
from emulator.api.errors import FieldError, duplicate, invalid, not_supported, required, too_long, too_many
from emulator.registry.kinds import fields
from emulator.registry.kinds.internal_form import shown_policy
from emulator.registry.kinds.pod_validation import validate_pod_template

Spec = Mapping[str, Any]

MAX_PARALLELISM_INDEXED = MAX_FAILED_INDEXES = 100_000
MANY_COMPLETIONS = 100_000
MAX_WITH_MANY_COMPLETIONS = 10_000  # of parallelism, and of failed indexes
MAX_FAILURE_RULES = MAX_CONDITION_PATTERNS = MAX_SUCCESS_RULES = 20
MAX_EXIT_CODES = 255
MAX_MANAGED_BY_CHARACTERS = 63
MAX_INDEXES_BYTES = 64 * 1024

COMPLETION_MODES = ("NonIndexed", "Indexed")
REPLACEMENT_POLICIES = ("Failed", "TerminatingOrFailed")
ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
OPERATORS = ("In", "NotIn")
CONDITION_STATUSES = ("False", "True", "Unknown")
NEEDS_INDEXED = "requires indexed completion mode"

_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)


def job_spec_errors(spec: Spec, path: str) -> list[FieldError]:
    """Mistakes of a Job's spec, without those of its selector. path: `spec` or `spec.jobTemplate.spec`."""
    errors: list[FieldError] = []
    for name in _COUNTS:
        errors += fields.not_negative(f"{path}.{name}", spec.get(name))
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        errors.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if spec.get("managedBy") is not None:
        errors += _managed_by_errors(f"{path}.managedBy", spec["managedBy"])
    mode = spec.get("completionMode")
    if mode is not None and mode not in COMPLETION_MODES:
        errors.append(fields.unsupported(f"{path}.completionMode", mode, COMPLETION_MODES))
    errors += _indexed_errors(path, spec) if mode == "Indexed" else []
    errors += _not_indexed_errors(path, spec) if mode in (None, "NonIndexed") else []
    if spec.get("podFailurePolicy") is not None:
        errors += _failure_policy_errors(f"{path}.podFailurePolicy.rules", spec)
    if spec.get("successPolicy") is not None:
        errors += _success_policy_errors(f"{path}.successPolicy", spec)
    errors += _replacement_errors(f"{path}.podReplacementPolicy", spec)
    errors += validate_pod_template(spec.get("template"), f"{path}.template")
    return errors + _restart_policy_errors(f"{path}.template.spec.restartPolicy", spec)


def is_indexed(spec: Spec) -> bool:
    return spec.get("completionMode") == "Indexed"


def _managed_by_errors(path: str, value: str) -> list[FieldError]:
    errors = domain_path_errors(path, value)
    if len(value) > MAX_MANAGED_BY_CHARACTERS:
        errors.append(too_long(path, MAX_MANAGED_BY_CHARACTERS))
    return errors


def domain_path_errors(path: str, value: str) -> list[FieldError]:
    """A path behind a domain, `acme.io/foo`."""
    if not value:
        return [required(path)]
    host, slash, rest = value.partition("/")
    if not (host and slash and rest):
        return [invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    errors = [invalid(path, host, text) for text in names.dns1123_subdomain(host)]
    if not re.fullmatch(_HTTP_PATH, rest):
        errors.append(invalid(path, rest, f"Invalid path (regex used for validation is '{_HTTP_PATH}')"))
    return errors


def _indexed_errors(path: str, spec: Spec) -> list[FieldError]:
    completions, parallelism = spec.get("completions"), spec.get("parallelism")
    failed = spec.get("maxFailedIndexes")
    errors: list[FieldError] = []
    if completions is None:
        errors.append(required(f"{path}.completions", "when completion mode is Indexed"))
    if parallelism is not None and parallelism > MAX_PARALLELISM_INDEXED:
        text = f"must be less than or equal to {MAX_PARALLELISM_INDEXED} when completion mode is Indexed"
        errors.append(invalid(f"{path}.parallelism", parallelism, text))
    if completions is not None and failed is not None and failed > completions:
        errors.append(invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions"))
    if failed is not None and failed > MAX_FAILED_INDEXES:
        text = f"must be less than or equal to {MAX_FAILED_INDEXES}"
        errors.append(invalid(f"{path}.maxFailedIndexes", failed, text))
    if completions is None or completions <= MANY_COMPLETIONS or spec.get("backoffLimitPerIndex") is None:
        return errors
    if failed is None:
        text = f"must be specified when completions is above {MANY_COMPLETIONS}"
        errors.append(required(f"{path}.maxFailedIndexes", text))
    many = f"when completions are above {MANY_COMPLETIONS} and used with backoff limit per index"
    text = f"must be less than or equal to {MAX_WITH_MANY_COMPLETIONS} {many}"
    return errors + [
        invalid(f"{path}.{name}", spec[name], text)
        for name in ("parallelism", "maxFailedIndexes")
        if (spec.get(name) or 0) > MAX_WITH_MANY_COMPLETIONS
    ]


def _not_indexed_errors(path: str, spec: Spec) -> list[FieldError]:
    return [
        invalid(f"{path}.{name}", spec[name], NEEDS_INDEXED)
        for name in ("backoffLimitPerIndex", "maxFailedIndexes")
        if spec.get(name) is not None
    ]


def _replacement_errors(path: str, spec: Spec) -> list[FieldError]:
    policy = spec.get("podReplacementPolicy")
    allowed = ("Failed",) if spec.get("podFailurePolicy") is not None else REPLACEMENT_POLICIES
    return [] if policy is None or policy in allowed else [not_supported(path, policy, allowed)]


def _restart_policy_errors(path: str, spec: Spec) -> list[FieldError]:
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
    if not policy or policy == "Always":  # the default of Pods, so it may not have been asked for
        return [required(path, 'valid values: "OnFailure", "Never"')]
    if policy not in ("OnFailure", "Never"):
        return [fields.unsupported(path, policy, ("OnFailure", "Never"))]
    if spec.get("podFailurePolicy") is not None and policy != "Never":
        return [invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')]
    return []


def _listed(values: Sequence[str]) -> str:
    return "valid values: [" + " ".join(f'"{value}"' for value in values) + "]"


def _choice_errors(path: str, value: str | None, choices: Sequence[str]) -> list[FieldError]:
    if not value:
        return [required(path, _listed(choices))]
    return [] if value in choices else [not_supported(path, value, choices)]


def _without_value(path: str, text: str) -> FieldError:
    return FieldError(path, "FieldValueInvalid", f"Invalid value: {text}")


def _failure_policy_errors(path: str, spec: Spec) -> list[FieldError]:
    rules = spec["podFailurePolicy"].get("rules") or ()
    pod = (spec.get("template") or {}).get("spec") or {}
    containers = {entry.get("name") for part in ("containers", "initContainers") for entry in pod.get(part) or ()}
    errors = [too_many(path, len(rules), MAX_FAILURE_RULES)] if len(rules) > MAX_FAILURE_RULES else []
    for index, rule in enumerate(rules):
        at, action = f"{path}[{index}]", rule.get("action")
        if action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            errors.append(invalid(f"{at}.action", action, "requires the backoffLimitPerIndex to be set"))
        errors += _choice_errors(f"{at}.action", action, ACTIONS)
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or ()
        if codes is not None:
            errors += _exit_code_errors(f"{at}.onExitCodes", codes, containers)
        if conditions:
            errors += _condition_errors(f"{at}.onPodConditions", conditions)
        if codes is not None and conditions:
            text = "specifying both OnExitCodes and OnPodConditions is not supported"
            errors.append(_without_value(at, text))
        if codes is None and not conditions:
            errors.append(_without_value(at, "specifying one of OnExitCodes and OnPodConditions is required"))
    return errors


def _condition_errors(path: str, patterns: Sequence[Spec]) -> list[FieldError]:
    count = len(patterns)
    errors = [too_many(path, count, MAX_CONDITION_PATTERNS)] if count > MAX_CONDITION_PATTERNS else []
    for index, pattern in enumerate(patterns):
        errors += fields.qualified(f"{path}[{index}].type", pattern.get("type") or "")
        errors += _choice_errors(f"{path}[{index}].status", pattern.get("status"), CONDITION_STATUSES)
    return errors


def _exit_code_errors(path: str, requirement: Spec, containers: set[Any]) -> list[FieldError]:
    operator, values = requirement.get("operator"), requirement.get("values") or ()
    errors = _choice_errors(f"{path}.operator", operator, OPERATORS)
    container = requirement.get("containerName")
    if container is not None and container not in containers:
        text = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid(f"{path}.containerName", container, text))
    if not values:
        errors.append(invalid(f"{path}.values", requirement.get("values"), "at least one value is required"))
    elif len(values) > MAX_EXIT_CODES:
        errors.append(too_many(f"{path}.values", len(values), MAX_EXIT_CODES))
    seen: set[int] = set()
    for index, code in enumerate(values):
        at = f"{path}.values[{index}]"
        if operator == "In" and code == 0:
            errors.append(invalid(at, code, "must not be 0 for the In operator"))
        if code in seen:
            errors.append(duplicate(at, code))
        seen.add(code)
    if list(values) != sorted(values):
        errors.append(invalid(f"{path}.values", list(values), "must be ordered"))
    return errors


def _success_policy_errors(path: str, spec: Spec) -> list[FieldError]:
    policy = spec["successPolicy"]
    rules = policy.get("rules") or ()
    if not is_indexed(spec):
        return [invalid(path, shown_policy("SuccessPolicy", policy), NEEDS_INDEXED)]
    at = f"{path}.rules"
    errors: list[FieldError] = []
    if not rules:
        text = "at least one rules must be specified when the successPolicy is specified"
        errors.append(required(at, text))
    if len(rules) > MAX_SUCCESS_RULES:
        errors.append(too_many(at, len(rules), MAX_SUCCESS_RULES))
    for index, rule in enumerate(rules):
        errors += _success_rule_errors(f"{at}[{index}]", rule, spec.get("completions") or 0)
    return errors


def _success_rule_errors(path: str, rule: Spec, completions: int) -> list[FieldError]:
    indexes, count = rule.get("succeededIndexes"), rule.get("succeededCount")
    if indexes is None and count is None:
        return [required(path, "at least one of succeededCount or succeededIndexes must be specified")]
    errors: list[FieldError] = []
    total = 0
    if indexes is not None:
        at = f"{path}.succeededIndexes"
        if len(indexes) > MAX_INDEXES_BYTES:
            errors.append(too_long(at, MAX_INDEXES_BYTES))
        try:
            total = count_indexes(indexes, completions)
        except ValueError as error:
            errors.append(invalid(at, indexes, f"error parsing succeededIndexes: {error}"))
    if count is not None:
        at = f"{path}.succeededCount"
        errors += fields.not_negative(at, count)
        if count > completions:
            text = f"must be less than or equal to {completions} (the number of specified completions)"
            errors.append(invalid(at, count, text))
        if indexes is not None and count > total:
            what = "the number of indexes in the specified succeededIndexes field"
            errors.append(invalid(at, count, f"must be less than or equal to {total} ({what})"))
    return errors


def count_indexes(text: str, completions: int) -> int:
    """How many indexes `1,3-5` names. Raises ValueError in upstream's words."""
    return sum(end - start + 1 for start, end in index_intervals(text, completions))


def index_intervals(text: str, completions: int) -> list[tuple[int, int]]:
    """The first and last index of each part of `1,3-5`. Raises ValueError in upstream's words."""
    found: list[tuple[int, int]] = []
    for part in text.split(",") if text else ():
        start, end = _interval(part, completions)
        if found and found[-1][1] >= start:
            raise ValueError(f"non-increasing order, previous: {found[-1][1]}, current: {start}")
        found.append((start, end))
    return found


def _interval(text: str, completions: int) -> tuple[int, int]:
    limits = text.split("-")
    if len(limits) > 2:
        rule = "an index interval can have at most two parts separated by '-'"
        raise ValueError(f'the fragment "{text}" violates the requirement that {rule}')
    numbers: list[int] = []
    for limit in limits:
        if not re.fullmatch(r"[+-]?[0-9]+", limit):
            raise ValueError(f'cannot convert string to integer for index: "{limit}"')
        if int(limit) >= completions:
            raise ValueError(f'too large index: "{limit}"')
        numbers.append(int(limit))
    if len(numbers) == 2 and numbers[0] >= numbers[1]:
        raise ValueError(f"non-increasing order, previous: {numbers[0]}, current: {numbers[1]}")
    return numbers[0], numbers[-1]
