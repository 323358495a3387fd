"""Whether pods may stand together: inter-pod affinity and anti-affinity, and topology spread constraints. Pure.

Source: pkg/scheduler/framework/plugins/{interpodaffinity,podtopologyspread}/filtering.go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.api.kinds import NAMESPACE, POD
from emulator.api.meta import JsonObject, is_terminating, labels_of
from emulator.api.selectors import label_selector_from_object
from emulator.controllers.changes import View
from emulator.controllers.nodefit import matches_node, untolerated_taint
from emulator.controllers.nodeload import REQUIRED, Loads, anti_affinity_terms

PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
NOT_TOGETHER = "node(s) didn't match pod affinity rules"
NOT_APART = "node(s) didn't match pod anti-affinity rules"
OTHERS_APART = "node(s) didn't satisfy existing pods anti-affinity rules"
NOT_SPREAD = "node(s) didn't match pod topology spread constraints"
NO_TOPOLOGY = "node(s) didn't match pod topology spread constraints (missing required label)"

Place = tuple[str, str]
"""A topology key and the value a node has for it."""


@dataclass(frozen=True, slots=True)
class Term:
    """One affinity term of a pod in `namespace`, ready to be asked."""

    topology_key: str
    matches: Callable[[JsonObject], bool]


@dataclass(frozen=True, slots=True)
class _Spread:
    key: str
    max_skew: int
    least: int
    own: int
    counts: Mapping[str, int]


class Neighbours:
    """The pods that stand on nodes, as the constraints of one pod see them; worked out once for all nodes."""

    def __init__(self, pod: JsonObject, nodes: Mapping[str, JsonObject], view: View, loads: Loads) -> None:
        affinity = pod["spec"].get("affinity") or {}
        self._pod = pod
        self._together = terms(pod, (affinity.get("podAffinity") or {}).get(REQUIRED) or (), view)
        self._apart = terms(pod, anti_affinity_terms(pod), view)
        standing = _standing(view) if self._together or self._apart else []
        self._near = _places(
            ((pod, self._together) for pod in standing if all(t.matches(pod) for t in self._together)), nodes
        )
        self._far = _places(((pod, [t for t in self._apart if t.matches(pod)]) for pod in standing), nodes)
        self._refused = _places(
            ((other, [t for t in terms(other, anti_affinity_terms(other), view) if t.matches(pod)])
             for other in loads.averse.values()),
            nodes,
        )  # fmt: skip
        self._spreads = _spreads(pod, nodes, view)

    def why_not(self, node: Mapping[str, Any]) -> tuple[str, bool]:
        """The reason against the node, "" for none, and whether the going of other pods could change it."""
        labels = labels_of(node)
        for spread in self._spreads:
            value = labels.get(spread.key)
            if value is None:
                return NO_TOPOLOGY, False
            if spread.counts.get(value, 0) + spread.own - spread.least > spread.max_skew:
                return NOT_SPREAD, True
        here = {(key, value) for key, value in labels.items()}
        if not self._is_near(labels):
            return NOT_TOGETHER, False
        if any(place in here for place in self._far):
            return NOT_APART, True
        if any(place in here for place in self._refused):
            return OTHERS_APART, True
        return "", False

    def _is_near(self, labels: Mapping[str, str]) -> bool:
        if any(term.topology_key not in labels for term in self._together):
            return False
        if all(self._near[term.topology_key, labels[term.topology_key]] for term in self._together):
            return True
        return not self._near and all(term.matches(self._pod) for term in self._together)  # the first of its kind


def terms(pod: Mapping[str, Any], listed: Iterable[Mapping[str, Any]], view: View) -> list[Term]:
    return [Term(each["topologyKey"], _matcher(pod, each, view)) for each in listed]


def preferences(pod: JsonObject, nodes: Mapping[str, JsonObject], view: View) -> Counter[str]:
    """What the pod's preferred affinity terms say for (above 0) or against each node."""
    affinity = pod["spec"].get("affinity") or {}
    weighted = [
        (sign * int(each["weight"]), terms(pod, [each["podAffinityTerm"]], view)[0])
        for field, sign in (("podAffinity", 1), ("podAntiAffinity", -1))
        for each in (affinity.get(field) or {}).get(PREFERRED) or ()
    ]
    places: Counter[Place] = Counter()
    for other in _standing(view) if weighted else ():
        labels = labels_of(nodes.get(other["spec"]["nodeName"]) or {"metadata": {}})
        for weight, term in weighted:
            if term.topology_key in labels and term.matches(other):
                places[term.topology_key, labels[term.topology_key]] += weight
    found: Counter[str] = Counter()
    for name, node in nodes.items():
        found[name] = sum(places[place] for place in labels_of(node).items())
    return found


def _standing(view: View) -> list[JsonObject]:
    """Pods that are on a node and have not ended."""
    return [
        pod
        for pod in view.all(POD)
        if pod["spec"].get("nodeName") and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    ]


def _places(found: Iterable[tuple[JsonObject, list[Term]]], nodes: Mapping[str, JsonObject]) -> Counter[Place]:
    """How many of the pods stand at each place of their terms."""
    places: Counter[Place] = Counter()
    for pod, matched in found:
        labels = labels_of(nodes.get(pod["spec"]["nodeName"]) or {"metadata": {}})
        for term in matched:
            if term.topology_key in labels:
                places[term.topology_key, labels[term.topology_key]] += 1
    return places


def _matcher(pod: Mapping[str, Any], term: Mapping[str, Any], view: View) -> Callable[[JsonObject], bool]:
    selector = term.get("labelSelector")
    if selector is None:
        return _nothing
    matches = _with_keys(selector, pod, term.get("matchLabelKeys"), term.get("mismatchLabelKeys"))
    namespaces = set(term.get("namespaces") or ())
    chosen = term.get("namespaceSelector")
    if not namespaces and chosen is None:
        namespaces = {pod["metadata"].get("namespace") or ""}
    elif chosen is not None:
        selected = label_selector_from_object(chosen)
        namespaces |= {each["metadata"]["name"] for each in view.all(NAMESPACE) if selected.matches(labels_of(each))}
    return lambda other: other["metadata"].get("namespace") in namespaces and matches(labels_of(other))


def _nothing(_: Mapping[str, Any]) -> bool:
    """What no selector selects."""
    return False


def _with_keys(
    selector: Mapping[str, Any], pod: Mapping[str, Any], same: Iterable[str] | None, other: Iterable[str] | None = None
) -> Callable[[Mapping[str, str]], bool]:
    """The selector, and the pod's own values of some labels (or none of them)."""
    base = label_selector_from_object(selector)
    own = labels_of(pod)
    equal = {key: own[key] for key in same or () if key in own}
    unequal = {key: own[key] for key in other or () if key in own}
    return lambda labels: (
        base.matches(labels)
        and equal.items() <= labels.items()
        and all(labels.get(key) != value for key, value in unequal.items())
    )


def _spreads(pod: JsonObject, nodes: Mapping[str, JsonObject], view: View) -> list[_Spread]:
    hard = [
        each
        for each in pod["spec"].get("topologySpreadConstraints") or ()
        if each.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule"
    ]
    keys = [each["topologyKey"] for each in hard]
    return [_spread(pod, each, keys, nodes, view) for each in hard]


def _spread(
    pod: JsonObject, constraint: Mapping[str, Any], keys: list[str], nodes: Mapping[str, JsonObject], view: View
) -> _Spread:
    key = constraint["topologyKey"]
    selector = constraint.get("labelSelector")
    matches = _with_keys(selector, pod, constraint.get("matchLabelKeys")) if selector else _nothing
    values: dict[str, str] = {}
    for name, node in nodes.items():
        labels = labels_of(node)
        counted = all(each in labels for each in keys)
        if counted and constraint.get("nodeAffinityPolicy", "Honor") == "Honor":
            counted = matches_node(pod["spec"], node)
        if counted and constraint.get("nodeTaintsPolicy", "Ignore") == "Honor":
            counted = untolerated_taint(pod["spec"], node) is None
        if counted:
            values[name] = labels[key]
    counts = dict.fromkeys(values.values(), 0)
    for other in view.in_namespace(POD, pod["metadata"].get("namespace") or "").values():
        value = values.get(other["spec"].get("nodeName") or "")
        ended = (other.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if value is not None and not ended and not is_terminating(other) and matches(labels_of(other)):
            counts[value] += 1
    least = min(counts.values(), default=0)
    if len(counts) < (constraint.get("minDomains") or 1):
        least = 0
    return _Spread(key, int(constraint["maxSkew"]), least, int(matches(labels_of(pod))), counts)
