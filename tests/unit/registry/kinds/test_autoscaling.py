"""HorizontalPodAutoscaler: defaults, metrics, behaviour, and its v1 shape."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from emulator.api.kinds import AUTOSCALER_V1
from emulator.api.meta import JsonObject
from emulator.registry.conversion.shapes import from_storage, to_storage
from tests.unit.registry.kinds.support import create_errors, created

RESOURCE = "horizontalpodautoscalers.autoscaling"
CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
METRIC = "spec.metrics[0]"


def autoscaler(**spec: Any) -> JsonObject:
    whole = {"scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}, "maxReplicas": 3, **spec}
    return {"metadata": {"name": "h", "namespace": "default"}, "spec": whole}


def test_defaults() -> None:
    made = created(RESOURCE, autoscaler())
    assert (made["spec"]["minReplicas"], made["spec"]["metrics"]) == (1, [CPU])
    assert made["status"] == {"desiredReplicas": 0, "currentMetrics": None}
    behavior = created(RESOURCE, autoscaler(behavior={"scaleDown": {"selectPolicy": "Disabled"}}))["spec"]["behavior"]
    assert behavior["scaleDown"] == {
        "selectPolicy": "Disabled",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    }
    assert (behavior["scaleUp"]["stabilizationWindowSeconds"], len(behavior["scaleUp"]["policies"])) == (0, 2)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        (
            {"minReplicas": 0, "maxReplicas": 0},
            [
                "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
                "spec.maxReplicas: Invalid value: 0: must be greater than 0",
            ],
        ),
        (
            {"minReplicas": 5},
            ["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"],
        ),
        (
            {"scaleTargetRef": {"kind": "a/b"}},
            [
                "spec.scaleTargetRef.kind: Invalid value: \"a/b\": may not contain '/'",
                "spec.scaleTargetRef.name: Required value",
            ],
        ),
        (
            {"metrics": [{"type": "Magic"}]},
            [
                (
                    f'{METRIC}.type: Unsupported value: "Magic": supported values: "ContainerResource", "External", '
                    '"Object", "Pods", "Resource"'
                )
            ],
        ),
        (
            {"metrics": [{"type": "Resource"}]},
            [f"{METRIC}.resource: Required value: must populate information for the given metric source"],
        ),
        (
            {"metrics": [{**CPU, "type": "Pods"}]},
            [
                f"{METRIC}.pods: Required value: must populate information for the given metric source",
            ],
        ),
        (
            {"metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}]},
            [
                (
                    f"{METRIC}.resource.target.averageUtilization: Required value: must set either a target raw value or "
                    "a target utilization"
                )
            ],
        ),
        (
            {
                "metrics": [
                    {"type": "Pods", "pods": {"metric": {}, "target": {"type": "AverageValue", "averageValue": "0"}}}
                ]
            },
            [
                f"{METRIC}.pods.metric.name: Required value: must specify a metric name",
                f'{METRIC}.pods.target.averageValue: Invalid value: "0": must be positive',
            ],
        ),
        (
            {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 3601, "selectPolicy": "Any", "policies": []}}},
            [
                (
                    "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal "
                    "to 3600"
                ),
                (
                    'spec.behavior.scaleUp.selectPolicy: Unsupported value: "Any": supported values: "Disabled", "Max", '
                    '"Min"'
                ),
                "spec.behavior.scaleUp.policies: Required value: must specify at least one Policy",
            ],
        ),
        (
            {"behavior": {"scaleDown": {"policies": [{"type": "Half", "value": 0, "periodSeconds": 1801}]}}},
            [
                'spec.behavior.scaleDown.policies[0].type: Unsupported value: "Half": supported values: "Percent", "Pods"',
                "spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
                (
                    "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal "
                    "to 1800"
                ),
            ],
        ),
    ],
)
def test_mistakes(spec: JsonObject, wanted: list[str]) -> None:
    assert create_errors(RESOURCE, autoscaler(**spec)) == wanted


def test_the_v1_shape_shows_the_cpu_alone_and_keeps_the_rest() -> None:
    memory = {
        "type": "Resource",
        "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}},
    }
    stored = created(RESOURCE, autoscaler(metrics=[memory, CPU]))
    shown = from_storage(AUTOSCALER_V1, stored)
    assert shown["spec"]["targetCPUUtilizationPercentage"] == 80
    assert json.loads(shown["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"]) == [memory]
    back = to_storage(AUTOSCALER_V1, copy.deepcopy(shown))
    assert back["spec"]["metrics"] == [CPU, memory]
    assert "annotations" not in back["metadata"]
