"""DaemonSet: defaults, its template's generation, checks."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.meta import JsonObject
from emulator.registry.kinds.daemonset import TEMPLATE_GENERATION
from tests.unit.registry.kinds.support import create_errors, created, patched, update_errors, updated
from tests.unit.registry.kinds.workloads import template, with_status, workload

RESOURCE = "daemonsets.apps"
ROLLING = "spec.updateStrategy.rollingUpdate"


def daemon_set(**spec: Any) -> JsonObject:
    return workload("DaemonSet", **spec)


def rolling(unavailable: Any, surge: Any) -> JsonObject:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}


def test_defaults() -> None:
    made = created(RESOURCE, daemon_set())
    assert made["spec"]["updateStrategy"] == rolling(1, 0)
    assert made["spec"]["revisionHistoryLimit"] == 10
    assert made["metadata"]["annotations"] == {TEMPLATE_GENERATION: "1"}
    assert made["status"] == {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }


def test_the_template_generation_follows_the_template() -> None:
    old = created(RESOURCE, daemon_set())

    def generation(new: JsonObject, subresource: str = "") -> str:
        return str(updated(RESOURCE, old, new, subresource)["metadata"]["annotations"][TEMPLATE_GENERATION])

    changed = patched(old, template=template(terminationGracePeriodSeconds=1))
    assert generation(changed) == "2"
    assert generation(patched(old, minReadySeconds=1)) == "1"
    claimed = {**old, "metadata": {**old["metadata"], "annotations": {TEMPLATE_GENERATION: "9"}}}
    assert generation(claimed) == "1"


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        ({"updateStrategy": {"type": "OnDelete"}}, []),
        (
            {"selector": None},
            [
                'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'
            ],
        ),
        ({"selector": {}}, ["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"]),
        (
            {"template": template(restartPolicy="Never")},
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
        ),
        (
            {"updateStrategy": rolling(1, 1)},
            [f"{ROLLING}.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"],
        ),
        (
            {"updateStrategy": rolling(0, 0)},
            [f"{ROLLING}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"],
        ),
        (
            {"updateStrategy": rolling("120%", 0)},
            [f'{ROLLING}.maxUnavailable: Invalid value: "120%": must not be greater than 100%'],
        ),
        (
            {"updateStrategy": {"type": "X"}},
            [
                (
                    'spec.updateStrategy: Unsupported value: {"Type":"X","RollingUpdate":null}: supported values: '
                    '"RollingUpdate", "OnDelete"'
                )
            ],
        ),
    ],
)
def test_mistakes(spec: JsonObject, wanted: list[str]) -> None:
    assert create_errors(RESOURCE, daemon_set(**spec)) == wanted


def test_updates() -> None:
    old = created(RESOURCE, daemon_set())
    new = patched(old, selector={"matchLabels": {"a": "b"}}, template=template(labels={"a": "b"}))
    text = 'spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: field is immutable'
    assert update_errors(RESOURCE, old, new) == [text]
    wrong = with_status(old, numberReady=-1)
    text = "status.numberReady: Invalid value: -1: must be greater than or equal to 0"
    assert update_errors(RESOURCE, old, wrong, "status") == [text]
