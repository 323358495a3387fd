"""LoadBalancer Services: an address of the pool is given, kept, moved on wish, and given back."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from emulator.api.kinds import SERVICE
from emulator.api.meta import JsonObject, ObjectKey
from emulator.client.index import Change
from emulator.config.settings import ClusterConfig
from emulator.controllers import loadbalancer
from emulator.controllers.changes import NOTHING, Changes
from emulator.controllers.loadbalancer import FINALIZER, plan_load_balancer
from tests.unit.controllers.world import AT, NS, World, service, settle

POOL = replace(
    ClusterConfig().addresses,
    load_balancer_first=IPv4Address("10.64.140.43"),
    load_balancer_last=IPv4Address("10.64.140.45"),
)
FIRST, SECOND, LAST = "10.64.140.43", "10.64.140.44", "10.64.140.45"


def plan(world: World, name: str = "web") -> Changes:
    return plan_load_balancer(ObjectKey(NS, name), world, AT, plan=POOL)


def balanced(name: str = "web", *ips: str, **spec: Any) -> JsonObject:
    made = service(name, type="LoadBalancer", **spec)
    ingress = {"ingress": [{"ip": ip, "ipMode": "VIP"} for ip in ips]} if ips else {}
    metadata = {**made["metadata"], **({"finalizers": [FINALIZER]} if ips else {})}
    return {**made, "metadata": metadata, "status": {"loadBalancer": ingress}}


def given(world: World, name: str = "web") -> list[JsonObject]:
    settle(world, lambda key, view: plan_load_balancer(key, view, AT, plan=POOL), ObjectKey(NS, name))
    ingress: list[JsonObject] = world.the(SERVICE, name)["status"]["loadBalancer"].get("ingress", [])
    return ingress


def test_first_the_finalizer_then_the_address_each_told() -> None:
    world = World(balanced())
    changes = plan(world)
    assert [(event["reason"], event["message"]) for event in changes.events] == [
        ("EnsuringLoadBalancer", "Ensuring load balancer")
    ]
    world.apply(changes)
    assert world.the(SERVICE, "web")["metadata"]["finalizers"] == [FINALIZER]
    changes = plan(world)
    assert [(event["reason"], event["message"]) for event in changes.events] == [
        ("EnsuredLoadBalancer", "Ensured load balancer")
    ]
    world.apply(changes)
    assert world.the(SERVICE, "web")["status"]["loadBalancer"]["ingress"] == [{"ip": FIRST, "ipMode": "VIP"}]
    assert plan(world) == NOTHING


CHOICES: list[tuple[str, JsonObject, list[str], str]] = [
    ("the first free one", balanced(), [FIRST], SECOND),
    ("the one it has, though an earlier one is free", balanced("web", LAST), [], LAST),
    ("one it was given by somebody else", balanced("web", "192.0.2.9"), [], "192.0.2.9"),
    ("the one wished for", balanced(loadBalancerIP=LAST), [], LAST),
    ("another when the wish is taken", balanced(loadBalancerIP=FIRST), [FIRST], SECOND),
    ("its own when the wish is taken", balanced("web", LAST, loadBalancerIP=FIRST), [FIRST], LAST),
    ("the one wished for later", balanced("web", FIRST, loadBalancerIP=LAST), [], LAST),
    ("a wish outside the pool is not heard", balanced(loadBalancerIP="192.0.2.1"), [], FIRST),
    ("nor one that is no address", balanced(loadBalancerIP="nope"), [], FIRST),
]


@pytest.mark.parametrize(("service", "taken", "wanted"), [c[1:] for c in CHOICES], ids=[c[0] for c in CHOICES])
def test_which_address(service: JsonObject, taken: list[str], wanted: str) -> None:
    world = World(service, *(balanced(f"other{i}", ip) for i, ip in enumerate(taken)))
    assert [entry["ip"] for entry in given(world)] == [wanted]


def test_an_exhausted_pool_is_told_and_tried_again() -> None:
    others = [balanced(f"other{i}", ip) for i, ip in enumerate((FIRST, SECOND, LAST))]
    world = World(balanced(), *others)
    world.apply(plan(world))
    changes = plan(world)
    assert changes.is_empty
    assert changes.retry_after_seconds
    assert [(event["type"], event["reason"]) for event in changes.events] == [("Warning", "SyncLoadBalancerFailed")]
    world.remove(SERVICE, "other1")
    assert [entry["ip"] for entry in given(world)] == [SECOND]


def test_given_back_when_no_longer_wanted() -> None:
    world = World({**service(), "metadata": {**service()["metadata"], "finalizers": ["keep/this", FINALIZER]}})
    changes = plan(world)
    assert [event["reason"] for event in changes.events] == ["DeletedLoadBalancer"]
    world.apply(changes)
    assert world.the(SERVICE, "web")["metadata"]["finalizers"] == ["keep/this"]
    assert plan(world) == NOTHING


def test_a_service_on_its_way_out_is_let_go() -> None:
    leaving = balanced("web", FIRST)
    leaving["metadata"]["deletionTimestamp"] = "2026-03-04T05:00:00Z"
    world = World(leaving)
    world.apply(plan(world))
    assert world.get(SERVICE, "web", NS) is None


@pytest.mark.parametrize("made", [service(), balanced(loadBalancerClass="example.com/mine")])
def test_not_ours(made: JsonObject) -> None:
    assert plan(World(made)) == NOTHING


def test_whose_keys() -> None:
    watched = loadbalancer.controller(POOL).watches[SERVICE]
    world, key = World(), ObjectKey(NS, "web")
    assert list(watched(Change("ADDED", SERVICE, service(), None), world)) == []
    assert list(watched(Change("ADDED", SERVICE, balanced(), None), world)) == [key]
    marked = {**service(), "metadata": {**service()["metadata"], "finalizers": [FINALIZER]}}
    assert list(watched(Change("MODIFIED", SERVICE, marked, balanced()), world)) == [key]
