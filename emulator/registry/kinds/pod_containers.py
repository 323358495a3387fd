"""What is wrong with a pod's containers: names, images, ports, variables, mounts, resources, probes.

Source: pkg/apis/core/validation/validation.go (validateContainers, validateInitContainers, validateContainerCommon).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.api import names
from emulator.api.errors import FieldError, duplicate, forbidden_field, invalid, not_found_field, required
from emulator.registry.kinds import fields
from emulator.registry.kinds.pod_environment import env_errors, env_from_errors
from emulator.registry.kinds.pod_probes import handler_errors, probe_errors
from emulator.registry.kinds.pod_resources import resource_requirement_errors
from emulator.registry.kinds.pod_security import security_errors
from emulator.registry.kinds.pod_volumes import relative_path_errors

Container = Mapping[str, Any]

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
RESTART_POLICIES = ("Always", "Never", "OnFailure")
_NOT_FOR_INIT = "may not be set for init containers without restartPolicy=Always"


@dataclass(frozen=True, slots=True)
class PodParts:
    """What the checks of one container need to know of its pod."""

    volumes: frozenset[str]
    grace_seconds: int | None


def container_errors(path: str, containers: Sequence[Container], pod: PodParts) -> list[FieldError]:
    """Mistakes of the regular containers."""
    if not containers:
        return [required(path)]
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, container in enumerate(containers):
        at, name = f"{path}[{index}]", container.get("name") or ""
        errors += common_errors(at, container, pod)
        if name in seen:
            errors.append(duplicate(f"{at}.name", name))
        seen.add(name)
        errors += _running_errors(at, container, pod)
        errors += _restart_policy_errors(at, container)
    return errors + _host_port_conflicts(path, containers)


def init_container_errors(
    path: str, containers: Sequence[Container], regular: Sequence[Container], pod: PodParts
) -> list[FieldError]:
    """Mistakes of the init containers; those that restart always (sidecars) may have probes and hooks."""
    errors: list[FieldError] = []
    seen = {container.get("name") or "" for container in regular}
    for index, container in enumerate(containers):
        at, name = f"{path}[{index}]", container.get("name") or ""
        errors += common_errors(at, container, pod)
        errors += _restart_policy_errors(at, container)
        if name in seen:
            errors.append(duplicate(f"{at}.name", name))
        elif name:
            seen.add(name)
        errors += _host_port_conflicts(path, [container])
        if container.get("restartPolicy") == "Always":
            errors += _running_errors(at, container, pod)
            continue
        forbidden = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
        errors += [
            forbidden_field(f"{at}.{part}", _NOT_FOR_INIT) for part in forbidden if container.get(part) is not None
        ]
    return errors


def image_space_errors(path: str, containers: Sequence[Container]) -> list[FieldError]:
    """Blanks around an image, which only Pods refuse, not templates."""
    text = "must not have leading or trailing whitespace"
    return [
        invalid(f"{path}[{index}].image", container["image"], text)
        for index, container in enumerate(containers)
        if container.get("image") and container["image"] != container["image"].strip()
    ]


def common_errors(path: str, container: Container, pod: PodParts) -> list[FieldError]:
    """Mistakes that are ones in a container of any sort."""
    name = container.get("name") or ""
    errors = fields.label(f"{path}.name", name) if name else [required(f"{path}.name")]
    if not container.get("image"):
        errors.append(required(f"{path}.image"))
    policy = container.get("terminationMessagePolicy")
    if policy not in ("File", "FallbackToLogsOnError"):
        choices = ("File", "FallbackToLogsOnError")
        errors.append(fields.unsupported(f"{path}.terminationMessagePolicy", policy, choices))
    errors += _port_errors(f"{path}.ports", container.get("ports") or ())
    errors += env_errors(f"{path}.env", container.get("env") or ())
    errors += env_from_errors(f"{path}.envFrom", container.get("envFrom") or ())
    errors += _mount_errors(f"{path}.volumeMounts", container.get("volumeMounts") or (), pod.volumes)
    errors += fields.one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), PULL_POLICIES)
    errors += resource_requirement_errors(f"{path}.resources", container.get("resources") or {})
    return errors + security_errors(f"{path}.securityContext", container.get("securityContext") or {})


def _running_errors(path: str, container: Container, pod: PodParts) -> list[FieldError]:
    errors: list[FieldError] = []
    lifecycle = container.get("lifecycle") or {}
    for hook in ("postStart", "preStop"):
        if lifecycle.get(hook) is not None:
            errors += handler_errors(f"{path}.lifecycle.{hook}", lifecycle[hook], pod.grace_seconds)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            errors += probe_errors(f"{path}.{name}", name, container[name])
    return errors


def _restart_policy_errors(path: str, container: Container) -> list[FieldError]:
    policy = container.get("restartPolicy")
    if policy is None:
        text = "must specify restartPolicy when restart rules are used"
        return [required(f"{path}.restartPolicy", text)] if container.get("restartPolicyRules") else []
    if policy in RESTART_POLICIES:
        return []
    return [fields.unsupported(f"{path}.restartPolicy", policy, RESTART_POLICIES)]


def _port_errors(path: str, ports: Sequence[Container]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at, name = f"{path}[{index}]", port.get("name") or ""
        if name:
            texts = names.port_name(name)
            errors += [invalid(f"{at}.name", name, text) for text in texts]
            if not texts and name in seen:
                errors.append(duplicate(f"{at}.name", name))
            if not texts:
                seen.add(name)
        number = port.get("containerPort") or 0
        errors += fields.port_number(f"{at}.containerPort", number) if number else [required(f"{at}.containerPort")]
        if port.get("hostPort"):
            errors += fields.port_number(f"{at}.hostPort", port["hostPort"])
        errors += fields.one_of(f"{at}.protocol", port.get("protocol"), fields.PROTOCOLS)
    return errors


def _host_port_conflicts(path: str, containers: Sequence[Container]) -> list[FieldError]:
    errors: list[FieldError] = []
    taken: set[str] = set()
    for index, container in enumerate(containers):
        for at, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            shown = f"{port.get('protocol')}/{port.get('hostIP') or ''}/{port['hostPort']}"
            if shown in taken:
                errors.append(duplicate(f"{path}[{index}].ports[{at}].hostPort", shown))
            taken.add(shown)
    return errors


def _mount_errors(path: str, mounts: Sequence[Container], volumes: frozenset[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        at, name, mount_path = f"{path}[{index}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.append(required(f"{at}.name"))
        if name not in volumes:
            errors.append(not_found_field(f"{at}.name", name))
        if not mount_path:
            errors.append(required(f"{at}.mountPath"))
        if mount_path in seen:
            errors.append(invalid(f"{at}.mountPath", mount_path, "must be unique"))
        seen.add(mount_path)
        if mount.get("subPath"):
            errors += relative_path_errors(f"{path}.subPath", mount["subPath"])  # upstream's path, without the index
        if mount.get("subPathExpr"):
            if mount.get("subPath"):
                text = "subPathExpr and subPath are mutually exclusive"
                errors.append(invalid(f"{at}.subPathExpr", mount["subPathExpr"], text))
            errors += relative_path_errors(f"{path}.subPathExpr", mount["subPathExpr"])
    return errors
