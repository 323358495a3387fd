"""What is wrong with a pod's volumes: names, one source each, and the sources users write most.

Sources of other kinds (cloud disks, CSI) pass unchecked; nothing here ever mounts them.
Source: pkg/apis/core/validation/validation.go (ValidateVolumes, validateVolumeSource).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.api.errors import FieldError, duplicate, forbidden_field, invalid, required
from emulator.registry.kinds import fields, quantities
from emulator.registry.kinds.configuration import config_key_texts

_MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"
_HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_PROJECTIONS = ("secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate")


def volume_errors(path: str, volumes: Any) -> tuple[set[str], list[FieldError]]:
    """The names of the good volumes (only those can be mounted), and the mistakes of the others."""
    names: set[str] = set()
    errors: list[FieldError] = []
    for index, volume in enumerate(volumes):
        found = _one_volume(f"{path}[{index}]", volume, names)
        if not found:
            names.add(volume["name"])
        errors += found
    return names, errors


def _one_volume(path: str, volume: Mapping[str, Any], taken: set[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    sources = [kind for kind, source in volume.items() if kind != "name" and source is not None]
    for position, kind in enumerate(sources):
        if position:
            errors.append(forbidden_field(f"{path}.{kind}", "may not specify more than 1 volume type"))
        else:
            errors += _source_errors(f"{path}.{kind}", kind, volume[kind])
    if not sources:
        errors.append(required(path, "must specify a volume type"))
    name = volume.get("name") or ""
    errors += fields.label(f"{path}.name", name) if name else [required(f"{path}.name")]
    return errors + ([duplicate(f"{path}.name", name)] if name in taken else [])


def _source_errors(path: str, kind: str, source: Mapping[str, Any]) -> list[FieldError]:
    match kind:
        case "secret":
            return _named(f"{path}.secretName", source.get("secretName")) + _file_errors(path, source)
        case "configMap":
            return _named(f"{path}.name", source.get("name")) + _file_errors(path, source)
        case "persistentVolumeClaim":
            return _named(f"{path}.claimName", source.get("claimName"))
        case "hostPath":
            return _host_path_errors(path, source)
        case "emptyDir" if source.get("sizeLimit") is not None:
            return quantities.not_negative_errors(f"{path}.sizeLimit", source["sizeLimit"])
        case "downwardAPI":
            return _mode_errors(path, source) + _paths(path, source)
        case "nfs":
            return _named(f"{path}.server", source.get("server")) + _named(f"{path}.path", source.get("path"))
        case "ephemeral" if not source.get("volumeClaimTemplate"):
            return [required(f"{path}.volumeClaimTemplate")]
        case "projected":
            return _mode_errors(path, source) + _projection_errors(path, source)
    return []


def _named(path: str, name: str | None) -> list[FieldError]:
    return [] if name else [required(path)]


def _file_errors(path: str, source: Mapping[str, Any]) -> list[FieldError]:
    errors = _mode_errors(path, source)
    for index, item in enumerate(source.get("items") or ()):
        item_path, key = f"{path}.items[{index}]", item.get("key") or ""
        if not key:
            errors.append(required(f"{item_path}.key"))
        else:
            errors += [invalid(f"{item_path}.key", key, text) for text in config_key_texts(key)]
        errors += _path_errors(f"{item_path}.path", item.get("path") or "")
        if item.get("mode") is not None and not 0 <= item["mode"] <= 0o777:
            errors.append(invalid(f"{item_path}.mode", item["mode"], _MODE_TEXT))
    return errors


def _mode_errors(path: str, source: Mapping[str, Any]) -> list[FieldError]:
    mode = source.get("defaultMode")
    return [] if mode is None or 0 <= mode <= 0o777 else [invalid(f"{path}.defaultMode", mode, _MODE_TEXT)]


def _paths(path: str, source: Mapping[str, Any]) -> list[FieldError]:
    items = enumerate(source.get("items") or ())
    return [error for index, item in items for error in _path_errors(f"{path}.path", item.get("path") or "")]


def _path_errors(path: str, text: str) -> list[FieldError]:
    if not text:
        return [required(path)]
    if text.startswith("/"):
        return [invalid(path, text, "must be a relative path")]
    if ".." in text.split("/"):
        return [invalid(path, text, "must not contain '..'")]
    return [invalid(path, text, "must not start with '..'")] if text.startswith("..") else []


def relative_path_errors(path: str, text: str) -> list[FieldError]:
    """A path inside a volume (subPath): relative, and not leaving it."""
    if text.startswith("/"):
        return [invalid(path, text, "must be a relative path")]
    return [invalid(path, text, "must not contain '..'")] if ".." in text.split("/") else []


def _host_path_errors(path: str, source: Mapping[str, Any]) -> list[FieldError]:
    host_path = source.get("path") or ""
    if not host_path:
        return [required(f"{path}.path")]
    errors = []
    if ".." in host_path.split("/"):
        errors.append(invalid(f"{path}.path", host_path, "must not contain '..'"))
    if (source.get("type") or "") not in _HOST_PATH_TYPES:
        errors.append(fields.unsupported(f"{path}.type", source["type"], _HOST_PATH_TYPES))
    return errors


def _projection_errors(path: str, source: Mapping[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, entry in enumerate(source.get("sources") or ()):
        entry_path = f"{path}.sources[{index}]"
        kinds = [kind for kind in _PROJECTIONS if entry.get(kind) is not None]
        if len(kinds) > 1:
            errors.append(
                forbidden_field(f"{entry_path}.{kinds[1]}", "may not specify more than 1 volume type per source")
            )
        for kind in kinds[:1]:
            if kind in ("secret", "configMap"):
                errors += _named(f"{entry_path}.{kind}.name", entry[kind].get("name"))
                errors += _file_errors(f"{entry_path}.{kind}", entry[kind])
            if kind == "serviceAccountToken":
                errors += _path_errors(f"{entry_path}.{kind}.path", entry[kind].get("path") or "")
    return errors
