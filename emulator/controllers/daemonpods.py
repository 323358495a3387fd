"""The pods of a DaemonSet: on which nodes they belong, how they are made, which of them goes first. Pure.

Source: pkg/controller/daemon/{daemon_controller,util/daemonset_util}.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from emulator.api.kinds import DAEMON_SET
from emulator.api.meta import JsonObject, annotations_of, is_terminating, labels_of
from emulator.controllers.history import HASH_LABEL
from emulator.controllers.nodefit import REQUIRED, TERMS, matches_node, untolerated_taint
from emulator.controllers.owned import is_finished, pod_of

GENERATION = "deprecated.daemonset.template.generation"
GENERATION_LABEL = "pod-template-generation"
_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_NO_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


class Place(NamedTuple):
    """should_run: a pod belongs on the node; may_stay: one that is there is left alone."""

    should_run: bool
    may_stay: bool


def place_on(daemon_set: Mapping[str, Any], node: Mapping[str, Any]) -> Place:
    spec = {**daemon_set["spec"]["template"]["spec"]}
    if spec.get("nodeName") not in (None, "", node["metadata"]["name"]):
        return Place(False, False)
    spec["tolerations"] = _tolerations(spec)
    if not matches_node(spec, node):
        return Place(False, False)
    if untolerated_taint(spec, node) is None:
        return Place(True, True)
    return Place(False, untolerated_taint(spec, node, ("NoExecute",)) is None)


def _tolerations(spec: Mapping[str, Any]) -> list[JsonObject]:
    """The template's own, and those that keep daemons on a node in trouble."""
    added = (*_TOLERATED, _NO_NETWORK) if spec.get("hostNetwork") else _TOLERATED
    found = list(spec.get("tolerations") or ())
    for key, effect in added:
        toleration = {"key": key, "operator": "Exists", "effect": effect}
        same = [held for held in found if {k: v for k, v in held.items() if k != "tolerationSeconds"} == toleration]
        if same:
            found = [toleration if held in same else held for held in found]
        else:
            found.append(toleration)
    return found


def new_pod(daemon_set: JsonObject, hash: str, node: str) -> JsonObject:
    """A pod that the scheduler can bind to this node only."""
    pod = pod_of(daemon_set["spec"]["template"], daemon_set, DAEMON_SET)
    metadata, spec = pod["metadata"], pod["spec"]
    labels = {**(metadata.get("labels") or {}), HASH_LABEL: hash}
    generation = annotations_of(daemon_set).get(GENERATION)
    if generation:
        labels[GENERATION_LABEL] = generation
    metadata["labels"] = labels
    spec["tolerations"] = _tolerations(spec)
    affinity = dict(spec.get("affinity") or {})
    by_name = {"key": "metadata.name", "operator": "In", "values": [node]}
    node_affinity = {**(affinity.get("nodeAffinity") or {}), REQUIRED: {TERMS: [{"matchFields": [by_name]}]}}
    spec["affinity"] = {**affinity, "nodeAffinity": node_affinity}
    return pod


def target_node(pod: Mapping[str, Any]) -> str:
    """The node the pod is on, or is meant for."""
    spec = pod["spec"]
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(REQUIRED) or {}
    for term in required.get(TERMS) or ():
        for field in term.get("matchFields") or ():
            if field["key"] == "metadata.name" and field["operator"] == "In" and len(field.get("values") or ()) == 1:
                return str(field["values"][0])
    return ""


def by_node(pods: Iterable[JsonObject]) -> dict[str, list[JsonObject]]:
    """The pods of each node, the one to keep first; ended pods that are already going do not count."""
    found: dict[str, list[JsonObject]] = {}
    for pod in sorted(pods, key=_rank):
        node = target_node(pod)
        if node and not (is_finished(pod) and is_terminating(pod)):
            found.setdefault(node, []).append(pod)
    return found


def _rank(pod: Mapping[str, Any]) -> tuple[bool, str, str]:
    metadata = pod["metadata"]
    return not pod["spec"].get("nodeName"), metadata.get("creationTimestamp") or "", metadata["name"]


def is_updated(pod: Mapping[str, Any], daemon_set: Mapping[str, Any], hash: str) -> bool:
    """Whether the pod is of the present template."""
    labels, generation = labels_of(pod), annotations_of(daemon_set).get(GENERATION)
    return labels.get(HASH_LABEL) == hash or (bool(generation) and labels.get(GENERATION_LABEL) == generation)
