"""Tables of Node, Namespace, Event, ConfigMap and Secret.

Source: pkg/printers/internalversion/printers.go (printNode, printNamespace, printEvent, ...).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from emulator.api.meta import JsonObject, condition_of, labels_of
from emulator.apiserver.cells import AGE, NAME, NONE, UNKNOWN, Column, age, name_of, since

ROLE_PREFIX, ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"

NODE = (
    NAME,
    Column("Status", "Whether Pods run and may be scheduled there."),
    Column("Roles", "Its role labels."),
    AGE,
    Column("Version", "Of its kubelet."),
    Column("Internal-IP", "Its address in the cluster.", wide=True),
    Column("External-IP", "Its address outside.", wide=True),
    Column("OS-Image", "Its operating system.", wide=True),
    Column("Kernel-Version", "Its kernel and architecture.", wide=True),
    Column("Container-Runtime", "What runs its containers.", wide=True),
)
COMPONENT_STATUS = (
    NAME,
    Column("Status", "Healthy or not."),
    Column("Message", "What it says of itself."),
    Column("Error", "What is wrong."),
)
NAMESPACE = (NAME, Column("Status", "Active or Terminating."), AGE)
EVENT = (
    Column("Last Seen", "When it happened last."),
    Column("Type", "Normal or Warning."),
    Column("Reason", "Why, in one word."),
    Column("Object", "What it is about."),
    Column("Subobject", "The part of it.", wide=True),
    Column("Source", "Who reports it.", wide=True),
    Column("Message", "What happened."),
    Column("First Seen", "When it happened first.", wide=True),
    Column("Count", "How often it happened.", wide=True),
    Column("Name", "The name, unique in its namespace.", wide=True),
)
CONFIG_MAP = (NAME, Column("Data", "The number of its keys."), AGE)
SECRET = (NAME, Column("Type", "What it is for."), Column("Data", "The number of its keys."), AGE)


def node_cells(node: JsonObject, at: datetime) -> list[Any]:
    info = (node.get("status") or {}).get("nodeInfo") or {}
    return [
        name_of(node),
        _node_status(node),
        ",".join(_roles(node)) or NONE,
        age(node, at),
        info.get("kubeletVersion", ""),
        _address(node, "InternalIP"),
        _address(node, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        _kernel(info),
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _kernel(info: Mapping[str, str]) -> str:
    version = info.get("kernelVersion") or UNKNOWN
    return f"{version} ({info['architecture']})" if info.get("architecture") else version


def _node_status(node: JsonObject) -> str:
    ready = condition_of(node, "Ready")
    text = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{text},SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else text


def _roles(node: JsonObject) -> list[str]:
    roles = set()
    for key, value in labels_of(node).items():
        if key.startswith(ROLE_PREFIX) and len(key) > len(ROLE_PREFIX):
            roles.add(key.removeprefix(ROLE_PREFIX))
        elif key == ROLE_LABEL and value:
            roles.add(value)
    return sorted(roles)


def _address(node: JsonObject, kind: str) -> str:
    addresses = (node.get("status") or {}).get("addresses") or ()
    return next((entry.get("address", "") for entry in addresses if entry.get("type") == kind), NONE)


def namespace_cells(namespace: JsonObject, at: datetime) -> list[Any]:
    return [name_of(namespace), (namespace.get("status") or {}).get("phase", ""), age(namespace, at)]


def event_cells(event: JsonObject, at: datetime) -> list[Any]:
    involved, series = event.get("involvedObject") or {}, event.get("series")
    first = since(event.get("firstTimestamp") or event.get("eventTime"), at)
    last = since(event["lastTimestamp"], at) if event.get("lastTimestamp") else first
    count = event.get("count") or 1
    if series is not None:
        last, count = since(series.get("lastObservedTime"), at), series.get("count", 0)
    kind, name = (involved.get("kind") or "").lower(), involved.get("name")
    return [
        last,
        event.get("type", ""),
        event.get("reason", ""),
        f"{kind}/{name}" if name else kind,
        involved.get("fieldPath", ""),
        _source(event),
        (event.get("message") or "").strip(),
        first,
        count,
        name_of(event),
    ]


def _source(event: Mapping[str, Any]) -> str:
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent") or ""
    instance = source.get("host") or event.get("reportingInstance") or ""
    return f"{component}, {instance}" if instance else str(component)


def config_map_cells(config_map: JsonObject, at: datetime) -> list[Any]:
    count = len(config_map.get("data") or ()) + len(config_map.get("binaryData") or ())
    return [name_of(config_map), count, age(config_map, at)]


def secret_cells(secret: JsonObject, at: datetime) -> list[Any]:
    return [name_of(secret), secret.get("type", ""), len(secret.get("data") or ()), age(secret, at)]


def component_status_cells(component: JsonObject, at: datetime) -> list[Any]:
    found = condition_of({"status": component}, "Healthy") or {}  # its conditions stand outside
    status = ("Healthy" if found.get("status") == "True" else "Unhealthy") if found else "Unknown"
    return [name_of(component), status, found.get("message") or "", found.get("error") or ""]
