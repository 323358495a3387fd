"""StatefulSets: pods with names that last, made, ended and renewed in order. Pure.

One plan changes pods or writes the status, never both: so the status counts what a plan did.
Source: pkg/controller/statefulset/{stateful_set_control,stateful_pod_control}.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from emulator.api.errors import ApiError
from emulator.api.kinds import CONTROLLER_REVISION, PERSISTENT_VOLUME_CLAIM, POD, STATEFUL_SET
from emulator.api.meta import JsonObject, ObjectKey, is_terminating, key_of
from emulator.client.index import Change
from emulator.controllers import history
from emulator.controllers.changes import NOTHING, Changes, Controller, Delete, View, Write, own_key
from emulator.controllers.owned import available_after_seconds, claim, is_finished, owner_keys, soonest, told
from emulator.controllers.rollout import scaled
from emulator.controllers.statefulpods import (
    held_claims,
    identified,
    is_available,
    is_healthy,
    is_running_and_ready,
    missing_claims,
    new_pod,
    ordinal_of,
    phase_of,
    revision_of,
    start_of,
    template_name,
    with_owner,
)

COMPONENT = "statefulset-controller"


@dataclass(slots=True)
class Round:
    """One plan of one StatefulSet while it is made. current: the revision it comes from; update: it goes to."""

    owner: JsonObject
    view: View
    at: datetime
    current: JsonObject
    update: JsonObject
    pods: dict[int, JsonObject]
    updates: list[Write] = field(default_factory=list)
    claims: list[Write] = field(default_factory=list)
    creates: list[Write] = field(default_factory=list)
    deletes: list[JsonObject] = field(default_factory=list)
    events: list[JsonObject] = field(default_factory=list)

    @property
    def replicas(self) -> int:
        wanted = self.owner["spec"].get("replicas")
        return 1 if wanted is None else int(wanted)

    @property
    def ordinals(self) -> range:
        start = start_of(self.owner)
        return range(start, start + self.replicas)

    @property
    def in_order(self) -> bool:
        return bool(self.owner["spec"].get("podManagementPolicy") != "Parallel")

    @property
    def strategy(self) -> JsonObject:
        found: JsonObject = self.owner["spec"].get("updateStrategy") or {}
        return found

    @property
    def partition(self) -> int:
        return int((self.strategy.get("rollingUpdate") or {}).get("partition") or 0)

    def tell(self, reason: str, message: str, *, type: str = "Normal") -> None:
        self.events.append(told(COMPONENT, self.owner, STATEFUL_SET, reason, message, self.at, type=type))

    def done(self, verb: str, pod: Mapping[str, JsonObject]) -> str:
        return f"{verb} Pod {pod['metadata']['name']} in StatefulSet {self.owner['metadata']['name']} successful"


def plan_statefulset(key: ObjectKey, view: View, at: datetime) -> Changes:
    """The next step of a StatefulSet: its revision, a pod, or its status."""
    owner = view.get(STATEFUL_SET, key.name, key.namespace)
    if owner is None:
        return NOTHING
    revisions = claim(owner, STATEFUL_SET, CONTROLLER_REVISION, view)
    pods = claim(owner, STATEFUL_SET, POD, view)
    adopted = [w for w in pods.writes if w.object not in pods.objects or ordinal_of(w.object, owner) is not None]
    if revisions.writes or adopted:
        return Changes((*revisions.writes, *adopted))
    update, change = _update_revision(owner, revisions.objects, view)
    if update is None:
        return change
    named = (owner.get("status") or {}).get("currentRevision")
    current = next((each for each in revisions.objects if each["metadata"]["name"] == named), update)
    numbered = ((ordinal_of(pod, owner), pod) for pod in pods.objects)
    members = {ordinal: pod for ordinal, pod in numbered if ordinal is not None}
    round = Round(owner, view, at, current, update, dict(sorted(members.items())))
    if not is_terminating(owner):
        _manage(round)
    if round.updates or round.claims or round.creates or round.deletes:
        return _pod_changes(round)
    live = {current["metadata"]["name"], update["metadata"]["name"], *map(revision_of, members.values())}
    past = [each for each in revisions.objects if each is not current and each is not update]
    old = [] if is_terminating(owner) else history.too_old(past, owner["spec"].get("revisionHistoryLimit"), live)
    return Changes((*change.updates, *_status_writes(round)), deletes=tuple(old), retry_after_seconds=_wait(round))


def _update_revision(owner: JsonObject, revisions: list[JsonObject], view: View) -> tuple[JsonObject | None, Changes]:
    """The revision of the present template with its renumbering; or, when there is none, what makes it."""
    number = history.next_number(revisions)
    same = history.equal_to(revisions, history.template_data(owner["spec"]["template"]))
    if same:
        update = same[-1]
        if history.number_of(update) == number - 1:
            return update, NOTHING
        return update, Changes((Write(CONTROLLER_REVISION, history.renumbered(update, number)),))
    if is_terminating(owner):
        return None, NOTHING
    made = history.new_revision(owner, STATEFUL_SET, number)
    if view.get(CONTROLLER_REVISION, made["metadata"]["name"], made["metadata"]["namespace"]) is None:
        return None, Changes(creates=(Write(CONTROLLER_REVISION, made),))
    status = owner.get("status") or {}
    moved = {**status, "collisionCount": (status.get("collisionCount") or 0) + 1}
    return None, Changes((Write(STATEFUL_SET, {**owner, "status": moved}, "status"),))


# -- pods --------------------------------------------------------------------------------------------------------


def _manage(round: Round) -> None:
    """The living ones in order, then those over the number from the last, then the update from the last."""
    for ordinal in round.ordinals:
        if _tend(round, ordinal):
            return
    condemned = [ordinal for ordinal in reversed(round.pods) if ordinal not in round.ordinals]
    unhealthy = [ordinal for ordinal in (*round.ordinals, *condemned) if not _is_healthy(round, ordinal)]
    for ordinal in condemned:
        if _end(round, ordinal, is_first_unhealthy=unhealthy[:1] == [ordinal]):
            return
    if round.strategy.get("type", "RollingUpdate") != "OnDelete" and not round.creates:
        _roll(round)


def _is_healthy(round: Round, ordinal: int) -> bool:
    pod = round.pods.get(ordinal)
    return pod is not None and is_healthy(pod)


def _tend(round: Round, ordinal: int) -> bool:
    """Make or mend the pod of this number; whether what comes after it has to wait."""
    pod = round.pods.get(ordinal)
    if pod is None:
        _create(round, ordinal)
        return round.in_order
    if is_finished(pod):
        if not is_terminating(pod):
            _tell_recreated(round, pod)
            _delete(round, pod)
        return True
    if phase_of(pod) in ("", "Pending"):
        round.claims += [
            Write(PERSISTENT_VOLUME_CLAIM, each) for each in missing_claims(round.owner, ordinal, round.view)
        ]
    if round.in_order and not (is_healthy(pod) and is_available(pod, round.owner, round.at)):
        return True
    _mend(round, ordinal, pod)
    return False


def _mend(round: Round, ordinal: int, pod: JsonObject) -> None:
    named = identified(pod, ordinal)
    if named is not pod and not is_terminating(pod):
        round.updates.append(Write(POD, named))
        round.tell("SuccessfulUpdate", round.done("update", pod))
    _own_claims(round, ordinal, None)


def _own_claims(round: Round, ordinal: int, condemned: JsonObject | None) -> None:
    for held in held_claims(round.owner, ordinal, round.view):
        owned = with_owner(held, round.owner, condemned)
        if owned is not held:
            round.updates.append(Write(PERSISTENT_VOLUME_CLAIM, owned))


def _create(round: Round, ordinal: int) -> None:
    """Not while a claim of a former pod of this number is being deleted."""
    if any(is_terminating(each) for each in held_claims(round.owner, ordinal, round.view)):
        return
    _own_claims(round, ordinal, None)
    set_name = round.owner["metadata"]["name"]
    for each in missing_claims(round.owner, ordinal, round.view):
        name = each["metadata"]["name"]
        text = f"create Claim {name} Pod {set_name}-{ordinal} in StatefulSet {set_name} success"
        round.claims.append(Write(PERSISTENT_VOLUME_CLAIM, each, told=_teller(round, "SuccessfulCreate", text)))
    pod = new_pod(round.owner, _revision_for(round, ordinal), ordinal)
    told_of = _teller(round, "SuccessfulCreate", round.done("create", pod))
    round.creates.append(Write(POD, pod, told=told_of))


def _revision_for(round: Round, ordinal: int) -> JsonObject:
    """Pods below the partition stay what they were."""
    if round.strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return round.update
    if round.strategy.get("rollingUpdate") is None:
        kept = (round.owner.get("status") or {}).get("currentReplicas") or 0
    else:
        kept = round.partition
    return round.current if ordinal < start_of(round.owner) + kept else round.update


def _teller(round: Round, reason: str, message: str) -> Callable[[JsonObject], JsonObject]:
    owner, at = round.owner, round.at
    return lambda _: told(COMPONENT, owner, STATEFUL_SET, reason, message, at)


def _tell_recreated(round: Round, pod: JsonObject) -> None:
    metadata, set_name = pod["metadata"], round.owner["metadata"]["name"]
    text = f"StatefulSet {metadata['namespace']}/{set_name} is recreating"
    if phase_of(pod) == "Failed":
        round.tell("RecreatingFailedPod", f"{text} failed Pod {metadata['name']}", type="Warning")
    else:
        round.tell("RecreatingTerminatedPod", f"{text} terminated Pod {metadata['name']}")


def _delete(round: Round, pod: JsonObject) -> None:
    round.deletes.append(pod)
    round.tell("SuccessfulDelete", round.done("delete", pod))


def _end(round: Round, ordinal: int, *, is_first_unhealthy: bool) -> bool:
    """Delete a pod over the number; whether what comes after it has to wait."""
    pod = round.pods[ordinal]
    if is_terminating(pod):
        return round.in_order
    if round.in_order and not is_first_unhealthy and not is_available(pod, round.owner, round.at):
        return True
    _own_claims(round, ordinal, pod)
    _delete(round, pod)
    return round.in_order


def _roll(round: Round) -> None:
    """Delete the last pod that is not of the new revision, once all after it are well; or several, where so many may
    be unavailable."""
    most = scaled((round.strategy.get("rollingUpdate") or {}).get("maxUnavailable") or 1, round.replicas, up=False)
    if most > 1:
        _roll_several(round, most)
        return
    for ordinal in reversed(round.ordinals[round.partition :]):
        pod = round.pods.get(ordinal)
        if pod is None:
            return
        if revision_of(pod) != round.update["metadata"]["name"] and not is_terminating(pod):
            _delete(round, pod)
            return
        if is_terminating(pod) or not is_available(pod, round.owner, round.at):
            return


def _roll_several(round: Round, most: int) -> None:
    pods = [round.pods.get(ordinal) for ordinal in round.ordinals]
    unavailable = sum(
        pod is None or is_terminating(pod) or not is_available(pod, round.owner, round.at) for pod in pods
    )
    for pod in reversed(pods[round.partition :]):
        if unavailable >= most:
            return
        if pod is not None and revision_of(pod) != round.update["metadata"]["name"] and not is_terminating(pod):
            _delete(round, pod)
            unavailable += 1


def _pod_changes(round: Round) -> Changes:
    deletes = tuple(Delete(POD, key_of(pod), pod["metadata"]["uid"]) for pod in round.deletes)
    set_name = round.owner["metadata"]["name"]

    def refused(error: ApiError) -> Changes:
        which = round.creates[0].object["metadata"]["name"] if round.creates else ""
        text = f"create Pod {which} in StatefulSet {set_name} failed error: {error.message}"
        round.tell("FailedCreate", text, type="Warning")
        return Changes(tuple(_status_writes(round)), deletes=deletes, events=tuple(round.events))

    creates = (*round.claims, *round.creates)
    return Changes(tuple(round.updates), creates, deletes, tuple(round.events), refused=refused)


# -- status ------------------------------------------------------------------------------------------------------


def _status_writes(round: Round) -> list[Write]:
    owner, pods = round.owner, list(round.pods.values())
    held = owner.get("status") or {}
    made = [pod for pod in pods if phase_of(pod)]
    revisions = [revision_of(pod) for pod in made if not is_terminating(pod)]
    current, update = round.current["metadata"]["name"], round.update["metadata"]["name"]
    counts = {
        "readyReplicas": sum(map(is_running_and_ready, pods)),
        "currentReplicas": revisions.count(current),
        "updatedReplicas": revisions.count(update),
    }
    rolls = round.strategy.get("type", "RollingUpdate") == "RollingUpdate"
    if rolls and {counts["updatedReplicas"], counts["readyReplicas"], len(made)} == {round.replicas}:
        counts["currentReplicas"], current = counts["updatedReplicas"], update
    status: JsonObject = {
        **{name: value for name, value in held.items() if name not in counts},
        "observedGeneration": owner["metadata"].get("generation", 0),
        "replicas": len(made),
        **{name: count for name, count in counts.items() if count},
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": held.get("collisionCount") or 0,
        "availableReplicas": sum(is_available(pod, owner, round.at) for pod in pods),
    }
    return [Write(STATEFUL_SET, {**owner, "status": status}, "status")] if status != held else []


def _wait(round: Round) -> float | None:
    seconds = round.owner["spec"].get("minReadySeconds") or 0
    return soonest(available_after_seconds(pod, seconds, round.at) for pod in round.pods.values())


def _sets_of_owned(change: Change, view: View) -> Iterable[ObjectKey]:
    return owner_keys(change, view, STATEFUL_SET)


def _sets_of_claim(change: Change, view: View) -> Iterable[ObjectKey]:
    """The sets one of whose claims it may be."""
    found = []
    for name, owner in view.in_namespace(STATEFUL_SET, change.key.namespace).items():
        templates = owner["spec"].get("volumeClaimTemplates") or ()
        if any(change.key.name.startswith(f"{template_name(each)}-{name}-") for each in templates):
            found.append(key_of(owner))
    return found


CONTROLLER = Controller(
    "statefulset",
    {
        STATEFUL_SET: own_key,
        POD: _sets_of_owned,
        CONTROLLER_REVISION: _sets_of_owned,
        PERSISTENT_VOLUME_CLAIM: _sets_of_claim,
    },
    plan_statefulset,
)
