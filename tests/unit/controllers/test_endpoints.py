"""Endpoints: which pods are in, where, in which order, and when the object is written."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.kinds import ENDPOINTS, POD, SERVICE
from emulator.api.meta import JsonObject, ObjectKey
from emulator.client.index import Change
from emulator.controllers import endpoints
from emulator.controllers.changes import NOTHING, Changes
from emulator.controllers.endpoints import plan_endpoints, subsets_of
from emulator.controllers.pods import TRIGGER_TIME, TriggerTimes
from tests.unit.controllers.world import AT, NS, World, make, pod, port, service, settle

KEY = ObjectKey(NS, "web")
MANAGED = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
OVER = "endpoints.kubernetes.io/over-capacity"


def plan(world: World, times: TriggerTimes | None = None) -> Changes:
    return plan_endpoints(KEY, world, AT, times=times or TriggerTimes())


def shown(subsets: list[JsonObject]) -> list[dict[str, Any]]:
    """Subsets in short: names of pods, ready and not, and ports as name:number/protocol."""
    short = []
    for subset in subsets:
        ports = [f"{p.get('name', '')}:{p['port']}/{p['protocol']}" for p in subset.get("ports", ())]
        ready, unready = (
            [address["targetRef"]["name"] for address in subset.get(field, ())]
            for field in ("addresses", "notReadyAddresses")
        )
        short.append({"ready": ready, "unready": unready, "ports": ports})
    return short


HTTP = [":8080/TCP"]

PODS_IN = [
    ("ready", pod("a", "10.1.0.1"), {}, "ready"),
    ("not ready", pod("a", "10.1.0.1", ready=False), {}, "unready"),
    ("no Ready condition, whatever the phase", pod("a", "10.1.0.1", ready=None), {}, "unready"),
    ("pending but ready by its condition", pod("a", "10.1.0.1", phase="Pending"), {}, "ready"),
    (
        "not ready, published all the same",
        pod("a", "10.1.0.1", ready=False),
        {"publishNotReadyAddresses": True},
        "ready",
    ),
    ("no address", pod("a"), {}, "out"),
    ("no address of the family", pod("a", "fd00::1"), {}, "out"),
    ("the second address is of the family", pod("a", "fd00::1", "10.1.0.1"), {}, "ready"),
    ("succeeded", pod("a", "10.1.0.1", phase="Succeeded"), {}, "out"),
    ("failed, published", pod("a", "10.1.0.1", phase="Failed"), {"publishNotReadyAddresses": True}, "out"),
    ("terminating", pod("a", "10.1.0.1", terminating=True), {}, "out"),
    ("terminating, published", pod("a", "10.1.0.1", terminating=True), {"publishNotReadyAddresses": True}, "ready"),
    ("other labels", pod("a", "10.1.0.1", app="other"), {}, "out"),
    ("IPv6 first", pod("a", "10.1.0.1", "fd00::1"), {"ipFamilies": ["IPv6", "IPv4"]}, "ready"),
]


@pytest.mark.parametrize(("pod", "spec", "place"), [case[1:] for case in PODS_IN], ids=[case[0] for case in PODS_IN])
def test_which_pods_are_in(pod: JsonObject, spec: JsonObject, place: str) -> None:
    world = World(service(**spec), pod)
    assert settle(world, lambda key, view: plan_endpoints(key, view, AT, times=TriggerTimes()), KEY) == 1
    subsets = world.the(ENDPOINTS, "web").get("subsets", [])
    names = {"ready": (["a"], []), "unready": ([], ["a"])}.get(place)
    wanted = [] if names is None else [{"ready": names[0], "unready": names[1], "ports": HTTP}]
    assert shown(subsets) == wanted


def test_what_an_address_says() -> None:
    one = pod("a", "10.1.0.1", hostname="a", subdomain="web", metadata={"uid": "u1", "labels": {"app": "web"}})
    world = World(service(), one)
    assert subsets_of(world.the(SERVICE, "web"), [world.the(POD, "a")]) == [
        {
            "addresses": [
                {
                    "ip": "10.1.0.1",
                    "hostname": "a",
                    "nodeName": "n1",
                    "targetRef": {"kind": "Pod", "namespace": NS, "name": "a", "uid": "u1"},
                }
            ],
            "ports": [{"port": 8080, "protocol": "TCP"}],
        }
    ]


@pytest.mark.parametrize("spec", [{"hostname": "a"}, {"subdomain": "web"}, {"hostname": "a", "subdomain": "other"}])
def test_a_hostname_needs_the_service_as_subdomain(spec: JsonObject) -> None:
    world = World(service(), pod("a", "10.1.0.1", **spec))
    world.apply(plan(world))
    assert "hostname" not in world.the(ENDPOINTS, "web")["subsets"][0]["addresses"][0]


def test_a_pod_without_a_node_has_an_empty_node_name_which_the_api_refuses() -> None:
    world = World(service(), pod("a", "10.1.0.1", nodeName=None))
    world.apply(plan(world))
    assert world.the(ENDPOINTS, "web")["subsets"][0]["addresses"][0]["nodeName"] == ""


SUBSETS: list[tuple[str, list[JsonObject], list[JsonObject], list[dict[str, Any]]]] = [
    (
        "ports with the same addresses share a subset",
        [port(80, 8080, "http"), port(81, 9090, "metrics")],
        [pod("a", "10.1.0.1"), pod("b", "10.1.0.2", ready=False)],
        [{"ready": ["a"], "unready": ["b"], "ports": ["http:8080/TCP", "metrics:9090/TCP"]}],
    ),
    (
        "a named port is each pod's own",
        [port(80, "http")],
        [pod("a", "10.1.0.1", ports={"http": 8080}), pod("b", "10.1.0.2", ports={"http": 9090})],
        [
            {"ready": ["a"], "unready": [], "ports": [":8080/TCP"]},
            {"ready": ["b"], "unready": [], "ports": [":9090/TCP"]},
        ],
    ),
    (
        "a pod without the named port is left out",
        [port(80, "http")],
        [pod("a", "10.1.0.1", ports={"http": 8080}), pod("b", "10.1.0.2", ports={"admin": 1})],
        [{"ready": ["a"], "unready": [], "ports": [":8080/TCP"]}],
    ),
    (
        "a named port is of its protocol",
        [port(53, "dns", "dns"), port(53, "dns", "dns-udp", "UDP")],
        [pod("a", "10.1.0.1", ports={"dns": 5353})],
        [{"ready": ["a"], "unready": [], "ports": ["dns:5353/TCP"]}],
    ),
    (
        "one port of two found: two subsets",
        [port(80, "http", "http"), port(81, 9090, "metrics")],
        [pod("a", "10.1.0.1", ports={"http": 8080}), pod("b", "10.1.0.2")],
        [
            {"ready": ["a"], "unready": [], "ports": ["http:8080/TCP"]},
            {"ready": ["a", "b"], "unready": [], "ports": ["metrics:9090/TCP"]},
        ],
    ),
    (
        "ports are in upstream's order",
        [port(53, 53, "dns", "UDP"), port(53, 53, "dns-tcp"), port(9153, 9153, "metrics")],
        [pod("a", "10.1.0.1")],
        [{"ready": ["a"], "unready": [], "ports": ["metrics:9153/TCP", "dns-tcp:53/TCP", "dns:53/UDP"]}],
    ),
    (
        "addresses are in the order of their text",
        [port(80, 8080)],
        [pod("a", "10.1.0.9"), pod("b", "10.1.0.10"), pod("c", "10.1.0.1")],
        [{"ready": ["c", "b", "a"], "unready": [], "ports": HTTP}],
    ),
    (
        "pods of the host's network share an address",
        [port(80, 8080)],
        [pod("a", "10.0.0.1", metadata={"uid": "2"}), pod("b", "10.0.0.1", metadata={"uid": "1"})],
        [],
    ),
]


@pytest.mark.parametrize(("ports", "pods", "wanted"), [c[1:] for c in SUBSETS], ids=[c[0] for c in SUBSETS])
def test_subsets(ports: list[JsonObject], pods: list[JsonObject], wanted: list[dict[str, Any]]) -> None:
    for one in pods:
        one["metadata"]["labels"] = {"app": "web"}
    world = World(service(ports=ports), *pods)
    world.apply(plan(world))
    found = shown(world.the(ENDPOINTS, "web")["subsets"])
    if not wanted:
        wanted = [{"ready": ["b", "a"], "unready": [], "ports": HTTP}]
    assert sorted(found, key=str) == sorted(wanted, key=str)


def test_a_sidecar_may_have_the_named_port_and_an_init_container_may_not() -> None:
    named = {"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}
    sidecar = pod("a", "10.1.0.1", initContainers=[{**named, "restartPolicy": "Always"}])
    world = World(service(ports=[port(80, "http")]), sidecar, pod("b", "10.1.0.2", initContainers=[named]))
    world.apply(plan(world))
    assert shown(world.the(ENDPOINTS, "web")["subsets"]) == [{"ready": ["a"], "unready": [], "ports": HTTP}]


def test_headless_without_ports_gives_addresses_without_ports() -> None:
    world = World(service(clusterIP="None", ports=None), pod("a", "10.1.0.1"), pod("b", "10.1.0.2", ready=False))
    world.apply(plan(world))
    held = world.the(ENDPOINTS, "web")
    assert shown(held["subsets"]) == [{"ready": ["a"], "unready": ["b"], "ports": []}]
    assert held["metadata"]["labels"] == {**MANAGED, "service.kubernetes.io/headless": ""}


def test_app_protocols_are_copied() -> None:
    world = World(service(ports=[port(80, 8080, appProtocol="kubernetes.io/h2c")]), pod("a", "10.1.0.1"))
    world.apply(plan(world))
    wanted = [{"port": 8080, "protocol": "TCP", "appProtocol": "kubernetes.io/h2c"}]
    assert world.the(ENDPOINTS, "web")["subsets"][0]["ports"] == wanted


def test_made_even_without_pods_with_the_services_labels() -> None:
    world = World(service(labels={"run": "web", "service.kubernetes.io/headless": ""}))
    world.apply(plan(world))
    held = world.the(ENDPOINTS, "web")
    assert held["metadata"]["labels"] == {"run": "web", **MANAGED}
    assert "subsets" not in held
    assert "ownerReferences" not in held["metadata"]


HANDS_OFF = [
    ("no selector", service(selector=None)),
    ("an empty selector", service(selector={})),
    ("ExternalName", service(type="ExternalName", externalName="example.com", ports=None)),
]


@pytest.mark.parametrize("service", [case[1] for case in HANDS_OFF], ids=[case[0] for case in HANDS_OFF])
def test_hands_off(service: JsonObject) -> None:
    by_hand = make(ENDPOINTS, "web", metadata={"labels": MANAGED}, subsets=[])
    assert plan(World(service, pod("a", "10.1.0.1"))) == NOTHING
    assert plan(World(service, by_hand)) == NOTHING


def test_endpoints_go_with_their_service_whoever_made_them() -> None:
    world = World(make(ENDPOINTS, "web", subsets=[]))
    world.apply(plan(world))
    assert world.get(ENDPOINTS, "web", NS) is None
    assert plan(World()) == NOTHING


def test_taken_over_when_a_service_with_a_selector_comes() -> None:
    marks = {"labels": {"mine": "yes"}, "annotations": {"note": "kept", TRIGGER_TIME: "2020-01-01T00:00:00Z"}}
    world = World(make(ENDPOINTS, "web", metadata=marks), service(labels={"run": "web"}))
    times = TriggerTimes()
    world.apply(plan(world, times))
    metadata = world.the(ENDPOINTS, "web")["metadata"]
    assert metadata["labels"] == {"run": "web", **MANAGED}
    assert metadata["annotations"] == {"note": "kept", TRIGGER_TIME: "2026-03-04T05:06:07Z"}


def test_a_pods_revision_alone_is_no_reason_to_write_but_its_order_is() -> None:
    world = World(service(), pod("a", "10.1.0.1"), pod("b", "10.1.0.2"))
    world.apply(plan(world))
    held = world.the(ENDPOINTS, "web")
    first, second = held["subsets"][0]["addresses"]
    versioned = {**first, "targetRef": {**first["targetRef"], "resourceVersion": "7"}}
    world.put({**held, "subsets": [{**held["subsets"][0], "addresses": [versioned, second]}]})
    assert plan(world).is_empty
    world.put({**held, "subsets": [{**held["subsets"][0], "addresses": [second, first]}]})
    assert not plan(world).is_empty


def test_a_service_being_deleted_still_has_its_endpoints_kept_up() -> None:
    leaving = service()
    leaving["metadata"]["deletionTimestamp"] = "2026-03-04T05:00:00Z"
    world = World(leaving, pod("a", "10.1.0.1"))
    assert plan(world).creates


def truncated(ready: int, unready: int) -> JsonObject:
    pods = [pod(f"r{i}", f"10.1.{i // 250}.{i % 250}") for i in range(ready)]
    pods += [pod(f"u{i}", f"10.2.{i // 250}.{i % 250}", ready=False) for i in range(unready)]
    world = World(service(), *pods)
    world.apply(plan(world))
    assert plan(world).is_empty
    return world.the(ENDPOINTS, "web")


@pytest.mark.parametrize(
    ("ready", "unready", "kept"),
    [(1000, 0, (1000, 0)), (1001, 5, (1000, 0)), (600, 600, (600, 400)), (0, 1200, (0, 1000))],
)
def test_at_most_a_thousand_addresses_ready_ones_first(ready: int, unready: int, kept: tuple[int, int]) -> None:
    held = truncated(ready, unready)
    (subset,) = held["subsets"]
    assert (len(subset.get("addresses", ())), len(subset.get("notReadyAddresses", ()))) == kept
    assert (held["metadata"]["annotations"].get(OVER) == "truncated") == (ready + unready > 1000)


def test_truncation_is_shared_out_between_subsets() -> None:
    pods = [pod(f"a{i}", f"10.1.{i // 250}.{i % 250}", ports={"http": 8080}) for i in range(900)]
    pods += [pod(f"b{i}", f"10.2.{i // 250}.{i % 250}", ports={"http": 9090}) for i in range(600)]
    world = World(service(ports=[port(80, "http")]), *pods)
    world.apply(plan(world))
    sizes = {s["ports"][0]["port"]: len(s["addresses"]) for s in world.the(ENDPOINTS, "web")["subsets"]}
    assert sizes == {8080: 600, 9090: 400}


def test_trigger_times() -> None:
    times = TriggerTimes()
    world = World(service(), pod("a", "10.1.0.1", since="2026-01-01T00:00:01Z"))

    def annotation() -> str | None:
        world.apply(plan(world, times))
        annotations: JsonObject = world.the(ENDPOINTS, "web")["metadata"].get("annotations", {})
        return annotations.get(TRIGGER_TIME)

    assert annotation() == "2026-03-04T05:06:07Z", "the first write of a Service follows the Service"
    world.put(pod("b", "10.1.0.2", since="2026-01-01T00:00:03Z"))
    world.put(pod("c", "10.1.0.3", since="2026-01-01T00:00:02Z"))
    assert annotation() == "2026-01-01T00:00:02Z", "the oldest of the new times"
    world.remove(POD, "b")
    assert annotation() is None, "a pod's end has no time of its own"
    world.put(pod("c", "10.1.0.3", ready=False, since="2026-01-01T00:00:09Z"))
    assert annotation() == "2026-01-01T00:00:09Z"
    world.remove(ENDPOINTS, "web")
    assert annotation() is None, "nothing new since"
    world.remove(SERVICE, "web")
    world.apply(plan(world, times))
    world.put(service())
    assert annotation() == "2026-03-04T05:06:07Z", "a Service that came again is new"


def keys(change: Change, world: World) -> list[ObjectKey]:
    return sorted(endpoints.controller().watches[change.kind](change, world))


def test_by_hand_stays_until_something_changes() -> None:
    world = World(service())
    held = make(ENDPOINTS, "web")
    assert keys(Change("MODIFIED", ENDPOINTS, held, held), world) == []
    assert keys(Change("ADDED", ENDPOINTS, held, None), world) == []
    assert keys(Change("DELETED", ENDPOINTS, held, held), world) == [KEY]


POD_CHANGES = [
    ("came", None, pod("a"), ["web"]),
    ("came, of no Service", None, pod("a", app="x"), []),
    (
        "annotated",
        pod("a", "10.1.0.1"),
        pod("a", "10.1.0.1", metadata={"annotations": {"a": "b"}, "labels": {"app": "web"}}),
        [],
    ),
    ("got an address", pod("a"), pod("a", "10.1.0.1"), ["web"]),
    ("became ready", pod("a", "10.1.0.1", ready=False), pod("a", "10.1.0.1"), ["web"]),
    ("is going", pod("a", "10.1.0.1"), pod("a", "10.1.0.1", terminating=True), ["web"]),
    ("ended", pod("a", "10.1.0.1"), pod("a", "10.1.0.1", phase="Failed"), ["web"]),
    ("left", pod("a", "10.1.0.1"), pod("a", "10.1.0.1", app="x"), ["web"]),
    ("moved", pod("a", "10.1.0.1"), pod("a", "10.1.0.1", app="db"), ["db", "web"]),
    ("labelled beside", pod("a"), pod("a", metadata={"labels": {"app": "web", "more": "1"}}), []),
]


@pytest.mark.parametrize(("before", "after", "named"), [c[1:] for c in POD_CHANGES], ids=[c[0] for c in POD_CHANGES])
def test_services_a_pods_change_concerns(before: JsonObject | None, after: JsonObject, named: list[str]) -> None:
    world = World(service(), service("db"), service("none", selector=None))
    change = Change("MODIFIED" if before else "ADDED", POD, after, before)
    assert keys(change, world) == [ObjectKey(NS, name) for name in named]
    if before is None:
        assert keys(Change("DELETED", POD, after, after), world) == [ObjectKey(NS, name) for name in named]
