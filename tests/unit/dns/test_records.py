"""The index: what of each object DNS reads, and that only what shows moves the serial."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.kinds import ENDPOINT_SLICE, NAMESPACE, POD, SERVICE, Kind
from emulator.client.index import Change
from emulator.dns.records import Endpoint, Records, service_record, slice_record


def put(records: Records, kind: Kind, object: dict[str, Any], at: int = 0) -> bool:
    return records.apply(Change("ADDED", kind, object, None), at=at)


def remove(records: Records, kind: Kind, object: dict[str, Any], at: int = 0) -> bool:
    return records.apply(Change("DELETED", kind, object, object), at=at)


def service(name: str = "webapp", address: str = "10.0.0.1", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "default", **metadata},
        "spec": {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80}]},
    }


def slice_(name: str, *endpoints: dict[str, Any], service: str = "webapp") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


def pod(phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "default", **metadata},
        "status": {"phase": phase, "podIP": "10.1.0.5", "podIPs": [{"ip": "10.1.0.5"}, {"ip": "fd00::5"}]},
    }


def test_only_changes_that_show_move_the_serial_and_are_told() -> None:
    records = Records()
    told: list[int] = []
    records.listen(lambda: told.append(records.serial))
    assert put(records, SERVICE, service(), at=10)
    assert not put(records, SERVICE, service(labels={"a": "b"}), at=20)
    assert put(records, SERVICE, service(address="10.0.0.2"), at=30)
    assert not put(records, POD, pod(), at=40)
    assert remove(records, SERVICE, service(), at=50)
    assert not remove(records, SERVICE, service(), at=60)
    assert (records.serial, told) == (50, [10, 30, 50])


def test_reverse_index_follows_an_address() -> None:
    records = Records()
    put(records, SERVICE, service(address="10.0.0.1"))
    put(records, SERVICE, service(address="10.0.0.2"))
    assert records.services_at("10.0.0.1") == ()
    assert [one.name for one in records.services_at("10.0.0.2")] == ["webapp"]
    remove(records, SERVICE, service())
    assert records.services_at("10.0.0.2") == ()


def test_a_slice_that_changes_its_service_moves() -> None:
    records = Records()
    put(records, ENDPOINT_SLICE, slice_("s", {"addresses": ["10.1.0.1"]}))
    put(records, ENDPOINT_SLICE, slice_("s", {"addresses": ["10.1.0.1"]}, service="other"))
    assert records.slices_of("webapp", "default") == ()
    assert [one.name for one in records.slices_of("other", "default")] == ["s"]
    assert [one.service for one in records.slices_at("10.1.0.1")] == ["other"]


@pytest.mark.parametrize(
    ("conditions", "is_ready"),
    [
        ({"ready": True}, True),
        ({}, True),
        (None, True),
        ({"ready": None}, True),
        ({"ready": False}, False),
        ({"ready": False, "serving": True, "terminating": True}, False),
        ({"ready": True, "serving": False}, True),
    ],
)
def test_ready_alone_decides(conditions: dict[str, bool] | None, is_ready: bool) -> None:
    endpoint: dict[str, Any] = {"addresses": ["10.1.0.1"]}
    if conditions is not None:
        endpoint["conditions"] = conditions
    assert bool(slice_record(slice_("s", endpoint)).endpoints) is is_ready


@pytest.mark.parametrize(
    ("object", "counts"),
    [
        (pod(), True),
        (pod("Pending"), True),
        (pod("Succeeded"), False),
        (pod("Failed"), False),
        (pod("Unknown"), False),
        (pod(deletionTimestamp="2026-01-01T00:00:00Z"), False),
    ],
)
def test_pods_that_count(object: dict[str, Any], counts: bool) -> None:
    records = Records(pods=True)
    put(records, POD, object)
    assert bool(records.pods_at("10.1.0.5")) is counts
    assert records.pods_at("fd00::5") == ()


@pytest.mark.parametrize(
    ("endpoint", "pod_names", "label"),
    [
        (Endpoint("10.1.0.21"), False, "10-1-0-21"),
        (Endpoint("2001:db8::1"), False, "2001-db8--1"),
        (Endpoint("2001:db8::"), False, "2001-db8--0"),
        (Endpoint("10.1.0.21", "db-0", "pod-a"), True, "db-0"),
        (Endpoint("10.1.0.21", "", "pod-a"), True, "pod-a"),
        (Endpoint("10.1.0.21", "", "pod-a"), False, "10-1-0-21"),
    ],
)
def test_endpoint_label(endpoint: Endpoint, pod_names: bool, label: str) -> None:
    assert endpoint.label(pod_names=pod_names) == label


def test_headless_and_external_services() -> None:
    headless = service(address="None")
    assert service_record(headless).is_headless
    external: dict[str, Any] = {
        "metadata": {"name": "x", "namespace": "d"},
        "spec": {"type": "ExternalName", "externalName": "a.b"},
    }
    assert service_record(external).external_name == "a.b"
    assert not service_record(external).is_headless


def test_namespaces_come_and_go() -> None:
    records = Records()
    namespace = {"metadata": {"name": "default"}}
    assert put(records, NAMESPACE, namespace)
    assert not put(records, NAMESPACE, namespace)
    assert remove(records, NAMESPACE, namespace)
    assert records.namespaces == set()
