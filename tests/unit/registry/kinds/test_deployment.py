"""Deployment: defaults, checks, what may change, generation."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from emulator.api.meta import JsonObject
from tests.unit.registry.kinds.support import create_errors, created, patched, update_errors, updated, warnings
from tests.unit.registry.kinds.workloads import template, with_status, workload

RESOURCE = "deployments.apps"
NO_MATCH = "`selector` does not match template `labels`"
LABELS = "spec.template.metadata.labels"
ROLLING = "spec.strategy.rollingUpdate"


def deployment(**spec: Any) -> JsonObject:
    return workload("Deployment", **spec)


def rolling(unavailable: Any, surge: Any) -> JsonObject:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}


def test_defaults() -> None:
    made = created(RESOURCE, deployment())
    spec = made["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == rolling("25%", "25%")
    assert (spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (10, 600)
    assert spec["template"]["spec"]["restartPolicy"] == "Always"
    assert made["status"] == {}


def test_what_is_given_stays() -> None:
    spec = created(RESOURCE, deployment(replicas=0, strategy={"type": "Recreate"}, revisionHistoryLimit=0))["spec"]
    assert (spec["replicas"], spec["strategy"], spec["revisionHistoryLimit"]) == (0, {"type": "Recreate"}, 0)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        ({"replicas": -1}, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
        (
            {"selector": None},
            ["spec.selector: Required value", f'{LABELS}: Invalid value: {{"app":"web"}}: {NO_MATCH}'],
        ),
        ({"selector": {}}, ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"]),
        (
            {"selector": {"matchLabels": {"app": "other"}}},
            [f'{LABELS}: Invalid value: {{"app":"web"}}: {NO_MATCH}'],
        ),
        ({"template": template(labels=None)}, [f"{LABELS}: Invalid value: null: {NO_MATCH}"]),
        (
            {"selector": {"matchExpressions": [{"key": "app", "operator": "In"}]}},
            [
                (
                    "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' "
                    "or 'NotIn'"
                ),
                (
                    'spec.selector: Invalid value: {"matchExpressions":[{"key":"app","operator":"In"}]}: '
                    "invalid label selector"
                ),
            ],
        ),
        (
            {"template": template(restartPolicy="Never")},
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
        ),
        (
            {"template": template(activeDeadlineSeconds=5)},
            [
                (
                    "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not "
                    "Supported"
                )
            ],
        ),
        (
            {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
            [f"{ROLLING}: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
        ),
        (
            {"strategy": {"type": "Blue"}},
            [
                (
                    'spec.strategy: Unsupported value: {"Type":"Blue","RollingUpdate":null}: supported values: "Recreate", '
                    '"RollingUpdate"'
                )
            ],
        ),
        (
            {"strategy": rolling(0, "0%")},
            [f"{ROLLING}.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
        ),
        (
            {"strategy": rolling("101%", 1)},
            [f'{ROLLING}.maxUnavailable: Invalid value: "101%": must not be greater than 100%'],
        ),
        (
            {"strategy": rolling(1, "x")},
            [
                (
                    f'{ROLLING}.maxSurge: Invalid value: "x": a valid percent string must be a numeric string followed by '
                    "an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
                )
            ],
        ),
        (
            {"strategy": rolling(-1, 1)},
            [f"{ROLLING}.maxUnavailable: Invalid value: -1: must be greater than or equal to 0"],
        ),
        ({"minReadySeconds": -1}, ["spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"]),
        (
            {"minReadySeconds": 600},
            ["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
        ),
        (
            {"revisionHistoryLimit": -1},
            ["spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0"],
        ),
    ],
)
def test_mistakes(spec: JsonObject, wanted: list[str]) -> None:
    assert create_errors(RESOURCE, deployment(**spec)) == wanted


def test_the_selector_cannot_change() -> None:
    old = created(RESOURCE, deployment())
    other = {"matchLabels": {"app": "web", "tier": "x"}}
    new = patched(old, selector=other, template=template(labels={"app": "web", "tier": "x"}))
    shown = '{"matchLabels":{"app":"web","tier":"x"}}'
    assert update_errors(RESOURCE, old, new) == [f"spec.selector: Invalid value: {shown}: field is immutable"]
    assert update_errors(RESOURCE, old, patched(old, replicas=3)) == []


def test_annotations_raise_the_generation() -> None:
    old = created(RESOURCE, deployment())
    old["metadata"]["generation"] = 4
    new = copy.deepcopy(old)
    new["metadata"]["annotations"] = {"a": "b"}
    assert updated(RESOURCE, old, new)["metadata"]["generation"] == 5
    assert updated(RESOURCE, old, new, "status")["metadata"]["generation"] == 4


def test_a_write_of_the_status_keeps_the_labels() -> None:
    old = created(RESOURCE, deployment())
    old["metadata"]["labels"] = {"a": "1"}
    new = copy.deepcopy(old)
    new["metadata"]["labels"] = {"a": "2"}
    assert updated(RESOURCE, old, new, "status")["metadata"]["labels"] == {"a": "1"}


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({"replicas": 2, "readyReplicas": 2, "availableReplicas": 1, "updatedReplicas": 2}, []),
        (
            {"replicas": 1, "readyReplicas": 2},
            ["status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"],
        ),
        (
            {"replicas": 2, "readyReplicas": 1, "availableReplicas": 2},
            ["status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas"],
        ),
        (
            {"collisionCount": 0},
            ["status.collisionCount: Invalid value: 0: cannot be decremented"],
        ),
    ],
)
def test_status_mistakes(status: JsonObject, wanted: list[str]) -> None:
    old = with_status(created(RESOURCE, deployment()), collisionCount=1)
    assert update_errors(RESOURCE, old, with_status(old, **status), "status") == wanted


def test_warnings_name_the_template() -> None:
    object = deployment(template=template(terminationGracePeriodSeconds=-1))
    object["metadata"]["name"] = "a.b"
    first, second = warnings(RESOURCE, object)
    assert first.startswith("metadata.name: this is used in Pod names and hostnames, which can result in surprising")
    assert second == (
        "spec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be "
        "treated as 1"
    )
