"""PodDisruptionBudget: at most one number, percentages, status."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.meta import JsonObject
from tests.unit.registry.kinds.support import create_errors, created, patched, update_errors
from tests.unit.registry.kinds.workloads import with_status

RESOURCE = "poddisruptionbudgets.policy"
EMPTY = {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}


def budget(**spec: Any) -> JsonObject:
    return {"metadata": {"name": "b", "namespace": "default"}, "spec": spec}


def test_the_status_is_always_written() -> None:
    assert created(RESOURCE, budget(minAvailable=1))["status"] == EMPTY


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        ({"minAvailable": "50%", "selector": {}}, []),
        ({"maxUnavailable": 0}, []),
        (
            {"minAvailable": 1, "maxUnavailable": "50%", "selector": {"matchLabels": {"a": "b"}}},
            [
                (
                    'spec: Invalid value: {"MinAvailable":1,"Selector":{"matchLabels":{"a":"b"}},"MaxUnavailable":"50%",'
                    '"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set'
                )
            ],
        ),
        ({"minAvailable": -1}, ["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"]),
        ({"maxUnavailable": "101%"}, ['spec.maxUnavailable: Invalid value: "101%": must not be greater than 100%']),
        (
            {"minAvailable": 1, "unhealthyPodEvictionPolicy": "Never"},
            [
                (
                    'spec.unhealthyPodEvictionPolicy: Unsupported value: "Never": supported values: "AlwaysAllow", '
                    '"IfHealthyBudget"'
                )
            ],
        ),
        (
            {"minAvailable": 1, "selector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}},
            ['spec.selector.matchExpressions[0].operator: Invalid value: "Is": not a valid selector operator'],
        ),
    ],
)
def test_mistakes(spec: JsonObject, wanted: list[str]) -> None:
    assert create_errors(RESOURCE, budget(**spec)) == wanted


def test_updates() -> None:
    old = created(RESOURCE, budget(minAvailable=1))
    assert update_errors(RESOURCE, old, patched(old, minAvailable=2)) == []
    wrong = with_status(old, currentHealthy=-1)
    assert update_errors(RESOURCE, old, wrong, "status") == [
        "status.currentHealthy: Invalid value: -1: must be greater than or equal to 0"
    ]
