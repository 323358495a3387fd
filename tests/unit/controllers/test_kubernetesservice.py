"""default/kubernetes: there from the start, and put right whatever is done to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from emulator.api.kinds import ENDPOINT_SLICE, ENDPOINTS, NAMESPACE, SERVICE
from emulator.api.meta import JsonObject, ObjectKey
from emulator.client.index import Change
from emulator.controllers import kubernetesservice
from emulator.controllers.changes import Changes
from emulator.controllers.kubernetesservice import KEY, plan_kubernetes_service
from tests.unit.controllers.world import AT, World, make, settle

PORTS = [{"name": "https", "port": 16443, "protocol": "TCP"}]


def plan(key: ObjectKey, world: World, host: str = "10.0.0.1") -> Changes:
    return plan_kubernetes_service(key, world, AT, cluster_ip="10.152.183.1", host=host, port=16443)


def settled() -> World:
    world = World(make(NAMESPACE, "default", spec={}))
    assert settle(world, plan, KEY) == 1
    return world


def test_the_three_objects() -> None:
    world = settled()
    service = world.the(SERVICE, "kubernetes", "default")
    assert service["metadata"]["labels"] == {"component": "apiserver", "provider": "kubernetes"}
    assert service["spec"] == {
        "clusterIP": "10.152.183.1",
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "ipFamilyPolicy": "SingleStack",
        "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 16443}],
    }
    endpoints = world.the(ENDPOINTS, "kubernetes", "default")
    assert endpoints["metadata"]["labels"] == {"endpointslice.kubernetes.io/skip-mirror": "true"}
    assert endpoints["subsets"] == [{"addresses": [{"ip": "10.0.0.1"}], "ports": PORTS}]
    slice = world.the(ENDPOINT_SLICE, "kubernetes", "default")
    assert slice["metadata"]["labels"] == {"kubernetes.io/service-name": "kubernetes"}
    assert "ownerReferences" not in slice["metadata"]
    assert (slice["addressType"], slice["ports"]) == ("IPv4", PORTS)
    assert slice["endpoints"] == [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}]


def without_labels(object: JsonObject) -> JsonObject:
    return {**object, "metadata": {**object["metadata"], "labels": {"mine": "stays"}}}


BENT: list[tuple[str, Callable[[World], object]]] = [
    ("Service gone", lambda world: world.remove(SERVICE, "kubernetes", "default")),
    ("Endpoints gone", lambda world: world.remove(ENDPOINTS, "kubernetes", "default")),
    ("slice gone", lambda world: world.remove(ENDPOINT_SLICE, "kubernetes", "default")),
    ("subsets", lambda world: world.put({**world.the(ENDPOINTS, "kubernetes", "default"), "subsets": []})),
    ("Endpoints' label", lambda world: world.put(without_labels(world.the(ENDPOINTS, "kubernetes", "default")))),
    ("endpoints", lambda world: world.put({**world.the(ENDPOINT_SLICE, "kubernetes", "default"), "endpoints": []})),
    ("slice's label", lambda world: world.put(without_labels(world.the(ENDPOINT_SLICE, "kubernetes", "default")))),
]


@pytest.mark.parametrize("bend", [case[1] for case in BENT], ids=[case[0] for case in BENT])
def test_put_right(bend: Callable[[World], object]) -> None:
    world = settled()
    bend(world)
    assert settle(world, plan, KEY) == 1
    slice = world.the(ENDPOINT_SLICE, "kubernetes", "default")
    assert slice["metadata"]["labels"]["kubernetes.io/service-name"] == "kubernetes"
    assert slice["endpoints"] == [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}]
    endpoints = world.the(ENDPOINTS, "kubernetes", "default")
    assert endpoints["metadata"]["labels"]["endpointslice.kubernetes.io/skip-mirror"] == "true"
    assert endpoints["subsets"] == [{"addresses": [{"ip": "10.0.0.1"}], "ports": PORTS}]
    assert world.the(SERVICE, "kubernetes", "default")


def test_a_service_changed_by_hand_stays_changed() -> None:
    world = settled()
    service = world.the(SERVICE, "kubernetes", "default")
    world.put({**service, "spec": {**service["spec"], "sessionAffinity": "ClientIP"}})
    assert plan(KEY, world).is_empty


def test_waits_for_its_namespace() -> None:
    changes = plan(KEY, World())
    assert changes.is_empty
    assert changes.retry_after_seconds


def test_an_ipv6_endpoint() -> None:
    world = World(make(NAMESPACE, "default", spec={}))
    world.apply(plan(KEY, world, host="fd00::1"))
    assert world.the(ENDPOINT_SLICE, "kubernetes", "default")["addressType"] == "IPv6"


def test_whose_keys() -> None:
    watches = kubernetesservice.controller("10.152.183.1", ("10.0.0.1", 16443)).watches
    world = World()
    own, other = make(SERVICE, "kubernetes", "default"), make(SERVICE, "web", "default")
    assert list(watches[SERVICE](Change("DELETED", SERVICE, own, own), world)) == [KEY]
    assert list(watches[SERVICE](Change("DELETED", SERVICE, other, other), world)) == []
    assert list(watches[NAMESPACE](Change("ADDED", NAMESPACE, make(NAMESPACE, "default"), None), world)) == [KEY]
