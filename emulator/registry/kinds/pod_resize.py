"""pods/resize: the resources of containers change, and nothing else does.

Source: pkg/apis/core/validation/validation.go (ValidatePodResize), pkg/registry/core/pod/strategy.go (podResizeStrategy).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from emulator.api.errors import FieldError, forbidden_field, invalid
from emulator.api.meta import JsonObject, annotations_of
from emulator.registry.kinds.pod_ephemeral import MIRROR

PARTS = ("containers", "initContainers")
RESIZABLE = ("cpu", "memory")
FIELDS = ("limits", "requests")


def keep_all_but_resources(pod: JsonObject, old: JsonObject) -> None:
    """A write there changes the resources of containers and nothing else."""
    asked = {part: pod["spec"].get(part) or [] for part in PARTS}
    version, managed = pod["metadata"].get("resourceVersion"), pod["metadata"].get("managedFields")
    kept = copy.deepcopy(dict(old))
    pod.clear()
    pod.update(kept)
    for name, value in (("resourceVersion", version), ("managedFields", managed)):
        if value is not None:
            pod["metadata"][name] = value
    for part in PARTS:
        held = pod["spec"].get(part) or []
        if [each.get("name") for each in held] != [each.get("name") for each in asked[part]]:
            pod["spec"][part] = asked[part]  # validation says what is wrong with that
            continue
        for container, wanted in zip(held, asked[part], strict=True):
            container["resources"] = wanted.get("resources") or {}


def resize_errors(pod: JsonObject, old: JsonObject, old_class: str, new_class: str) -> list[FieldError]:
    """Mistakes of the change. old_class, new_class: quality of service before and after."""
    if MIRROR in annotations_of(old):
        return [forbidden_field("", "static pods cannot be resized")]
    errors: list[FieldError] = []
    for part in PARTS:
        now, before = pod["spec"].get(part) or [], old["spec"].get(part) or []
        if [each.get("name") for each in now] != [each.get("name") for each in before]:
            text = f"{part} may not be renamed or reordered on resize"
            return [forbidden_field(f"spec.{part}", text)]
        for index, (container, held) in enumerate(zip(now, before, strict=True)):
            path = f"spec.{part}[{index}].resources"
            errors += _resource_errors(path, part, container, held)
    if not errors and old_class != new_class:
        text = "Pod QOS Class may not change as a result of resizing"
        errors.append(invalid("spec", new_class, text))
    return errors


def _resource_errors(
    path: str, part: str, container: Mapping[str, Any], held: Mapping[str, Any]
) -> Iterator[FieldError]:
    now, before = container.get("resources") or {}, held.get("resources") or {}
    if part == "initContainers" and held.get("restartPolicy") != "Always" and now != before:
        yield forbidden_field(path, "resources for non-sidecar init containers are immutable")
        return
    for name in FIELDS:
        given, earlier = now.get(name) or {}, before.get(name) or {}
        for resource in sorted({*given, *earlier}):
            if given.get(resource) == earlier.get(resource):
                continue
            if resource not in RESIZABLE:
                yield forbidden_field("spec", "only cpu and memory resources are mutable")
            elif resource not in given:
                yield forbidden_field(f"{path}.{name}", f"resource {name} cannot be removed")
