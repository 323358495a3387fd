"""Who owns which field of an object: metadata.managedFields after an update, and what a server-side apply makes of it.

`updated` and `applied` work on the object as the client meant it, decoded and defaulted, before the kind's own
preparations: what those add nobody owns. Nothing handed in is changed.
Source: k8s.io/apimachinery pkg/util/managedfields/internal; k8s.io/apiserver pkg/endpoints/handlers/patch.go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

from emulator.api.apply import ownership
from emulator.api.apply.fieldsets import NOTHING, FieldSet, difference, has, set_of, union
from emulator.api.apply.ownership import Owned, OwnershipConflict
from emulator.api.apply.shapes import shape_of
from emulator.api.apply.typed import ShapeError, compare, fields_of
from emulator.api.apply.validation import problems_of
from emulator.api.errors import ApiError, BadRequest
from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject, annotations_of, format_time
from emulator.api.zero import zero_object
from emulator.registry.managed_entries import (
    APPLY,
    UPDATE,
    Managed,
    ManagerKey,
    capped,
    conflict_error,
    decode,
    encode,
    key_of,
)

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL = "kubectl"  # the applier for which the annotation of client-side apply still counts
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
BEFORE_FIRST_APPLY = "before-first-apply"
MAX_ANNOTATIONS_BYTES = 256 * 1024  # validation.TotalAnnotationSizeLimitB

NEVER_OWNED = set_of(
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    ),
)
SCALE = "scale"  # its entries never get a time: upstream's ScaleHandler.ToParent takes it from where there is none
STATUS, SPEC = set_of(("f:status",)), set_of(("f:spec",))
ALSO_IGNORED_IN_STATUS: Mapping[str, FieldSet] = {
    "pods": set_of(("f:metadata", "f:deletionTimestamp"), ("f:metadata", "f:ownerReferences")),
    "deployments.apps": set_of(("f:metadata", "f:labels")),
    "customresourcedefinitions.apiextensions.k8s.io": set_of(("f:metadata",)),
}
"""What a write of the status cannot change besides the spec (the strategies' GetResetFields)."""

Entries = list[JsonObject]


@dataclass(frozen=True, slots=True)
class Applied:
    """object: None when the configuration changes nothing of it; entries: its managedFields from now on."""

    object: JsonObject | None
    entries: Entries


def updated(
    kind: Kind,
    live: JsonObject | None,
    new: JsonObject,
    sent: Any,
    *,
    manager: str,
    subresource: str = "",
    at: datetime,
) -> Entries:
    """managedFields after a create (live None), update or patch by `manager`; empty when nobody is tracked.

    sent: the managedFields the client wrote, None when it left them out; a list with nothing in it, or one empty
    entry, resets them.
    """
    held = (live or {"metadata": {}})["metadata"].get("managedFields")
    managed = _sent_or_held(kind, held, sent, subresource)
    if not managed.owned and live is not None:
        return []  # tracking begins with a create or an apply
    before, who = zero_object(kind) if live is None else live, key_of(manager, UPDATE, kind, subresource)
    try:
        after = _update(kind, before, _as_typed(kind, new), managed, who, subresource, at)
    except ShapeError:
        return held or []
    return encode(capped(after), kind)


def _as_typed(kind: Kind, new: JsonObject) -> JsonObject:
    """The object as it looks after Go's conversions: a DaemonSet always has its generation in an annotation."""
    if kind.resource != "daemonsets.apps" or TEMPLATE_GENERATION in annotations_of(new):
        return new
    annotations = {**annotations_of(new), TEMPLATE_GENERATION: "0"}
    return {**new, "metadata": {**new["metadata"], "annotations": annotations}}


def _sent_or_held(kind: Kind, held: Any, sent: Any, subresource: str) -> Managed:
    """The managers before a write: the client's, if it sent any that make sense and may, else the object's."""
    if not subresource and sent is not None and sent is not held and sent != held:
        if sent in ([], [{}]):
            return Managed({}, {})
        try:
            found = decode(sent, kind, trusted=False)
        except (ValueError, AttributeError):
            found = Managed({}, {})
        if found.owned:
            return found
    return decode(held, kind, trusted=True)


def _update(
    kind: Kind, live: JsonObject, new: JsonObject, managed: Managed, who: ManagerKey, subresource: str, at: datetime
) -> Managed:
    """The write is compared as if by a manager of its own, so that it takes fields from `who` too: then it counts."""
    now = ManagerKey("", "", "")
    owned = ownership.update(shape_of(kind), live, new, managed.owned, now, ignored_fields(kind, subresource))
    taken = owned.pop(now, None)
    fields = difference(taken.fields, NEVER_OWNED) if taken is not None else NOTHING
    if not fields:
        return replace(managed, owned=owned)
    owned[who] = Owned(union(fields, owned[who].fields) if who in owned else fields)
    if subresource == SCALE:
        return replace(managed, owned=owned)
    return replace(managed, owned=owned, times={**managed.times, who: format_time(at)})


@cache
def ignored_fields(kind: Kind, subresource: str) -> FieldSet:
    """The fields a request for the object or a subresource of it cannot write."""
    if subresource == "status":
        return union(SPEC, ALSO_IGNORED_IN_STATUS.get(kind.resource, NOTHING))
    return STATUS if kind.subresource("status") is not None else NOTHING


def applied(
    kind: Kind,
    live: JsonObject | None,
    config: Any,
    *,
    manager: str,
    force: bool,
    subresource: str = "",
    at: datetime,
) -> Applied:
    """What an applied configuration makes of an object (live None: of nothing).

    The object is neither decoded nor defaulted. Raises BadRequest, ApplyConflict, and ApiError (500, as upstream) for
    a configuration that does not fit the kind.
    """
    refuse_other_type(kind, config)
    metadata = config.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    refuse_unfit(kind, config)
    before = zero_object(kind) if live is None else _bare(live)
    held = decode(live["metadata"].get("managedFields"), kind, trusted=True) if live else Managed({}, {})
    if live is not None and not held.owned:
        try:
            held = _before_first_apply(kind, before, subresource, at)
        except ShapeError:
            raise _untyped("live", kind, live, problems_of(before, shape_of(kind))) from None
    who = key_of(manager, APPLY, kind, subresource)
    try:
        merged, owned = _apply(kind, before, config, held, who, subresource, force=force, manager=manager)
    except OwnershipConflict as error:
        raise conflict_error(error.conflicts) from None
    except ShapeError as error:
        raise ApiError(f"failed to merge config: {error}", code=500, reason="") from error
    timeless = merged == before or subresource == SCALE
    times = held.times if timeless else {**held.times, who: format_time(at)}
    entries = encode(replace(held, owned=_without_never_owned(owned, who), times=times), kind)
    changed = None if merged == before else merged
    if manager == KUBECTL:
        changed = _sync_last_applied(changed, before, config)
    return Applied(changed, entries)


def _apply(
    kind: Kind,
    live: JsonObject,
    config: JsonObject,
    held: Managed,
    who: ManagerKey,
    subresource: str,
    *,
    force: bool,
    manager: str,
) -> tuple[JsonObject, ownership.Managers[ManagerKey]]:
    shape, ignored = shape_of(kind), ignored_fields(kind, subresource)
    try:
        return ownership.apply(shape, live, config, held.owned, who, ignored, force=force)
    except OwnershipConflict as error:
        if manager != KUBECTL:
            raise
        ours = _unchanged_since_last_applied(kind, live)
        if ours is None:
            raise
        left = [conflict for conflict in error.conflicts if not has(ours, conflict[1])]
        if left:
            raise OwnershipConflict(left) from None
        return ownership.apply(shape, live, config, held.owned, who, ignored, force=True)


def _before_first_apply(kind: Kind, live: JsonObject, subresource: str, at: datetime) -> Managed:
    """All there is belongs to whoever was there before: an object nobody was tracked for."""
    who = key_of(BEFORE_FIRST_APPLY, UPDATE, kind, subresource)
    return capped(_update(kind, zero_object(kind), live, Managed({}, {}), who, subresource, at))


def _without_never_owned(owned: ownership.Managers[ManagerKey], who: ManagerKey) -> ownership.Managers[ManagerKey]:
    if who not in owned:
        return owned
    fields = difference(owned[who].fields, NEVER_OWNED)
    if not fields:
        return {key: held for key, held in owned.items() if key != who}
    return {**owned, who: replace(owned[who], fields=fields)}


def refuse_other_type(kind: Kind, config: Any) -> None:
    """Raises BadRequest unless apiVersion and kind are the URL's."""
    sent = config if isinstance(config, dict) else {}
    version, name = sent.get("apiVersion") or "", sent.get("kind") or ""
    if (version, name) != (kind.api_version, kind.kind):
        readable = isinstance(version, str) and isinstance(name, str) and version.count("/") < 2
        raise BadRequest(f"invalid object type: {_type_text(version, name) if readable else '/, Kind='}")


def _type_text(version: str, kind: str) -> str:
    """As Go prints a GroupVersionKind."""
    return f"{version if '/' in version else '/' + version}, Kind={kind}"


def refuse_unfit(kind: Kind, config: JsonObject) -> None:
    """Raises ApiError (500, as upstream) for a configuration with unknown fields, wrong types or items told twice."""
    problems = problems_of(config, shape_of(kind))
    if problems:
        raise _untyped("patch", kind, config, problems)


def _untyped(what: str, kind: Kind, object: JsonObject, problems: str) -> ApiError:
    """What upstream says of a `patch` or `live` object that has not the shape its kind's fields ask for."""
    metadata = object.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    names = [name if isinstance(name, str) else "" for name in (metadata.get("namespace"), metadata.get("name"))]
    who = f"{names[0]}/{names[1]}; {_type_text(kind.api_version, kind.kind)}"
    return ApiError(f"failed to create typed {what} object ({who}): {problems}", code=500, reason="")


def _bare(live: JsonObject) -> JsonObject:
    metadata = {name: value for name, value in live["metadata"].items() if name != "managedFields"}
    return {**live, "metadata": metadata}


# -- kubectl's own annotation -----------------------------------------------------------------------------------------


def _unchanged_since_last_applied(kind: Kind, live: JsonObject) -> FieldSet | None:
    """The fields client-side apply set and nobody changed since; None without a usable annotation."""
    text = annotations_of(live).get(LAST_APPLIED)
    if not text:
        return None
    try:
        config = json.loads(text)
    except ValueError:
        return None
    if not isinstance(config, dict) or config.get("apiVersion") != kind.api_version:
        return None
    shape = shape_of(kind)
    if problems_of(config, shape):
        return None
    changes = compare(config, live, shape)
    fields = fields_of(config, shape)
    for differing in changes:
        fields = difference(fields, differing)
    return fields


def _sync_last_applied(changed: JsonObject | None, live: JsonObject, config: JsonObject) -> JsonObject | None:
    """The object with the annotation of client-side apply, if it has one, telling this configuration."""
    object = changed if changed is not None else live
    annotations = (object.get("metadata") or {}).get("annotations") or {}
    if not annotations.get(LAST_APPLIED):
        return changed
    text = last_applied_text(config)
    if annotations[LAST_APPLIED] == text:
        return changed
    told = {**annotations, LAST_APPLIED: text}
    if sum(len(name.encode()) + len(str(value).encode()) for name, value in told.items()) > MAX_ANNOTATIONS_BYTES:
        del told[LAST_APPLIED]
    return {**object, "metadata": {**object["metadata"], "annotations": told}}


def last_applied_text(config: JsonObject) -> str:
    """A configuration as the annotation tells it: without the annotation itself, as Go writes JSON."""
    metadata = dict(config.get("metadata") or {})
    if isinstance(metadata.get("annotations"), dict):
        others = {name: value for name, value in metadata["annotations"].items() if name != LAST_APPLIED}
        metadata["annotations"] = others
    text = json.dumps({**config, "metadata": metadata}, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026") + "\n"
