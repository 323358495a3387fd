"""What a Service takes and gives back, by type and by change of type."""

from __future__ import annotations

import copy
from ipaddress import IPv4Network
from typing import Any

import pytest

from emulator.api.errors import ApiError, InternalError, Invalid
from emulator.api.meta import JsonObject
from emulator.registry.allocation import Allocators, Operation
from emulator.registry.service_allocation import allocate_create, allocate_update, held, release


def service(type: str = "ClusterIP", *ports: JsonObject, **spec: Any) -> JsonObject:
    return {
        "metadata": {"name": "webapp"},
        "spec": {"type": type, "ports": list(ports) or [{"port": 80, "protocol": "TCP"}], **spec},
    }


class Cluster:
    """Allocators with one operation at a time, committed unless it fails."""

    def __init__(self, services: str = "10.152.183.0/24", ports: tuple[int, int] = (30000, 32767)) -> None:
        self.allocators = Allocators(IPv4Network(services), ports)

    def create(self, object: JsonObject, *, dry_run: bool = False) -> JsonObject:
        operation = Operation(dry_run=dry_run, rng=lambda stop: 0)
        try:
            allocate_create(self.allocators, operation, object)
        except ApiError:
            operation.revert()
            raise
        operation.commit()
        return object

    def update(self, old: JsonObject, type: str, **spec: Any) -> JsonObject:
        new = copy.deepcopy(old)
        new["spec"] = {**new["spec"], "type": type, **spec}
        for name in [name for name, value in new["spec"].items() if value is None]:
            del new["spec"][name]
        operation = Operation(dry_run=False, rng=lambda stop: 0)
        try:
            allocate_update(self.allocators, operation, new, old)
        except ApiError:
            operation.revert()
            raise
        operation.commit()
        return new

    def delete(self, object: JsonObject) -> None:
        operation = Operation(dry_run=False, rng=lambda stop: 0)
        release(self.allocators, operation, object)
        operation.commit()

    @property
    def leased(self) -> tuple[int, int]:
        return len(self.allocators.addresses), len(self.allocators.ports)


@pytest.mark.parametrize(
    ("object", "leased"),
    [
        (service(), (1, 0)),
        (service("NodePort"), (1, 1)),
        (service("LoadBalancer"), (1, 1)),
        (service("LoadBalancer", allocateLoadBalancerNodePorts=False), (1, 0)),
        (service("LoadBalancer", {"port": 80, "nodePort": 30001}, allocateLoadBalancerNodePorts=False), (1, 1)),
        (service("LoadBalancer", externalTrafficPolicy="Local"), (1, 2)),
        (service("ExternalName"), (0, 0)),
        (service(clusterIP="None", clusterIPs=["None"]), (0, 0)),
    ],
)
def test_a_create_takes_and_a_delete_gives_back(object: JsonObject, leased: tuple[int, int]) -> None:
    cluster = Cluster()
    created = cluster.create(object)
    assert cluster.leased == leased
    addresses, ports = held(created)
    assert (len(addresses), len(ports)) == leased
    cluster.delete(created)
    assert cluster.leased == (0, 0)


def test_ports_of_one_number_share_a_node_port() -> None:
    created = Cluster().create(service("NodePort", {"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}))
    first, second = created["spec"]["ports"]
    assert first["nodePort"] == second["nodePort"]


def test_the_node_port_asked_for_by_a_later_port_of_the_same_number_is_shared() -> None:
    created = Cluster().create(service("NodePort", {"port": 53}, {"port": 53, "nodePort": 30053}))
    assert [port["nodePort"] for port in created["spec"]["ports"]] == [30053, 30053]


def test_ports_of_one_number_may_ask_for_two_node_ports() -> None:
    cluster = Cluster()
    cluster.create(service("NodePort", {"port": 53, "nodePort": 30053}, {"port": 53, "nodePort": 30054}))
    assert cluster.leased == (1, 2)


CHANGES = [
    ("ClusterIP", "NodePort", {}, (1, 1)),
    ("NodePort", "LoadBalancer", {}, (1, 1)),
    ("NodePort", "LoadBalancer", {"externalTrafficPolicy": "Local"}, (1, 2)),
    ("LoadBalancer", "NodePort", {}, (1, 1)),
    ("NodePort", "ClusterIP", {"ports": [{"port": 80}]}, (1, 0)),
    ("LoadBalancer", "ExternalName", {"ports": [{"port": 80}], "clusterIP": None, "clusterIPs": None}, (0, 0)),
    ("ExternalName", "NodePort", {}, (1, 1)),
]


@pytest.mark.parametrize(("before", "after", "spec", "leased"), CHANGES)
def test_a_change_of_type(before: str, after: str, spec: JsonObject, leased: tuple[int, int]) -> None:
    cluster = Cluster()
    old = cluster.create(service(before))
    new = cluster.update(old, after, **spec)
    assert cluster.leased == leased
    if before != "ExternalName" and after != "ExternalName":
        assert new["spec"]["clusterIP"] == old["spec"]["clusterIP"]
    if before in ("NodePort", "LoadBalancer") and after in ("NodePort", "LoadBalancer"):
        assert new["spec"]["ports"] == old["spec"]["ports"]
    cluster.delete(new)
    assert cluster.leased == (0, 0)


def test_leaving_local_gives_the_health_port_back() -> None:
    cluster = Cluster()
    old = cluster.create(service("LoadBalancer", externalTrafficPolicy="Local"))
    cluster.update(old, "LoadBalancer", externalTrafficPolicy="Cluster", healthCheckNodePort=None)
    assert cluster.leased == (1, 1)


def test_a_moved_node_port_frees_the_old_one() -> None:
    cluster = Cluster()
    old = cluster.create(service("NodePort", {"port": 80, "nodePort": 30001}))
    cluster.update(old, "NodePort", ports=[{"port": 80, "nodePort": 30002}])
    assert 30001 not in cluster.allocators.ports
    assert 30002 in cluster.allocators.ports


def test_a_failed_update_keeps_what_was_held() -> None:
    cluster = Cluster()
    cluster.create(service("NodePort", {"port": 80, "nodePort": 30001}))
    old = cluster.create(service("NodePort", {"port": 80, "nodePort": 30002}))
    before = cluster.leased
    with pytest.raises(Invalid, match=r"spec.ports\[1\].nodePort: Invalid value: 30001: provided port is already"):
        cluster.update(old, "NodePort", ports=[{"port": 80, "nodePort": 30003}, {"port": 81, "nodePort": 30001}])
    assert cluster.leased == before
    assert 30002 in cluster.allocators.ports


@pytest.mark.parametrize(
    ("object", "text"),
    [
        (
            service(clusterIPs=["1.2.3.4"], clusterIP="1.2.3.4"),
            (
                'Service "webapp" is invalid: spec.clusterIPs: Invalid value: ["1.2.3.4"]: failed to allocate IP 1.2.3.4: '
                "the provided network does not match the current range"
            ),
        ),
        (
            service(clusterIPs=["10.152.183.44"], clusterIP="10.152.183.44"),
            (
                'Service "webapp" is invalid: spec.clusterIPs: Invalid value: ["10.152.183.44"]: failed to allocate IP '
                "10.152.183.44: provided IP is already allocated"
            ),
        ),
        (
            service("NodePort", {"port": 80, "nodePort": 80}),
            (
                'Service "webapp" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid '
                "range. The range of valid ports is 30000-32767"
            ),
        ),
        (
            service("NodePort", {"port": 80, "nodePort": 30430}),
            (
                'Service "webapp" is invalid: spec.ports[0].nodePort: Invalid value: 30430: provided port is already '
                "allocated"
            ),
        ),
    ],
)
def test_what_cannot_be_had_is_refused_in_upstreams_words(object: JsonObject, text: str) -> None:
    cluster = Cluster()
    cluster.create(
        service("NodePort", {"port": 1, "nodePort": 30430}, clusterIPs=["10.152.183.44"], clusterIP="10.152.183.44")
    )
    before = cluster.leased
    with pytest.raises(Invalid) as raised:
        cluster.create(object)
    assert raised.value.message == text
    assert cluster.leased == before


def test_empty_pools_are_the_servers_fault() -> None:
    cluster = Cluster("10.0.0.0/30", (30000, 30000))
    cluster.create(service("NodePort"))
    with pytest.raises(InternalError, match="failed to allocate a nodePort: range is full"):
        cluster.create(service("NodePort"))
    cluster.create(service())
    with pytest.raises(InternalError, match='failed to allocate a serviceIP for Service "webapp": range is full'):
        cluster.create(service())


def test_a_dry_run_shows_the_ranges_own_address() -> None:
    cluster = Cluster()
    shown = cluster.create(service("NodePort"), dry_run=True)
    assert shown["spec"]["clusterIPs"] == ["10.152.183.0"]
    assert cluster.leased == (0, 0)
