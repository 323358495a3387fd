"""Slices of hand-made Endpoints: when they are mirrored, and how."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.kinds import ENDPOINT_SLICE, ENDPOINTS, SERVICE
from emulator.api.meta import JsonObject, ObjectKey
from emulator.controllers.endpointslicemirroring import MANAGER, SKIP_MIRROR, plan_mirrored_slices
from emulator.controllers.pods import TRIGGER_TIME
from tests.unit.controllers.world import AT, NS, World, make, service, settle

KEY = ObjectKey(NS, "web")
LABELS = {"kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": MANAGER}
PORT = {"name": "pg", "port": 5432, "protocol": "TCP"}


def subset(*ips: str, unready: tuple[str, ...] = (), ports: list[JsonObject] | None = None) -> JsonObject:
    lists = {"addresses": [{"ip": ip} for ip in ips], "notReadyAddresses": [{"ip": ip} for ip in unready]}
    return {**{k: v for k, v in lists.items() if v}, "ports": [PORT] if ports is None else ports}


def endpoints(*subsets: JsonObject, **metadata: Any) -> JsonObject:
    return make(ENDPOINTS, "web", metadata=metadata, subsets=list(subsets))


def slices(world: World) -> list[JsonObject]:
    settle(world, lambda key, view: plan_mirrored_slices(key, view, AT), KEY)
    return [slice for _, slice in sorted(world.in_namespace(ENDPOINT_SLICE, NS).items())]


def shown(world: World) -> list[tuple[str, list[str], list[int]]]:
    return sorted(
        (s["addressType"], [e["addresses"][0] for e in s["endpoints"]], [p["port"] for p in s["ports"] or ()])
        for s in slices(world)
    )


BARE = service(selector=None)


def test_the_whole_slice() -> None:
    annotations = {
        "note": "copied",
        TRIGGER_TIME: "2026-01-01T00:00:00Z",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    full = {"ip": "192.0.2.1", "hostname": "a", "nodeName": "n1", "targetRef": {"kind": "Pod", "name": "p"}}
    one = {"addresses": [full], "notReadyAddresses": [{"ip": "192.0.2.2"}], "ports": [{**PORT, "appProtocol": "pg"}]}
    world = World(BARE, endpoints(one, labels={"app": "db"}, annotations=annotations))
    (slice,) = slices(world)
    assert slice["metadata"]["generateName"] == "web-"
    assert slice["metadata"]["labels"] == {"app": "db", **LABELS}
    assert slice["metadata"]["annotations"] == {"note": "copied"}
    assert slice["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "name": "web",
            "uid": world.the(ENDPOINTS, "web")["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert slice["addressType"] == "IPv4"
    assert slice["ports"] == [{**PORT, "appProtocol": "pg"}]
    assert slice["endpoints"] == [
        {
            "addresses": ["192.0.2.1"],
            "conditions": {"ready": True},
            "hostname": "a",
            "nodeName": "n1",
            "targetRef": {"kind": "Pod", "name": "p"},
        },
        {"addresses": ["192.0.2.2"], "conditions": {"ready": False}},
    ]


OTHER = [{"name": "http", "port": 80, "protocol": "TCP"}]
SPREAD: list[tuple[str, list[JsonObject], list[tuple[str, list[str], list[int]]]]] = [
    ("nothing", [], []),
    (
        "a slice a family",
        [subset("192.0.2.1", "2001:db8::1", "192.0.2.2")],
        [("IPv4", ["192.0.2.1", "192.0.2.2"], [5432]), ("IPv6", ["2001:db8::1"], [5432])],
    ),
    (
        "a slice a set of ports",
        [subset("192.0.2.1"), subset("192.0.2.1", ports=OTHER)],
        [("IPv4", ["192.0.2.1"], [80]), ("IPv4", ["192.0.2.1"], [5432])],
    ),
    (
        "subsets with the same ports share one",
        [subset("192.0.2.1"), subset("192.0.2.2")],
        [("IPv4", ["192.0.2.1", "192.0.2.2"], [5432])],
    ),
    ("without ports", [subset("192.0.2.1", ports=[])], [("IPv4", ["192.0.2.1"], [])]),
    ("an address twice", [subset("192.0.2.1", unready=("192.0.2.1",))], [("IPv4", ["192.0.2.1"], [5432])]),
    ("not an address", [subset("nope", "192.0.2.1")], [("IPv4", ["192.0.2.1"], [5432])]),
]


@pytest.mark.parametrize(("subsets", "wanted"), [case[1:] for case in SPREAD], ids=[case[0] for case in SPREAD])
def test_how_addresses_are_spread(subsets: list[JsonObject], wanted: list[tuple[str, list[str], list[int]]]) -> None:
    assert shown(World(BARE, endpoints(*subsets))) == wanted


SKIPPED: list[tuple[str, JsonObject | None, JsonObject | None]] = [
    ("no Service", None, endpoints(subset("192.0.2.1"))),
    ("no Endpoints", BARE, None),
    ("a selector", service(), endpoints(subset("192.0.2.1"))),
    ("told to skip", BARE, endpoints(subset("192.0.2.1"), labels={SKIP_MIRROR: "true"})),
    (
        "a leader election",
        BARE,
        endpoints(subset("192.0.2.1"), annotations={"control-plane.alpha.kubernetes.io/leader": "{}"}),
    ),
]


@pytest.mark.parametrize(("service", "endpoints"), [c[1:] for c in SKIPPED], ids=[c[0] for c in SKIPPED])
def test_not_mirrored_and_cleaned_up(service: JsonObject | None, endpoints: JsonObject | None) -> None:
    mirrored = make(ENDPOINT_SLICE, "web-1", metadata={"labels": LABELS}, addressType="IPv4", endpoints=[])
    others = make(ENDPOINT_SLICE, "mine", metadata={"labels": {"kubernetes.io/service-name": "web"}})
    world = World(mirrored, others, *(object for object in (service, endpoints) if object))
    assert [slice["metadata"]["name"] for slice in slices(world)] == ["mine"]


def test_a_skip_label_other_than_true_does_not_skip() -> None:
    assert len(slices(World(BARE, endpoints(subset("192.0.2.1"), labels={SKIP_MIRROR: "false"})))) == 1


def test_changes_keep_the_slice() -> None:
    world = World(BARE, endpoints(subset("192.0.2.1")))
    (before,) = slices(world)
    for after in (
        endpoints(subset("192.0.2.9")),
        endpoints(subset("192.0.2.9", ports=OTHER)),
        endpoints(subset("192.0.2.9", ports=OTHER), labels={"new": "label"}),
        endpoints(subset("192.0.2.9", ports=OTHER), annotations={"new": "note"}),
    ):
        world.put(after)
        (slice,) = slices(world)
        assert slice["metadata"]["name"] == before["metadata"]["name"]
    assert slice["metadata"]["annotations"] == {"new": "note"}
    assert slice["metadata"]["labels"] == LABELS
    world.put(endpoints())
    assert slices(world) == []


def test_edits_of_a_mirrored_slice_are_put_right() -> None:
    world = World(BARE, endpoints(subset("192.0.2.1")))
    (before,) = slices(world)
    world.put({**before, "endpoints": []})
    (after,) = slices(world)
    assert after["endpoints"] == before["endpoints"]


def test_events_for_what_is_left_out() -> None:
    many = [f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}" for i in range(1003)]
    world = World(BARE, endpoints(subset(*many), subset("nope", "also", ports=OTHER)))
    changes = plan_mirrored_slices(KEY, world, AT)
    told = [(event["type"], event["reason"], event["message"]) for event in changes.events]
    assert told == [
        ("Warning", "InvalidIPAddress", "Skipped 2 invalid IP addresses when mirroring to EndpointSlices"),
        (
            "Warning",
            "TooManyAddressesToMirror",
            "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. 5 addresses were skipped",
        ),
    ]
    assert [len(write.object["endpoints"]) for write in changes.creates] == [1000]
    assert len({event["metadata"]["name"] for event in changes.events}) == 2


def test_endpoints_on_their_way_out_get_no_new_slice() -> None:
    world = World(BARE, endpoints(subset("192.0.2.1"), deletionTimestamp="2026-03-04T05:00:00Z"))
    assert slices(world) == []
    world.put({**world.the(SERVICE, "web")})
    assert slices(world) == []
