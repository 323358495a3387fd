"""EndpointSlices of Services with a selector: what endpoints say, how they are spread, and what is written when."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.kinds import ENDPOINT_SLICE, NODE, POD, SERVICE
from emulator.api.meta import JsonObject, ObjectKey
from emulator.client.index import Change
from emulator.controllers import endpointslice
from emulator.controllers.changes import NOTHING, Changes
from emulator.controllers.endpointslice import MANAGER, plan_endpoint_slices
from emulator.controllers.pods import TRIGGER_TIME, TriggerTimes
from tests.unit.controllers.world import AT, NS, World, make, node, pod, port, service, settle

KEY = ObjectKey(NS, "web")
LABELS = {"kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": MANAGER}
OWNER = {
    "apiVersion": "v1",
    "kind": "Service",
    "name": "web",
    "uid": "uid-services-web",
    "controller": True,
    "blockOwnerDeletion": True,
}


def plan(world: World, times: TriggerTimes | None = None) -> Changes:
    return plan_endpoint_slices(KEY, world, AT, times=times or TriggerTimes())


def slices(world: World) -> list[JsonObject]:
    settle(world, lambda key, view: plan(view), KEY)
    return [slice for _, slice in sorted(world.in_namespace(ENDPOINT_SLICE, NS).items())]


def sizes(world: World) -> list[int]:
    return sorted(len(slice["endpoints"] or ()) for slice in slices(world))


def conditions(ready: bool, serving: bool, terminating: bool) -> dict[str, bool]:
    return {"ready": ready, "serving": serving, "terminating": terminating}


PUBLISHED = {"publishNotReadyAddresses": True}
CONDITIONS: list[tuple[str, JsonObject, JsonObject, dict[str, bool] | None]] = [
    ("ready", pod("a", "10.1.0.1"), {}, conditions(True, True, False)),
    ("not ready", pod("a", "10.1.0.1", ready=False), {}, conditions(False, False, False)),
    ("no condition", pod("a", "10.1.0.1", ready=None), {}, conditions(False, False, False)),
    ("not ready, published", pod("a", "10.1.0.1", ready=False), PUBLISHED, conditions(True, False, False)),
    ("terminating and serving", pod("a", "10.1.0.1", terminating=True), {}, conditions(False, True, True)),
    ("terminating", pod("a", "10.1.0.1", ready=False, terminating=True), {}, conditions(False, False, True)),
    ("terminating, published", pod("a", "10.1.0.1", terminating=True), PUBLISHED, conditions(True, True, True)),
    ("no address", pod("a"), {}, None),
    ("succeeded", pod("a", "10.1.0.1", phase="Succeeded"), {}, None),
    ("failed, published", pod("a", "10.1.0.1", phase="Failed"), PUBLISHED, None),
    ("on no node", pod("a", "10.1.0.1", nodeName=None), {}, None),
    ("on no node, published", pod("a", "10.1.0.1", nodeName=None), PUBLISHED, conditions(True, True, False)),
    ("on an unknown node", pod("a", "10.1.0.1", nodeName="n9"), {}, None),
    ("on an unknown node, published", pod("a", "10.1.0.1", nodeName="n9"), PUBLISHED, conditions(True, True, False)),
]


@pytest.mark.parametrize(("pod", "spec", "wanted"), [c[1:] for c in CONDITIONS], ids=[c[0] for c in CONDITIONS])
def test_conditions(pod: JsonObject, spec: JsonObject, wanted: dict[str, bool] | None) -> None:
    (slice,) = slices(World(node(), service(**spec), pod))
    found = [endpoint["conditions"] for endpoint in slice["endpoints"] or ()]
    assert found == ([] if wanted is None else [wanted])


def test_an_unknown_node_is_asked_for_again() -> None:
    world = World(service(), pod("a", "10.1.0.1", nodeName="n9"), pod("b", phase="Pending", nodeName=None))
    assert plan(world).retry_after_seconds
    world.put(node("n9"))
    assert plan(world).retry_after_seconds is None
    assert sizes(world) == [1]


def test_the_whole_slice() -> None:
    one = pod("a", "10.1.0.1", hostname="a", subdomain="web")
    world = World(node(labels={"topology.kubernetes.io/zone": "z1"}), service(labels={"run": "web"}), one)
    (slice,) = slices(world)
    uid = world.the(POD, "a")["metadata"]["uid"]
    assert slice["metadata"]["generateName"] == "web-"
    assert slice["metadata"]["labels"] == {"run": "web", **LABELS}
    assert slice["metadata"]["annotations"] == {TRIGGER_TIME: "2026-03-04T05:06:07Z"}
    assert slice["metadata"]["ownerReferences"] == [OWNER]
    assert slice["addressType"] == "IPv4"
    assert slice["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
    assert slice["endpoints"] == [
        {
            "addresses": ["10.1.0.1"],
            "conditions": conditions(True, True, False),
            "hostname": "a",
            "nodeName": "n1",
            "targetRef": {"kind": "Pod", "namespace": NS, "name": "a", "uid": uid},
            "zone": "z1",
        }
    ]


def test_labels_of_the_controllers_are_not_the_services_to_give() -> None:
    given = {
        "service.kubernetes.io/headless": "x",
        "kubernetes.io/service-name": "x",
        "endpointslice.kubernetes.io/managed-by": "x",
    }
    (slice,) = slices(World(service(labels=given)))
    assert slice["metadata"]["labels"] == LABELS
    (slice,) = slices(World(service(clusterIP="None")))
    assert slice["metadata"]["labels"] == {**LABELS, "service.kubernetes.io/headless": ""}


HINTS: list[tuple[str, dict[str, Any], bool, dict[str, Any] | None]] = [
    ("none wanted", {}, True, None),
    ("PreferClose", {"trafficDistribution": "PreferClose"}, True, {"forZones": [{"name": "z1"}]}),
    ("PreferSameZone", {"trafficDistribution": "PreferSameZone"}, True, {"forZones": [{"name": "z1"}]}),
    ("not ready", {"trafficDistribution": "PreferSameZone"}, False, None),
    (
        "PreferSameNode",
        {"trafficDistribution": "PreferSameNode"},
        True,
        {"forZones": [{"name": "z1"}], "forNodes": [{"name": "n1"}]},
    ),
    (
        "the annotation wins",
        {"trafficDistribution": "PreferClose", "annotations": {"service.kubernetes.io/topology-mode": "Auto"}},
        True,
        None,
    ),
]


@pytest.mark.parametrize(("spec", "ready", "wanted"), [c[1:] for c in HINTS], ids=[c[0] for c in HINTS])
def test_hints(spec: dict[str, Any], ready: bool, wanted: dict[str, Any] | None) -> None:
    zone = {"topology.kubernetes.io/zone": "z1"}
    (slice,) = slices(World(node(labels=zone), service(**spec), pod("a", "10.1.0.1", ready=ready)))
    assert slice["endpoints"][0].get("hints") == wanted


def test_a_slice_for_each_family() -> None:
    both = service(ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="PreferDualStack")
    world = World(node(), both, pod("a", "10.1.0.1", "fd00::1"), pod("b", "10.1.0.2"))
    found = {s["addressType"]: [e["addresses"] for e in s["endpoints"]] for s in slices(world)}
    assert found == {"IPv4": [["10.1.0.1"], ["10.1.0.2"]], "IPv6": [["fd00::1"]]}
    world.put({**world.the(SERVICE, "web"), **service()})
    assert [slice["addressType"] for slice in slices(world)] == ["IPv4"]


def test_a_slice_for_each_set_of_ports() -> None:
    named = service(ports=[port(80, "http", "http"), port(53, 53, "dns", "UDP")])
    pods = [
        pod("a", "10.1.0.1", ports={"http": 8080}),
        pod("b", "10.1.0.2", ports={"http": 9090}),
        pod("c", "10.1.0.3"),
        pod("d", "10.1.0.4", ports={"http": 8080}),
    ]
    found = {
        tuple(sorted(p["port"] for p in s["ports"])): [e["targetRef"]["name"] for e in s["endpoints"]]
        for s in slices(World(node(), named, *pods))
    }
    assert found == {(53, 8080): ["a", "d"], (53, 9090): ["b"], (53,): ["c"]}


def test_pods_without_any_port_have_a_slice_without_ports() -> None:
    (slice,) = slices(World(node(), service(ports=[port(80, "http")]), pod("a", "10.1.0.1")))
    assert (slice["ports"], len(slice["endpoints"])) == (None, 1)


def test_ports_are_in_upstreams_order_with_their_app_protocols() -> None:
    ports = [port(9153, 9153, "metrics"), port(53, 53, "dns-tcp", appProtocol="dns"), port(53, 53, "dns", "UDP")]
    (slice,) = slices(World(node(), service(ports=[ports[0], port(53, 53, "dns-tcp"), ports[2]]), pod("a", "10.1.0.1")))
    assert [p["name"] for p in slice["ports"]] == ["dns", "dns-tcp", "metrics"]
    (slice,) = slices(World(node(), service(ports=[ports[1]]), pod("a", "10.1.0.1")))
    assert slice["ports"] == [{"name": "dns-tcp", "port": 53, "protocol": "TCP", "appProtocol": "dns"}]


def test_there_is_always_one_slice() -> None:
    world = World(node(), service())
    (placeholder,) = slices(world)
    assert (placeholder["endpoints"], placeholder["ports"]) == (None, None)
    world.put(pod("a", "10.1.0.1"))
    (filled,) = slices(world)
    assert filled["metadata"]["name"] == placeholder["metadata"]["name"], "the placeholder's name is used again"
    assert len(filled["endpoints"]) == 1
    world.remove(POD, "a")
    (empty,) = slices(world)
    assert (empty["endpoints"], empty["ports"]) == (None, None)
    assert empty["metadata"]["name"] == placeholder["metadata"]["name"]


def test_a_headless_service_without_ports() -> None:
    world = World(node(), service(clusterIP="None", ports=None))
    (placeholder,) = slices(world)
    world.put(pod("a", "10.1.0.1"))
    (slice,) = slices(world)
    assert slice["metadata"]["name"] == placeholder["metadata"]["name"]
    assert (slice["ports"], slice["endpoints"][0]["addresses"]) == (None, ["10.1.0.1"])


def crowd(count: int, first: int = 0) -> list[JsonObject]:
    return [pod(f"p{i:04d}", f"10.1.{i // 250}.{i % 250}") for i in range(first, first + count)]


@pytest.mark.parametrize(("pods", "wanted"), [(99, [99]), (100, [100]), (101, [1, 100]), (250, [50, 100, 100])])
def test_at_most_a_hundred_endpoints_a_slice(pods: int, wanted: list[int]) -> None:
    assert sizes(World(node(), service(), *crowd(pods))) == wanted


def names_and_versions(world: World) -> dict[str, str]:
    return {s["metadata"]["name"]: s["metadata"]["resourceVersion"] for s in slices(world)}


def test_few_slices_change() -> None:
    world = World(node(), service(), *crowd(250))
    before = names_and_versions(world)
    world.put(pod("p0000", "10.1.0.0", ready=False))
    changes = plan(world)
    assert (len(changes.updates), changes.creates, changes.deletes) == (1, (), ())
    world.apply(changes)
    for gone in range(100, 120):
        world.remove(POD, f"p{gone:04d}")
    assert sizes(world) == [50, 80, 100], "not rebalanced"
    for other in crowd(30, first=300):
        world.put(other)
    changes = plan(world)
    assert [len(write.object["endpoints"]) for write in changes.updates] == [80], "the one it fills best: 50 + 30"
    world.apply(changes)
    assert sizes(world) == [80, 80, 100]
    assert set(names_and_versions(world)) == set(before)


def test_slices_that_change_anyway_are_topped_up_first() -> None:
    world = World(node(), service(), *crowd(150))
    assert sizes(world) == [50, 100]
    world.remove(POD, "p0000")
    for other in crowd(3, first=300):
        world.put(other)
    assert sizes(world) == [52, 100], "the full one got one, and the rest fitted the other"


def test_what_is_left_of_a_new_slice_fits_an_old_one() -> None:
    world = World(node(), service(), *crowd(50))
    (old,) = names_and_versions(world)
    for other in crowd(150, first=300):
        world.put(other)
    changes = plan(world)
    assert [len(write.object["endpoints"]) for write in changes.creates] == [100]
    assert [(w.object["metadata"]["name"], len(w.object["endpoints"])) for w in changes.updates] == [(old, 100)]


def test_an_emptied_slice_goes() -> None:
    world = World(node(), service(), *crowd(150))
    last = {e["targetRef"]["name"] for s in slices(world) if len(s["endpoints"]) == 50 for e in s["endpoints"]}
    for name in last:
        world.remove(POD, name)
    assert sizes(world) == [100]


def test_a_new_port_reuses_the_slices() -> None:
    world = World(node(), service(), *crowd(150))
    before = set(names_and_versions(world))
    world.put({**world.the(SERVICE, "web"), **service(ports=[port(80, 9090)])})
    changes = plan(world)
    assert (len(changes.updates), changes.creates, changes.deletes) == (2, (), ())
    world.apply(changes)
    assert set(names_and_versions(world)) == before
    assert [s["ports"][0]["port"] for s in slices(world)] == [9090, 9090]


def test_a_pod_replaced_under_its_name_stays_in_place() -> None:
    world = World(node(), service(), *crowd(101))
    before = {s["metadata"]["name"]: len(s["endpoints"]) for s in slices(world)}
    world.put(pod("p0000", "10.1.0.0", metadata={"uid": "another", "labels": {"app": "web"}}))
    assert {s["metadata"]["name"]: len(s["endpoints"]) for s in slices(world)} == before
    uids = {e["targetRef"]["uid"] for s in slices(world) for e in s["endpoints"]}
    assert "another" in uids


def test_new_labels_of_the_service() -> None:
    world = World(node(), service(), *crowd(101))
    names = set(names_and_versions(world))
    world.put({**world.the(SERVICE, "web"), **service(labels={"tier": "1"})})
    assert {s["metadata"]["labels"].get("tier") for s in slices(world)} == {"1"}
    assert set(names_and_versions(world)) == names


def by_hand(name: str, **metadata: Any) -> JsonObject:
    return make(ENDPOINT_SLICE, name, metadata=metadata, addressType="IPv4", endpoints=None, ports=None)


def test_slices_of_others_are_left_alone() -> None:
    others = [by_hand("mine"), by_hand("joined", labels={"kubernetes.io/service-name": "web"})]
    world = World(node(), service(), *others)
    assert [slice["metadata"]["name"] for slice in slices(world)][:2] == ["joined", "mine"]
    assert len(slices(world)) == 3


def test_slices_of_an_older_service_of_that_name_are_not_used() -> None:
    old = by_hand("web-old", labels=LABELS, ownerReferences=[{**OWNER, "uid": "gone"}])
    world = World(node(), service(), old)
    changes = plan(world)
    assert ([d.key.name for d in changes.deletes], len(changes.creates), changes.updates) == (["web-old"], 1, ())


def test_edits_by_hand_are_put_right_annotations_stay() -> None:
    world = World(node(), service(), pod("a", "10.1.0.1"))
    (slice,) = slices(world)
    bent = {**slice["endpoints"][0], "conditions": {"ready": False}}
    noted = {**slice["metadata"], "annotations": {"note": "kept"}}
    world.put({**slice, "metadata": noted, "endpoints": [bent, {**bent, "addresses": ["10.9.9.9"], "targetRef": None}]})
    (mended,) = slices(world)
    assert mended["endpoints"] == slice["endpoints"]
    assert mended["metadata"]["annotations"]["note"] == "kept"


LEFT_ALONE = [
    ("no selector", service(selector=None)),
    ("ExternalName", service(type="ExternalName", externalName="example.com", ports=None)),
]


@pytest.mark.parametrize("service", [case[1] for case in LEFT_ALONE], ids=[case[0] for case in LEFT_ALONE])
def test_what_a_selector_left_behind_stays(service: JsonObject) -> None:
    owned = by_hand("web-1", labels=LABELS, ownerReferences=[OWNER])
    assert plan(World(node(), service, owned)) == NOTHING
    assert plan(World(owned)) == NOTHING


def test_a_service_on_its_way_out_gets_no_new_slices_but_old_ones_are_kept_up() -> None:
    world = World(node(), service(), pod("a", "10.1.0.1"))
    slices(world)
    leaving = {**world.the(SERVICE, "web")}
    world.put({**leaving, "metadata": {**leaving["metadata"], "deletionTimestamp": "2026-03-04T05:00:00Z"}})
    world.put(pod("a", "10.1.0.1", ready=False))
    changes = plan(world)
    assert (len(changes.updates), changes.creates) == (1, ())
    (slice,) = world.in_namespace(ENDPOINT_SLICE, NS).values()
    world.remove(ENDPOINT_SLICE, slice["metadata"]["name"])
    assert plan(world).is_empty


def test_trigger_times() -> None:
    times = TriggerTimes()
    world = World(node(), service())

    def annotation() -> str | None:
        world.apply(plan(world, times))
        (slice,) = world.in_namespace(ENDPOINT_SLICE, NS).values()
        annotations: JsonObject = slice["metadata"].get("annotations", {})
        return annotations.get(TRIGGER_TIME)

    assert annotation() == "2026-03-04T05:06:07Z"
    world.put(pod("a", "10.1.0.1", since="2026-01-01T00:00:03Z"))
    assert annotation() == "2026-01-01T00:00:03Z"
    world.remove(POD, "a")
    assert annotation() is None


def test_whose_keys() -> None:
    watches = endpointslice.controller().watches
    world = World(service(), service("db"))
    moved = by_hand("s", labels={"kubernetes.io/service-name": "db"})
    change = Change("MODIFIED", ENDPOINT_SLICE, moved, by_hand("s", labels={"kubernetes.io/service-name": "web"}))
    both = [ObjectKey(NS, "db"), KEY]
    assert sorted(watches[ENDPOINT_SLICE](change, world)) == both
    assert list(watches[ENDPOINT_SLICE](Change("ADDED", ENDPOINT_SLICE, by_hand("s"), None), world)) == []
    assert sorted(watches[NODE](Change("ADDED", NODE, node(), None), world)) == both
    assert list(watches[NODE](Change("MODIFIED", NODE, node(spec={}), node()), world)) == []
