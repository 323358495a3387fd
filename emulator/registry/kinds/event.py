"""Event: stored in the shape of core/v1; clients of events.k8s.io/v1 are held to that version's stricter rules.

Source: pkg/apis/core/validation/events.go, pkg/registry/core/event/strategy.go.
"""

from __future__ import annotations

from collections.abc import Mapping

from emulator.api.errors import FieldError, invalid, required
from emulator.api.kinds import EVENT, EVENT_V1
from emulator.api.meta import JsonObject
from emulator.registry.kinds import fields
from emulator.registry.strategy import Context, Strategy

MAX_CHARACTERS = 128  # of reportingInstance, action and reason
MAX_NOTE_CHARACTERS = 1024
UNSET = "needs to be unset"

_FINAL = (
    ("involvedObject", "involvedObject"),
    ("reason", "reason"),
    ("message", "message"),
    ("source", "source"),
    ("firstTimestamp", "firstTimestamp"),
    ("lastTimestamp", "lastTimestamp"),
    ("count", "count"),
    ("type", "type"),
    ("eventTime", "eventTime"),
    ("action", "action"),
    ("related", "related"),
    ("reportingComponent", "reportingController"),
    ("reportingInstance", "reportingInstance"),
)
"""What an update through events.k8s.io/v1 may not change, and what its errors call it."""


def default(event: JsonObject, context: Context) -> None:
    """The fields an Event always shows, however empty."""
    for name in ("involvedObject", "source"):
        event.setdefault(name, {})
    for name in ("firstTimestamp", "lastTimestamp", "eventTime"):
        event.setdefault(name, None)
    event.setdefault("reportingComponent", "")
    event.setdefault("reportingInstance", "")


def _is_strict(context: Context) -> bool:
    return context.api_version == EVENT_V1.api_version


def validate(event: JsonObject, context: Context) -> list[FieldError]:
    namespace = (event.get("metadata") or {}).get("namespace") or ""
    of = (event.get("involvedObject") or {}).get("namespace") or ""
    timed = bool(event.get("eventTime"))
    elsewhere = ("", "default", "kube-system") if timed else ("", "default")
    matches = (timed or namespace == of) if of else namespace in elsewhere
    text = "does not match event.namespace"
    errors = [] if matches else [invalid("involvedObject.namespace", of, text)]
    errors += _timed_errors(event) if timed else []
    return errors + (_strict_errors(event) if _is_strict(context) and not context.is_update else [])


def _timed_errors(event: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    controller = event.get("reportingComponent") or ""
    if not controller:
        errors.append(required("reportingController"))
    errors += fields.qualified("reportingController", controller)
    for name in ("reportingInstance", "action", "reason"):
        value = event.get(name) or ""
        if not value:
            errors.append(required(name))
        if len(value) > MAX_CHARACTERS:
            errors.append(invalid(name, "", f"can have at most {MAX_CHARACTERS} characters"))
    if len(event.get("message") or "") > MAX_NOTE_CHARACTERS:
        errors.append(invalid("message", "", f"can have at most {MAX_NOTE_CHARACTERS} characters"))
    return errors


def _strict_errors(event: JsonObject) -> list[FieldError]:
    """What events.k8s.io/v1 asks of a new Event besides; in core/v1's field names, as upstream says them."""
    errors = _series_errors(event)
    kind, source = event.get("type") or "", event.get("source") or {}
    if not event.get("eventTime"):
        errors.append(required("eventTime"))
    if kind not in ("Normal", "Warning"):
        errors.append(invalid("type", "", f"has invalid value: {kind}"))
    errors += [invalid(name, "", UNSET) for name in ("firstTimestamp", "lastTimestamp", "count") if event.get(name)]
    if source.get("component") or source.get("host"):
        errors.append(invalid("source", "", UNSET))
    return errors


def _series_errors(event: JsonObject) -> list[FieldError]:
    series = event.get("series")
    if series is None:
        return []
    errors: list[FieldError] = []
    if (series.get("count") or 0) < 2:
        errors.append(invalid("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        errors.append(required("series.lastObservedTime"))
    return errors


def validate_update(event: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    if not _is_strict(context):
        return []
    errors = _series_errors(event) if event.get("series") != old.get("series") else []
    for name, called in _FINAL:
        errors += fields.immutable(called, event.get(name), old.get(name))
    return errors


LABELS = frozenset(
    (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    )
)


def field_labels(event: JsonObject) -> Mapping[str, str]:
    involved = event.get("involvedObject") or {}
    component = event.get("reportingComponent") or ""
    values = {label: str(involved.get(label.partition(".")[2]) or "") for label in LABELS if label.startswith("inv")}
    return values | {
        "reason": event.get("reason") or "",
        "reportingComponent": component,
        "source": (event.get("source") or {}).get("component") or component,
        "type": event.get("type") or "",
    }


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        EVENT,
        default=default,
        validate=validate,
        validate_update=validate_update,
        field_labels=field_labels,
        field_label_names=LABELS,
        create_on_update=True,
    ),
)
