"""Objects and lists in the shapes clients ask for: plain lists, Tables, metadata only.

Stored objects are shared and never changed here.
Source: k8s.io/apiserver pkg/endpoints/handlers/response.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from emulator.api.errors import BadRequest
from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject
from emulator.apiserver import tables
from emulator.apiserver.negotiation import Form, NotAcceptable

FIELDS_AS_ANNOTATIONS = {"DaemonSet": "deprecated.daemonset.template.generation"}
"""What apps/v1 keeps in an annotation and upstream in a field; metadata alone is made from the latter, without it."""
INCLUDE_OBJECT = ("Metadata", "Object", "None")


def include_object(value: str) -> str:
    """What a Table's rows carry besides cells. Raises BadRequest for a value that is none of the three."""
    if value and value not in INCLUDE_OBJECT:
        raise BadRequest(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{value}": '
            "must be 'Metadata', 'Object', 'None', or empty"
        )
    return value or "Metadata"


def list_metadata(resource_version: str, continue_token: str = "", remaining: int | None = None) -> JsonObject:
    metadata: JsonObject = {"resourceVersion": resource_version}
    if continue_token:
        metadata["continue"] = continue_token
    if remaining is not None:
        metadata["remainingItemCount"] = remaining
    return metadata


def shape_list(
    kind: Kind, items: Sequence[JsonObject], metadata: JsonObject, form: Form, *, include: str, at: datetime
) -> JsonObject:
    """The list of `kind` in the asked-for form; items of a plain list carry no kind of their own."""
    if form.shape == "Table":
        return table(kind, items, metadata, include=include, at=at, version=form.version)
    if form.shape == "PartialObjectMetadataList":
        rows = [partial(item, form.version) for item in items]
        return _list("PartialObjectMetadataList", f"meta.k8s.io/{form.version}", metadata, rows)
    if form.shape == "PartialObjectMetadata":
        raise NotAcceptable("you requested PartialObjectMetadata, but the requested object is a list")
    return _list(f"{kind.kind}List", kind.api_version, metadata, [_bare(item) for item in items])


def shape_object(kind: Kind, object: JsonObject, form: Form, *, include: str, at: datetime) -> JsonObject:
    """One object of `kind` in the asked-for form; a Status stays what it is."""
    if not form.shape or object.get("kind") == "Status":
        return object
    if form.shape == "Table":
        metadata = {"resourceVersion": object["metadata"].get("resourceVersion", "")}
        return table(kind, [object], metadata, include=include, at=at, version=form.version)
    if form.shape == "PartialObjectMetadataList":
        raise NotAcceptable("you requested PartialObjectMetadataList, but the requested object is not a list")
    return partial(object, form.version)


def table(
    kind: Kind,
    objects: Iterable[JsonObject],
    metadata: JsonObject,
    *,
    include: str,
    at: datetime,
    version: str = "v1",
    header: bool = True,
) -> JsonObject:
    """A Table with every column, also the wide ones; without `header` the column definitions are null."""
    rows: list[JsonObject] = []
    for object in objects:
        cells, conditions = tables.row(kind, object, at=at)
        row: JsonObject = {"cells": cells}
        if conditions:
            row["conditions"] = conditions
        row["object"] = None if include == "None" else object if include == "Object" else partial(object, version)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": tables.columns(kind) if header else None,
        "rows": rows,
    }


def bookmark_table(kind: Kind, bookmark: JsonObject, version: str) -> JsonObject:
    """A watch's BOOKMARK as a Table: one row without cells' contents, for the metadata it carries."""
    row = {"cells": ["" for _ in tables.columns(kind)], "object": partial(bookmark, version)}
    metadata = {"resourceVersion": bookmark["metadata"].get("resourceVersion", "")}
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": None,
        "rows": [row],
    }


def partial(object: JsonObject, version: str = "v1") -> JsonObject:
    """The object's metadata alone."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": _own_metadata(object),
    }


def _own_metadata(object: JsonObject) -> JsonObject:
    metadata: JsonObject = object["metadata"]
    hidden = FIELDS_AS_ANNOTATIONS.get(object.get("kind", ""))
    annotations = metadata.get("annotations") or {}
    if hidden not in annotations:
        return metadata
    kept = {name: value for name, value in annotations.items() if name != hidden}
    shown = {name: value for name, value in metadata.items() if name != "annotations"}
    return {**shown, "annotations": kept} if kept else shown


def deleted_status(kind: Kind, object: JsonObject) -> JsonObject:
    """The answer to a DELETE of a kind that does not return what it deleted."""
    metadata = object["metadata"]
    details: JsonObject = {"name": metadata["name"]}
    if kind.group:
        details["group"] = kind.group
    details |= {"kind": kind.plural, "uid": metadata.get("uid", "")}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _list(kind: str, api_version: str, metadata: JsonObject, items: list[JsonObject]) -> JsonObject:
    return {"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items}


def _bare(item: JsonObject) -> JsonObject:
    return {key: value for key, value in item.items() if key not in ("kind", "apiVersion")}
