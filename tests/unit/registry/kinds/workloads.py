"""Small workload objects for the tests of their rules."""

from __future__ import annotations

import copy
from typing import Any

from emulator.api.meta import JsonObject

LABELS = {"app": "web"}


def template(*, labels: dict[str, str] | None = LABELS, **spec: Any) -> JsonObject:
    """A pod template with one container."""
    metadata: JsonObject = {} if labels is None else {"labels": dict(labels)}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c", "image": "nginx:1"}], **spec}}


def workload(kind: str, name: str = "web", **spec: Any) -> JsonObject:
    """An apps/v1 object with a selector and a template that match; None takes a field of the spec away."""
    whole = {"selector": {"matchLabels": dict(LABELS)}, "template": template(), **spec}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default", "uid": "u-1"},
        "spec": {key: value for key, value in whole.items() if value is not None},
    }


def job(name: str = "j", **spec: Any) -> JsonObject:
    whole = {"template": template(labels=None, restartPolicy="Never"), **spec}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default", "uid": "u-1"},
        "spec": {key: value for key, value in whole.items() if value is not None},
    }


def with_status(object: JsonObject, **status: Any) -> JsonObject:
    changed = copy.deepcopy(object)
    changed["status"] = {**(changed.get("status") or {}), **status}
    return changed
