"""Field tables -> JSON schemas, in the dialect of OpenAPI v3 or v2.

Structure only. Prose comes from `Descriptions` the caller may have; without them the schemas say nothing about meaning.
Source: k8s.io/kube-openapi pkg/builder3, pkg/common (vendor extensions), the published documents' names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from emulator.api.fields import Field, Message, Table, table, table_of
from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject

Descriptions = Mapping[str, Mapping[str, str]]
"""Full type name -> field -> text; the text of the type itself stands under ""."""

MACHINERY = "io.k8s.apimachinery.pkg."
QUANTITY, INT_OR_STRING = f"{MACHINERY}api.resource.Quantity", f"{MACHINERY}util.intstr.IntOrString"
TIME, MICRO_TIME = f"{MACHINERY}apis.meta.v1.Time", f"{MACHINERY}apis.meta.v1.MicroTime"
FIELDS, RAW = f"{MACHINERY}apis.meta.v1.FieldsV1", f"{MACHINERY}runtime.RawExtension"
PATCH = f"{MACHINERY}apis.meta.v1.Patch"
LIST_META, STATUS, DELETE_OPTIONS = (f"meta.v1.{name}" for name in ("ListMeta", "Status", "DeleteOptions"))

SCALARS: dict[str, JsonObject] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "number": {"type": "number", "format": "double"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "bytes": {"type": "string", "format": "byte"},
}
NAMED_SCALARS = {"time": TIME, "microTime": MICRO_TIME, "quantity": QUANTITY, "intOrString": INT_OR_STRING}
"""Scalars that have a schema of their own, whose name `kubectl explain` prints as the field's type."""

_DATE: JsonObject = {"type": "string", "format": "date-time"}
_COMMON: dict[str, JsonObject] = {
    TIME: _DATE,
    MICRO_TIME: _DATE,
    FIELDS: {"type": "object"},
    RAW: {"type": "object"},
    PATCH: {"type": "object"},
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """references: what stands before a schema's name; wraps: whether a reference with siblings needs `allOf`."""

    references: str
    wraps: bool
    named: Mapping[str, JsonObject]

    def reference(self, name: str) -> JsonObject:
        """To the schema of a full name."""
        return {"$ref": self.references + name}


V3 = Dialect(
    "#/components/schemas/",
    True,
    {
        **_COMMON,
        QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
        INT_OR_STRING: {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    },
)
V2 = Dialect(
    "#/definitions/",
    False,
    {**_COMMON, QUANTITY: {"type": "string"}, INT_OR_STRING: {"type": "string", "format": "int-or-string"}},
)


def full_name(short: str) -> str:
    """The name that the published documents use, from the tables' short one: io.k8s.api.core.v1.Service."""
    return f"{MACHINERY}apis.{short}" if short.startswith("meta.") else f"io.k8s.api.{short}"


def schema_name(kind: Kind) -> str:
    """The full name of the schema of a kind, also of one that only a subresource exchanges."""
    return full_name(_table_with(kind).kinds[kind.kind])


def list_name(kind: Kind) -> str:
    return schema_name(kind) + "List"


def schemas(kinds: Iterable[Kind], dialect: Dialect, descriptions: Descriptions) -> dict[str, JsonObject]:
    """Full name -> schema: of the kinds, their lists, what their requests carry, and all that these refer to."""
    kinds = list(kinds)
    found: dict[str, JsonObject] = {}
    roots = [(_table_with(kind), _table_with(kind).kinds[kind.kind]) for kind in kinds]
    roots += [(table("meta"), name) for name in (LIST_META, STATUS, DELETE_OPTIONS)]
    for types, short in roots:
        for message in _reachable(types, short):
            name = full_name(message.name)
            if name not in found:
                found[name] = _schema(message, dialect, descriptions.get(name, {}))
    for kind in kinds:
        found[schema_name(kind)] |= _identity(kind.group, kind.version, kind.kind)
        if "list" in kind.verbs:
            texts = descriptions.get(list_name(kind), {})
            found[list_name(kind)] = _list_schema(kind, dialect, texts)
    for name in (STATUS, DELETE_OPTIONS):
        found[full_name(name)] |= _identity("", "v1", name.rpartition(".")[2])
    for name, schema in dialect.named.items():
        found[name] = _described(dict(schema), descriptions.get(name, {}).get("", ""))
    return dict(sorted(found.items()))


def _table_with(kind: Kind) -> Table:
    """The table that describes the kind; kinds that only subresources exchange stand in their group's."""
    types = table_of(kind)
    return types if kind.kind in types.kinds else table(kind.group)


def _reachable(types: Table, short: str) -> Iterator[Message]:
    """The message and all that it refers to."""
    seen: set[str] = set()
    waiting = [short]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            message = types.messages[name]
            yield message
            waiting += [field.type for field in message.fields.values() if field.type]


def _schema(message: Message, dialect: Dialect, texts: Mapping[str, str]) -> JsonObject:
    schema: JsonObject = {"type": "object"}
    if message.fields:
        schema["properties"] = {
            field.name: _described(_property(field, message, dialect), texts.get(field.name, ""))
            for field in message.fields.values()
        }
    if message.required:
        schema["required"] = list(message.required)
    if message.atomic:
        schema["x-kubernetes-map-type"] = "atomic"
    return _described(schema, texts.get("", ""))


def _list_schema(kind: Kind, dialect: Dialect, texts: Mapping[str, str]) -> JsonObject:
    items = {"type": "array", "items": dialect.reference(schema_name(kind))}
    properties: dict[str, JsonObject] = {
        "apiVersion": {"type": "string"},
        "items": items,
        "kind": {"type": "string"},
        "metadata": _referring(dialect, full_name(LIST_META)),
    }
    schema: JsonObject = {
        "type": "object",
        "properties": {name: _described(value, texts.get(name, "")) for name, value in properties.items()},
        "required": ["items"],
    }
    return _described(schema, texts.get("", "")) | _identity(kind.group, kind.version, f"{kind.kind}List")


def _property(field: Field, owner: Message, dialect: Dialect) -> JsonObject:
    name = _named_type(field, owner)
    value = dict(SCALARS.get(field.scalar, {}))  # what the tables call `any` may be anything
    if field.shape == "list":
        schema: JsonObject = {"type": "array", "items": dialect.reference(name) if name else value}
    elif field.shape == "map":
        schema = {"type": "object", "additionalProperties": dialect.reference(name) if name else value}
    else:
        schema = _referring(dialect, name) if name else value
    strategies = [*(["merge"] if field.merge_key is not None else []), *(["retainKeys"] if field.retain_keys else [])]
    extensions = {
        "list-type": field.list_type,
        "list-map-keys": list(field.list_keys),
        "map-type": field.map_type,
        "patch-strategy": ",".join(strategies),
        "patch-merge-key": field.merge_key,
    }
    return schema | {f"x-kubernetes-{name}": setting for name, setting in extensions.items() if setting}


def _named_type(field: Field, owner: Message) -> str:
    """The full name of the field's type when it has one."""
    if field.type:
        return full_name(field.type)
    if field.scalar == "any" and not field.shape:
        return FIELDS if owner.short == "ManagedFieldsEntry" else RAW
    return NAMED_SCALARS.get(field.scalar, "")


def _referring(dialect: Dialect, name: str) -> JsonObject:
    """A property that is only a reference, and to which more may be said."""
    return {"allOf": [dialect.reference(name)]} if dialect.wraps else dialect.reference(name)


def _described(schema: JsonObject, text: str) -> JsonObject:
    return {"description": text, **schema} if text else schema


def _identity(group: str, version: str, kind: str) -> JsonObject:
    return {"x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": kind}]}
