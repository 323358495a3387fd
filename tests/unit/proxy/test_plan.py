"""Which listeners are wanted, what leads there, and who holds a place that several want."""

from __future__ import annotations

from typing import Any

from emulator.api.kinds import ENDPOINT_SLICE, SERVICE
from emulator.api.meta import ObjectKey
from emulator.client.index import Change
from emulator.proxy.plan import Claims, Listen, World, backends, difference, wanted
from emulator.routing.servicemap import PortId, ServiceMap, ServicePort

KEY = ObjectKey("default", "webapp")
NODES: list[tuple[World, str]] = [("host", "127.0.0.1"), ("network", "10.0.0.1")]


def services(*, ready: bool = True, port: int = 8080, protocol: str = "TCP", **spec: Any) -> ServiceMap:
    found = ServiceMap()
    node = spec.pop("node", "")
    ports = [{"port": 80, "protocol": protocol, "nodePort": spec.pop("nodePort", 0)}]
    metadata = {"name": "webapp", "namespace": "default"}
    service = {"metadata": metadata, "spec": {"clusterIP": "10.9.0.1", "ports": ports, **spec}}
    found.apply(Change("ADDED", SERVICE, service, None))
    labels = {"kubernetes.io/service-name": "webapp"}
    endpoints = [{"addresses": ["10.1.0.1"], "conditions": {"ready": ready}, "nodeName": node}]
    held = {
        "metadata": {**metadata, "labels": labels},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"port": port, "protocol": protocol}],
    }
    found.apply(Change("ADDED", ENDPOINT_SLICE, held, None))
    return found


def places(found: ServiceMap) -> set[Listen]:
    return set(wanted(found.ports(KEY), found, NODES))


def test_all_addresses_at_the_service_port_and_node_ports_on_nodes() -> None:
    assert places(services(externalIPs=["10.8.0.1"], nodePort=30080)) == {
        Listen("network", "10.9.0.1", 80, "TCP"),
        Listen("network", "10.8.0.1", 80, "TCP"),
        Listen("host", "127.0.0.1", 30080, "TCP"),
        Listen("network", "10.0.0.1", 30080, "TCP"),
    }


def test_a_node_port_may_be_for_the_pods_of_its_node() -> None:
    nodes = {"10.0.0.1": "node-1", "10.0.0.2": "node-2"}
    both: list[tuple[World, str]] = [("host", "127.0.0.1"), ("network", "10.0.0.1"), ("network", "10.0.0.2")]
    for policy, shut in (("Cluster", set[str]()), ("Local", {"10.0.0.2"})):
        found = services(nodePort=30080, externalTrafficPolicy=policy, node="node-1")
        ips = {listen.ip for listen in wanted(found.ports(KEY), found, both, nodes)}
        assert ips == {"10.9.0.1", "127.0.0.1", "10.0.0.1", "10.0.0.2"} - shut
        port = found.ports(KEY)[0]
        assert [e.address for e in backends(port, found, "10.0.0.1", nodes)] == ["10.1.0.1"]
        assert len(backends(port, found, "10.0.0.2", nodes)) == (policy == "Cluster")


def test_nothing_listens_without_endpoints() -> None:
    assert places(services(ready=False)) == set()


def test_the_other_family_has_no_endpoints() -> None:
    assert places(services(clusterIPs=["10.9.0.1", "fd00::1"])) == {Listen("network", "10.9.0.1", 80, "TCP")}


def test_sctp_is_not_served() -> None:
    assert places(services(protocol="SCTP")) == set()


def test_backends() -> None:
    found = services()
    (port,) = found.ports(KEY)
    assert [e.address for e in backends(port, found, "10.9.0.1")] == ["10.1.0.1"]
    assert backends(port, found, "fd00::1") == ()


def port(name: str, service: str = "webapp") -> ServicePort:
    return ServicePort(PortId(ObjectKey("default", service), name, "TCP"), 80, 0, ())


def test_difference() -> None:
    a, b, c = (Listen("network", f"10.9.0.{number}", 80, "TCP") for number in (1, 2, 3))
    commands = difference({a: port("x"), b: port("x")}, {b: port("y"), c: port("y")})
    assert commands.close == (a,)
    assert commands.retarget == ((b, port("y")),)
    assert commands.open == ((c, port("y")),)
    assert difference({a: port("x")}, {a: port("x")}) == difference({}, {})


def test_the_first_holds_a_place_and_the_next_follows() -> None:
    claims = Claims()
    place = Listen("network", "10.8.0.1", 80, "TCP")
    first, second = ObjectKey("default", "first"), ObjectKey("default", "second")
    assert claims.set(first, {place: port("x", "first")}) == {place}
    assert claims.set(second, {place: port("x", "second")}) == {place}
    assert claims.holder(place) == port("x", "first")
    assert claims.set(first, {place: port("x", "first")}) == set()
    assert claims.set(first, {}) == {place}
    assert claims.holder(place) == port("x", "second")
    claims.set(second, {})
    assert claims.holder(place) is None
    assert not claims._claims
    assert not claims._by_owner
