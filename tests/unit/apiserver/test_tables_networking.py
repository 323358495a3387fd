"""Cells of the networking, access and storage kinds; the same row in every shape of a kind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from emulator.api import kinds
from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject
from emulator.apiserver.deprecation import deprecation_warnings
from emulator.apiserver.tables import columns, row
from emulator.registry.conversion.shapes import from_storage

AT = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
CREATED = "2026-01-01T00:00:00Z"


def of(**fields: Any) -> JsonObject:
    return {"metadata": {"name": "x", "namespace": "n", "creationTimestamp": CREATED}, **fields}


def hosts(*names: str) -> JsonObject:
    return {"rules": [{"host": name} for name in names]}


@pytest.mark.parametrize(
    ("kind", "object", "wanted"),
    [
        (kinds.INGRESS, of(spec={}), ["x", "<none>", "*", "", "80", "60s"]),
        (
            kinds.INGRESS,
            of(
                spec={**hosts("a", "", "b", "c", "d"), "ingressClassName": "nginx", "tls": [{}]},
                status={"loadBalancer": {"ingress": [{"ip": "192.0.2.2"}, {"hostname": "lb"}, {"ip": "192.0.2.1"}]}},
            ),
            ["x", "nginx", "a,b,c + 1 more...", "192.0.2.1,192.0.2.2,lb", "80, 443", "60s"],
        ),
        (kinds.INGRESS_CLASS, of(spec={"controller": "a/b"}), ["x", "a/b", "<none>", "60s"]),
        (
            kinds.INGRESS_CLASS,
            of(spec={"controller": "a/b", "parameters": {"apiGroup": "g.io", "kind": "K", "name": "p"}}),
            ["x", "a/b", "K.g.io/p", "60s"],
        ),
        (kinds.NETWORK_POLICY, of(spec={"podSelector": {}}), ["x", "<none>", "60s"]),
        (
            kinds.NETWORK_POLICY,
            of(
                spec={
                    "podSelector": {
                        "matchLabels": {"b": "1"},
                        "matchExpressions": [
                            {"key": "a", "operator": "In", "values": ["y", "x"]},
                            {"key": "c", "operator": "DoesNotExist"},
                            {"key": "d", "operator": "Exists"},
                        ],
                    }
                }
            ),
            ["x", "a in (x,y),b=1,!c,d", "60s"],
        ),
        (
            kinds.SERVICE_CIDR,
            of(spec={"cidrs": ["10.0.0.0/24", "2001:db8::/64"]}),
            ["x", "10.0.0.0/24,2001:db8::/64", "60s"],
        ),
        (
            kinds.IP_ADDRESS,
            of(spec={"parentRef": {"resource": "services", "namespace": "default", "name": "kubernetes"}}),
            ["x", "services/default/kubernetes"],
        ),
        (kinds.LEASE, of(spec={"holderIdentity": "me"}), ["x", "me", "60s"]),
        (kinds.ROLE, of(rules=None), ["x", CREATED]),
        (
            kinds.ROLE_BINDING,
            of(
                roleRef={"kind": "Role", "name": "r"},
                subjects=[
                    {"kind": "User", "name": "u"},
                    {"kind": "User", "name": "v"},
                    {"kind": "ServiceAccount", "namespace": "n", "name": "s"},
                ],
            ),
            ["x", "Role/r", "60s", "u, v", "", "n/s"],
        ),
        (
            kinds.RESOURCE_QUOTA,
            of(status={"hard": {"pods": "3", "limits.cpu": "2", "cpu": "1"}, "used": {"pods": "1"}}),
            ["x", "cpu: 0/1, pods: 1/3", "limits.cpu: 0/2", "60s"],
        ),
        (kinds.PRIORITY_CLASS, of(value=5, preemptionPolicy="Never"), ["x", 5, False, "60s", "Never"]),
        (
            kinds.PERSISTENT_VOLUME,
            of(
                spec={
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadOnlyMany", "ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "claimRef": {"namespace": "n", "name": "c"},
                    "volumeMode": "Filesystem",
                },
                status={"phase": "Bound"},
            ),
            ["x", "1Gi", "RWO,ROX", "Retain", "Bound", "n/c", "", "<unset>", "", "60s", "Filesystem"],
        ),
        (
            kinds.PERSISTENT_VOLUME_CLAIM,
            of(spec={"storageClassName": "s"}, status={"phase": "Pending"}),
            ["x", "Pending", "", "", "", "s", "<unset>", "60s", "<unset>"],
        ),
        (kinds.STORAGE_CLASS, of(provisioner="p"), ["x", "p", "Delete", "Immediate", False, "60s"]),
        (
            kinds.POD_TEMPLATE,
            of(template={"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}),
            ["x", "c", "i", "a=b"],
        ),
    ],
)
def test_cells(kind: Kind, object: JsonObject, wanted: list[Any]) -> None:
    assert row(kind, object, at=AT).cells == wanted
    assert len(columns(kind)) == len(wanted)


@pytest.mark.parametrize("shape", [kinds.INGRESS_V1BETA1, kinds.EXTENSIONS_INGRESS])
def test_a_row_is_the_same_in_every_shape(shape: Kind) -> None:
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    stored = of(spec={"defaultBackend": backend, **hosts("a")}, apiVersion="networking.k8s.io/v1", kind="Ingress")
    assert row(shape, from_storage(shape, stored), at=AT) == row(kinds.INGRESS, stored, at=AT)
    assert columns(shape) == columns(kinds.INGRESS)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (kinds.INGRESS, []),
        (
            kinds.EXTENSIONS_INGRESS,
            [
                (
                    "extensions/v1beta1 Ingress is deprecated in v1.14+, unavailable in v1.22+; "
                    "use networking.k8s.io/v1 Ingress"
                )
            ],
        ),
        (
            kinds.DEPLOYMENT_V1BETA1,
            ["extensions/v1beta1 Deployment is deprecated in v1.8+, unavailable in v1.16+; use apps/v1 Deployment"],
        ),
    ],
)
def test_old_shapes_are_warned_of(kind: Kind, wanted: list[str]) -> None:
    assert deprecation_warnings(kind) == wanted
