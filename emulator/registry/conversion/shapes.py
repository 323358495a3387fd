"""Between a served shape and the stored one: objects, whole answers, and field selectors.

A kind that is stored as itself passes through untouched, the same object. Stored objects are shared: they are copied
before a field is changed. No I/O.
Source: k8s.io/apimachinery pkg/runtime (Scheme conversion), as a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from emulator.api.errors import BadRequest
from emulator.api.kinds import (
    AUTOSCALER_V1,
    DAEMON_SET_V1BETA1,
    DEPLOYMENT_V1BETA1,
    EVENT_V1,
    EXTENSIONS_INGRESS,
    INGRESS_V1BETA1,
    Kind,
)
from emulator.api.meta import JsonObject
from emulator.api.selectors import parse_field_selector
from emulator.registry.conversion import autoscaling, event, ingress, workloads
from emulator.registry.jsoncopy import json_copy
from emulator.registry.options import Listing, WatchEvent, Written

METADATA_FIELDS = ("metadata.name", "metadata.namespace")


@dataclass(frozen=True, slots=True)
class Conversion:
    """Both ways; each changes the copy it is handed, apiVersion and kind aside."""

    to_storage: Callable[[JsonObject], None]
    from_storage: Callable[[JsonObject], None]
    selectable: Mapping[str, str] = field(default_factory=dict)
    """Field selectors of the shape and what the stored kind calls them."""


_INGRESS = Conversion(ingress.to_storage, ingress.from_storage)
_CONVERSIONS: Mapping[Kind, Conversion] = {
    AUTOSCALER_V1: Conversion(autoscaling.to_storage, autoscaling.from_storage),
    INGRESS_V1BETA1: _INGRESS,
    EXTENSIONS_INGRESS: _INGRESS,
    DEPLOYMENT_V1BETA1: Conversion(workloads.deployment_to_storage, workloads.deployment_from_storage),
    DAEMON_SET_V1BETA1: Conversion(workloads.daemon_set_to_storage, workloads.daemon_set_from_storage),
    EVENT_V1: Conversion(event.to_storage, event.from_storage, event.SELECTABLE),
}


def to_storage(kind: Kind, object: JsonObject) -> JsonObject:
    """The object as it is stored. object: decoded as `kind`; a private copy, which is changed."""
    if kind.storage is None:
        return object
    _CONVERSIONS[kind].to_storage(object)
    return {**object, "apiVersion": kind.storage.api_version, "kind": kind.storage.kind}


def stored_shape(kind: Kind, object: JsonObject) -> JsonObject:
    """As `to_storage`, for an object that is shared."""
    return object if kind.storage is None else to_storage(kind, json_copy(object))


def from_storage(kind: Kind, object: JsonObject) -> JsonObject:
    """A stored object as `kind` shows it."""
    if kind.storage is None:
        return object
    shown = json_copy(object)
    _CONVERSIONS[kind].from_storage(shown)
    return {**shown, "apiVersion": kind.api_version, "kind": kind.kind}


def shown_listing(kind: Kind, listing: Listing) -> Listing:
    if kind.storage is None:
        return listing
    return replace(listing, items=[from_storage(kind, item) for item in listing.items])


def shown_written(kind: Kind, written: Written) -> Written:
    return written if kind.storage is None else replace(written, object=from_storage(kind, written.object))


def shown_event(kind: Kind, event: WatchEvent) -> WatchEvent:
    """A bookmark has metadata alone, in the shape's own name."""
    if kind.storage is None:
        return event
    if event.type == "BOOKMARK":
        return event._replace(object={**event.object, "apiVersion": kind.api_version, "kind": kind.kind})
    return event._replace(object=from_storage(kind, event.object))


def stored_selector(kind: Kind, text: str) -> str:
    """A field selector of the shape in the stored kind's words. Raises BadRequest for a field it does not select by."""
    if kind.storage is None or not text:
        return text
    selectable = _CONVERSIONS[kind].selectable
    parts = []
    for name, operator, value in parse_field_selector(text).requirements:
        if name not in METADATA_FIELDS and name not in selectable:
            raise BadRequest(f"field label not supported: {name}")
        escaped = value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
        parts.append(f"{selectable.get(name, name)}{operator}{escaped}")
    return ",".join(parts)
