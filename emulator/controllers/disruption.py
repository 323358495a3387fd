"""How many pods of a PodDisruptionBudget may be evicted now: its status. Pure.

Source: pkg/controller/disruption/disruption.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from emulator.api.kinds import (
    DEPLOYMENT,
    POD,
    POD_DISRUPTION_BUDGET,
    REPLICA_SET,
    REPLICATION_CONTROLLER,
    STATEFUL_SET,
    Kind,
    kind_by_name,
)
from emulator.api.meta import JsonObject, ObjectKey, condition_of, format_time, is_terminating, labels_of, parse_time
from emulator.api.selectors import label_selector_from_object
from emulator.client.index import Change
from emulator.controllers.changes import NOTHING, Changes, Controller, View, Write, own_key
from emulator.controllers.owned import controller_reference, is_ready, told
from emulator.controllers.rollout import scaled

COMPONENT = "controllermanager"
DELETION_SECONDS = 120.0  # an evicted pod that is still there then counts again
ALLOWED = "DisruptionAllowed"
SCALED: tuple[Kind, ...] = (REPLICATION_CONTROLLER, REPLICA_SET, DEPLOYMENT, STATEFUL_SET)
UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, the "
    "status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these "
    'pods please set ".spec.minAvailable" field of the PDB to an integer value.'
)


class Unknown(Exception):
    """Why nobody can say how many pods there should be."""


@dataclass(frozen=True, slots=True)
class Expected:
    """pods: how many there should be; healthy: how many of them must be; unmanaged: some have no controller."""

    pods: int
    healthy: int
    unmanaged: bool = False


def plan_disruption(key: ObjectKey, view: View, at: datetime) -> Changes:
    """The budget's status as its pods are now."""
    budget = view.get(POD_DISRUPTION_BUDGET, key.name, key.namespace)
    if budget is None:
        return NOTHING
    pods = _selected(budget, view)
    events = [] if pods else [_told(budget, "NoPods", "No matching pods found", at, type="Normal")]
    try:
        expected = expected_of(budget, pods, view)
    except Unknown as why:
        text = f"Failed to calculate the number of expected pods: {why}"
        events.append(_told(budget, "CalculateExpectedPodCountFailed", text, at))
        return _changes(budget, _failed(budget, str(why), at), events, None)
    if expected.unmanaged:
        text = UNMANAGED.format(selector=_shown(budget["spec"].get("selector")))
        events.append(_told(budget, "UnmanagedPods", text, at))
    disrupted, wait = _disrupted(budget, pods, at)
    healthy = sum(is_ready(pod) and not is_terminating(pod) and _name(pod) not in disrupted for pod in pods)
    allowed = max(healthy - expected.healthy, 0) if expected.pods > 0 else 0
    status: JsonObject = {
        "observedGeneration": budget["metadata"].get("generation", 0),
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": expected.healthy,
        "expectedPods": expected.pods,
        "conditions": _conditions(budget, allowed > 0, "SufficientPods" if allowed else "InsufficientPods", "", at),
    }
    if disrupted:
        status["disruptedPods"] = disrupted
    return _changes(budget, status, events, wait)


def _name(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"]["name"])


def _selected(budget: JsonObject, view: View) -> list[JsonObject]:
    selector = budget["spec"].get("selector")
    if selector is None:
        return []
    matches = label_selector_from_object(selector).matches
    found = view.in_namespace(POD, budget["metadata"]["namespace"]).values()
    return sorted((pod for pod in found if matches(labels_of(pod))), key=_name)


def expected_of(budget: Mapping[str, Any], pods: list[JsonObject], view: View) -> Expected:
    """How many pods the budget is about. Raises Unknown."""
    most, least = budget["spec"].get("maxUnavailable"), budget["spec"].get("minAvailable")
    if most is not None:
        count, unmanaged = _scale_of_all(pods, view)
        return Expected(count, max(count - scaled(most, count, up=True), 0), unmanaged)
    if isinstance(least, int):
        return Expected(len(pods), least)
    if least is not None:
        count, unmanaged = _scale_of_all(pods, view)
        return Expected(count, scaled(least, count, up=True), unmanaged)
    return Expected(0, 0)


def _scale_of_all(pods: list[JsonObject], view: View) -> tuple[int, bool]:
    """The sum of what the pods' controllers are to have; and whether some pod has none."""
    scales: dict[str, int] = {}
    seen: set[str] = set()
    unmanaged = False
    for pod in pods:
        reference = controller_reference(pod)
        if reference is None:
            unmanaged = True
        elif reference["uid"] not in seen:
            seen.add(reference["uid"])
            uid, count = _scale(pod, reference, view)
            scales[uid] = count
    return sum(scales.values()), unmanaged


def _scale(pod: JsonObject, reference: Mapping[str, Any], view: View) -> tuple[str, int]:
    """Who, above the pod, decides the number, and the number."""
    namespace = pod["metadata"]["namespace"]
    owner, kind = _owner(reference, namespace, view)
    if kind is not None and kind not in SCALED:
        raise Unknown(f"{kind.resource} does not implement the scale subresource")
    if owner is None:
        raise Unknown(f'found no controllers for pod "{_name(pod)}"')
    above = controller_reference(owner)
    if kind is REPLICA_SET and above is not None and above["kind"] == DEPLOYMENT.kind:
        deployment, _ = _owner(above, namespace, view)
        owner = deployment or owner
    replicas = owner["spec"].get("replicas")
    return owner["metadata"]["uid"], 1 if replicas is None else int(replicas)


def _owner(reference: Mapping[str, Any], namespace: str, view: View) -> tuple[JsonObject | None, Kind | None]:
    kind = kind_by_name(reference.get("apiVersion", ""), reference["kind"])
    if kind is None:
        return None, None
    kind = kind.stored
    found = view.get(kind, reference["name"], namespace if kind.namespaced else "")
    return (found if found is not None and found["metadata"]["uid"] == reference["uid"] else None), kind


def _disrupted(budget: JsonObject, pods: list[JsonObject], at: datetime) -> tuple[dict[str, str], float | None]:
    """The evicted pods that are still to go, and after how many seconds to look again."""
    held = (budget.get("status") or {}).get("disruptedPods") or {}
    found: dict[str, str] = {}
    waits: list[float] = []
    for pod in pods:
        since = held.get(_name(pod))
        if since is None or is_terminating(pod):
            continue
        left = (parse_time(since) + timedelta(seconds=DELETION_SECONDS) - at).total_seconds()
        if left > 0:
            found[_name(pod)] = since
            waits.append(left)
    return found, min(waits, default=None)


# -- status ------------------------------------------------------------------------------------------------------


def _conditions(budget: JsonObject, allowed: bool, reason: str, message: str, at: datetime) -> list[JsonObject]:
    held = condition_of(budget, ALLOWED)
    value = "True" if allowed else "False"
    moved = held is None or held["status"] != value
    entry = {
        "type": ALLOWED,
        "status": value,
        "observedGeneration": budget["metadata"].get("generation", 0),
        "lastTransitionTime": format_time(at) if held is None or moved else held["lastTransitionTime"],
        "reason": reason,
        "message": message,
    }
    entries = [dict(each) for each in (budget.get("status") or {}).get("conditions") or ()]
    if held is None:
        return [*entries, entry]
    return [entry if each["type"] == ALLOWED else each for each in entries]


def _failed(budget: JsonObject, why: str, at: datetime) -> JsonObject:
    """As it was, but with no disruption allowed."""
    conditions = _conditions(budget, False, "SyncFailed", why, at)
    return {**(budget.get("status") or {}), "disruptionsAllowed": 0, "conditions": conditions}


def _changes(budget: JsonObject, status: JsonObject, events: list[JsonObject], wait: float | None) -> Changes:
    """An Event only with a change: a plan that finds nothing new is silent."""
    if status == (budget.get("status") or {}):
        return Changes(retry_after_seconds=wait)
    write = Write(POD_DISRUPTION_BUDGET, {**budget, "status": status}, "status")
    return Changes((write,), events=tuple(events), retry_after_seconds=wait)


def _told(budget: JsonObject, reason: str, message: str, at: datetime, *, type: str = "Warning") -> JsonObject:
    return told(COMPONENT, budget, POD_DISRUPTION_BUDGET, reason, message, at, type=type)


def _shown(selector: Mapping[str, Any] | None) -> str:
    """A selector as Go prints a metav1.LabelSelector."""
    labels = "".join(f"{key}: {value}," for key, value in sorted(((selector or {}).get("matchLabels") or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{each['key']},Operator:{each['operator']},"
        f"Values:[{' '.join(each.get('values') or ())}],}},"
        for each in (selector or {}).get("matchExpressions") or ()
    )
    listed = f"[]LabelSelectorRequirement{{{expressions}}}"
    return f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:{listed},}}"


def _budgets_of_pod(change: Change, view: View) -> Iterable[ObjectKey]:
    """The budgets that select the pod, now or before."""
    both = [labels_of(each) for each in (change.object, change.previous) if each is not None]
    found = []
    for name, budget in view.in_namespace(POD_DISRUPTION_BUDGET, change.key.namespace).items():
        selector = budget["spec"].get("selector")
        if selector is not None and any(label_selector_from_object(selector).matches(labels) for labels in both):
            found.append(ObjectKey(change.key.namespace, name))
    return found


CONTROLLER = Controller("disruption", {POD_DISRUPTION_BUDGET: own_key, POD: _budgets_of_pod}, plan_disruption, SCALED)
