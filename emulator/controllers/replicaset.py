"""ReplicaSets, and ReplicationControllers, which are the same with a plain selector.

Source: pkg/controller/replicaset/{replica_set,replica_set_utils}.go, pkg/controller/controller_utils.go
(ActivePodsWithRanks).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from emulator.api.errors import ApiError
from emulator.api.kinds import POD, REPLICA_SET, REPLICATION_CONTROLLER, Kind
from emulator.api.meta import (
    JsonObject,
    ObjectKey,
    condition_of,
    format_time,
    is_terminating,
    key_of,
    labels_of,
    parse_time,
)
from emulator.client.index import Change
from emulator.controllers.changes import NOTHING, Changes, Controller, Delete, View, Write, own_key
from emulator.controllers.owned import (
    MAX_BURST,
    available_after_seconds,
    claim,
    controller_reference,
    created_pod,
    deleted_pod,
    failed_create,
    is_active,
    is_finished,
    is_ready,
    owner_keys,
    pod_of,
    soonest,
)

FAILURE = "ReplicaFailure"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}
COMPONENTS = {REPLICA_SET: "replicaset-controller", REPLICATION_CONTROLLER: "replication-controller"}


def plan_for(kind: Kind, key: ObjectKey, view: View, at: datetime) -> Changes:
    """Pods made or deleted until there are as many as wanted, and the status that tells."""
    owner = view.get(kind, key.name, key.namespace)
    if owner is None:
        return NOTHING
    component = COMPONENTS[kind]
    claimed = claim(owner, kind, POD, view)
    active = [pod for pod in claimed.objects if is_active(pod)]
    creates: list[Write] = []
    deletes: list[Delete] = []
    events: list[JsonObject] = []
    if not is_terminating(owner) and not claimed.writes:
        missing = wanted_replicas(owner) - len(active)
        if missing > 0:
            made = pod_of(owner["spec"]["template"], owner, kind)
            write = Write(POD, made, told=created_pod(component, owner, kind, at))
            creates = [write] * min(missing, MAX_BURST)
        elif missing < 0:
            spare = by_dispensability(active, _colleagues(owner, kind, active, view), at)[: min(-missing, MAX_BURST)]
            deletes = [Delete(POD, key_of(pod), pod["metadata"]["uid"]) for pod in spare]
            events = [deleted_pod(component, owner, kind, pod, at) for pod in spare]
    updates = list(claimed.writes)
    status, wait = status_of(owner, kind, claimed.objects, at)
    if status != (owner.get("status") or {}) and not creates:  # what is made is counted by the next plan
        updates.append(Write(kind, {**owner, "status": status}, "status"))

    def refused(error: ApiError) -> Changes:
        why = failed_create(component, owner, kind, error, at)
        failed = {**status, "conditions": _failing(owner, error, at)}
        if failed == owner.get("status"):
            return Changes(events=(why,))
        return Changes((Write(kind, {**owner, "status": failed}, "status"),), events=(why,))

    return Changes(tuple(updates), tuple(creates), tuple(deletes), tuple(events), wait, refused)


def plan_replicaset(key: ObjectKey, view: View, at: datetime) -> Changes:
    return plan_for(REPLICA_SET, key, view, at)


def plan_replicationcontroller(key: ObjectKey, view: View, at: datetime) -> Changes:
    return plan_for(REPLICATION_CONTROLLER, key, view, at)


def wanted_replicas(owner: Mapping[str, Any]) -> int:
    replicas = owner["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def status_of(
    owner: Mapping[str, Any], kind: Kind, pods: Iterable[JsonObject], at: datetime
) -> tuple[JsonObject, float | None]:
    """The status, and in how many seconds it changes by time alone."""
    pods = list(pods)
    active = [pod for pod in pods if is_active(pod)]
    template = owner["spec"]["template"].get("metadata", {}).get("labels") or {}
    ready = [pod for pod in active if is_ready(pod)]
    waits = [available_after_seconds(pod, owner["spec"].get("minReadySeconds") or 0, at) for pod in ready]
    held = owner.get("status") or {}
    counts = {
        "fullyLabeledReplicas": sum(template.items() <= labels_of(pod).items() for pod in active),
        "readyReplicas": len(ready),
        "availableReplicas": sum(wait == 0 for wait in waits),
    }
    status: JsonObject = {"replicas": len(active), **{name: count for name, count in counts.items() if count}}
    if kind is REPLICA_SET:
        status["terminatingReplicas"] = sum(is_terminating(pod) and not is_finished(pod) for pod in pods)
    status["observedGeneration"] = owner["metadata"].get("generation", 0)
    conditions = [entry for entry in held.get("conditions") or () if entry["type"] != FAILURE]
    if conditions:
        status["conditions"] = conditions
    return status, soonest(waits)


def _failing(owner: Mapping[str, Any], error: ApiError, at: datetime) -> list[JsonObject]:
    """The conditions with one that tells of the refusal; one that is there already stays as it is."""
    held = (owner.get("status") or {}).get("conditions") or []
    if any(entry["type"] == FAILURE for entry in held):
        return list(held)
    entry = {
        "type": FAILURE,
        "status": "True",
        "lastTransitionTime": format_time(at),
        "reason": "FailedCreate",
        "message": error.message,
    }
    return [*held, entry]


def by_dispensability(pods: list[JsonObject], colleagues: Mapping[str, int], at: datetime) -> list[JsonObject]:
    """The pods in the order in which they are to go; colleagues: how many related pods a node has."""

    def rank(pod: JsonObject) -> tuple[Any, ...]:
        spec, status = pod["spec"], pod.get("status") or {}
        node = spec.get("nodeName") or ""
        ready = is_ready(pod)
        since = (condition_of(pod, "Ready") or {}).get("lastTransitionTime") if ready else None
        restarts = max((c.get("restartCount", 0) for c in status.get("containerStatuses") or ()), default=0)
        return (
            bool(node),
            PHASES.get(status.get("phase", "Pending"), 0),
            ready,
            _cost(pod),
            -colleagues.get(node, 0),
            _age_class(since, at) if ready else 0,
            -restarts,
            _age_class(pod["metadata"].get("creationTimestamp"), at),
            pod["metadata"]["uid"],
        )

    return sorted(pods, key=rank)


def _cost(pod: Mapping[str, Any]) -> int:
    text = (pod["metadata"].get("annotations") or {}).get(DELETION_COST, "0")
    try:
        return int(text)
    except ValueError:
        return 0


def _age_class(since: str | None, at: datetime) -> int:
    """Ages count in powers of two of a second, so that pods of about one age are drawn from at random (by uid)."""
    if not since:
        return 0
    seconds = max((at - parse_time(since)).total_seconds(), 0.0)
    return int(math.log2(seconds)) + 1 if seconds >= 1 else 0


def _colleagues(owner: JsonObject, kind: Kind, active: list[JsonObject], view: View) -> Counter[str]:
    """How many active pods each node has of this owner and of those with the same owner above."""
    above = controller_reference(owner)
    if above is None:
        return Counter(pod["spec"].get("nodeName") or "" for pod in active)
    found: Counter[str] = Counter()
    namespace = owner["metadata"]["namespace"]
    for related in view.owned_by(kind, above["uid"], namespace).values():
        for pod in view.owned_by(POD, related["metadata"]["uid"], namespace).values():
            if is_active(pod):
                found[pod["spec"].get("nodeName") or ""] += 1
    return found


def _sets_of_pod(change: Change, view: View) -> Iterable[ObjectKey]:
    return owner_keys(change, view, REPLICA_SET)


def _controllers_of_pod(change: Change, view: View) -> Iterable[ObjectKey]:
    return owner_keys(change, view, REPLICATION_CONTROLLER)


CONTROLLERS = (
    Controller("replicaset", {REPLICA_SET: own_key, POD: _sets_of_pod}, plan_replicaset),
    Controller(
        "replicationcontroller", {REPLICATION_CONTROLLER: own_key, POD: _controllers_of_pod}, plan_replicationcontroller
    ),
)
