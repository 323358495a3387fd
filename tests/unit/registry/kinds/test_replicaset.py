"""ReplicaSet and ReplicationController: defaults, checks, status."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.meta import JsonObject
from tests.unit.registry.kinds.support import create_errors, created, patched, update_errors
from tests.unit.registry.kinds.workloads import template, with_status, workload

SETS, CONTROLLERS = "replicasets.apps", "replicationcontrollers"


def controller(**spec: Any) -> JsonObject:
    object = workload("ReplicationController", **{"selector": {"app": "web"}, **spec})
    return {**object, "apiVersion": "v1"}


def test_defaults() -> None:
    made = created(SETS, workload("ReplicaSet"))
    assert (made["spec"]["replicas"], made["status"]) == (1, {"replicas": 0})


def test_a_controller_takes_selector_and_labels_from_its_template() -> None:
    made = created(CONTROLLERS, controller(selector=None))
    assert made["spec"]["selector"] == made["metadata"]["labels"] == {"app": "web"}
    given = controller(selector={"app": "web", "x": "y"})
    given["metadata"]["labels"] = {"own": "1"}
    made = created(CONTROLLERS, given)
    assert made["spec"]["selector"] == {"app": "web", "x": "y"}
    assert made["metadata"]["labels"] == {"own": "1"}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        (
            {"replicas": -1, "minReadySeconds": -1},
            [
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (
            {"selector": {"matchLabels": {"a": "b"}}},
            [
                'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'
            ],
        ),
    ],
)
def test_set_mistakes(spec: JsonObject, wanted: list[str]) -> None:
    assert create_errors(SETS, workload("ReplicaSet", **spec)) == wanted


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        ({"selector": None, "template": None}, ["spec.selector: Required value", "spec.template: Required value"]),
        (
            {"selector": {"a": "b"}},
            [
                'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'
            ],
        ),
        (
            {"template": template(restartPolicy="OnFailure")},
            ['spec.template.spec.restartPolicy: Unsupported value: "OnFailure": supported values: "Always"'],
        ),
    ],
)
def test_controller_mistakes(spec: JsonObject, wanted: list[str]) -> None:
    assert create_errors(CONTROLLERS, controller(**spec)) == wanted


def test_updates() -> None:
    old = created(SETS, workload("ReplicaSet"))
    new = patched(old, selector={"matchLabels": {}, "matchExpressions": [{"key": "app", "operator": "Exists"}]})
    shown = '{"matchExpressions":[{"key":"app","operator":"Exists"}]}'
    assert update_errors(SETS, old, new) == [f"spec.selector: Invalid value: {shown}: field is immutable"]
    wrong = with_status(old, replicas=1, fullyLabeledReplicas=2)
    text = "status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas"
    assert update_errors(SETS, old, wrong, "status") == [text]
