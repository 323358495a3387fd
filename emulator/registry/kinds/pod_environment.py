"""What is wrong with a container's env and envFrom.

Source: pkg/apis/core/validation/validation.go (ValidateEnv, ValidateEnvFrom).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from emulator.api import names
from emulator.api.errors import FieldError, invalid, required
from emulator.registry.kinds import fields
from emulator.registry.kinds.configuration import config_key_texts

_NAME_TEXT = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_FIELD_PATHS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_KNOWN_LABELS = (*_FIELD_PATHS, "metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName")
_RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_SUBSCRIPT = re.compile(r"(?P<path>.+)\['(?P<key>.*)'\]")

Entry = Mapping[str, Any]


def env_name_texts(name: str) -> list[str]:
    """What is wrong with a variable's name."""
    good = all(" " <= character <= "~" and character != "=" for character in name)
    return [] if good else [_NAME_TEXT]


def env_errors(path: str, variables: Sequence[Entry]) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, variable in enumerate(variables):
        at, name = f"{path}[{index}]", variable.get("name") or ""
        if name:
            errors += [invalid(f"{at}.name", name, text) for text in env_name_texts(name)]
        else:
            errors.append(required(f"{at}.name"))
        if variable.get("valueFrom") is not None:
            errors += _value_from_errors(f"{at}.valueFrom", variable)
    return errors


def _value_from_errors(path: str, variable: Entry) -> list[FieldError]:
    source = variable["valueFrom"]
    kinds = [kind for kind in _SOURCES if source.get(kind) is not None]
    errors = [error for kind in kinds for error in _source_errors(f"{path}.{kind}", kind, source[kind])]
    if not kinds:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        errors.append(invalid(path, "", text))
    elif variable.get("value"):
        errors.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(kinds) > 1:
        errors.append(invalid(path, "", "may not have more than one field specified at a time"))
    return errors


def _source_errors(path: str, kind: str, source: Entry) -> list[FieldError]:
    match kind:
        case "fieldRef":
            return _field_errors(path, source)
        case "resourceFieldRef":
            return _resource_errors(path, source)
        case "configMapKeyRef" | "secretKeyRef":
            return _key_ref_errors(path, source)
    return [required(f"{path}.{name}") for name in ("key", "volumeName", "path") if not source.get(name)]


def _field_errors(path: str, source: Entry) -> list[FieldError]:
    field = source.get("fieldPath") or ""
    if not field:
        return [required(f"{path}.fieldPath")]
    if subscripted := _SUBSCRIPT.fullmatch(field):
        base, key = subscripted["path"], subscripted["key"]
        if base not in ("metadata.annotations", "metadata.labels"):
            text = f"error converting fieldPath: field label does not support subscript: {field}"
            return [invalid(f"{path}.fieldPath", field, text)]
        key = key.lower() if base == "metadata.annotations" else key
        return fields.qualified(path, key)
    if field not in _KNOWN_LABELS:
        return [invalid(f"{path}.fieldPath", field, f"error converting fieldPath: field label not supported: {field}")]
    return [] if field in _FIELD_PATHS else [fields.unsupported(f"{path}.fieldPath", field, _FIELD_PATHS)]


def _resource_errors(path: str, source: Entry) -> list[FieldError]:
    resource = source.get("resource") or ""
    if not resource:
        return [required(f"{path}.resource")]
    if resource in _RESOURCES or resource.startswith(("requests.hugepages-", "limits.hugepages-")):
        return []
    return [fields.unsupported(f"{path}.resource", resource, _RESOURCES)]


def _key_ref_errors(path: str, source: Entry) -> list[FieldError]:
    name, key = source.get("name") or "", source.get("key") or ""
    errors = [invalid(f"{path}.name", name, text) for text in names.dns1123_subdomain(name)]
    if not key:
        return [*errors, required(f"{path}.key")]
    return errors + [invalid(f"{path}.key", key, text) for text in config_key_texts(key)]


def env_from_errors(path: str, sources: Sequence[Entry]) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, source in enumerate(sources):
        at, prefix = f"{path}[{index}]", source.get("prefix") or ""
        errors += [invalid(f"{at}.prefix", prefix, text) for text in env_name_texts(prefix)]
        kinds = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        for kind in kinds:
            name = source[kind].get("name") or ""
            errors += fields.subdomain(f"{at}.{kind}.name", name) if name else [required(f"{at}.{kind}.name")]
        if not kinds:
            errors.append(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(kinds) > 1:
            errors.append(invalid(path, "", "may not have more than one field specified at a time"))
    return errors
