"""Nodes in trouble: what nobody hears of any more becomes Unknown, taints tell it, its pods stop being ready. Pure.

Only nodes with a Lease are watched for silence: an object that somebody made by hand has no kubelet to fall silent.
Source: pkg/controller/nodelifecycle/node_lifecycle_controller.go, pkg/controller/util/node/controller_utils.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from emulator.api.kinds import LEASE, NODE, POD
from emulator.api.meta import JsonObject, ObjectKey, annotations_of, condition_of, format_time, parse_time
from emulator.client.index import Change
from emulator.controllers.changes import NOTHING, Changes, Controller, View, Write, own_key
from emulator.controllers.owned import told

COMPONENT = "node-controller"
LEASES = "kube-node-lease"
GRACE_ANNOTATION = "kubemu.dev/grace-seconds"
GRACE_SECONDS = 40.0  # kube-controller-manager --node-monitor-grace-period
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
CORDON = "node.kubernetes.io/unschedulable"
CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
TAINTED_BY = {  # condition, status -> taint
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
}
OWN_TAINTS = frozenset({*TAINTED_BY.values(), CORDON})


def plan_node(key: ObjectKey, view: View, at: datetime) -> Changes:
    """One step for a node: its silence noted, then its taints, then its pods."""
    node = view.get(NODE, key.name)
    if node is None or node["metadata"].get("deletionTimestamp"):
        return NOTHING
    left = silent_in_seconds(node, view.get(LEASE, key.name, LEASES), at)
    if left is not None and left <= 0 and _ready(node) not in (None, "Unknown"):
        lost = {**node, "status": {**(node.get("status") or {}), "conditions": _unknown(node, at)}}
        return Changes((Write(NODE, lost, "status"),), events=_told_of_change(node, at))
    retry = left if left is not None and left > 0 else None
    taints = wanted_taints(node, at)
    if taints != (node["spec"].get("taints") or []):
        spec = {name: value for name, value in node["spec"].items() if name != "taints"}
        changed = {**node, "spec": {**spec, **({"taints": taints} if taints else {})}}
        return Changes((Write(NODE, changed),), retry_after_seconds=retry)
    if _ready(node) in ("False", "Unknown"):
        marked = _unready_pods(key.name, view, at)
        return Changes(marked.updates, events=marked.events, retry_after_seconds=retry)
    return Changes(retry_after_seconds=retry)


def silent_in_seconds(node: Mapping[str, Any], lease: Mapping[str, Any] | None, at: datetime) -> float | None:
    """When the node counts as silent; below 0 when it does already, None when nobody expects to hear of it."""
    renewed = ((lease or {}).get("spec") or {}).get("renewTime")
    if not renewed:
        return None
    return (parse_time(renewed) + timedelta(seconds=grace_seconds(node)) - at).total_seconds()


def grace_seconds(node: Mapping[str, Any]) -> float:
    try:
        return max(float(annotations_of(node).get(GRACE_ANNOTATION, GRACE_SECONDS)), 0.0)
    except ValueError:
        return GRACE_SECONDS


def wanted_taints(node: Mapping[str, Any], at: datetime) -> list[JsonObject]:
    """The node's taints with those that its conditions and its cordon ask for, and without those they no longer do."""
    spec, held = node["spec"], list(node["spec"].get("taints") or ())
    wanted = []
    for type, status in (("Ready", "False"), ("Ready", "Unknown")):
        if _status_of(node, type) == status:
            wanted.append((TAINTED_BY[type, status], "NoExecute"))
    wanted += [(key, "NoSchedule") for (type, status), key in TAINTED_BY.items() if _status_of(node, type) == status]
    if spec.get("unschedulable"):
        wanted.append((CORDON, "NoSchedule"))
    kept = [each for each in held if not _is_own(each) or (each["key"], each["effect"]) in wanted]
    present = {(each["key"], each.get("effect")) for each in kept}
    added = [{"key": key, "effect": effect, "timeAdded": format_time(at)} for key, effect in wanted]
    return kept + [each for each in added if (each["key"], each["effect"]) not in present]


def _is_own(taint: Mapping[str, Any]) -> bool:
    execute = taint.get("effect") == "NoExecute" and taint["key"] in (NOT_READY, UNREACHABLE)
    return execute or (taint.get("effect") == "NoSchedule" and taint["key"] in OWN_TAINTS)


def _status_of(node: Mapping[str, Any], type: str) -> str | None:
    return (condition_of(node, type) or {}).get("status")


def _ready(node: Mapping[str, Any]) -> str | None:
    return _status_of(node, "Ready")


def _unknown(node: Mapping[str, Any], at: datetime) -> list[JsonObject]:
    found = []
    for condition in (node.get("status") or {}).get("conditions") or ():
        if condition["type"] in CONDITIONS and condition["status"] != "Unknown":
            condition = {
                **condition,
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": format_time(at),
            }
        found.append(condition)
    return found


def _told_of_change(node: JsonObject, at: datetime) -> tuple[JsonObject, ...]:
    message = f"Node {node['metadata']['name']} status is now: NodeNotReady"
    return (told(COMPONENT, node, NODE, "NodeNotReady", message, at),)


def _unready_pods(node: str, view: View, at: datetime) -> Changes:
    """The node's pods, no longer ready: nobody there vouches for them."""
    updates, events = [], []
    for pod in view.all(POD):
        ready = condition_of(pod, "Ready")
        if pod["spec"].get("nodeName") != node or ready is None or ready["status"] != "True":
            continue
        since = {"status": "False", "lastTransitionTime": format_time(at)}
        conditions = [{**each, **since} if each is ready else each for each in pod["status"]["conditions"]]
        updates.append(Write(POD, {**pod, "status": {**pod["status"], "conditions": conditions}}, "status"))
        events.append(told(COMPONENT, pod, POD, "NodeNotReady", "Node is not ready", at, type="Warning"))
    return Changes(tuple(updates), events=tuple(events))


def _node_of_lease(change: Change, view: View) -> Iterable[ObjectKey]:
    """A lease that goes on is no news; one that comes after silence is told by the node's own status."""
    if change.key.namespace != LEASES or change.type != "ADDED":
        return ()
    return (ObjectKey("", change.key.name),)


def _troubled_node_of_pod(change: Change, view: View) -> Iterable[ObjectKey]:
    name = change.object["spec"].get("nodeName")
    if not name or (condition_of(change.object, "Ready") or {}).get("status") != "True":
        return ()
    node = view.get(NODE, name)
    return () if node is None or _ready(node) in (None, "True") else (ObjectKey("", name),)


@dataclass(slots=True)
class NodeLifecycle:
    """Which nodes it knows of, by name: one that comes or goes is told of once."""

    known: dict[str, JsonObject] = field(default_factory=dict)

    def plan(self, key: ObjectKey, view: View, at: datetime) -> Changes:
        changes = plan_node(key, view, at)
        node, before = view.get(NODE, key.name), self.known.get(key.name)
        if (node or {}).get("metadata", {}).get("uid") == (before or {}).get("metadata", {}).get("uid"):
            return changes
        told_of = []
        if before is not None:
            del self.known[key.name]
            told_of.append(_told_of_node(before, "RemovingNode", "Removing Node {} from Controller", at))
        if node is not None:
            self.known[key.name] = node
            told_of.append(_told_of_node(node, "RegisteredNode", "Registered Node {} in Controller", at))
        return replace(changes, events=(*told_of, *changes.events))


def _told_of_node(node: JsonObject, reason: str, text: str, at: datetime) -> JsonObject:
    name = node["metadata"]["name"]
    return told(COMPONENT, node, NODE, reason, f"Node {name} event: {text.format(name)}", at)


def controller() -> Controller:
    """The node lifecycle controller of one cluster."""
    watches = {NODE: own_key, LEASE: _node_of_lease, POD: _troubled_node_of_pod}
    return Controller("nodelifecycle", watches, NodeLifecycle().plan)
