"""What is wrong with probes and lifecycle hooks.

Source: pkg/apis/core/validation/validation.go (validateProbe, validateHandler).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from emulator.api.errors import FieldError, forbidden_field, invalid, required
from emulator.registry.kinds import fields

_HEADER_NAME = re.compile(r"[-A-Za-z0-9]+")
_HEADER_TEXT = (
    "a valid HTTP header must consist of alphanumeric characters or '-' "
    "(e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"
)
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def probe_errors(path: str, kind: str, probe: Mapping[str, Any]) -> list[FieldError]:
    """kind: livenessProbe, readinessProbe or startupProbe."""
    errors = handler_errors(path, probe, None)
    for name in _NUMBERS:
        errors += fields.not_negative(f"{path}.{name}", probe.get(name))
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        errors.append(invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0"))
    if kind == "readinessProbe":
        if grace is not None:
            text = "must not be set for readinessProbes"
            errors.append(invalid(f"{path}.terminationGracePeriodSeconds", grace, text))
    elif probe.get("successThreshold", 1) != 1:
        errors.append(invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))
    return errors


def handler_errors(path: str, handler: Mapping[str, Any], grace_seconds: int | None) -> list[FieldError]:
    """Exactly one handler, and nothing wrong with it."""
    kinds = [kind for kind in _HANDLERS if handler.get(kind) is not None]
    if not kinds:
        return [required(path, "must specify a handler type")]
    errors = _one_handler(f"{path}.{kinds[0]}", kinds[0], handler[kinds[0]], grace_seconds)
    text = "may not specify more than 1 handler type"
    return errors + [forbidden_field(f"{path}.{kind}", text) for kind in kinds[1:]]


def _one_handler(path: str, kind: str, handler: Mapping[str, Any], grace_seconds: int | None) -> list[FieldError]:
    match kind:
        case "exec":
            return [] if handler.get("command") else [required(f"{path}.command")]
        case "httpGet":
            return _http_errors(path, handler)
        case "sleep":
            seconds = handler.get("seconds", 0)
            if grace_seconds is None or 0 <= seconds <= grace_seconds:
                return []
            text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})"
            return [invalid(path, seconds, text)]
    return fields.port_number_or_name(f"{path}.port", handler.get("port", 0))


def _http_errors(path: str, handler: Mapping[str, Any]) -> list[FieldError]:
    errors = [] if handler.get("path") else [required(f"{path}.path")]
    errors += fields.port_number_or_name(f"{path}.port", handler.get("port", 0))
    if handler.get("scheme") not in ("HTTP", "HTTPS"):
        errors.append(fields.unsupported(f"{path}.scheme", handler.get("scheme"), ("HTTP", "HTTPS")))
    for header in handler.get("httpHeaders") or ():
        name = header.get("name") or ""
        if not _HEADER_NAME.fullmatch(name):
            errors.append(invalid(f"{path}.httpHeaders", name, _HEADER_TEXT))
    return errors
