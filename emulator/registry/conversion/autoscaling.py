"""HorizontalPodAutoscaler of autoscaling/v1, which knows of one metric: how busy the CPUs are.

What it has no field for is kept in the annotations upstream keeps it in. Each function changes the private copy it is
handed.
Source: pkg/apis/autoscaling/v1/conversion.go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from emulator.api.meta import JsonObject

METRICS = "autoscaling.alpha.kubernetes.io/metrics"
CURRENT_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"
CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"


def to_storage(autoscaler: JsonObject) -> None:
    spec, status = autoscaler.setdefault("spec", {}), autoscaler.get("status") or {}
    percentage = spec.pop("targetCPUUtilizationPercentage", None)
    metrics = _taken(autoscaler, METRICS) or []
    if percentage is not None:
        target = {"type": "Utilization", "averageUtilization": percentage}
        metrics.insert(0, {"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if metrics:
        spec["metrics"] = metrics
    behavior = _taken(autoscaler, BEHAVIOR)
    if behavior is not None:
        spec["behavior"] = behavior
    busy = status.pop("currentCPUUtilizationPercentage", None)
    current = _taken(autoscaler, CURRENT_METRICS) or []
    if busy is not None:
        source = {"name": "cpu", "current": {"averageUtilization": busy}}
        current.insert(0, {"type": "Resource", "resource": source})
    if current:
        status["currentMetrics"] = current
    conditions = _taken(autoscaler, CONDITIONS)
    if conditions:
        status["conditions"] = conditions


def from_storage(autoscaler: JsonObject) -> None:
    spec, status = autoscaler["spec"], autoscaler.get("status") or {}
    metrics, current = list(spec.pop("metrics", None) or ()), list(status.pop("currentMetrics", None) or ())
    position = next((at for at, metric in enumerate(metrics) if _is_cpu_share(metric)), None)
    if position is not None:
        spec["targetCPUUtilizationPercentage"] = metrics.pop(position)["resource"]["target"]["averageUtilization"]
    present = next((at for at, metric in enumerate(current) if _is_cpu(metric)), None)
    if present is not None:
        share = (current.pop(present)["resource"].get("current") or {}).get("averageUtilization")
        if share is not None:
            status["currentCPUUtilizationPercentage"] = share
    status.setdefault("currentReplicas", 0)
    kept = {
        METRICS: metrics,
        CURRENT_METRICS: current,
        CONDITIONS: status.pop("conditions", None),
        BEHAVIOR: spec.pop("behavior", None),
    }
    for name, value in kept.items():
        if value:
            annotations = autoscaler["metadata"].setdefault("annotations", {})
            annotations[name] = json.dumps(value, separators=(",", ":"))


def _is_cpu(metric: Mapping[str, Any]) -> bool:
    return metric.get("type") == "Resource" and (metric.get("resource") or {}).get("name") == "cpu"


def _is_cpu_share(metric: Mapping[str, Any]) -> bool:
    return _is_cpu(metric) and (metric["resource"].get("target") or {}).get("averageUtilization") is not None


def _taken(autoscaler: JsonObject, name: str) -> Any:
    """The value of an annotation that holds JSON, which goes; None if it is absent or cannot be read."""
    metadata = autoscaler["metadata"]
    text = (metadata.get("annotations") or {}).pop(name, None)
    if metadata.get("annotations") == {}:
        del metadata["annotations"]
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None
