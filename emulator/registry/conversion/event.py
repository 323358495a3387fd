"""Event of events.k8s.io/v1: the core Event under other names. Each function changes the private copy it is handed.

Source: pkg/apis/events/v1/conversion.go.
"""

from __future__ import annotations

from emulator.api.meta import JsonObject

NAMES = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
"""Its fields whose names differ in core/v1."""

SELECTABLE = {
    "reason": "reason",
    "type": "type",
    "reportingController": "reportingComponent",
    **{
        f"regarding.{name}": f"involvedObject.{name}"
        for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    },
}
"""The field selectors of this shape, as core/v1 calls them."""

_WRITTEN_WHEN_SET = ("reportingController", "reportingInstance", "note", "deprecatedCount")


def to_storage(event: JsonObject) -> None:
    for name, stored in NAMES.items():
        if name in event:
            event[stored] = event.pop(name)


def from_storage(event: JsonObject) -> None:
    for name, stored in NAMES.items():
        if stored in event:
            event[name] = event.pop(stored)
    for name in _WRITTEN_WHEN_SET:
        if name in event and not event[name]:
            del event[name]
