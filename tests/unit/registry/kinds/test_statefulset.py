"""StatefulSet and ControllerRevision: defaults, checks, what may change."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.meta import JsonObject
from emulator.registry.kinds.statefulset import FROZEN, NEGATIVE_HISTORY
from tests.unit.registry.kinds.support import create_errors, created, patched, update_errors, updated, warnings
from tests.unit.registry.kinds.workloads import template, with_status, workload

RESOURCE, REVISIONS = "statefulsets.apps", "controllerrevisions.apps"
CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}},
}


def stateful_set(**spec: Any) -> JsonObject:
    return workload("StatefulSet", **spec)


def test_defaults() -> None:
    made = created(RESOURCE, stateful_set(volumeClaimTemplates=[CLAIM]))
    spec = made["spec"]
    assert spec["podManagementPolicy"] == "OrderedReady"
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["serviceName"]) == (1, 10, "")
    claim = spec["volumeClaimTemplates"][0]
    assert (claim["apiVersion"], claim["kind"], claim["status"]) == (
        "v1",
        "PersistentVolumeClaim",
        {"phase": "Pending"},
    )
    assert (claim["spec"]["volumeMode"], claim["spec"]["resources"]) == ("Filesystem", {"requests": {"storage": "1Gi"}})
    assert made["status"] == {"replicas": 0, "availableReplicas": 0}


def test_the_gated_field_goes() -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1, "maxUnavailable": 2}}
    old = created(RESOURCE, stateful_set(updateStrategy=strategy))
    assert old["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 1}
    new = patched(old, updateStrategy=strategy)
    assert updated(RESOURCE, old, new)["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 1}


def mounting(name: str) -> JsonObject:
    container = {"name": "c", "image": "nginx:1", "volumeMounts": [{"name": name, "mountPath": "/data"}]}
    return template(containers=[container])


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        ({"volumeClaimTemplates": [CLAIM], "template": mounting("data")}, []),
        ({"template": mounting("data")}, ['spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"']),
        (
            {"podManagementPolicy": "Any"},
            ["spec.podManagementPolicy: Invalid value: \"Any\": must be 'OrderedReady' or 'Parallel'"],
        ),
        (
            {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}},
            [
                (
                    'spec.updateStrategy.rollingUpdate: Invalid value: {"Partition":1,"MaxUnavailable":null}: only allowed '
                    "for updateStrategy 'RollingUpdate'"
                )
            ],
        ),
        (
            {"updateStrategy": {"type": "X"}},
            [
                (
                    'spec.updateStrategy: Invalid value: {"Type":"X","RollingUpdate":null}: must be \'RollingUpdate\' or '
                    "'OnDelete'"
                )
            ],
        ),
        (
            {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": -1}}},
            ["spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Keep"}},
            [
                (
                    'spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "Keep": supported values: '
                    '"Retain", "Delete"'
                )
            ],
        ),
        ({"ordinals": {"start": -1}}, ["spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0"]),
        ({"selector": {}}, ["spec.selector: Invalid value: {}: empty selector is invalid for statefulset"]),
        (
            {"template": template(activeDeadlineSeconds=1)},
            [
                (
                    "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in StatefulSet is not "
                    "Supported"
                )
            ],
        ),
    ],
)
def test_mistakes(spec: JsonObject, wanted: list[str]) -> None:
    assert create_errors(RESOURCE, stateful_set(**spec)) == wanted


@pytest.mark.parametrize(
    ("spec", "allowed"),
    [
        ({"replicas": 3}, True),
        ({"template": template(terminationGracePeriodSeconds=1)}, True),
        ({"updateStrategy": {"type": "OnDelete"}}, True),
        ({"ordinals": {"start": 2}}, True),
        ({"revisionHistoryLimit": 3}, True),
        ({"minReadySeconds": 3}, True),
        ({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}, True),
        ({"serviceName": "other"}, False),
        ({"podManagementPolicy": "Parallel"}, False),
        ({"volumeClaimTemplates": [CLAIM]}, False),
    ],
)
def test_what_may_change(spec: JsonObject, allowed: bool) -> None:
    old = created(RESOURCE, stateful_set())
    assert update_errors(RESOURCE, old, patched(old, **spec)) == ([] if allowed else [f"spec: Forbidden: {FROZEN}"])


def test_status_and_warning() -> None:
    old = created(RESOURCE, stateful_set())
    wrong = with_status(old, replicas=2, readyReplicas=1, availableReplicas=2)
    text = "status.availableReplicas: Invalid value: 2: cannot be greater than status.readyReplicas"
    assert update_errors(RESOURCE, old, wrong, "status") == [text]
    assert warnings(RESOURCE, stateful_set(revisionHistoryLimit=-1)) == [NEGATIVE_HISTORY]


def test_revisions() -> None:
    revision: JsonObject = {"metadata": {"name": "r", "namespace": "default"}, "data": {"a": 1}}
    made = created(REVISIONS, revision)
    assert made["revision"] == 0
    assert create_errors(REVISIONS, {**revision, "data": None, "revision": -1}) == [
        "data: Required value: data is mandatory",
        "revision: Invalid value: -1: must be greater than or equal to 0",
    ]
    assert update_errors(REVISIONS, made, {**made, "revision": 2}) == []
    changed = {**made, "data": {"a": 2}}
    assert update_errors(REVISIONS, made, changed) == ['data: Invalid value: {"a":2}: field is immutable']
