"""DaemonSets: a pod on each node that fits, and their rolling updates. Pure.

One plan makes or deletes pods, or writes the status, never both: so the status counts what a plan did.
Source: pkg/controller/daemon/{daemon_controller,update}.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from emulator.api.errors import ApiError
from emulator.api.kinds import CONTROLLER_REVISION, DAEMON_SET, NODE, POD
from emulator.api.meta import (
    JsonObject,
    ObjectKey,
    is_terminating,
    key_of,
    labels_of,
    parse_time,
)
from emulator.client.index import Change
from emulator.controllers import history
from emulator.controllers.changes import NOTHING, Changes, Controller, Delete, View, Write, own_key
from emulator.controllers.daemonpods import Place, by_node, is_updated, new_pod, place_on
from emulator.controllers.owned import (
    available_after_seconds,
    claim,
    created_pod,
    deleted_pod,
    is_ready,
    owner_keys,
    soonest,
    told,
)
from emulator.controllers.rollout import scaled

COMPONENT = "daemonset-controller"
MAX_BURST = 250
FAILED_POD_SECONDS = 1.0  # a pod that fails at once is not replaced faster than this


@dataclass(slots=True)
class Round:
    """One plan of one DaemonSet while it is made."""

    daemon_set: JsonObject
    at: datetime
    nodes: dict[str, JsonObject]
    places: dict[str, Place]
    pods: dict[str, list[JsonObject]]
    hash: str
    missing: list[str] = field(default_factory=list)
    doomed: list[JsonObject] = field(default_factory=list)
    events: list[JsonObject] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    @property
    def desired(self) -> int:
        return sum(place.should_run for place in self.places.values())

    @property
    def rolling(self) -> JsonObject:
        found: JsonObject = self.daemon_set["spec"]["updateStrategy"].get("rollingUpdate") or {}
        return found

    def surge(self) -> int:
        return scaled(self.rolling.get("maxSurge", 0), self.desired, up=True)

    def is_old(self, pod: JsonObject) -> bool:
        return not is_updated(pod, self.daemon_set, self.hash)

    def is_available(self, pod: JsonObject) -> bool:
        return available_after_seconds(pod, self.daemon_set["spec"].get("minReadySeconds") or 0, self.at) == 0


def plan_daemonset(key: ObjectKey, view: View, at: datetime) -> Changes:
    """The next step of a DaemonSet: its revision, its pods, or its status."""
    daemon_set = view.get(DAEMON_SET, key.name, key.namespace)
    if daemon_set is None or is_terminating(daemon_set):
        return NOTHING
    revisions = claim(daemon_set, DAEMON_SET, CONTROLLER_REVISION, view)
    pods = claim(daemon_set, DAEMON_SET, POD, view)
    if revisions.writes or pods.writes:
        return Changes((*revisions.writes, *pods.writes))
    current, change = _current_revision(daemon_set, revisions.objects, view)
    if current is None:
        return change
    round = _begin(daemon_set, pods.objects, view, history.hash_of(current), at)
    _manage(round)
    if not round.missing and not round.doomed and daemon_set["spec"]["updateStrategy"]["type"] == "RollingUpdate":
        _roll(round)
    if round.missing or round.doomed:
        return _pod_changes(round)
    live = {labels_of(pod).get(history.HASH_LABEL, "") for pod in pods.objects}
    past = [each for each in revisions.objects if each is not current]
    old = history.too_old(past, daemon_set["spec"].get("revisionHistoryLimit"), live)
    updates = (*change.updates, *_status_writes(round))
    return Changes(
        updates,
        deletes=tuple(old),
        events=tuple(round.events),
        retry_after_seconds=soonest([*round.waits, *_waits(round)]),
    )


def _current_revision(
    daemon_set: JsonObject, revisions: list[JsonObject], view: View
) -> tuple[JsonObject | None, Changes]:
    """The revision of the present template with its renumbering; or, when there is none, what makes it."""
    data = history.template_data(daemon_set["spec"]["template"])
    same = history.equal_to(revisions, data)
    if same:
        current = same[-1]
        number = history.next_number(each for each in revisions if each not in same)
        if history.number_of(current) >= number:
            return current, NOTHING
        return current, Changes((Write(CONTROLLER_REVISION, history.renumbered(current, number)),))
    made = history.new_revision(daemon_set, DAEMON_SET, history.next_number(revisions))
    taken = view.get(CONTROLLER_REVISION, made["metadata"]["name"], made["metadata"]["namespace"])
    if taken is None:
        return None, Changes(creates=(Write(CONTROLLER_REVISION, made),))
    status = daemon_set.get("status") or {}
    moved = {**status, "collisionCount": (status.get("collisionCount") or 0) + 1}
    return None, Changes((Write(DAEMON_SET, {**daemon_set, "status": moved}, "status"),))


def _begin(daemon_set: JsonObject, pods: list[JsonObject], view: View, hash: str, at: datetime) -> Round:
    nodes = {node["metadata"]["name"]: node for node in view.all(NODE)}
    names = sorted(nodes)
    places = {name: place_on(daemon_set, nodes[name]) for name in names}
    return Round(daemon_set, at, {name: nodes[name] for name in names}, places, by_node(pods), hash)


# -- which pods there are to be ----------------------------------------------------------------------------------


def _manage(round: Round) -> None:
    """Nodes that miss their pod, and pods that do not belong where they are."""
    surges = round.surge() > 0
    for name, place in round.places.items():
        pods = round.pods.get(name)
        if place.should_run and not pods:
            round.missing.append(name)
        elif place.may_stay:
            running = _running(round, name, pods or [])
            round.doomed += _spare_of_surge(round, running) if surges else running[1:]
        else:
            round.doomed += [pod for pod in pods or () if not is_terminating(pod)]
    for name, pods in round.pods.items():
        if name not in round.nodes:
            round.doomed += [pod for pod in pods if not pod["spec"].get("nodeName") and not is_terminating(pod)]


def _running(round: Round, node: str, pods: list[JsonObject]) -> list[JsonObject]:
    """The pods that go on; those that ended are to be deleted."""
    found: list[JsonObject] = []
    for pod in pods:
        phase = (pod.get("status") or {}).get("phase")
        if is_terminating(pod):
            continue
        if phase == "Failed" and (wait := _failed_pod_wait(pod, round.at)) > 0:
            round.waits.append(wait)
        elif phase in ("Failed", "Succeeded"):
            _tell_ended(round, pod, node, phase)
            round.doomed.append(pod)
        else:
            found.append(pod)
    return found


def _failed_pod_wait(pod: JsonObject, at: datetime) -> float:
    since = pod["metadata"].get("creationTimestamp")
    return FAILED_POD_SECONDS - (at - parse_time(since)).total_seconds() if since else 0.0


def _tell_ended(round: Round, pod: JsonObject, node: str, phase: str) -> None:
    which = f"{pod['metadata']['namespace']}/{pod['metadata']['name']} on node {node}"
    if phase == "Failed":
        message, reason, type = f"Found failed daemon pod {which}, will try to kill it", "FailedDaemonPod", "Warning"
    else:
        message, reason, type = (
            f"Found succeeded daemon pod {which}, will try to delete it",
            "SucceededDaemonPod",
            "Normal",
        )
    round.events.append(told(COMPONENT, round.daemon_set, DAEMON_SET, reason, message, round.at, type=type))


def _spare_of_surge(round: Round, running: list[JsonObject]) -> list[JsonObject]:
    """While it surges, a node may have one old pod and one new: until the new one is available or the old is not."""
    if len(running) <= 1:
        return []
    new = [pod for pod in running if not round.is_old(pod)]
    old = [pod for pod in running if round.is_old(pod)]
    spare = new[1:] + old[1:]
    if new and old and (not is_ready(old[0]) or round.is_available(new[0])):
        spare.append(old[0])
    return spare


def _roll(round: Round) -> None:
    """Replace old pods, as many at once as may be unavailable or may be too many."""
    surge = round.surge()
    unavailable = scaled(round.rolling.get("maxUnavailable", 1), round.desired, up=True)
    if surge:
        _roll_surging(round, surge)
    else:
        _roll_in_place(round, unavailable or 1)


def _roll_in_place(round: Round, most: int) -> None:
    down = 0
    allowed: list[JsonObject] = []
    candidates: list[JsonObject] = []
    for name in sorted(round.pods):
        new, old = _new_and_old(round, name)
        if len(new) + len(old) != 1:
            down += 1  # the node's pods are to be put right first
        elif new:
            down += not round.is_available(new[0])
        elif not round.is_available(old[0]):
            allowed.append(old[0])
            down += 1
        elif down < most:
            candidates.append(old[0])
    round.doomed += allowed + candidates[: max(most - down, 0)]


def _roll_surging(round: Round, most: int) -> None:
    extra = 0
    allowed: list[str] = []
    candidates: list[str] = []
    for name in sorted(round.pods):
        new, old = _new_and_old(round, name)
        if len(new) > 1 or len(old) > 1:
            extra += 1
        elif old and not new:
            if not round.places.get(name, Place(False, False)).should_run:
                continue
            if not round.is_available(old[0]):
                allowed.append(name)
            elif extra < most:
                candidates.append(name)
        elif old and new:
            if round.is_available(new[0]):
                round.doomed.append(old[0])
            else:
                extra += 1
    round.missing += allowed + candidates[: max(most - extra, 0)]


def _new_and_old(round: Round, node: str) -> tuple[list[JsonObject], list[JsonObject]]:
    pods = [pod for pod in round.pods[node] if not is_terminating(pod)]
    return [pod for pod in pods if not round.is_old(pod)], [pod for pod in pods if round.is_old(pod)]


def _pod_changes(round: Round) -> Changes:
    daemon_set, at = round.daemon_set, round.at
    tell = created_pod(COMPONENT, daemon_set, DAEMON_SET, at)
    creates = [Write(POD, new_pod(daemon_set, round.hash, name), told=tell) for name in round.missing[:MAX_BURST]]
    doomed = round.doomed[:MAX_BURST]
    deletes = [Delete(POD, key_of(pod), pod["metadata"]["uid"]) for pod in doomed]
    events = [*round.events, *(deleted_pod(COMPONENT, daemon_set, DAEMON_SET, pod, at) for pod in doomed)]

    def refused(error: ApiError) -> Changes:
        message = f"Error creating: {error.message}"
        why = told(COMPONENT, daemon_set, DAEMON_SET, "FailedCreate", message, at, type="Warning")
        return Changes(tuple(_status_writes(round)), deletes=tuple(deletes), events=(*events, why))

    return Changes((), tuple(creates), tuple(deletes), tuple(events), soonest(round.waits), refused)


# -- status ------------------------------------------------------------------------------------------------------


def _status_writes(round: Round) -> list[Write]:
    daemon_set = round.daemon_set
    held = daemon_set.get("status") or {}
    status = {**held, **_counts(round), "observedGeneration": daemon_set["metadata"].get("generation", 0)}
    for name in ("updatedNumberScheduled", "numberAvailable", "numberUnavailable"):
        if not status[name]:
            del status[name]
    return [Write(DAEMON_SET, {**daemon_set, "status": status}, "status")] if status != held else []


def _counts(round: Round) -> dict[str, int]:
    """Of each node only the first pod counts."""
    firsts = {name: pods[0] for name, pods in round.pods.items()}
    placed = [firsts[name] for name, place in round.places.items() if place.should_run and name in firsts]
    strays = [name for name, place in round.places.items() if not place.should_run and name in firsts]
    available = sum(round.is_available(pod) for pod in placed)
    return {
        "currentNumberScheduled": len(placed),
        "numberMisscheduled": len(strays),
        "desiredNumberScheduled": round.desired,
        "numberReady": sum(is_ready(pod) for pod in placed),
        "updatedNumberScheduled": sum(not round.is_old(pod) for pod in placed),
        "numberAvailable": available,
        "numberUnavailable": round.desired - available,
    }


def _waits(round: Round) -> list[float | None]:
    seconds = round.daemon_set["spec"].get("minReadySeconds") or 0
    return [available_after_seconds(pod, seconds, round.at) for pods in round.pods.values() for pod in pods]


# -- keys --------------------------------------------------------------------------------------------------------


def _sets_of_owned(change: Change, view: View) -> Iterable[ObjectKey]:
    return owner_keys(change, view, DAEMON_SET)


def _sets_of_node(change: Change, view: View) -> Iterable[ObjectKey]:
    """All of them when a node comes, goes, or changes what decides who may run on it."""
    if change.type == "MODIFIED" and change.previous is not None and _fit(change.object) == _fit(change.previous):
        return ()
    return [key_of(daemon_set) for daemon_set in view.all(DAEMON_SET)]


def _fit(node: JsonObject) -> tuple[Any, ...]:
    return labels_of(node), (node.get("spec") or {}).get("taints") or []


CONTROLLER = Controller(
    "daemonset",
    {DAEMON_SET: own_key, POD: _sets_of_owned, NODE: _sets_of_node, CONTROLLER_REVISION: _sets_of_owned},
    plan_daemonset,
)
