"""The protobuf form of OpenAPI v2: bytes by hand for each construct, and a reader that finds everything again."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from emulator.api.kinds import SERVED
from emulator.api.meta import JsonObject
from emulator.apiserver.openapi.documents import v2_document
from emulator.apiserver.openapi.gnostic import encode


def fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a message."""

    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = raw[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(raw):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        else:
            size = varint()
            at += size
            assert at <= len(raw)
            yield tag >> 3, raw[at - size : at]


def inside(raw: bytes, *numbers: int) -> list[bytes]:
    """The values at a path of field numbers."""
    found = [raw]
    for number in numbers:
        found = [value for one in found for key, value in fields(one) if key == number and isinstance(value, bytes)]
    return found


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"swagger": "2.0"}, b"\x0a\x032.0"),
        ({"info": {"title": "T", "version": "V"}}, b"\x12\x06\x0a\x01T\x12\x01V"),
    ],
)
def test_plain_fields(document: JsonObject, expected: bytes) -> None:
    assert encode(document) == expected


def schema(value: JsonObject) -> bytes:
    (raw,) = inside(encode({"definitions": {"A": value}}), 9, 1, 2)
    return raw


def test_schemas() -> None:
    assert inside(encode({"definitions": {"A": {}}}), 9, 1, 1) == [b"A"]
    assert inside(schema({"$ref": "#/definitions/B"}), 1) == [b"#/definitions/B"]
    assert inside(schema({"format": "int32", "type": "integer"}), 2) == [b"int32"]
    assert inside(schema({"type": "integer"}), 22, 1) == [b"integer"]
    assert inside(schema({"required": ["x", "y"]}), 19) == [b"x", b"y"]
    assert inside(schema({"description": "d"}), 4) == [b"d"]
    assert inside(schema({"items": {"type": "string"}}), 23, 1, 22, 1) == [b"string"]
    assert inside(schema({"additionalProperties": {"type": "string"}}), 21, 1, 22, 1) == [b"string"]
    properties = schema({"properties": {"$ref": {"type": "string"}, "x-odd": {"type": "boolean"}}})
    assert inside(properties, 25, 1, 1) == [b"$ref", b"x-odd"]
    assert inside(properties, 25, 1, 2, 22, 1) == [b"string", b"boolean"]


def test_extensions_are_named_yaml() -> None:
    raw = schema({"x-kubernetes-list-map-keys": ["port", "protocol"]})
    assert inside(raw, 31, 1) == [b"x-kubernetes-list-map-keys"]
    assert [json.loads(text) for text in inside(raw, 31, 2, 2)] == [["port", "protocol"]]


def test_operations() -> None:
    body = {"in": "body", "name": "body", "required": True, "schema": {"$ref": "#/definitions/A"}}
    query = {"in": "query", "name": "dryRun", "type": "string", "uniqueItems": True}
    operation = {
        "operationId": "id",
        "consumes": ["a", "b"],
        "parameters": [body, query],
        "responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/A"}}},
        "x-kubernetes-action": "patch",
    }
    name = {"in": "path", "name": "name", "required": True, "type": "string", "uniqueItems": True}
    raw = encode({"paths": {"/p": {"patch": operation, "parameters": [name]}}})
    assert inside(raw, 8, 2, 1) == [b"/p"]
    patch = inside(raw, 8, 2, 2, 8)[0]
    assert inside(patch, 5) == [b"id"]
    assert inside(patch, 7) == [b"a", b"b"]
    assert dict(fields(inside(patch, 8, 1, 1)[0]))[4] == 1
    assert inside(patch, 8, 1, 1, 5, 1) == [b"#/definitions/A"]
    assert dict(fields(inside(patch, 8, 1, 2, 3)[0])) == {2: b"query", 4: b"dryRun", 6: b"string", 20: 1}
    assert dict(fields(inside(raw, 8, 2, 2, 9, 1, 2, 4)[0])) == {1: 1, 2: b"path", 4: b"name", 5: b"string", 19: 1}
    assert inside(patch, 9, 1, 1) == [b"200"]
    assert inside(patch, 9, 1, 2, 1, 2, 1, 1) == [b"#/definitions/A"]
    assert inside(patch, 13, 1) == [b"x-kubernetes-action"]


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(KeyError):
        encode({"definitions": {"A": {"oneOf": []}}})


def test_everything_served_is_written() -> None:
    document = v2_document(SERVED, {})
    raw = encode(document)
    assert [name.decode() for name in inside(raw, 9, 1, 1)] == list(document["definitions"])
    assert [name.decode() for name in inside(raw, 8, 2, 1)] == list(document["paths"])
