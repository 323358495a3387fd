"""What `apply` sends: the strategic merge patch from (last applied, live, wanted), as kubectl computes it. No I/O.

Source: kubectl pkg/cmd/apply (three-way strategic merge): keys the user dropped since the last apply are
deleted, keys others wrote stay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from emulator.api.meta import JsonObject, annotations_of

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

MergeKey = str | None


def with_last_applied(wanted: JsonObject) -> JsonObject:
    """`wanted` carrying itself in the annotation that the next apply compares with."""
    annotations = {k: v for k, v in annotations_of(wanted).items() if k != LAST_APPLIED}
    bare = {**wanted, "metadata": {**wanted["metadata"], "annotations": annotations}}
    text = json.dumps(bare, separators=(",", ":"), sort_keys=True) + "\n"
    return {**bare, "metadata": {**bare["metadata"], "annotations": {**annotations, LAST_APPLIED: text}}}


def last_applied(live: Mapping[str, Any]) -> JsonObject:
    """What the previous apply wanted; empty when nobody applied."""
    try:
        found = json.loads(annotations_of(live).get(LAST_APPLIED) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def apply_patch(wanted: JsonObject, live: Mapping[str, Any]) -> JsonObject:
    """The strategic merge patch that brings `live` to `wanted`; empty when there is nothing to change.

    Deletions come from the last applied configuration. Lists are sent whole with `$patch: replace` semantics left
    to the server's merge keys; an element dropped since the last apply is sent with `$patch: delete`.
    """
    marked = with_last_applied(wanted)
    patch = _changes(marked, live)
    deletions = _deletions(last_applied(live), marked)
    merged = _union(patch, deletions)
    merged.pop("status", None)
    if set(merged) == {"metadata"} and set(merged["metadata"]) == {"annotations"}:
        annotations = merged["metadata"]["annotations"]
        if set(annotations) == {LAST_APPLIED} and last_applied(live) == json.loads(annotations[LAST_APPLIED]):
            return {}
    return merged


def _changes(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> JsonObject:
    """The keys of `wanted` whose value differs in `live`, maps compared key by key."""
    out: JsonObject = {}
    for key, value in wanted.items():
        held = live.get(key)
        if isinstance(value, Mapping) and isinstance(held, Mapping):
            inner = _changes(value, held)
            if inner:
                out[key] = inner
        elif isinstance(value, list) and isinstance(held, list):
            if not _covers(held, value):
                out[key] = value
        elif value != held and not (value in (None, {}, []) and held is None):
            out[key] = value
    return out


def _covers(held: list[Any], wanted: list[Any]) -> bool:
    """Whether the live list already is the wanted one, fields added by defaulting aside."""
    return len(held) == len(wanted) and all(_contains(a, b) for a, b in zip(held, wanted, strict=True))


def _contains(held: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(held, Mapping) and all(_contains(held.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(held, list) and _covers(held, wanted)
    return bool(held == wanted)


LIST_KEYS = {  # merge keys of the lists that users apply; kubectl-side knowledge, as compiled into kubectl
    "ports": ("port", "containerPort"),
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
}


def _deletions(previous: Mapping[str, Any], wanted: Mapping[str, Any]) -> JsonObject:
    """A patch that deletes what `previous` had and `wanted` has no more."""
    out: JsonObject = {}
    for key, value in previous.items():
        if key not in wanted:
            out[key] = None
        elif isinstance(value, Mapping) and isinstance(wanted[key], Mapping):
            inner = _deletions(value, wanted[key])
            if inner:
                out[key] = inner
        elif isinstance(value, list) and isinstance(wanted[key], list) and key in LIST_KEYS:
            gone = _gone(value, wanted[key], LIST_KEYS[key])
            if gone:
                out[key] = gone
    return out


def _gone(previous: list[Any], wanted: list[Any], keys: tuple[str, ...]) -> list[JsonObject]:
    for key in keys:
        if all(isinstance(item, Mapping) and key in item for item in previous):
            kept = {item.get(key) for item in wanted if isinstance(item, Mapping)}
            return [{"$patch": "delete", key: item[key]} for item in previous if item[key] not in kept]
    return []


def _union(a: JsonObject, b: JsonObject) -> JsonObject:
    out = dict(a)
    for key, value in b.items():
        if key in out and isinstance(out[key], dict) and isinstance(value, dict):
            out[key] = _union(out[key], value)
        elif key in out and isinstance(out[key], list) and isinstance(value, list):
            out[key] = [*out[key], *value]
        elif key not in out:
            out[key] = value
    return out
