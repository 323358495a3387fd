"""Kinds that are stored and checked, with no controller behind them: limits, volumes, leases, addresses."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.meta import JsonObject
from tests.unit.registry.kinds.support import create_errors, created, update_errors

LIMITS, QUOTA, PRIORITY = "limitranges", "resourcequotas", "priorityclasses.scheduling.k8s.io"
VOLUME, CLAIM, CLASS = "persistentvolumes", "persistentvolumeclaims", "storageclasses.storage.k8s.io"
LEASE = "leases.coordination.k8s.io"
CIDR, ADDRESS = "servicecidrs.networking.k8s.io", "ipaddresses.networking.k8s.io"
CLAIM_SPEC = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
VOLUME_SPEC = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}}
PARENT = {"resource": "services", "namespace": "n", "name": "s"}


def of(spec: JsonObject | None = None, name: str = "x", **fields: Any) -> JsonObject:
    return {"metadata": {"name": name, "namespace": "n"}, **({} if spec is None else {"spec": spec}), **fields}


def limit(**fields: Any) -> JsonObject:
    return of({"limits": [{"type": "Container", **fields}]})


def test_a_containers_limits_follow_from_one_another() -> None:
    (made,) = created(LIMITS, limit(max={"cpu": "1", "memory": "2Gi"}, min={"cpu": "0.1", "disk": "1"}))["spec"][
        "limits"
    ]
    assert made["default"] == {"cpu": "1", "memory": "2Gi"}
    assert made["defaultRequest"] == {"cpu": "1", "memory": "2Gi", "disk": "1"}
    assert made["min"] == {"cpu": "100m", "disk": "1"}


@pytest.mark.parametrize(
    ("kind", "object", "wanted"),
    [
        (LIMITS, limit(max={"cpu": "1"}), []),
        (
            LIMITS,
            of({"limits": [{"type": "Pod", "default": {"cpu": "1"}}]}),
            ["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"],
        ),
        (
            LIMITS,
            of({"limits": [{"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}),
            ['spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1'],
        ),
        (QUOTA, of({"hard": {"pods": "3", "limits.cpu": "1"}}), []),
        (
            QUOTA,
            of({"hard": {"pods": "-1"}}),
            ['spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0'],
        ),
        (QUOTA, of({"scopes": ["Odd"]}), ['spec.scopes: Invalid value: ["Odd"]: unsupported scope']),
        (PRIORITY, of(value=5), []),
        (
            PRIORITY,
            of(value=1_000_000_001),
            ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
        ),
        (PRIORITY, of(name="system-node-critical", value=2_000_001_000), []),
        (VOLUME, of(VOLUME_SPEC), []),
        (
            VOLUME,
            of({}),
            [
                "spec.accessModes: Required value",
                "spec.capacity: Required value",
                "spec: Required value: must specify a volume type",
            ],
        ),
        (
            VOLUME,
            of({**VOLUME_SPEC, "nfs": {"server": "s", "path": "/"}}),
            ["spec.nfs: Forbidden: may not specify more than 1 volume type"],
        ),
        (CLAIM, of(CLAIM_SPEC), []),
        (
            CLAIM,
            of({}),
            [
                "spec.accessModes: Required value: at least 1 access mode is required",
                "spec.resources[storage]: Required value",
            ],
        ),
        (
            CLAIM,
            of({**CLAIM_SPEC, "accessModes": ["ReadWriteOncePod", "ReadOnlyMany"]}),
            ["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
        ),
        (
            CLAIM,
            of({**CLAIM_SPEC, "resources": {"requests": {"storage": "0"}}}),
            ['spec.resources[storage]: Invalid value: "0": must be greater than zero'],
        ),
        (CLASS, of(provisioner="example.com/x"), []),
        (
            CLASS,
            of(provisioner="x", reclaimPolicy="Recycle"),
            ['reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'],
        ),
        (LEASE, of({"holderIdentity": "a", "leaseDurationSeconds": 1}), []),
        (
            LEASE,
            of({"leaseDurationSeconds": 0, "leaseTransitions": -1}),
            [
                "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
                "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (CIDR, of({"cidrs": ["10.0.0.0/24", "2001:db8::/64"]}), []),
        (CIDR, of({}), ["spec.cidrs: Required value: at least one CIDR required"]),
        (
            CIDR,
            of({"cidrs": ["2001:DB8::/64"]}),
            ['spec.cidrs[0]: Invalid value: "2001:DB8::/64": must be in canonical form ("2001:db8::/64")'],
        ),
        (
            CIDR,
            of({"cidrs": ["10.0.0.0/24", "10.0.1.0/24"]}),
            [
                (
                    'spec.cidrs: Invalid value: ["10.0.0.0/24","10.0.1.0/24"]: may specify no more than one IP for each IP '
                    "family, i.e 192.168.0.0/24 and 2001:db8::/64"
                )
            ],
        ),
        (ADDRESS, of({"parentRef": PARENT}), []),
        (ADDRESS, of({}), ["spec.parentRef: Required value"]),
        (
            ADDRESS,
            of({"parentRef": {"name": "a/b"}}),
            [
                "spec.parentRef.resource: Required value",
                "spec.parentRef.name: Invalid value: \"a/b\": may not contain '/'",
            ],
        ),
    ],
)
def test_rules(kind: str, object: JsonObject, wanted: list[str]) -> None:
    assert create_errors(kind, object) == wanted


@pytest.mark.parametrize(
    ("kind", "old", "new", "wanted"),
    [
        (PRIORITY, of(value=1), of(value=2), ["value: Forbidden: may not be changed in an update."]),
        (
            CLASS,
            of(provisioner="a"),
            of(provisioner="b"),
            ["provisioner: Forbidden: updates to provisioner are forbidden."],
        ),
        (
            CLAIM,
            of(CLAIM_SPEC),
            of({**CLAIM_SPEC, "accessModes": ["ReadOnlyMany"]}),
            [
                (
                    "spec: Forbidden: spec is immutable after creation except resources.requests and "
                    "volumeAttributesClassName for bound claims"
                )
            ],
        ),
        (CLAIM, of(CLAIM_SPEC), of({**CLAIM_SPEC, "volumeName": "v"}), []),
        (
            VOLUME,
            of(VOLUME_SPEC),
            of({**VOLUME_SPEC, "hostPath": {"path": "/y"}}),
            ["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"],
        ),
        (
            CIDR,
            of({"cidrs": ["10.0.0.0/24"]}),
            of({"cidrs": ["10.0.1.0/24"]}),
            ['spec.cidrs[0]: Invalid value: "10.0.1.0/24": field is immutable'],
        ),
        (CIDR, of({"cidrs": ["10.0.0.0/24"]}), of({"cidrs": ["10.0.0.0/24", "2001:db8::/64"]}), []),
        (
            ADDRESS,
            of({"parentRef": PARENT}),
            of({"parentRef": {**PARENT, "name": "t"}}),
            ['spec.parentRef: Invalid value: {"resource":"services","namespace":"n","name":"t"}: field is immutable'],
        ),
    ],
)
def test_transitions(kind: str, old: JsonObject, new: JsonObject, wanted: list[str]) -> None:
    assert update_errors(kind, created(kind, old), new) == wanted
