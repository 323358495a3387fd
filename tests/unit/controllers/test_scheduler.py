"""The scheduler: which node a pod gets, and what is said of one that gets none."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.kinds import NODE, POD
from emulator.api.meta import JsonObject, ObjectKey, condition_of
from emulator.client.index import Change
from emulator.controllers.changes import NOTHING, Changes
from emulator.controllers.scheduler import CONTROLLER, plan_schedule, why_not
from tests.unit.controllers.world import AT, NS, World, node, pod, settle

KEY = ObjectKey(NS, "a")
TAINT = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
TAINTED, CORDONED = "node(s) had untolerated taint(s)", "node(s) were unschedulable"
AFFINITY = "node(s) didn't match Pod's node affinity/selector"


def plan(world: World) -> Changes:
    return plan_schedule(KEY, world, AT)


def waiting(name: str = "a", **spec: Any) -> JsonObject:
    made = pod(name, nodeName=None, phase="Pending", ready=None)
    return {**made, "spec": {**made["spec"], **spec}}


def required(*terms: JsonObject) -> JsonObject:
    rule = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"affinity": {"nodeAffinity": rule}}


def term(key: str, operator: str, *values: str, field: str = "matchExpressions") -> JsonObject:
    return {field: [{"key": key, "operator": operator, "values": list(values)}]}


FITS: list[tuple[str, JsonObject, JsonObject, str]] = [
    ("anything", {}, node(), ""),
    ("a selector", {"nodeSelector": {"disk": "ssd"}}, node(labels={"disk": "ssd"}), ""),
    ("another selector", {"nodeSelector": {"disk": "ssd"}}, node(), AFFINITY),
    ("a taint", {}, node(taints=[TAINT]), TAINTED),
    ("to be avoided if possible", {}, node(taints=[{**TAINT, "effect": "PreferNoSchedule"}]), ""),
    ("nothing runs there", {}, node(taints=[{**TAINT, "effect": "NoExecute"}]), TAINTED),
    ("tolerated", {"tolerations": [{**TAINT, "operator": "Equal"}]}, node(taints=[TAINT]), ""),
    ("by key", {"tolerations": [{"key": "dedicated", "operator": "Exists"}]}, node(taints=[TAINT]), ""),
    ("all tolerated", {"tolerations": [{"operator": "Exists"}]}, node(taints=[TAINT], unschedulable=True), ""),
    ("of another effect", {"tolerations": [{**TAINT, "effect": "NoExecute"}]}, node(taints=[TAINT]), TAINTED),
    ("of another value", {"tolerations": [{"key": "dedicated", "value": "x"}]}, node(taints=[TAINT]), TAINTED),
    ("cordoned", {}, node(unschedulable=True), CORDONED),
    ("cordoned, with its taint", {}, node(unschedulable=True, taints=[CORDON]), CORDONED),
    ("the taint alone", {}, node(taints=[CORDON]), TAINTED),
    ("cordon tolerated", {"tolerations": [CORDON]}, node(unschedulable=True, taints=[CORDON]), ""),
    ("In", required(term("disk", "In", "ssd", "nvme")), node(labels={"disk": "nvme"}), ""),
    ("not In", required(term("disk", "In", "ssd")), node(labels={"disk": "hdd"}), AFFINITY),
    ("NotIn", required(term("disk", "NotIn", "ssd")), node(), ""),
    ("Exists", required(term("disk", "Exists")), node(), AFFINITY),
    ("DoesNotExist", required(term("disk", "DoesNotExist")), node(), ""),
    ("Gt", required(term("cores", "Gt", "4")), node(labels={"cores": "8"}), ""),
    ("not Lt", required(term("cores", "Lt", "4")), node(labels={"cores": "8"}), AFFINITY),
    ("Gt of no number", required(term("cores", "Gt", "4")), node(labels={"cores": "many"}), AFFINITY),
    ("one term of two", required(term("a", "Exists"), term("b", "DoesNotExist")), node(), ""),
    ("an empty term fits nothing", required({}), node(), AFFINITY),
    ("by name", required(term("metadata.name", "In", "n1", field="matchFields")), node(), ""),
    ("by another name", required(term("metadata.name", "In", "n2", field="matchFields")), node(), AFFINITY),
]


@pytest.mark.parametrize(("spec", "node", "why"), [case[1:] for case in FITS], ids=[case[0] for case in FITS])
def test_whether_a_node_fits(spec: JsonObject, node: JsonObject, why: str) -> None:
    assert why_not(waiting(**spec), node) == why


def test_the_node_with_the_fewest_pods_is_bound_and_told() -> None:
    world = World(node("n1"), node("n2"), node("n3", unschedulable=True), pod("b", nodeName="n1"), waiting())
    changes = plan(world)
    (event,) = changes.events
    assert (event["type"], event["reason"]) == ("Normal", "Scheduled")
    assert event["message"] == f"Successfully assigned {NS}/a to n2"
    world.apply(changes)
    assert world.the(POD, "a")["spec"]["nodeName"] == "n2"
    assert plan(world) == NOTHING


NOT_OURS = [
    ("has a node", pod("a")),
    ("going", pod("a", nodeName=None, terminating=True)),
    ("of another scheduler", waiting(schedulerName="mine")),
    ("gated", waiting(schedulingGates=[{"name": "wait"}])),
    ("ended", pod("a", nodeName=None, phase="Failed")),
]


@pytest.mark.parametrize("other", [case[1] for case in NOT_OURS], ids=[case[0] for case in NOT_OURS])
def test_not_ours(other: JsonObject) -> None:
    assert plan(World(node(), other)) == NOTHING
    assert plan(World(node())) == NOTHING


def test_no_node_fits() -> None:
    nodes = [node("n1", taints=[TAINT]), node("n2", taints=[TAINT]), node("n3", unschedulable=True)]
    world = World(*nodes, waiting())
    changes = plan(world)
    text = (
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) had untolerated taint(s). "
        "no new claims to deallocate, preemption: 0/3 nodes are available: "
        "3 Preemption is not helpful for scheduling."
    )
    assert [(e["type"], e["reason"], e["message"]) for e in changes.events] == [("Warning", "FailedScheduling", text)]
    assert settle(world, lambda key, view: plan_schedule(key, view, AT), KEY) == 1
    assert condition_of(world.the(POD, "a"), "PodScheduled") == {
        "type": "PodScheduled",
        "status": "False",
        "lastProbeTime": None,
        "lastTransitionTime": "2026-03-04T05:06:07Z",
        "reason": "Unschedulable",
        "message": text,
    }
    world.put(node("n4"))
    world.apply(plan(world))
    assert world.the(POD, "a")["spec"]["nodeName"] == "n4"


def test_no_node_at_all() -> None:
    world = World(waiting())
    world.apply(plan(world))
    condition = condition_of(world.the(POD, "a"), "PodScheduled")
    assert condition is not None
    assert condition["message"] == "no nodes available to schedule pods"


def test_whose_keys() -> None:
    world = World(node(), waiting("a"), waiting("b"), pod("c"))
    watched = CONTROLLER.watches[NODE]
    both = [KEY, ObjectKey(NS, "b")]
    assert sorted(watched(Change("ADDED", NODE, node(), None), world)) == both
    assert sorted(watched(Change("MODIFIED", NODE, node(), node(unschedulable=True)), world)) == both
    beat = {**node(), "status": {"conditions": []}}
    assert list(watched(Change("MODIFIED", NODE, beat, node()), world)) == []
