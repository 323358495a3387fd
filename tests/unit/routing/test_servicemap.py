"""Services and slices become ports and endpoints, and each change names the Services it concerns."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.kinds import ENDPOINT_SLICE, POD, SERVICE
from emulator.api.meta import JsonObject, ObjectKey
from emulator.client.index import Change
from emulator.routing.servicemap import Endpoint, PortId, ServiceMap, service_ports

KEY = ObjectKey("default", "webapp")
HTTP = PortId(KEY, "http", "TCP")


def service(**spec: Any) -> JsonObject:
    labels = spec.pop("labels", {})
    status = spec.pop("status", {})
    whole = {"clusterIP": "127.152.183.7", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}], **spec}
    return {
        "metadata": {"name": "webapp", "namespace": "default", "labels": labels},
        "spec": whole,
        "status": status,
    }


def slice_of(*addresses: str, name: str = "webapp-1", port: int | None = 8080, **more: Any) -> JsonObject:
    conditions = more.pop("conditions", {"ready": True})
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "webapp", **more.pop("labels", {})},
        },
        "addressType": more.pop("addressType", "IPv4"),
        "endpoints": [{"addresses": [address], "conditions": conditions} for address in addresses],
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    }


def added(object: JsonObject, kind: Any = ENDPOINT_SLICE) -> Change:
    return Change("ADDED", kind, object, None)


@pytest.mark.parametrize(
    "left_out",
    [
        {"clusterIP": "None"},
        {"clusterIP": ""},
        {"type": "ExternalName", "clusterIP": ""},
        {"labels": {"service.kubernetes.io/service-proxy-name": "other"}},
        {"labels": {"service.kubernetes.io/headless": ""}},
    ],
)
def test_services_without_virtual_ip_or_of_another_proxy_have_no_ports(left_out: dict[str, Any]) -> None:
    assert service_ports(service(**left_out)) == ()


def test_addresses_and_node_port() -> None:
    ingress = [{"ip": "127.64.1.1"}, {"ip": "127.64.1.2", "ipMode": "Proxy"}, {"hostname": "a.example"}]
    (port,) = service_ports(
        service(
            type="LoadBalancer",
            externalIPs=["127.9.9.9"],
            ports=[{"port": 53, "protocol": "UDP", "nodePort": 30053}],
            status={"loadBalancer": {"ingress": ingress}},
        )
    )
    assert port.id == PortId(KEY, "", "UDP")
    assert (port.port, port.node_port) == (53, 30053)
    assert port.cluster_ips == ("127.152.183.7",)
    assert port.external_ips == ("127.9.9.9",)
    assert port.load_balancer_ips == ("127.64.1.1",)


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({}, 0),
        ({"sessionAffinity": "None"}, 0),
        ({"sessionAffinity": "ClientIP"}, 10800),
        ({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 7}}}, 7),
    ],
)
def test_affinity(spec: dict[str, Any], seconds: int) -> None:
    assert service_ports(service(**spec))[0].affinity_seconds == seconds


def test_slices_of_one_service_are_one_set() -> None:
    services = ServiceMap()
    assert services.apply(added(service(), SERVICE)) == (KEY,)
    assert services.apply(added(slice_of("127.1.0.1", "127.1.0.2"))) == (KEY,)
    assert services.apply(added(slice_of("127.1.0.2", "127.1.0.3", name="webapp-2"))) == (KEY,)
    assert [e.address for e in services.endpoints(HTTP)] == ["127.1.0.1", "127.1.0.2", "127.1.0.3"]
    assert services.ready_addresses(KEY) == {"127.1.0.1", "127.1.0.2", "127.1.0.3"}


def test_of_two_the_one_that_stays_wins() -> None:
    services = ServiceMap()
    services.apply(added(slice_of("127.1.0.1", conditions={"ready": False, "serving": True, "terminating": True})))
    services.apply(added(slice_of("127.1.0.1", name="webapp-2")))
    assert services.endpoints(HTTP) == (Endpoint("127.1.0.1", 8080),)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (None, (True, True, False)),
        ({}, (True, True, False)),
        ({"ready": False}, (False, False, False)),
        ({"ready": False, "serving": True, "terminating": True}, (False, True, True)),
        ({"ready": True, "serving": None, "terminating": None}, (True, True, False)),
    ],
)
def test_unknown_conditions(conditions: Any, expected: tuple[bool, bool, bool]) -> None:
    services = ServiceMap()
    services.apply(added(slice_of("127.1.0.1", conditions=conditions)))
    (found,) = services.endpoints(HTTP)
    assert (found.ready, found.serving, found.terminating) == expected


def test_only_differences_are_told() -> None:
    services = ServiceMap()
    services.apply(added(service(), SERVICE))
    services.apply(added(slice_of("127.1.0.1")))
    assert services.apply(Change("MODIFIED", ENDPOINT_SLICE, slice_of("127.1.0.1"), slice_of("127.1.0.1"))) == ()
    same = service(labels={"a": "b"})
    assert services.apply(Change("MODIFIED", SERVICE, same, service())) == ()
    assert services.apply(added({"metadata": {"name": "p", "namespace": "default"}}, POD)) == ()


def test_a_slice_that_changes_hands_concerns_both() -> None:
    services = ServiceMap()
    services.apply(added(slice_of("127.1.0.1")))
    moved = slice_of("127.1.0.1", labels={"kubernetes.io/service-name": "other"})
    changed = services.apply(Change("MODIFIED", ENDPOINT_SLICE, moved, slice_of("127.1.0.1")))
    assert set(changed) == {KEY, ObjectKey("default", "other")}
    assert services.endpoints(HTTP) == ()


def test_deletion_leaves_nothing() -> None:
    services = ServiceMap()
    services.apply(added(service(), SERVICE))
    services.apply(added(slice_of("127.1.0.1")))
    assert services.endpoints(HTTP)
    gone = slice_of("127.1.0.1")
    assert services.apply(Change("DELETED", ENDPOINT_SLICE, gone, gone)) == (KEY,)
    assert services.endpoints(HTTP) == ()
    assert services.apply(Change("DELETED", SERVICE, service(), service())) == (KEY,)
    assert services.ports(KEY) == ()
    assert services._merged == {}
    assert services._slices == {}


@pytest.mark.parametrize("more", [{"addressType": "FQDN"}, {"labels": {"kubernetes.io/service-name": ""}}])
def test_slices_that_are_for_nobody(more: dict[str, Any]) -> None:
    assert ServiceMap().apply(added(slice_of("127.1.0.1", **more))) == ()


def test_a_port_without_number_has_no_endpoints() -> None:
    services = ServiceMap()
    services.apply(added(slice_of("127.1.0.1", port=None)))
    assert services.endpoints(HTTP) == ()
    assert services.ready_addresses(KEY) == {"127.1.0.1"}
