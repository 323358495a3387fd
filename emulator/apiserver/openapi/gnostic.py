"""An OpenAPI v2 document as protobuf: the message openapi.v2.Document, which kubectl up to 1.28 insists on.

Writes what our own documents contain and refuses the rest: a key that is not known here raises KeyError, so nothing is
left out in silence. Field numbers are those of google/gnostic openapiv2/OpenAPIv2.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from emulator.api.meta import JsonObject

Encoder = Callable[[Any], bytes]
Numbers = Mapping[str, tuple[int, Encoder]]
"""Key in JSON -> field number and how its value is written; a list under it is written element by element."""


def encode(document: JsonObject) -> bytes:
    """openapi.v2.Document."""
    return _message(document, DOCUMENT)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _text(value: str) -> bytes:
    return value.encode()


def _any(value: Any) -> bytes:
    """Any: the value as YAML, of which JSON is a part."""
    return _field(2, orjson.dumps(value))


def _message(value: JsonObject, numbers: Numbers, extensions: int = 0) -> bytes:
    """extensions: the number of the message's vendor_extension."""
    out = bytearray()
    for key, entry in value.items():
        if key.startswith("x-"):
            out += _named(extensions, key, _any(entry))
        elif isinstance(entry, bool):
            if entry:
                out += _varint(numbers[key][0] << 3) + b"\x01"
        else:
            number, write = numbers[key]
            for one in entry if isinstance(entry, list) else [entry]:
                out += _field(number, write(one))
    return bytes(out)


def _named(number: int, name: str, value: bytes) -> bytes:
    """One entry of a map: a message of name and value."""
    return _field(number, _field(1, name.encode()) + _field(2, value))


def _map(number: int, write: Encoder) -> Encoder:
    """A message whose only field is a list of named values."""

    def encoder(value: Mapping[str, Any]) -> bytes:
        return b"".join(_named(number, name, write(entry)) for name, entry in value.items())

    return encoder


def _of(numbers: Numbers, extensions: int) -> Encoder:
    return lambda value: _message(value, numbers, extensions)


def _in(number: int, write: Encoder) -> Encoder:
    """A message whose field `number` is the value: the branches of a oneof."""
    return lambda value: _field(number, write(value))


def _schema(value: JsonObject) -> bytes:
    return _message(value, SCHEMA, 31)


def _parameter(value: JsonObject) -> bytes:
    """ParametersItem > Parameter > BodyParameter, or NonBodyParameter > one of two."""
    if value["in"] == "body":
        return _field(1, _field(1, _message(value, BODY_PARAMETER, 6)))
    number, numbers, extensions = PARAMETERS[value["in"]]
    return _field(1, _field(2, _field(number, _message(value, numbers, extensions))))


def _texts(names: Iterable[tuple[str, int]]) -> dict[str, tuple[int, Encoder]]:
    return {name: (number, _text) for name, number in names}


SCHEMA: dict[str, tuple[int, Encoder]] = {
    **_texts([("$ref", 1), ("format", 2), ("description", 4), ("required", 19)]),
    "default": (5, _any),
    "additionalProperties": (21, _in(1, _schema)),
    "type": (22, _in(1, _text)),
    "items": (23, _in(1, _schema)),
    "properties": (25, _map(1, _schema)),
}
BODY_PARAMETER: Numbers = {
    **_texts([("description", 1), ("name", 2), ("in", 3)]),
    "required": (4, _any),
    "schema": (5, _schema),
}
PATH_PARAMETER: Numbers = {
    **_texts([("in", 2), ("description", 3), ("name", 4), ("type", 5)]),
    "required": (1, _any),
    "uniqueItems": (19, _any),
}
QUERY_PARAMETER: Numbers = {
    **_texts([("in", 2), ("description", 3), ("name", 4), ("type", 6)]),
    "required": (1, _any),
    "uniqueItems": (20, _any),
}
PARAMETERS = {"query": (3, QUERY_PARAMETER, 23), "path": (4, PATH_PARAMETER, 22)}
RESPONSE: Numbers = {"description": (1, _text), "schema": (2, _in(1, _schema))}
OPERATION: Numbers = {
    **_texts([("description", 3), ("operationId", 5), ("produces", 6), ("consumes", 7)]),
    "parameters": (8, _parameter),
    "responses": (9, _map(1, _in(1, _of(RESPONSE, 5)))),
}
PATH_ITEM: Numbers = {
    **{
        method: (number, _of(OPERATION, 13))
        for method, number in (("get", 2), ("put", 3), ("post", 4), ("delete", 5), ("patch", 8))
    },
    "parameters": (9, _parameter),
}
DOCUMENT: Numbers = {
    "swagger": (1, _text),
    "info": (2, _of({"title": (1, _text), "version": (2, _text)}, 7)),
    "paths": (8, _map(2, _of(PATH_ITEM, 10))),
    "definitions": (9, _map(1, _schema)),
}
