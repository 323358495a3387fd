"""The Scale of an object that has a number of replicas: made from it, and taken back into it. No I/O.

Source: pkg/registry/apps/{deployment,replicaset,statefulset}/storage, pkg/registry/core/replicationcontroller/storage,
pkg/apis/autoscaling/validation/validation.go (ValidateScale).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.api.errors import Conflict, Invalid, invalid
from emulator.api.kinds import SCALE_KIND, Kind
from emulator.api.meta import JsonObject
from emulator.registry.kinds.fields import NOT_NEGATIVE

_IDENTITY = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
_OPERATORS = {"In": "in", "NotIn": "notin"}


def is_scale(kind: Kind, subresource: str) -> bool:
    """Whether a Scale is spoken there, and not the kind itself."""
    found = kind.subresource(subresource) if subresource else None
    return found is not None and found.kind == SCALE_KIND.kind


def scale_of(object: JsonObject) -> JsonObject:
    """The Scale of an object as it is stored."""
    spec, metadata = object.get("spec") or {}, object["metadata"]
    replicas = spec.get("replicas") or 0
    status: JsonObject = {"replicas": (object.get("status") or {}).get("replicas") or 0}
    selector = selector_text(spec.get("selector"))
    if selector:
        status["selector"] = selector
    return {
        "kind": SCALE_KIND.kind,
        "apiVersion": SCALE_KIND.api_version,
        "metadata": {name: metadata[name] for name in _IDENTITY if name in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A selector, of labels or of a plain set, as a list of requirements sorted by key: `a=1,b in (x,y)`."""
    if selector is None:
        return ""
    if not selector.keys() <= {"matchLabels", "matchExpressions"}:
        selector = {"matchLabels": selector}
    found = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        key, operator = expression.get("key", ""), expression.get("operator", "")
        values = ",".join(sorted(expression.get("values") or ()))
        if operator in _OPERATORS:
            found.append((key, f"{key} {_OPERATORS[operator]} ({values})"))
        else:
            found.append((key, f"!{key}" if operator == "DoesNotExist" else key))
    return ",".join(text for _, text in sorted(found, key=lambda pair: pair[0]))


def scaled(kind: Kind, object: JsonObject, scale: JsonObject) -> JsonObject:
    """A copy of the object with the replicas of a Scale, and its resourceVersion if it has one.

    Raises Invalid, and Conflict for another object's uid.
    """
    metadata, replicas = object["metadata"], (scale.get("spec") or {}).get("replicas") or 0
    name = metadata["name"]
    if replicas < 0:
        mistake = invalid("spec.replicas", replicas, NOT_NEGATIVE)
        raise Invalid.of(SCALE_KIND.kind, SCALE_KIND.group, name, [mistake])
    sent = scale["metadata"]
    if sent.get("uid") and sent["uid"] != metadata["uid"]:
        why = f"Precondition failed: UID in precondition: {sent['uid']}, UID in object meta: {metadata['uid']}"
        raise Conflict.of(f"{kind.resource}/scale", name, why)
    version = sent.get("resourceVersion") or metadata["resourceVersion"]
    return {
        **object,
        "metadata": {**metadata, "resourceVersion": version},
        "spec": {**object["spec"], "replicas": replicas},
    }
