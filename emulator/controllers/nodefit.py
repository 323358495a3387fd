"""Whether a pod may run on a node: taints, selectors, affinity by labels and by name. Pure.

Source: k8s.io/component-helpers scheduling/corev1 (tolerations, nodeaffinity).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from emulator.api.meta import labels_of
from emulator.api.selectors import matches_set

BLOCKING = ("NoSchedule", "NoExecute")
TERMS = "nodeSelectorTerms"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")


def untolerated_taint(
    spec: Mapping[str, Any], node: Mapping[str, Any], effects: Iterable[str] = BLOCKING
) -> Mapping[str, Any] | None:
    """The first taint of the node with one of these effects that a pod of this spec does not tolerate."""
    tolerations = spec.get("tolerations") or ()
    for taint in (node.get("spec") or {}).get("taints") or ():
        if taint.get("effect") in effects and not any(tolerates(toleration, taint) for toleration in tolerations):
            found: Mapping[str, Any] = taint
            return found
    return None


def matches_node(spec: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """Whether the pod's nodeSelector and required node affinity allow the node."""
    return matches_set(spec.get("nodeSelector") or {}, labels_of(node)) and _matches_affinity(spec, node)


def _matches_affinity(spec: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(REQUIRED)
    if required is None:
        return True
    return any(matches_term(term, node) for term in required.get(TERMS) or ())


def matches_term(term: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """Whether a term of node affinity matches; an empty one matches nothing."""
    fields = {"metadata.name": node["metadata"]["name"]}
    return (
        bool(term.get("matchExpressions") or term.get("matchFields"))
        and all(_matches(e, labels_of(node)) for e in term.get("matchExpressions") or ())
        and all(_matches(e, fields) for e in term.get("matchFields") or ())
    )


def named_nodes(spec: Mapping[str, Any]) -> frozenset[str] | None:
    """The nodes that required affinity names, as pods of DaemonSets have it; None when a term names none."""
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(REQUIRED) or {}
    found: set[str] = set()
    for term in required.get(TERMS) or ():
        names = [e.get("values") or () for e in term.get("matchFields") or () if e.get("operator") == "In"]
        if not names:
            return None
        found |= set(names[0]).intersection(*names[1:])
    return frozenset(found) if required.get(TERMS) else None


def _matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, wanted = labels.get(expression["key"]), expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            if value is None or not value.lstrip("-").isdigit() or not wanted:
                return False
            return int(value) > int(wanted[0]) if operator == "Gt" else int(value) < int(wanted[0])
    return False
