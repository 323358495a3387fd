"""A node for each pod that has none: selectors, affinity by node name, taints, cordons. Source: pkg/scheduler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from emulator.api.kinds import NODE, POD
from emulator.api.meta import JsonObject, ObjectKey, condition_of, format_time, is_terminating, key_of, labels_of
from emulator.client.index import Change
from emulator.controllers.changes import NOTHING, Changes, Controller, View, Write, event, own_key
from emulator.controllers.nodefit import matches_node, tolerates, untolerated_taint

COMPONENT = "default-scheduler"
NO_HELP = "Preemption is not helpful for scheduling."
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


def plan_schedule(key: ObjectKey, view: View, at: datetime) -> Changes:
    """Bind the pod to the fitting node with the fewest pods, or say on the pod why none fits."""
    pod = view.get(POD, key.name, key.namespace)
    if pod is None or not _is_ours(pod):
        return NOTHING
    nodes = sorted(view.all(NODE), key=lambda node: str(node["metadata"]["name"]))
    reasons = {node["metadata"]["name"]: why_not(pod, node) for node in nodes}
    fitting = [name for name, why in reasons.items() if not why]
    if not fitting:
        return _unschedulable(pod, Counter(why for why in reasons.values() if why), len(nodes), at)
    load = Counter(other["spec"].get("nodeName") for other in view.all(POD))
    node = min(fitting, key=lambda name: (load[name], name))
    bound = {**pod, "spec": {**pod["spec"], "nodeName": node}}
    told = f"Successfully assigned {key.namespace}/{key.name} to {node}"
    return Changes(updates=(Write(POD, bound),), events=(_event(pod, "Normal", "Scheduled", told, at),))


def _is_ours(pod: Mapping[str, Any]) -> bool:
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and not is_terminating(pod)
        and not spec.get("schedulingGates")
        and spec.get("schedulerName", COMPONENT) == COMPONENT
        and (pod.get("status") or {}).get("phase", "Pending") == "Pending"
    )


def why_not(pod: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    """The scheduler's reason against this node; empty when the pod fits."""
    spec = pod["spec"]
    tolerations = spec.get("tolerations") or ()
    if node["spec"].get("unschedulable"):
        taint = {"key": UNSCHEDULABLE, "effect": "NoSchedule"}
        if not any(tolerates(toleration, taint) for toleration in tolerations):
            return "node(s) were unschedulable"
    if untolerated_taint(spec, node) is not None:
        return "node(s) had untolerated taint(s)"
    if not matches_node(spec, node):
        return "node(s) didn't match Pod's node affinity/selector"
    return ""


def _unschedulable(pod: JsonObject, reasons: Counter[str], nodes: int, at: datetime) -> Changes:
    listed = ", ".join(sorted(f"{count} {why}" for why, count in reasons.items()))
    none = f"0/{nodes} nodes are available: "
    text = f"{none}{listed}. no new claims to deallocate, preemption: {none}{nodes} {NO_HELP}"
    text = text if nodes else "no nodes available to schedule pods"
    held = condition_of(pod, "PodScheduled")
    if held is not None and held.get("message") == text:
        return NOTHING
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "lastProbeTime": None,
        "lastTransitionTime": (held or {}).get("lastTransitionTime") or format_time(at),
        "reason": "Unschedulable",
        "message": text,
    }
    status = pod.get("status") or {}
    others = [c for c in status.get("conditions") or () if c["type"] != "PodScheduled"]
    marked = {**pod, "status": {**status, "conditions": [*others, condition]}}
    told = _event(pod, "Warning", "FailedScheduling", text, at)
    return Changes(updates=(Write(POD, marked, "status"),), events=(told,))


def _event(pod: JsonObject, type: str, reason: str, text: str, at: datetime) -> JsonObject:
    suffix = f"{int(at.timestamp() * 1e6):x}"
    return event(COMPONENT, pod, POD, type=type, reason=reason, message=text, at=at, suffix=suffix)


def _waiting_pods(change: Change, view: View) -> Iterable[ObjectKey]:
    """A node that came, changed its labels or taints, or was uncordoned: pods that wait may fit it."""
    if change.type == "MODIFIED" and change.previous is not None:
        before, after = change.previous, change.object
        if before["spec"] == after["spec"] and labels_of(before) == labels_of(after):
            return ()
    return [key_of(pod) for pod in view.all(POD) if _is_ours(pod)]


CONTROLLER = Controller("scheduler", {POD: own_key, NODE: _waiting_pods}, plan_schedule)
