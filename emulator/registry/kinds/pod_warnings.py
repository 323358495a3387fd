"""Warnings about a pod spec: legal settings that do not do what they seem to. Pods and templates share them.

Source: pkg/api/pod/warnings.go, pkg/api/node/util.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emulator.registry.kinds import quantities

Spec = Mapping[str, Any]

_DEPRECATED_LABELS = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}
_BYTES = ("memory", "ephemeral-storage")


def spec_warnings(spec: Spec, path: str) -> list[str]:
    """path: `spec` or `spec.template.spec`."""
    return [
        *_label_warnings(spec, path),
        *_list_warnings(spec, path),
        *_container_warnings(spec, path),
        *_port_warnings(spec, path),
        *_grace_warnings(spec, path),
    ]


def _label_warnings(spec: Spec, path: str) -> Iterator[str]:
    for key in sorted(spec.get("nodeSelector") or {}):
        if text := _deprecation(key):
            yield f"{path}.nodeSelector[{key}]: {text}"
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        at, key = f"{path}.topologySpreadConstraints[{index}]", constraint.get("topologyKey") or ""
        if text := _deprecation(key):
            yield f"{at}.topologyKey: {key} is {text}"
        if constraint.get("labelSelector") is None:
            yield f"{at}.labelSelector: a null labelSelector results in matching no pod"


def _deprecation(label: str) -> str:
    if label not in _DEPRECATED_LABELS:
        return ""
    since, instead = _DEPRECATED_LABELS[label]
    return f'deprecated since {since}; use "{instead}" instead'


def _list_warnings(spec: Spec, path: str) -> Iterator[str]:
    for part, key, noun in (("hostAliases", "ip", "ip"), ("imagePullSecrets", "name", "name")):
        seen: set[str] = set()
        for index, entry in enumerate(spec.get(part) or ()):
            value = entry.get(key) or ""
            if value in seen:
                yield f'{path}.{part}[{index}].{key}: duplicate {noun} "{value}"'
            seen.add(value)
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'


def _containers(spec: Spec, path: str) -> Iterator[tuple[str, Spec]]:
    for part in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(part) or ()):
            yield f"{path}.{part}[{index}]", container


def _container_warnings(spec: Spec, path: str) -> Iterator[str]:
    for at, container in _containers(spec, path):
        resources = container.get("resources") or {}
        for name in _BYTES:
            for part in ("limits", "requests"):
                quantity = (resources.get(part) or {}).get(name)
                number = None if quantity is None else quantities.value(quantity)
                if number is not None and number.denominator != 1:
                    text = f'fractional byte value "{quantities.canonical(quantity)}" is invalid, must be an integer'
                    yield f"{at}.resources.{part}[{name}]: {text}"
        yield from _env_warnings(at, container)


def _env_warnings(path: str, container: Spec) -> Iterator[str]:
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name, value = variable.get("name") or "", variable.get("value") or ""
        reference = f"$({name})"
        # X=$(X)more builds on the earlier value; anything else throws it away.
        extends = variable.get("valueFrom") is None and reference in value and value != reference
        if name in seen and not extends:
            yield f'{path}.env[{index}]: hides previous definition of "{name}", which may be dropped when using apply'
        seen.add(name)


def _port_warnings(spec: Spec, path: str) -> Iterator[str]:
    known: dict[tuple[Any, Any], list[tuple[str, Spec]]] = {}
    for container_path, container in _containers(spec, path):
        for index, port in enumerate(container.get("ports") or ()):
            at = f"{container_path}.ports[{index}]"
            others = known.setdefault((port.get("containerPort"), port.get("protocol")), [])
            for other_at, other in others:
                if text := _overlap(port, other):
                    yield f"{at}: {text} port definition with {other_at}"
            others.append((at, port))


def _overlap(port: Spec, other: Spec) -> str:
    host_ports = port.get("hostPort") or 0, other.get("hostPort") or 0
    host_ips = port.get("hostIP") or "", other.get("hostIP") or ""
    if host_ports[0] == host_ports[1] and host_ips[0] == host_ips[1]:
        return "duplicate"
    if 0 in host_ports:
        return "overlapping"
    one_unset = (host_ips[0] == "") != (host_ips[1] == "")
    return "dangerously ambiguous" if host_ports[0] == host_ports[1] and one_unset else ""


def _grace_warnings(spec: Spec, path: str) -> Iterator[str]:
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{path}.terminationGracePeriodSeconds: {text}"
