"""What a pod's volumes hold, worked out from the objects they name. Pure.

Source: kubernetes pkg/volume/{configmap,secret,downwardapi,projected}; texts of failures are the kubelet's.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.api.errors import EmulatorError
from emulator.api.meta import JsonObject, annotations_of, labels_of
from emulator.node.envvars import UnresolvedVariable, field_value, resource_value

DEFAULT_MODE = 0o644


class VolumeFailure(EmulatorError):
    """A volume cannot be set up yet: what it names is not there."""


@dataclass(frozen=True, slots=True)
class Files:
    """Files by relative path, with their modes; read-only to the container."""

    contents: Mapping[str, tuple[bytes, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Folder:
    """An empty folder that lives as long as the pod. In memory or not makes no difference here."""


@dataclass(frozen=True, slots=True)
class HostPath:
    path: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A folder that lives as long as the cluster, one for each claim."""

    name: str


Volume = Files | Folder | HostPath | Claim


@dataclass(frozen=True, slots=True)
class Sources:
    """The objects that volumes may name; `tokens` are texts by path of serviceAccountToken entries."""

    pod: JsonObject
    config_maps: Mapping[str, JsonObject]
    secrets: Mapping[str, JsonObject]
    allocatable: Mapping[str, str]
    token: str = ""


def volume_of(volume: Mapping[str, Any], sources: Sources) -> Volume:
    """What stands behind one entry of spec.volumes. Raises VolumeFailure."""
    if "emptyDir" in volume:
        return Folder()
    if host := volume.get("hostPath"):
        return HostPath(str(host.get("path") or ""), str(host.get("type") or ""))
    if claim := volume.get("persistentVolumeClaim"):
        return Claim(str(claim.get("claimName") or ""))
    if "ephemeral" in volume:
        return Folder()
    if given := volume.get("configMap"):
        return Files(_config_map(given, sources, _mode(given)))
    if given := volume.get("secret"):
        return Files(_secret({**given, "name": given.get("secretName")}, sources, _mode(given)))
    if given := volume.get("downwardAPI"):
        return Files(_downward(given, sources, _mode(given)))
    if given := volume.get("projected"):
        return Files(_projected(given, sources))
    kind = next((key for key in volume if key != "name"), "")
    if not kind:
        return Folder()  # what the API takes for emptyDir
    raise VolumeFailure(f"volumes of type {kind} are not emulated; use emptyDir, configMap, secret or hostPath")


def references(volume: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The objects a volume shows: ("configmap" or "secret", name)."""
    found = set()
    for given in (volume, *((volume.get("projected") or {}).get("sources") or ())):
        if given.get("configMap"):
            found.add(("configmap", str(given["configMap"].get("name") or "")))
        if given.get("secret"):
            found.add(("secret", str(given["secret"].get("secretName") or given["secret"].get("name") or "")))
    return found


def wants_token(volumes: Any) -> bool:
    """Whether some projected volume holds a serviceAccountToken."""
    return any(
        source.get("serviceAccountToken")
        for volume in volumes or ()
        for source in (volume.get("projected") or {}).get("sources") or ()
    )


Contents = dict[str, tuple[bytes, int]]


def _config_map(given: Mapping[str, Any], sources: Sources, mode: int) -> Contents:
    name = str(given.get("name") or "")
    found = sources.config_maps.get(name)
    if found is None:
        if given.get("optional"):
            return {}
        raise VolumeFailure(f'configmap "{name}" not found')
    values = {key: str(text).encode() for key, text in (found.get("data") or {}).items()}
    values |= {key: _decoded(text) for key, text in (found.get("binaryData") or {}).items()}
    return _chosen(values, given, mode)


def _secret(given: Mapping[str, Any], sources: Sources, mode: int) -> Contents:
    name = str(given.get("name") or "")
    found = sources.secrets.get(name)
    if found is None:
        if given.get("optional"):
            return {}
        raise VolumeFailure(f'secret "{name}" not found')
    values = {key: _decoded(text) for key, text in (found.get("data") or {}).items()}
    return _chosen(values, given, mode)


def _chosen(values: Mapping[str, bytes], given: Mapping[str, Any], mode: int) -> Contents:
    items = given.get("items")
    if not items:
        return {key: (value, mode) for key, value in values.items()}
    chosen: Contents = {}
    for item in items:
        key = item.get("key") or ""
        if key not in values:
            if given.get("optional"):
                continue
            raise VolumeFailure(f"references non-existent config key: {key}")
        chosen[str(item.get("path") or key)] = (values[key], _item_mode(item, mode))
    return chosen


def _downward(given: Mapping[str, Any], sources: Sources, mode: int) -> Contents:
    made: Contents = {}
    for item in given.get("items") or ():
        made[str(item["path"])] = (_downward_text(item, sources).encode(), _item_mode(item, mode))
    return made


def _downward_text(item: Mapping[str, Any], sources: Sources) -> str:
    try:
        if reference := item.get("resourceFieldRef"):
            return resource_value(sources.pod, {}, reference, sources.allocatable)
        path = (item.get("fieldRef") or {}).get("fieldPath") or ""
        if path in ("metadata.labels", "metadata.annotations"):
            held = labels_of(sources.pod) if path.endswith("labels") else annotations_of(sources.pod)
            return "\n".join(f"{key}={_quoted(held[key])}" for key in sorted(held))
        return field_value(sources.pod, path)
    except UnresolvedVariable as error:
        raise VolumeFailure(str(error)) from error


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _projected(given: Mapping[str, Any], sources: Sources) -> Contents:
    mode = _mode(given)
    made: Contents = {}
    for source in given.get("sources") or ():
        if entry := source.get("configMap"):
            made |= _config_map(entry, sources, mode)
        elif entry := source.get("secret"):
            made |= _secret(entry, sources, mode)
        elif entry := source.get("downwardAPI"):
            made |= _downward(entry, sources, mode)
        elif entry := source.get("serviceAccountToken"):
            made[str(entry.get("path") or "token")] = (sources.token.encode(), 0o600)
    return made


def _mode(given: Mapping[str, Any]) -> int:
    mode = given.get("defaultMode")
    return DEFAULT_MODE if mode is None else int(mode)


def _item_mode(item: Mapping[str, Any], mode: int) -> int:
    return mode if item.get("mode") is None else int(item["mode"])


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        return b""
