"""The scheduler: which node a pod gets, and what is said of one that gets none."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.kinds import BINDING, NAMESPACE, NODE, POD
from emulator.api.meta import JsonObject, ObjectKey, condition_of
from emulator.client.index import Change
from emulator.controllers.changes import NOTHING, Changes
from emulator.controllers.nodeload import Loads, requests_of
from emulator.controllers.scheduler import controller, plan_schedule, why_not
from tests.unit.controllers.world import AT, NS, World, make, node, pod, settle

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


NO_NEW = "no new claims to deallocate, preemption: "
NO_HELP = "Preemption is not helpful for scheduling."
NO_VICTIMS = "No preemption victims found for incoming pod."


def said(world: World) -> str:
    """The message of the one Event of the plan, after its result stood the test of a second plan."""
    changes = plan(world)
    world.apply(changes)
    assert plan(world) == NOTHING
    (event,) = changes.events
    assert (event["source"], event["action"]) == ({}, "Scheduling")
    assert event["reportingComponent"] == "default-scheduler"
    assert event["eventTime"] == "2026-03-04T05:06:07.000000Z"
    return str(event["message"])


def bound(world: World) -> str:
    """The node the pod gets."""
    changes = plan(world)
    (write,) = changes.creates
    assert (write.kind, write.object["target"]["kind"]) == (BINDING, "Node")
    return str(write.object["target"]["name"])


def asking(**requests: str) -> JsonObject:
    return {"containers": [{"name": "c", "resources": {"requests": requests}}]}


def serving(port: int, address: str = "", protocol: str = "TCP") -> JsonObject:
    entry = {"containerPort": 80, "hostPort": port, "protocol": protocol, **({"hostIP": address} if address else {})}
    return {"containers": [{"name": "c", "ports": [entry]}]}


NO_ROOM: list[tuple[str, list[JsonObject], JsonObject, str]] = [
    (
        "too many pods",
        [*(node(f"n{n}", room={"pods": "1"}) for n in (1, 2, 3)), *(pod(f"p{n}", nodeName=f"n{n}") for n in (1, 2, 3))],
        {},
        f"0/3 nodes are available: 3 Too many pods. {NO_NEW}0/3 nodes are available: 3 {NO_VICTIMS}",
    ),
    (
        "too little for ever, and for now",
        [node("n1"), node("n2", room={"cpu": "2"}), pod("p", nodeName="n1", **asking(cpu="7500m"))],
        asking(cpu="3", memory="1Gi"),
        f"0/2 nodes are available: 2 Insufficient cpu. {NO_NEW}0/2 nodes are available: 1 {NO_VICTIMS[:-1]}, 1 {NO_HELP}",
    ),
    (
        "several reasons of one node",
        [node("n1", room={"pods": "1"}), pod("p", **asking(memory="31Gi"))],
        asking(memory="2Gi", **{"example.com/gpu": "1"}),
        (
            "0/1 nodes are available: 1 Insufficient example.com/gpu, 1 Insufficient memory, 1 Too many pods. "
            f"{NO_NEW}0/1 nodes are available: 1 {NO_HELP}"
        ),
    ),
    (
        "a host port",
        [node(), pod("p", **serving(80, "127.0.0.1"))],
        serving(80),
        (
            "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. "
            f"{NO_NEW}0/1 nodes are available: 1 {NO_VICTIMS}"
        ),
    ),
    (
        "named by a daemon pod",
        [node("n1"), node("n2", unschedulable=True), node("n3")],
        required(term("metadata.name", "In", "n2", field="matchFields")),
        (
            "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]. "
            f"{NO_NEW}0/3 nodes are available: 3 {NO_HELP}"
        ),
    ),
    (
        "may not preempt",
        [node("n1", unschedulable=True)],
        {"preemptionPolicy": "Never"},
        f"0/1 nodes are available: 1 {CORDONED}. {NO_NEW}not eligible due to preemptionPolicy=Never.",
    ),
]


@pytest.mark.parametrize(("objects", "spec", "text"), [c[1:] for c in NO_ROOM], ids=[c[0] for c in NO_ROOM])
def test_what_is_said_of_no_room(objects: list[JsonObject], spec: JsonObject, text: str) -> None:
    assert said(World(*objects, waiting(**spec))) == text


def test_a_node_that_offers_nothing_takes_nothing() -> None:
    bare = make(NODE, "bare", spec={})
    assert said(World(bare, waiting())).startswith("0/1 nodes are available: 1 Too many pods.")


PORTS = [
    ("another port", serving(81), True),
    ("another protocol", serving(80, protocol="UDP"), True),
    ("another address", serving(80, "127.0.0.2"), True),
    ("the same address", serving(80, "127.0.0.1"), False),
    ("every address", serving(80, "0.0.0.0"), False),
]


@pytest.mark.parametrize(("spec", "fits"), [case[1:] for case in PORTS], ids=[case[0] for case in PORTS])
def test_host_ports(spec: JsonObject, fits: bool) -> None:
    world = World(node(), pod("p", **serving(80, "127.0.0.1")), waiting(**spec))
    assert bool(plan(world).creates) == fits


def affinity(field: str, key: str = "kubernetes.io/hostname", **more: Any) -> JsonObject:
    rule = {"topologyKey": key, "labelSelector": {"matchLabels": {"app": "web"}}, **more}
    return {"affinity": {field: {"requiredDuringSchedulingIgnoredDuringExecution": [rule]}}}


def other(name: str, namespace: str = NS, **spec: Any) -> JsonObject:
    made = pod(name, **spec)
    return {**made, "metadata": {**made["metadata"], "namespace": namespace}}


ZONES = [node("n1", labels={"zone": "a"}), node("n2", labels={"zone": "a"}), node("n3", labels={"zone": "b"})]
TOGETHER: list[tuple[str, list[JsonObject], JsonObject, str]] = [
    ("beside", [*ZONES, other("p", nodeName="n2")], affinity("podAffinity"), "n2"),
    ("in its zone", [*ZONES, other("p", nodeName="n3")], affinity("podAffinity", "zone"), "n3"),
    ("the first of its kind", ZONES, affinity("podAffinity"), "n1"),
    ("apart", [*ZONES, other("p", nodeName="n1"), other("q", nodeName="n2")], affinity("podAntiAffinity"), "n3"),
    ("another zone", [*ZONES, other("p", nodeName="n1")], affinity("podAntiAffinity", "zone"), "n3"),
    ("of another namespace", [*ZONES, other("p", "else", nodeName="n3")], affinity("podAntiAffinity"), "n1"),
    (
        "of a named namespace",
        [*ZONES, other("p", "else", nodeName="n2")],
        affinity("podAffinity", namespaces=["else"]),
        "n2",
    ),
    (
        "of a selected namespace",
        [*ZONES, other("p", "else", nodeName="n2"), make(NAMESPACE, "else", metadata={"labels": {"team": "x"}})],
        affinity("podAffinity", namespaceSelector={"matchLabels": {"team": "x"}}),
        "n2",
    ),
    (
        "others keep it off",
        [*ZONES, other("p", nodeName="n1", **affinity("podAntiAffinity", "zone"))],
        {},
        "n3",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("objects", "spec", "wanted"), [c[1:] for c in TOGETHER], ids=[c[0] for c in TOGETHER])
def test_pods_that_stand_together_or_apart(objects: list[JsonObject], spec: JsonObject, wanted: str) -> None:
    assert bound(World(*objects, waiting(**spec))) == wanted


APART = "node(s) didn't match pod anti-affinity rules"


def test_what_is_said_of_neighbours() -> None:
    here = World(node(), other("p"), waiting(**affinity("podAntiAffinity")))
    assert said(here).startswith(f"0/1 nodes are available: 1 {APART}. ")
    absent = World(node(), waiting(**affinity("podAffinity", labelSelector={"matchLabels": {"app": "db"}})))
    assert said(absent).startswith("0/1 nodes are available: 1 node(s) didn't match pod affinity rules. ")
    refused = World(node(), other("p", **affinity("podAntiAffinity")), waiting())
    assert "1 node(s) didn't satisfy existing pods anti-affinity rules. " in said(refused)


def spread(skew: int, key: str, **more: Any) -> JsonObject:
    rule = {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule"}
    return {"topologySpreadConstraints": [{**rule, "labelSelector": {"matchLabels": {"app": "web"}}, **more}]}


SPREADS: list[tuple[str, list[JsonObject], JsonObject, str]] = [
    ("the emptier zone", [*ZONES, other("p", nodeName="n1")], spread(1, "zone"), "n3"),
    ("a greater skew", [*ZONES, other("p", nodeName="n3"), other("q", nodeName="n3")], spread(3, "zone"), "n1"),
    (
        "going pods do not count",
        [*ZONES, other("p", nodeName="n3", terminating=True), other("q", nodeName="n1"), other("r", nodeName="n2")],
        spread(2, "zone"),
        "n3",
    ),
]


@pytest.mark.parametrize(("objects", "spec", "wanted"), [c[1:] for c in SPREADS], ids=[c[0] for c in SPREADS])
def test_spread_over_topologies(objects: list[JsonObject], spec: JsonObject, wanted: str) -> None:
    assert bound(World(*objects, waiting(**spec))) == wanted


def test_what_is_said_of_spread() -> None:
    full = World(*ZONES[:2], node("n3"), other("p", nodeName="n1"), waiting(**spread(1, "zone", minDomains=2)))
    assert said(full) == (
        "0/3 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label), "
        f"2 node(s) didn't match pod topology spread constraints. {NO_NEW}"
        f"0/3 nodes are available: 1 {NO_HELP[:-1]}, 2 {NO_VICTIMS}"
    )


OWNER = {"ownerReferences": [{"kind": "ReplicaSet", "name": "rs", "uid": "rs-1", "controller": True}]}
BEST: list[tuple[str, list[JsonObject], JsonObject, str]] = [
    ("the emptiest", [node("n1"), node("n2"), pod("p")], {}, "n2"),
    ("the least asked of", [node("n1"), node("n2"), pod("p", **asking(cpu="4")), pod("q", nodeName="n2")], {}, "n2"),
    ("one not to be avoided", [node("n1", taints=[{**TAINT, "effect": "PreferNoSchedule"}]), node("n2"),
                               pod("p", nodeName="n2", **asking(cpu="6"))], {}, "n2"),
    ("the preferred", [node("n1"), node("n2", labels={"disk": "ssd"}), pod("p", nodeName="n2")],
     {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
         {"weight": 1, "preference": term("disk", "In", "ssd")}]}}}, "n2"),
    ("near the preferred", [node("n1"), node("n2"), pod("p", nodeName="n2")],
     {"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
         {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname",
                                           "labelSelector": {"matchLabels": {"app": "web"}}}}]}}}, "n2"),
]  # fmt: skip


@pytest.mark.parametrize(("objects", "spec", "wanted"), [c[1:] for c in BEST], ids=[c[0] for c in BEST])
def test_the_best_of_those_that_fit(objects: list[JsonObject], spec: JsonObject, wanted: str) -> None:
    assert bound(World(*objects, waiting(**spec))) == wanted


def test_pods_of_one_owner_spread() -> None:
    """The emptier node has a pod of the same owner: it is not taken."""
    world = World(node("n1"), node("n2"), pod("mine", nodeName="n1", metadata=OWNER), pod("p", nodeName="n2"),
                  pod("q", nodeName="n2"))  # fmt: skip
    new = waiting()
    world.put({**new, "metadata": {**new["metadata"], **OWNER}})
    assert bound(world) == "n2"


def test_what_a_pod_asks_for() -> None:
    def container(cpu: str, **more: Any) -> JsonObject:
        return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}

    side = container("100m", restartPolicy="Always")
    made = waiting(containers=[container("200m"), container("300m")], initContainers=[side, container("2")],
                   overhead={"cpu": "10m", "memory": "1Mi"})  # fmt: skip
    assert requests_of(made) == {"cpu": 2110, "memory": 2**20}
    whole = waiting(containers=[container("200m")], resources={"requests": {"cpu": "1"}})
    assert requests_of(whole) == {"cpu": 1000}


def test_room_that_comes_free_is_for_those_who_wait() -> None:
    world = World(node(room={"pods": "1"}), pod("p"), waiting())
    kept = controller()
    for held in world.all(POD):
        assert [*kept.watches[POD](Change("ADDED", POD, held, None), world)] == (
            [KEY] if "nodeName" not in held["spec"] else []
        )
    world.apply(kept.plan(KEY, world, AT))
    assert "Too many pods" in str(condition_of(world.the(POD, "a"), "PodScheduled"))
    gone = world.the(POD, "p")
    world.remove(POD, "p", NS)
    assert [*kept.watches[POD](Change("DELETED", POD, gone, gone), world)] == [KEY]
    world.apply(kept.plan(KEY, world, AT))
    assert world.the(POD, "a")["spec"]["nodeName"] == "n1"


def test_loads_follow_every_change() -> None:
    """Whatever happens to pods, what is counted step by step is what is counted anew."""
    world, loads = World(node()), Loads()
    first = pod("p", **serving(80))
    for changed in (first, {**first, "status": {"phase": "Succeeded"}}, first):
        stored = world.put(changed)
        loads.apply(Change("MODIFIED", POD, stored, None))
        fresh = Loads.of(world.all(POD)).of_node("n1")
        held = loads.of_node("n1")
        assert (held.pods, +held.ports, +held.requested) == (fresh.pods, fresh.ports, fresh.requested)


def test_whose_keys() -> None:
    world = World(node(), waiting("a"), waiting("b"), pod("c"))
    kept = controller()
    for held in world.all(POD):
        list(kept.watches[POD](Change("ADDED", POD, held, None), world))
    watched = kept.watches[NODE]
    both = [KEY, ObjectKey(NS, "b")]
    assert sorted(watched(Change("ADDED", NODE, node(), None), world)) == both
    assert sorted(watched(Change("MODIFIED", NODE, node(), node(unschedulable=True)), world)) == both
    assert sorted(watched(Change("MODIFIED", NODE, node(), node(room={"pods": "1"})), world)) == both
    beat = {**node(), "status": {**node()["status"], "conditions": []}}
    assert list(watched(Change("MODIFIED", NODE, beat, node()), world)) == []
