"""The ephemeral containers of a running pod: what they may have, and that they may only come, never go or change.

Source: pkg/apis/core/validation/validation.go (validateEphemeralContainers, ValidatePodEphemeralContainersUpdate),
pkg/registry/core/pod/strategy.go (podEphemeralContainersStrategy).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from emulator.api.errors import FieldError, duplicate, forbidden_field, not_found_field
from emulator.api.meta import JsonObject, annotations_of
from emulator.registry.kinds.pod_containers import PodParts, common_errors, image_space_errors

MIRROR = "kubernetes.io/config.mirror"
NOT_ALLOWED = "cannot be set for an Ephemeral Container"
FORBIDDEN_FIELDS = (
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
)


def keep_all_else(pod: JsonObject, old: JsonObject) -> None:
    """A write there changes the ephemeral containers and nothing else."""
    containers, version = pod["spec"].get("ephemeralContainers"), pod["metadata"].get("resourceVersion")
    managed = pod["metadata"].get("managedFields")
    kept = copy.deepcopy(dict(old))
    pod.clear()
    pod.update(kept)
    if version is not None:
        pod["metadata"]["resourceVersion"] = version
    if managed is not None:
        pod["metadata"]["managedFields"] = managed
    pod["spec"].pop("ephemeralContainers", None)
    if containers:
        pod["spec"]["ephemeralContainers"] = containers


def ephemeral_container_errors(path: str, spec: Mapping[str, Any]) -> list[FieldError]:
    """Mistakes of each ephemeral container by itself and next to the others."""
    others = {each["name"] for part in ("containers", "initContainers") for each in spec.get(part) or ()}
    parts = PodParts(
        volumes=frozenset(each.get("name") or "" for each in spec.get("volumes") or ()),
        grace_seconds=spec.get("terminationGracePeriodSeconds"),
    )
    errors: list[FieldError] = []
    seen = set(others)
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        at, name = f"{path}[{index}]", container.get("name") or ""
        errors += common_errors(at, container, parts)
        if name in seen:
            errors.append(duplicate(f"{at}.name", name))
        seen.add(name)
        target = container.get("targetContainerName")
        if target and target not in others:
            errors.append(not_found_field(f"{at}.targetContainerName", target))
        errors += [forbidden_field(f"{at}.{field}", NOT_ALLOWED) for field in FORBIDDEN_FIELDS if container.get(field)]
        for number, mount in enumerate(container.get("volumeMounts") or ()):
            errors += [
                forbidden_field(f"{at}.volumeMounts[{number}].{field}", NOT_ALLOWED)
                for field in ("subPath", "subPathExpr")
                if mount.get(field)
            ]
    return errors + image_space_errors(path, spec.get("ephemeralContainers") or ())


def ephemeral_change_errors(path: str, pod: JsonObject, old: JsonObject) -> list[FieldError]:
    """Mistakes of the change."""
    if MIRROR in annotations_of(old):
        return [forbidden_field("", "static pods do not support ephemeral containers")]
    now = {each.get("name"): each for each in pod["spec"].get("ephemeralContainers") or ()}
    errors: list[FieldError] = []
    for before in old["spec"].get("ephemeralContainers") or ():
        name = before.get("name")
        if name not in now:
            errors.append(forbidden_field(path, f'existing ephemeral containers "{name}" may not be removed\n'))
        elif now[name] != before:
            shown = f"{json.dumps(before, sort_keys=True)} -> {json.dumps(now[name], sort_keys=True)}"
            errors.append(forbidden_field(path, f'existing ephemeral containers "{name}" may not be changed\n{shown}'))
    return errors
