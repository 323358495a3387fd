"""From flags, environment and kubemu.yaml to one ClusterConfig; every mistake names where it stands.

Precedence: flags, then KUBEMU_* variables, then the file, then defaults. Reads no file itself: texts come in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from emulator.api.errors import ConfigError
from emulator.api.meta import JsonObject
from emulator.config.imagefile import parse_images
from emulator.config.images import ImageRule
from emulator.config.presets import address_plan
from emulator.config.settings import ClusterConfig, NetworkMode

API_VERSION, KIND = "kubemu.dev/v1alpha1", "ClusterConfig"

CHOICES: dict[str, tuple[str, ...]] = {
    "network": ("auto", "sandbox", "loopback", "host"),
    "preset": ("microk8s", "kubeadm", "k3s"),
    "load-balancer": ("assign", "pending"),
    "runtime": ("simulate", "process"),
}
NUMBERS = {"nodes": (0, 200), **dict.fromkeys(("api-port", "dns-port", "http-port", "https-port"), (0, 65535))}
SWITCHES = ("isolated", "insecure-http", "ingress")
TEXTS = ("name", "service-cidr", "pod-cidr", "store")
SETTINGS = (*CHOICES, *NUMBERS, *SWITCHES, *TEXTS)
"""Every setting by its flag's name; the environment has KUBEMU_DNS_PORT, the file dnsPort, for `dns-port`."""


@dataclass(frozen=True, slots=True)
class FileConfig:
    """What a kubemu.yaml holds: settings by flag name, the Services of its short form, the programs of images."""

    settings: dict[str, Any] = field(default_factory=dict)
    services: dict[str, Any] = field(default_factory=dict)
    images: tuple[ImageRule, ...] = ()


def camel(setting: str) -> str:
    head, *rest = setting.split("-")
    return head + "".join("CIDR" if word == "cidr" else word.capitalize() for word in rest)


def parse_file(text: str, filename: str, folder: str = "") -> FileConfig:
    """The settings of a kubemu.yaml; relative paths in it are relative to `folder`.

    Raises ConfigError naming file and line.
    """
    try:
        root = yaml.compose(text)
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(yaml_problem(error, filename)) from error
    if document is None:
        return FileConfig()
    if not isinstance(root, yaml.MappingNode) or not isinstance(document, dict):
        raise ConfigError(f"{filename}:1: a mapping with apiVersion {API_VERSION} and kind {KIND} is expected")
    if document.get("apiVersion") != API_VERSION or document.get("kind") != KIND:
        raise ConfigError(f"{filename}:1: apiVersion must be {API_VERSION} and kind {KIND}")
    by_key = {camel(setting): setting for setting in SETTINGS}
    settings: dict[str, Any] = {}
    images: tuple[ImageRule, ...] = ()
    for key_node, value_node in root.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in ("apiVersion", "kind", "services"):
            continue
        if key == "images":
            images = parse_images(value_node, filename, folder)
            continue
        if key not in by_key:
            raise ConfigError(
                f"{filename}:{line}: unknown key {key!r}; known are {', '.join(sorted(by_key))}, images, services"
            )
        settings[by_key[key]] = checked(by_key[key], document[key], f"{filename}:{line}: {key}")
    services = document.get("services") or {}
    if not isinstance(services, dict):
        raise ConfigError(f"{filename}: services must be a mapping of Service names")
    expand_services(services, filename)
    return FileConfig(settings, services, images)


def yaml_problem(error: yaml.YAMLError, filename: str) -> str:
    """One line for a YAML error: file, line, what is wrong."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{filename}:{mark.line + 1 if mark else 1}: {problem}"


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Settings given as KUBEMU_* variables. Raises ConfigError."""
    found: dict[str, Any] = {}
    for setting in SETTINGS:
        variable = "KUBEMU_" + setting.upper().replace("-", "_")
        if environment.get(variable):
            found[setting] = checked(setting, environment[variable], variable)
    return found


def checked(setting: str, value: Any, where: str) -> Any:
    """The value in its type. Raises ConfigError that begins with `where`."""
    if setting in CHOICES:
        if value not in CHOICES[setting]:
            raise ConfigError(f"{where}: {value!r} is not one of {', '.join(CHOICES[setting])}")
        return value
    if setting in NUMBERS:
        low, high = NUMBERS[setting]
        try:
            number = int(value) if not isinstance(value, bool) else -1
        except (TypeError, ValueError):
            number = -1
        if not low <= number <= high:
            raise ConfigError(f"{where}: {value!r} is not a number from {low} to {high}")
        return number
    if setting in SWITCHES:
        if isinstance(value, bool):
            return value
        if str(value).lower() in ("1", "true", "yes", "0", "false", "no"):
            return str(value).lower() in ("1", "true", "yes")
        raise ConfigError(f"{where}: {value!r} is neither true nor false")
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {value!r} is not a text")
    return value


def merged(flags: Mapping[str, Any], environment: Mapping[str, str], file: FileConfig) -> dict[str, Any]:
    """All settings given anywhere, the stronger source winning; flags that are None were not given."""
    given = {name: checked(name, value, f"--{name}") for name, value in flags.items() if value is not None}
    return {**file.settings, **from_environment(environment), **given}


def build_config(settings: Mapping[str, Any], mode: NetworkMode, images: tuple[ImageRule, ...] = ()) -> ClusterConfig:
    """The frozen config of a cluster whose network mode is decided. Raises ConfigError."""
    if settings.get("store", "memory") != "memory":
        raise ConfigError(f"store: {settings['store']!r} is not available; use memory")
    plan = address_plan(
        settings.get("preset", "microk8s"),
        mode,
        service_cidr=settings.get("service-cidr"),
        pod_cidr=settings.get("pod-cidr"),
    )
    plain = {
        name.replace("-", "_"): value
        for name, value in settings.items()
        if name not in ("network", "service-cidr", "pod-cidr")
    }
    return ClusterConfig(network=mode, addresses=plan, images=images, **plain)


def expand_services(services: Mapping[str, Any], filename: str = "kubemu.yaml") -> list[JsonObject]:
    """The objects of the short form `services: {webapp: {port: 8080, to: "localhost:3000"}}`.

    Each becomes a Service and a Pod backed by the process at `to`. Raises ConfigError.
    """
    objects: list[JsonObject] = []
    for name, entry in services.items():
        where = f"{filename}: services.{name}"
        if not isinstance(entry, dict):
            raise ConfigError(f"{where}: a mapping with port and to is expected")
        unknown = set(entry) - {"port", "to", "namespace"}
        if unknown:
            raise ConfigError(f"{where}: unknown key {min(unknown)!r}; known are port, to, namespace")
        port = entry.get("port")
        if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
            raise ConfigError(f"{where}.port: {port!r} is not a port number")
        backend = parse_backend(entry.get("to"), f"{where}.to")
        objects += backed_service(name, entry.get("namespace", "default"), port, backend)
    return objects


def parse_backend(text: Any, where: str) -> str:
    """`HOST:PORT` checked. Raises ConfigError."""
    host, _, port = str(text).rpartition(":")
    if not host or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ConfigError(f"{where}: {text!r} is not HOST:PORT, such as localhost:3000")
    return f"{host}:{port}"


def backed_service(name: str, namespace: str, port: int, backend: str) -> list[JsonObject]:
    """A Service and the Pod that stands for the process at `backend`."""
    labels = {"kubemu.dev/mapped": name}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"selector": labels, "ports": [{"port": port}]},
        },
        backing_pod(f"{name}-mapped", namespace, labels, [port], backend),
    ]


def backing_pod(name: str, namespace: str, labels: Mapping[str, str], ports: list[int], backend: str) -> JsonObject:
    """A Pod whose traffic goes to a process of the host (annotation kubemu.dev/backend)."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(labels),
            "annotations": {"kubemu.dev/backend": backend},
        },
        "spec": {
            "containers": [
                {"name": "mapped", "image": "kubemu.dev/mapped", "ports": [{"containerPort": p} for p in ports]}
            ]
        },
    }
