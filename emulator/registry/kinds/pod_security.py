"""What is wrong with the security contexts of a pod and of its containers: numbers, choices, contradictions.

Source: pkg/apis/core/validation/validation.go (ValidatePodSecurityContext, ValidateSecurityContext).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.api.errors import FieldError, duplicate, invalid, required
from emulator.registry.kinds import fields

MAX_ID = 2**31 - 1
CHANGE_POLICIES = ("Always", "OnRootMismatch")
GROUP_POLICIES = ("Merge", "Strict")
SECCOMP_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")

Part = Mapping[str, Any]


def pod_security_errors(path: str, spec: Part) -> list[FieldError]:
    """Mistakes of the whole pod's context, and of the namespaces it shares."""
    context: Part = spec.get("securityContext") or {}
    errors: list[FieldError] = []
    for name in ("fsGroup", "runAsUser", "runAsGroup"):
        errors += _id_errors(f"{path}.{name}", context.get(name))
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        errors += _id_errors(f"{path}.supplementalGroups[{index}]", group)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(invalid(f"{path}.shareProcessNamespace", True, text))
    errors += _sysctl_errors(f"{path}.sysctls", context.get("sysctls") or ())
    errors += _choice(f"{path}.fsGroupChangePolicy", context.get("fsGroupChangePolicy"), CHANGE_POLICIES)
    errors += _seccomp_errors(f"{path}.seccompProfile", context.get("seccompProfile"))
    return errors + _choice(f"{path}.supplementalGroupsPolicy", context.get("supplementalGroupsPolicy"), GROUP_POLICIES)


def security_errors(path: str, context: Part) -> list[FieldError]:
    """Mistakes of one container's context."""
    errors: list[FieldError] = []
    for name in ("runAsUser", "runAsGroup"):
        errors += _id_errors(f"{path}.{name}", context.get(name))
    errors += _choice(f"{path}.procMount", context.get("procMount"), ("Default", "Unmasked"))
    errors += _seccomp_errors(f"{path}.seccompProfile", context.get("seccompProfile"))
    if context.get("allowPrivilegeEscalation") is False and context.get("privileged"):
        text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        errors.append(invalid(path, dict(context), text))
    return errors


def _id_errors(path: str, number: int | None) -> list[FieldError]:
    return [] if number is None or 0 <= number <= MAX_ID else [invalid(path, number, fields.in_range(0, MAX_ID))]


def _choice(path: str, value: str | None, choices: tuple[str, ...]) -> list[FieldError]:
    return [] if value is None or value in choices else [fields.unsupported(path, value, choices)]


def _sysctl_errors(path: str, sysctls: Any) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        name = sysctl.get("name") or ""
        if not name:
            errors.append(required(f"{path}[{index}].name"))
        elif name in seen:
            errors.append(duplicate(f"{path}[{index}].name", name))
        seen.add(name)
    return errors


def _seccomp_errors(path: str, profile: Part | None) -> list[FieldError]:
    if profile is None:
        return []
    kind, file = profile.get("type") or "", profile.get("localhostProfile")
    if kind == "Localhost" and file is None:
        return [required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")]
    if kind != "Localhost" and file is not None:
        return [invalid(f"{path}.localhostProfile", file, "can only be set when seccomp type is Localhost")]
    if not kind:
        return [required(f"{path}.type", "type is required when seccompProfile is set")]
    return [] if kind in SECCOMP_TYPES else [fields.unsupported(f"{path}.type", kind, SECCOMP_TYPES)]
