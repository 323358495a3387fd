"""OpenAPI v3 documents made from the field tables: what kubectl needs to validate, apply, edit and explain. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from typing import Any

from emulator.api.fields import Field, Message, table_of
from emulator.api.kinds import SERVED, Kind
from emulator.api.meta import JsonObject

SCALARS: dict[str, JsonObject] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "number": {"type": "number", "format": "double"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "bytes": {"type": "string", "format": "byte"},
    "time": {"type": "string", "format": "date-time"},
    "microTime": {"type": "string", "format": "date-time"},
    "quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "intOrString": {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"},
    "any": {"type": "object"},
}
PATCH_TYPES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)


def index(kinds: Iterable[Kind] = SERVED) -> JsonObject:
    """What /openapi/v3 says: one document for each group version, its URL carrying a hash of the content."""
    paths: JsonObject = {}
    for group, version in sorted({(kind.group, kind.version) for kind in kinds}):
        name = _path(group, version)
        digest = hashlib.sha256(document(group, version)).hexdigest().upper()
        paths[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest}"}
    return {"paths": paths}


@cache
def document(group: str, version: str) -> bytes:
    """The document of one group version, JSON. Raises KeyError for one that is not served."""
    kinds = [kind for kind in SERVED if (kind.group, kind.version) == (group, version)]
    if not kinds:
        raise KeyError(f"{group}/{version}")
    types = table_of(kinds[0])
    by_type = {types.kinds[kind.kind]: kind for kind in kinds}
    schemas = {_name(name): _schema(message, by_type.get(name)) for name, message in sorted(types.messages.items())}
    paths: JsonObject = {}
    for kind in kinds:
        paths.update(_paths(kind, _name(types.kinds[kind.kind])))
    text = {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": paths,
        "components": {"schemas": schemas},
    }
    return json.dumps(text, separators=(",", ":")).encode()


def _path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _name(short: str) -> str:
    """The full name that upstream's documents use, from the tables' short one."""
    if short.startswith("meta."):
        return f"io.k8s.apimachinery.pkg.apis.{short}"
    return f"io.k8s.api.{short}"


def _schema(message: Message, kind: Kind | None) -> JsonObject:
    schema: JsonObject = {
        "type": "object",
        "properties": {field.name: _property(field) for field in message.fields.values()},
    }
    if message.required:
        schema["required"] = list(message.required)
    if kind is not None:
        schema["x-kubernetes-group-version-kind"] = [_gvk(kind)]
    return schema


def _property(field: Field) -> JsonObject:
    value: JsonObject = (
        {"$ref": f"#/components/schemas/{_name(field.type)}"} if field.type else dict(SCALARS[field.scalar])
    )
    if field.shape == "list":
        schema: JsonObject = {"type": "array", "items": value}
        if field.list_type:
            schema["x-kubernetes-list-type"] = field.list_type
        if field.list_keys:
            schema["x-kubernetes-list-map-keys"] = list(field.list_keys)
    elif field.shape == "map":
        schema = {"type": "object", "additionalProperties": value}
    else:
        schema = {"allOf": [value]} if field.type else value
    strategies = [*(["merge"] if field.merge_key is not None else []), *(["retainKeys"] if field.retain_keys else [])]
    if strategies:
        schema["x-kubernetes-patch-strategy"] = ",".join(strategies)
    if field.merge_key:
        schema["x-kubernetes-patch-merge-key"] = field.merge_key
    return schema


def _gvk(kind: Kind) -> JsonObject:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _paths(kind: Kind, schema: str) -> JsonObject:
    base = f"/{_path(kind.group, kind.version)}" + ("/namespaces/{namespace}" if kind.namespaced else "")
    collection, item = f"{base}/{kind.plural}", f"{base}/{kind.plural}/{{name}}"
    body = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    answer = {"200": {"description": "OK", "content": {"application/json": body}}}
    where = [_parameter("name", "path"), *([_parameter("namespace", "path")] if kind.namespaced else [])]
    options = [_parameter(name, "query") for name in ("dryRun", "fieldManager", "fieldValidation")]

    def operation(action: str, content: Iterable[str] = ()) -> JsonObject:
        entry: JsonObject = {
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": _gvk(kind),
            "responses": answer,
        }
        types = list(content)
        if types:
            entry["parameters"] = options
            entry["requestBody"] = {
                "content": {type: body if action != "patch" else {"schema": {"type": "object"}} for type in types}
            }
        return entry

    return {
        collection: {"get": operation("list"), "post": operation("post", ["*/*"])},
        item: {
            "parameters": where,
            "get": operation("get"),
            "put": operation("put", ["*/*"]),
            "patch": operation("patch", PATCH_TYPES),
            "delete": operation("delete"),
        },
    }


def _parameter(name: str, place: str) -> dict[str, Any]:
    return {"name": name, "in": place, "schema": {"type": "string"}, **({"required": True} if place == "path" else {})}
