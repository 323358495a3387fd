"""Whether an object is what its user waits for, read from its status; as `kubectl rollout status` and `wait` judge. Pure.

Source: k8s.io/kubectl pkg/polymorphichelpers/rollout_status.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from emulator.api.kinds import (
    DAEMON_SET,
    DEPLOYMENT,
    INGRESS,
    JOB,
    NAMESPACE,
    NODE,
    POD,
    REPLICA_SET,
    REPLICATION_CONTROLLER,
    STATEFUL_SET,
    Kind,
)
from emulator.api.meta import annotations_of, condition_of


def is_ready(kind: Kind, object: Mapping[str, Any]) -> bool:
    """True once it serves, runs or is done, whatever its kind is there for; kinds without a status are ready at once."""
    judge = _JUDGES.get(kind)
    return judge is None or judge(object)


def has_failed(kind: Kind, object: Mapping[str, Any]) -> str:
    """Why it will never be ready, "" while it may."""
    failed = condition_of(object, "Failed") if kind is JOB else None
    if failed is not None and failed["status"] == "True":
        return f"{failed.get('reason', 'Failed')}: {failed.get('message', '')}"
    return ""


def _is_true(object: Mapping[str, Any], type: str) -> bool:
    condition = condition_of(object, type)
    return condition is not None and condition["status"] == "True"


def _observed(object: Mapping[str, Any]) -> bool:
    status = object.get("status") or {}
    return bool(status.get("observedGeneration", 0) >= object["metadata"].get("generation", 0))


def _count(object: Mapping[str, Any], name: str) -> int:
    return int((object.get("status") or {}).get(name) or 0)


def _replicas(object: Mapping[str, Any]) -> int:
    wanted = object["spec"].get("replicas")
    return 1 if wanted is None else int(wanted)


def _pod(pod: Mapping[str, Any]) -> bool:
    done = (pod.get("status") or {}).get("phase") == "Succeeded"
    return done or _is_true(pod, "Ready") or annotations_of(pod).get("kubemu.dev/ready") == "false"


def _deployment(object: Mapping[str, Any]) -> bool:
    counts = [_count(object, name) for name in ("updatedReplicas", "replicas", "availableReplicas")]
    return _observed(object) and counts == [_replicas(object)] * 3


def _replica_set(object: Mapping[str, Any]) -> bool:
    return _observed(object) and _count(object, "readyReplicas") == _replicas(object) == _count(object, "replicas")


def _stateful_set(object: Mapping[str, Any]) -> bool:
    return _observed(object) and _count(object, "readyReplicas") == _replicas(object) == _count(
        object, "updatedReplicas"
    )


def _daemon_set(object: Mapping[str, Any]) -> bool:
    wanted = _count(object, "desiredNumberScheduled")
    counts = [_count(object, name) for name in ("updatedNumberScheduled", "numberAvailable")]
    return _observed(object) and counts == [wanted] * 2


_JUDGES: dict[Kind, Callable[[Mapping[str, Any]], bool]] = {
    POD: _pod,
    DEPLOYMENT: _deployment,
    REPLICA_SET: _replica_set,
    REPLICATION_CONTROLLER: _replica_set,
    STATEFUL_SET: _stateful_set,
    DAEMON_SET: _daemon_set,
    JOB: lambda job: _is_true(job, "Complete"),
    NODE: lambda node: _is_true(node, "Ready"),
    NAMESPACE: lambda namespace: (namespace.get("status") or {}).get("phase") == "Active",
    INGRESS: lambda ingress: bool((ingress.get("status") or {}).get("loadBalancer", {}).get("ingress")),
}
