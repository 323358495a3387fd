"""Deployment and DaemonSet of extensions/v1beta1: other defaults than apps/v1, and a field each that v1 gave up.

What v1 has no field for is kept in the annotation upstream keeps it in. Each function changes the private copy it is
handed.
Source: pkg/apis/extensions/v1beta1/defaults.go, pkg/apis/apps/v1/conversion.go.
"""

from __future__ import annotations

from emulator.api.meta import JsonObject

UNLIMITED = 2**31 - 1
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
ROLLBACK_TO = "deprecated.deployment.rollback.to"


def deployment_to_storage(deployment: JsonObject) -> None:
    """One Pod more or less at a time, no deadline, and every old ReplicaSet is kept."""
    spec = deployment.setdefault("spec", {})
    _default_selector(deployment, spec)
    strategy = spec.setdefault("strategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 1)
    spec.setdefault("progressDeadlineSeconds", UNLIMITED)
    spec.setdefault("revisionHistoryLimit", UNLIMITED)
    rollback = spec.pop("rollbackTo", None)
    _annotate(deployment, ROLLBACK_TO, None if rollback is None else str(rollback.get("revision") or 0))


def deployment_from_storage(deployment: JsonObject) -> None:
    revision = _taken(deployment, ROLLBACK_TO)
    if revision is not None:
        deployment["spec"]["rollbackTo"] = {"revision": revision} if revision else {}


def daemon_set_to_storage(daemon_set: JsonObject) -> None:
    """Pods of an old template stay until they are deleted."""
    spec = daemon_set.setdefault("spec", {})
    _default_selector(daemon_set, spec)
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "OnDelete"
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("maxUnavailable", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    generation = spec.pop("templateGeneration", None)
    _annotate(daemon_set, TEMPLATE_GENERATION, str(generation) if generation else None)


def daemon_set_from_storage(daemon_set: JsonObject) -> None:
    generation = _taken(daemon_set, TEMPLATE_GENERATION)
    if generation:
        daemon_set["spec"]["templateGeneration"] = generation


def _default_selector(object: JsonObject, spec: JsonObject) -> None:
    """The template's labels, for the selector and for the object's own labels."""
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if not labels:
        return
    if spec.get("selector") is None:
        spec["selector"] = {"matchLabels": dict(labels)}
    metadata = object.setdefault("metadata", {})
    if not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def _annotate(object: JsonObject, name: str, value: str | None) -> None:
    if value is not None:
        metadata = object.setdefault("metadata", {})
        metadata["annotations"] = {**(metadata.get("annotations") or {}), name: value}


def _taken(object: JsonObject, name: str) -> int | None:
    """The number in an annotation, which goes with it; one that is no number stays."""
    annotations = object["metadata"].get("annotations") or {}
    text = annotations.get(name, "")
    if not (text.isascii() and text.isdigit()):
        return None
    del annotations[name]
    if not annotations:
        del object["metadata"]["annotations"]
    return int(text)
