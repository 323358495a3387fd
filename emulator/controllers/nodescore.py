"""Which of the nodes that fit a pod is the best: the scheduler's scores, each from 0 to 100, by their weights. Pure.

Left out of upstream's: image locality (nothing is pulled), preferences of pods that stand already.
Source: pkg/scheduler/framework/plugins (tainttoleration, nodeaffinity, podtopologyspread, interpodaffinity,
noderesources), apis/config/v1/default_plugins.go for the weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from emulator.api.kinds import POD
from emulator.api.meta import JsonObject, labels_of
from emulator.api.selectors import label_selector_from_object
from emulator.client.index import controller_uid
from emulator.controllers.changes import View
from emulator.controllers.nodefit import matches_term, tolerates
from emulator.controllers.nodeload import Loads, amount, requests_of
from emulator.controllers.podaffinity import PREFERRED, preferences

MOST = 100
TAINTS, AFFINITY, SPREAD, NEIGHBOURS, RESOURCES = 3, 2, 2, 2, 1
ASSUMED = {"cpu": 100, "memory": 200 * 2**20}  # of a pod that asks for nothing
AVOID = "PreferNoSchedule"
ZONE = "topology.kubernetes.io/zone"


def best_node(pod: JsonObject, nodes: Mapping[str, JsonObject], view: View, loads: Loads) -> str:
    """The name of the node with the highest score, of equals the one with the fewest pods. nodes: those that fit."""
    if len(nodes) == 1:
        return next(iter(nodes))
    total: Counter[str] = Counter()
    for weight, scores in (
        (TAINTS, _reversed(_avoided(pod, nodes))),
        (AFFINITY, _scaled(_liked(pod, nodes))),
        (SPREAD, _reversed(_company(pod, nodes, view, loads))),
        (NEIGHBOURS, _scaled(preferences(pod, nodes, view))),
        (RESOURCES, _idle(pod, nodes, loads)),
    ):
        for name, score in scores.items():
            total[name] += weight * score
    return min(nodes, key=lambda name: (-total[name], loads.of_node(name).pods, name))


def _avoided(pod: Mapping[str, Any], nodes: Mapping[str, JsonObject]) -> dict[str, int]:
    """Taints that only ask to be avoided, and are not tolerated."""
    tolerations = [each for each in pod["spec"].get("tolerations") or () if each.get("effect", "") in ("", AVOID)]
    return {
        name: sum(
            taint.get("effect") == AVOID and not any(tolerates(each, taint) for each in tolerations)
            for taint in node["spec"].get("taints") or ()
        )
        for name, node in nodes.items()
    }


def _liked(pod: Mapping[str, Any], nodes: Mapping[str, JsonObject]) -> dict[str, int]:
    preferred = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(PREFERRED) or ()
    return {
        name: sum(int(each["weight"]) for each in preferred if matches_term(each["preference"], node))
        for name, node in nodes.items()
    }


def _company(pod: JsonObject, nodes: Mapping[str, JsonObject], view: View, loads: Loads) -> dict[str, int]:
    """How many of the pod's kind stand on each node and, for half as much, in its zone.

    The kind is what soft spread constraints select, else the pods of the same owner.
    """
    soft = [
        each
        for each in pod["spec"].get("topologySpreadConstraints") or ()
        if each.get("whenUnsatisfiable") == "ScheduleAnyway" and each.get("labelSelector")
    ]
    if soft:
        return _selected(pod, soft, nodes, view)
    owner = controller_uid(pod)
    if not owner:
        return {}
    own = {name: loads.of_node(name).owners[owner] for name in nodes}
    zones: Counter[str] = Counter()
    for name, node in nodes.items():
        zones[labels_of(node).get(ZONE, "")] += own[name]
    return {name: 2 * own[name] + zones[labels_of(node).get(ZONE, "")] for name, node in nodes.items()}


def _selected(
    pod: JsonObject, constraints: list[Mapping[str, Any]], nodes: Mapping[str, JsonObject], view: View
) -> dict[str, int]:
    found: Counter[str] = Counter()
    pods = view.in_namespace(POD, pod["metadata"].get("namespace") or "").values()
    for constraint in constraints:
        selector = label_selector_from_object(constraint["labelSelector"])
        key = constraint["topologyKey"]
        values: Counter[str | None] = Counter()
        for other in pods:
            node = nodes.get(other["spec"].get("nodeName") or "")
            if node is not None and selector.matches(labels_of(other)):
                values[labels_of(node).get(key)] += 1
        for name, node in nodes.items():
            found[name] += values[labels_of(node).get(key)]
    return dict(found)


def _idle(pod: JsonObject, nodes: Mapping[str, JsonObject], loads: Loads) -> dict[str, int]:
    """The share of the node's CPU and memory that is left to give."""
    wanted = requests_of(pod)
    found = {}
    for name, node in nodes.items():
        allocatable, load = (node.get("status") or {}).get("allocatable") or {}, loads.of_node(name)
        shares = []
        for resource, assumed in ASSUMED.items():
            most = amount(resource, allocatable.get(resource, 0))
            used = load.requested[resource] + (wanted.get(resource) or assumed)
            shares.append(max(most - used, 0) * MOST // most if most else 0)
        found[name] = sum(shares) // len(shares)
    return found


def _scaled(raw: Mapping[str, int]) -> dict[str, int]:
    """The greatest becomes 100, the least (or 0) becomes 0."""
    least, most = min((0, *raw.values())), max((0, *raw.values()))
    return {name: (value - least) * MOST // (most - least) for name, value in raw.items()} if most > least else {}


def _reversed(raw: Mapping[str, int]) -> dict[str, int]:
    """The less, the better."""
    most = max(raw.values(), default=0)
    return {name: (most - value) * MOST // most for name, value in raw.items()} if most else {}
