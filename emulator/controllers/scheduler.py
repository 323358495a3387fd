"""A node for each pod that has none: what a node must have, then which fits best; pods that fit nowhere are told why.

No pod is evicted to make room for another: there is no preemption.
Source: pkg/scheduler (schedule_one.go, framework/types.go, framework/plugins).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from emulator.api.kinds import BINDING, NAMESPACE, NODE, POD
from emulator.api.meta import (
    JsonObject,
    ObjectKey,
    condition_of,
    format_micro_time,
    format_time,
    is_terminating,
    labels_of,
)
from emulator.client.index import Change
from emulator.controllers.changes import NOTHING, Changes, Controller, View, Write, event
from emulator.controllers.nodefit import matches_node, named_nodes, tolerates, untolerated_taint
from emulator.controllers.nodeload import Loads, amount, conflicts, host_ports, requests_of
from emulator.controllers.nodescore import best_node
from emulator.controllers.podaffinity import Neighbours

COMPONENT = "default-scheduler"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
NO_HELP, NO_VICTIMS = "Preemption is not helpful for scheduling", "No preemption victims found for incoming pod"
NEVER = "not eligible due to preemptionPolicy=Never."
CORDONED, TAINTED = "node(s) were unschedulable", "node(s) had untolerated taint(s)"
OTHER_NODE = "node(s) didn't match Pod's node affinity/selector"
NOT_NAMED = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
PORTS_TAKEN = "node(s) didn't have free ports for the requested pod ports"
TOO_MANY = "Too many pods"

Verdict = tuple[tuple[str, ...], bool]
"""The reasons against a node, and whether the going of other pods could help."""
FITS: Verdict = ((), False)


def plan_schedule(key: ObjectKey, view: View, at: datetime, *, loads: Loads | None = None) -> Changes:
    """Bind the pod to the best of the nodes that fit, or say on the pod why none does.

    loads: kept current by the caller; worked out from the view without.
    """
    pod = view.get(POD, key.name, key.namespace)
    if pod is None or not _is_ours(pod):
        return NOTHING
    loads = loads or Loads.of(view.all(POD))
    nodes = {str(node["metadata"]["name"]): node for node in view.all(NODE)}
    verdicts = judge(pod, nodes, view, loads)
    fitting = {name: nodes[name] for name, (reasons, _) in sorted(verdicts.items()) if not reasons}
    if not fitting:
        return _unschedulable(pod, verdicts, at)
    node = best_node(pod, fitting, view, loads)
    metadata = pod["metadata"]
    binding = {
        "apiVersion": BINDING.api_version,
        "kind": BINDING.kind,
        "metadata": {"name": key.name, "namespace": key.namespace, "uid": metadata["uid"]},
        "target": {"kind": NODE.kind, "name": node},
    }
    told = f"Successfully assigned {key.namespace}/{key.name} to {node}"
    return Changes(creates=(Write(BINDING, binding),), events=(_event(pod, "Normal", "Scheduled", told, at),))


def _is_ours(pod: Mapping[str, Any]) -> bool:
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and not is_terminating(pod)
        and not spec.get("schedulingGates")
        and spec.get("schedulerName", COMPONENT) == COMPONENT
        and (pod.get("status") or {}).get("phase", "Pending") == "Pending"
    )


# -- what a node must have ---------------------------------------------------------------------------------------


def judge(pod: JsonObject, nodes: Mapping[str, JsonObject], view: View, loads: Loads) -> dict[str, Verdict]:
    """What speaks against each node."""
    named = named_nodes(pod["spec"])
    wanted, ports = requests_of(pod), tuple(host_ports(pod))
    neighbours: Neighbours | None = None
    found: dict[str, Verdict] = {}
    for name, node in nodes.items():
        if named is not None and name not in named:
            found[name] = ((NOT_NAMED,), False)
            continue
        reason = why_not(pod, node)
        if reason:
            found[name] = ((reason,), False)
            continue
        load = loads.of_node(name)
        if ports and conflicts(ports, load.ports):
            found[name] = ((PORTS_TAKEN,), True)
            continue
        found[name] = _room(wanted, node, load.pods, load.requested)
        if not found[name][0]:
            neighbours = neighbours or Neighbours(pod, nodes, view, loads)
            reason, movable = neighbours.why_not(node)
            found[name] = ((reason,), movable) if reason else FITS
    return found


def why_not(pod: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    """What the node itself has against the pod, whatever runs there; empty when nothing."""
    spec = pod["spec"]
    tolerations = spec.get("tolerations") or ()
    if node["spec"].get("unschedulable"):
        taint = {"key": UNSCHEDULABLE, "effect": "NoSchedule"}
        if not any(tolerates(toleration, taint) for toleration in tolerations):
            return CORDONED
    if untolerated_taint(spec, node) is not None:
        return TAINTED
    return "" if matches_node(spec, node) else OTHER_NODE


def _room(wanted: Mapping[str, int], node: Mapping[str, Any], pods: int, requested: Mapping[str, int]) -> Verdict:
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    reasons, never = [], False
    if pods + 1 > amount("pods", allocatable.get("pods", 0)):
        reasons.append(TOO_MANY)
    for name, asked in wanted.items():
        most = amount(name, allocatable.get(name, 0))
        if asked > most - requested.get(name, 0):
            reasons.append(f"Insufficient {name}")
            never = never or asked > most
    return tuple(reasons), not never


# -- pods that fit nowhere ---------------------------------------------------------------------------------------


def refusal(pod: Mapping[str, Any], verdicts: Mapping[str, Verdict]) -> str:
    """Why no node fits, in upstream's words."""
    if not verdicts:
        return "no nodes available to schedule pods"
    none = f"0/{len(verdicts)} nodes are available: "
    reasons = Counter(reason for listed, _ in verdicts.values() for reason in listed)
    hopes = Counter(NO_VICTIMS if movable else NO_HELP for _, movable in verdicts.values())
    preemption = NEVER if pod["spec"].get("preemptionPolicy") == "Never" else f"{none}{_histogram(hopes)}"
    return f"{none}{_histogram(reasons)} no new claims to deallocate, preemption: {preemption}"


def _histogram(counts: Mapping[str, int]) -> str:
    return ", ".join(sorted(f"{count} {why}" for why, count in counts.items())) + "."


def _unschedulable(pod: JsonObject, verdicts: Mapping[str, Verdict], at: datetime) -> Changes:
    text = refusal(pod, verdicts)
    held = condition_of(pod, "PodScheduled")
    if held is not None and held.get("message") == text:
        return NOTHING
    condition: JsonObject = {
        "type": "PodScheduled",
        "status": "False",
        "lastProbeTime": None,
        "lastTransitionTime": (held or {}).get("lastTransitionTime") or format_time(at),
        "reason": "Unschedulable",
        "message": text,
    }
    if generation := pod["metadata"].get("generation"):
        condition["observedGeneration"] = generation
    status = pod.get("status") or {}
    others = [c for c in status.get("conditions") or () if c["type"] != "PodScheduled"]
    marked = {**pod, "status": {**status, "conditions": [*others, condition]}}
    told = _event(pod, "Warning", "FailedScheduling", text, at)
    return Changes(updates=(Write(POD, marked, "status"),), events=(told,))


def _event(pod: JsonObject, type: str, reason: str, text: str, at: datetime) -> JsonObject:
    """As the recorder of events.k8s.io writes it: one time, an action, and a series instead of a count."""
    told = event(COMPONENT, pod, POD, type=type, reason=reason, message=text, at=at, suffix="")
    for name in ("firstTimestamp", "lastTimestamp", "count"):
        del told[name]
    return {
        **told,
        "source": {},
        "eventTime": format_micro_time(at),
        "action": "Binding" if reason == "Scheduled" else "Scheduling",
        "reportingInstance": f"{COMPONENT}-kubemu",
    }


# -- keys --------------------------------------------------------------------------------------------------------


class Waiting:
    """Which pods wait for a node; which of them a change may help."""

    def __init__(self) -> None:
        self.loads = Loads()
        self._keys: set[ObjectKey] = set()
        self._choosy: set[ObjectKey] = set()  # of those, the ones whom it concerns where other pods stand

    def pod_changed(self, change: Change, view: View) -> Iterable[ObjectKey]:
        room = self.loads.apply(change)
        key = change.key
        if change.type != "DELETED" and _is_ours(change.object):
            self._keys.add(key)
            if _heeds_neighbours(change.object):
                self._choosy.add(key)
            return (key, *self._others(key)) if room else (key,)
        self._keys.discard(key)
        self._choosy.discard(key)
        return self._others(key) if room else list(self._choosy)

    def node_changed(self, change: Change, view: View) -> Iterable[ObjectKey]:
        """A node that came, or whose labels, taints, cordon or room changed: pods that wait may fit it."""
        if change.type == "MODIFIED" and change.previous is not None:
            before, after = change.previous, change.object
            rooms = [(node.get("status") or {}).get("allocatable") for node in (before, after)]
            if before["spec"] == after["spec"] and labels_of(before) == labels_of(after) and rooms[0] == rooms[1]:
                return ()
        return list(self._keys)

    def _others(self, key: ObjectKey) -> list[ObjectKey]:
        return [each for each in self._keys if each != key]


def _heeds_neighbours(pod: JsonObject) -> bool:
    affinity = pod["spec"].get("affinity") or {}
    return bool(affinity.get("podAffinity") or pod["spec"].get("topologySpreadConstraints"))


def controller() -> Controller:
    """The scheduler of one cluster: it remembers what the nodes have to bear."""
    waiting = Waiting()
    watches = {POD: waiting.pod_changed, NODE: waiting.node_changed}
    return Controller("scheduler", watches, partial(plan_schedule, loads=waiting.loads), reads=(NAMESPACE,))
