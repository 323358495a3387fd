"""Nodes in trouble: silence noted, taints, pods that stop being ready, evictions and what nobody will end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from emulator.api.kinds import LEASE, NODE, POD
from emulator.api.meta import JsonObject, ObjectKey, annotations_of, condition_of, format_micro_time
from emulator.client.index import Change
from emulator.controllers import podgc, tainteviction
from emulator.controllers.changes import NOTHING
from emulator.controllers.nodelifecycle import controller, plan_node
from emulator.controllers.tainteviction import tolerated_seconds
from tests.unit.controllers.world import AT, NS, World, make, node, pod

NODE_KEY, POD_KEY = ObjectKey("", "n1"), ObjectKey(NS, "a")
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"


def in_state(ready: str | None = "True", *, grace: str = "", **spec: Any) -> JsonObject:
    made = node(**spec)
    if grace:
        made["metadata"]["annotations"] = {"kubemu.dev/grace-seconds": grace}
    conditions = [
        {"type": "MemoryPressure", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        *([{"type": "Ready", "status": ready, "reason": "KubeletReady"}] if ready else []),
    ]
    return {**made, "status": {**made["status"], "conditions": conditions}}


def lease(age_seconds: float) -> JsonObject:
    renewed = format_micro_time(AT - timedelta(seconds=age_seconds))
    made = make(LEASE, "n1", spec={"renewTime": renewed})
    return {**made, "metadata": {**made["metadata"], "namespace": "kube-node-lease"}}


def taints(world: World) -> list[tuple[str, str]]:
    return [(each["key"], each["effect"]) for each in world.the(NODE, "n1")["spec"].get("taints") or ()]


def run(world: World, steps: int = 10) -> list[JsonObject]:
    """Plan until nothing is to do; the Events."""
    events: list[JsonObject] = []
    for _ in range(steps):
        changes = plan_node(NODE_KEY, world, AT)
        events += changes.events
        if changes.is_empty:
            return events
        world.apply(changes)
    raise AssertionError("does not settle")


def test_a_node_that_is_heard_of_is_looked_at_when_its_grace_ends() -> None:
    changes = plan_node(NODE_KEY, World(in_state(), lease(15)), AT)
    assert (changes.count, changes.retry_after_seconds) == (0, 25.0)
    assert plan_node(NODE_KEY, World(in_state(grace="20"), lease(15)), AT).retry_after_seconds == 5.0


def test_a_node_that_falls_silent() -> None:
    world = World(in_state(), lease(41), pod("a"), pod("b", nodeName="n2"), pod("c", ready=False))
    events = run(world)
    for type in ("Ready", "MemoryPressure"):
        condition = condition_of(world.the(NODE, "n1"), type) or {}
        assert (condition["status"], condition["reason"]) == ("Unknown", "NodeStatusUnknown")
        assert condition["message"] == "Kubelet stopped posting node status."
    assert taints(world) == [(UNREACHABLE, "NoExecute"), (UNREACHABLE, "NoSchedule")]
    assert all(each["timeAdded"] for each in world.the(NODE, "n1")["spec"]["taints"])
    ready = {name: (condition_of(world.the(POD, name), "Ready") or {})["status"] for name in "abc"}
    assert ready == {"a": "False", "b": "True", "c": "False"}
    told = [(each["involvedObject"]["kind"], each["type"], each["reason"], each["message"]) for each in events]
    assert told == [
        ("Node", "Normal", "NodeNotReady", "Node n1 status is now: NodeNotReady"),
        ("Pod", "Warning", "NodeNotReady", "Node is not ready"),
    ]


def test_a_node_without_a_lease_is_left_alone() -> None:
    assert plan_node(NODE_KEY, World(in_state(), pod("a")), AT) == NOTHING
    assert plan_node(NODE_KEY, World(in_state(None)), AT) == NOTHING


MINE = {"key": "mine", "effect": "NoSchedule"}
CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
TAINTS: list[tuple[str, JsonObject, list[tuple[str, str]]]] = [
    ("ready", in_state(), []),
    ("not ready", in_state("False"), [(NOT_READY, "NoExecute"), (NOT_READY, "NoSchedule")]),
    ("cordoned", in_state(unschedulable=True), [("node.kubernetes.io/unschedulable", "NoSchedule")]),
    ("uncordoned", in_state(taints=[CORDON, MINE]), [("mine", "NoSchedule")]),
    (
        "back, then not ready",
        in_state("False", taints=[MINE, {"key": UNREACHABLE, "effect": "NoExecute"}]),
        [("mine", "NoSchedule"), (NOT_READY, "NoExecute"), (NOT_READY, "NoSchedule")],
    ),
    ("ready again", in_state(taints=[{"key": NOT_READY, "effect": "NoExecute"}, MINE]), [("mine", "NoSchedule")]),
    (
        "a taint of that key for ever",
        in_state(taints=[{**CORDON, "effect": "NoExecute"}]),
        [(CORDON["key"], "NoExecute")],
    ),
]


@pytest.mark.parametrize(("object", "wanted"), [case[1:] for case in TAINTS], ids=[case[0] for case in TAINTS])
def test_taints(object: JsonObject, wanted: list[tuple[str, str]]) -> None:
    world = World(object)
    run(world)
    assert taints(world) == wanted


def test_pressure_taints() -> None:
    pressed = in_state()
    pressed["status"]["conditions"][0]["status"] = "True"
    world = World(pressed)
    run(world)
    assert taints(world) == [("node.kubernetes.io/memory-pressure", "NoSchedule")]


def test_a_pod_that_is_ready_on_a_node_in_trouble_brings_the_node_back() -> None:
    world = World(in_state("Unknown"), pod("a"))
    watched = controller().watches[POD]
    assert list(watched(Change("MODIFIED", POD, pod("a"), None), world)) == [NODE_KEY]
    assert list(watched(Change("MODIFIED", POD, pod("a", ready=False), None), world)) == []
    assert list(watched(Change("MODIFIED", POD, pod("a"), None), World(in_state()))) == []


def test_a_node_that_comes_and_goes_is_told_of_once() -> None:
    lifecycle, world = controller(), World(in_state())

    def told() -> list[tuple[str, str]]:
        return [(each["reason"], each["message"]) for each in lifecycle.plan(NODE_KEY, world, AT).events]

    assert told() == [("RegisteredNode", "Node n1 event: Registered Node n1 in Controller")]
    assert told() == []
    world.remove(NODE, "n1", "")
    assert told() == [("RemovingNode", "Node n1 event: Removing Node n1 from Controller")]
    assert told() == []


# -- evictions ---------------------------------------------------------------------------------------------------

GONE = {"key": UNREACHABLE, "effect": "NoExecute"}
FIVE = {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
FOR_EVER = {"key": UNREACHABLE, "operator": "Exists"}
OTHER = {"key": "other", "effect": "NoExecute"}
TOLERATED = [
    ("not at all", [], [GONE], 0.0),
    ("a while", [FIVE], [GONE], 300.0),
    ("for ever", [FOR_EVER], [GONE], None),
    ("only one of two", [FIVE], [GONE, OTHER], 0.0),
    ("the shortest", [FIVE, {"key": "other", "operator": "Exists", "tolerationSeconds": 5}], [GONE, OTHER], 5.0),
    ("not a moment", [{**FIVE, "tolerationSeconds": -1}], [GONE], 0.0),
]


@pytest.mark.parametrize(
    ("tolerations", "present", "seconds"), [c[1:] for c in TOLERATED], ids=[c[0] for c in TOLERATED]
)
def test_how_long_a_taint_is_tolerated(
    tolerations: list[JsonObject], present: list[JsonObject], seconds: float | None
) -> None:
    assert tolerated_seconds(tolerations, present) == seconds


def test_an_intolerant_pod_goes_at_once_and_says_why() -> None:
    world = World(node(taints=[OTHER]), pod("a"))
    kept = tainteviction.controller()
    assert list(kept.watches[NODE](Change("MODIFIED", NODE, world.the(NODE, "n1"), node()), world)) == [POD_KEY]
    changes = kept.plan(POD_KEY, world, AT)
    (event,) = changes.events
    assert (event["type"], event["reason"]) == ("Normal", "TaintManagerEviction")
    assert event["message"] == f"Marking for deletion Pod {NS}/a"
    (write,) = changes.updates
    condition = condition_of(write.object, "DisruptionTarget") or {}
    assert (condition["status"], condition["reason"]) == ("True", "DeletionByTaintManager")
    assert condition["message"] == "Taint manager: deleting due to NoExecute taint"
    world.apply(changes)
    assert world.get(POD, "a", NS) is None


def test_a_tolerant_pod_stays_for_its_seconds_and_is_spared_when_the_taint_goes() -> None:
    world = World(node(taints=[GONE]), pod("a", tolerations=[FIVE]))
    kept = tainteviction.controller()
    assert kept.plan(POD_KEY, world, AT).retry_after_seconds == 300.0
    later = AT + timedelta(seconds=299)
    assert kept.plan(POD_KEY, world, later).retry_after_seconds == 1.0
    world.put(node())
    (event,) = kept.plan(POD_KEY, world, later).events
    assert event["message"] == f"Cancelling deletion of Pod {NS}/a"
    assert kept.plan(POD_KEY, world, later) == NOTHING
    world.put(node(taints=[GONE]))
    assert kept.plan(POD_KEY, world, later).retry_after_seconds == 300.0
    assert kept.plan(POD_KEY, world, later + timedelta(seconds=300)).deletes


# -- garbage -----------------------------------------------------------------------------------------------------


def test_pods_of_a_node_that_is_gone() -> None:
    world = World(pod("a"))
    kept = podgc.controller()
    assert list(kept.watches[NODE](Change("DELETED", NODE, node(), node()), world)) == [POD_KEY]
    assert kept.plan(POD_KEY, world, AT).retry_after_seconds == 40.0
    changes = kept.plan(POD_KEY, world, AT + timedelta(seconds=40))
    (write,), (delete,) = changes.updates, changes.deletes
    assert write.object["status"]["phase"] == "Failed"
    assert (condition_of(write.object, "DisruptionTarget") or {})["message"] == "PodGC: node no longer exists"
    assert delete.grace_period_seconds == 0
    world.put(node())
    assert kept.plan(POD_KEY, world, AT + timedelta(seconds=40)) == NOTHING


def test_pods_that_never_ran_and_pods_out_of_service() -> None:
    kept = podgc.controller()
    going = pod("a", nodeName=None, terminating=True)
    assert kept.plan(POD_KEY, World(going), AT).deletes[0].grace_period_seconds == 0
    out = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
    world = World(in_state("Unknown", taints=[out]), pod("a", terminating=True))
    assert kept.plan(POD_KEY, world, AT).deletes
    assert kept.plan(POD_KEY, World(in_state(taints=[out]), pod("a", terminating=True)), AT) == NOTHING


def test_the_oldest_of_too_many_ended_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podgc, "MAX_ENDED", 2)
    world, kept = World(node()), podgc.controller()
    keys: list[ObjectKey] = []
    for number in range(3):
        ended = world.put(
            pod(f"p{number}", phase="Succeeded", metadata={"creationTimestamp": f"2026-01-0{3 - number}T00:00:00Z"})
        )
        keys += kept.watches[POD](Change("ADDED", POD, ended, None), world)
    assert keys == [podgc.ENDED]
    changes = kept.plan(podgc.ENDED, world, AT)
    assert [delete.key.name for delete in changes.deletes] == ["p2"]
    assert annotations_of(world.the(POD, "p2")) == {}
