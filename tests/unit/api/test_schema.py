"""Decoding into a kind's types: what passes, what is unknown, and Go's words for what does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.errors import BadRequest
from emulator.api.kinds import CONFIG_MAP, NODE, SERVICE, Kind
from emulator.api.schema import decode, loads, strict_errors

MISMATCHES: list[tuple[Kind, dict[str, Any], str, str]] = [
    (
        SERVICE,
        {"spec": {"ports": [{"port": "80"}]}},
        "string into Go struct field ServicePort.spec.ports.port of type int32",
        "unrecognized type: int32",
    ),
    (
        SERVICE,
        {"spec": {"ports": [{"port": 80.5}]}},
        "number 80.5 into Go struct field ServicePort.spec.ports.port of type int32",
        "cannot convert float64 to int32",
    ),
    (
        SERVICE,
        {"spec": {"ports": [{"port": 99999999999}]}},
        "number 99999999999 into Go struct field ServicePort.spec.ports.port of type int32",
        "cannot convert int64 to int32",
    ),
    (
        SERVICE,
        {"spec": {"ports": 5}},
        "number into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort",
        "cannot restore slice from int64",
    ),
    (
        SERVICE,
        {"spec": []},
        "array into Go struct field Service.spec of type v1.ServiceSpec",
        "cannot restore struct from: slice",
    ),
    (
        SERVICE,
        {"metadata": {"labels": {"a": 1}}},
        "number into Go struct field ObjectMeta.metadata.labels of type string",
        "cannot convert int64 to string",
    ),
    (
        SERVICE,
        {"metadata": {"labels": {"a": True}}},
        "bool into Go struct field ObjectMeta.metadata.labels of type string",
        "unrecognized type: string",
    ),
    (
        CONFIG_MAP,
        {"data": "x"},
        "string into Go struct field ConfigMap.data of type map[string]string",
        "cannot restore map from string",
    ),
]


@pytest.mark.parametrize(("kind", "object", "json_words", "map_words"), MISMATCHES)
def test_values_of_another_type(kind: Kind, object: dict[str, Any], json_words: str, map_words: str) -> None:
    with pytest.raises(BadRequest) as of_json:
        decode(kind, object)
    begin = f'{kind.kind} in version "v1" cannot be handled as a {kind.kind}: json: cannot unmarshal '
    assert of_json.value.message == begin + json_words
    with pytest.raises(BadRequest) as of_map:
        decode(kind, object, from_map=True)
    assert of_map.value.message == map_words


@pytest.mark.parametrize(
    ("kind", "object", "text"),
    [
        (CONFIG_MAP, {"binaryData": {"a": "!!"}}, "illegal base64 data at input byte 0"),
        (CONFIG_MAP, {"binaryData": {"a": "abcde"}}, "illegal base64 data at input byte 4"),
        (
            CONFIG_MAP,
            {"metadata": {"deletionTimestamp": "soon"}},
            'parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006"',
        ),
        (
            NODE,
            {"status": {"capacity": {"cpu": "many"}}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (NODE, {"status": {"capacity": {"cpu": "1Kk"}}}, "unable to parse quantity's suffix"),
    ],
)
def test_values_their_own_type_cannot_read(kind: Kind, object: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode(kind, object)
    assert caught.value.message == f'{kind.kind} in version "v1" cannot be handled as a {kind.kind}: {text}'
    with pytest.raises(BadRequest) as caught:
        decode(kind, object, from_map=True)
    assert caught.value.message == text


def test_times_are_written_one_way() -> None:
    sent = {"metadata": {"creationTimestamp": "2026-01-01T02:00:00.5+02:00"}}
    assert decode(CONFIG_MAP, sent).object["metadata"] == {"creationTimestamp": "2026-01-01T00:00:00Z"}


def test_unknown_fields_are_told_by_path_and_dropped() -> None:
    found = decode(SERVICE, {"spec": {"ports": [{"port": 1, "x": 1}], "y": 1}, "z": 1})
    assert found.object == {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 1}]}}
    assert found.unknown == [f'unknown field "{path}"' for path in ("spec.ports[0].x", "spec.y", "z")]


def test_null_is_absent_and_whole_numbers_are_whole() -> None:
    found = decode(SERVICE, {"spec": {"ports": [{"port": 80.0, "name": None}], "selector": None}})
    assert found.object["spec"] == {"ports": [{"port": 80}]}


def test_fields_that_come_twice() -> None:
    document, duplicates = loads(b'{"a": 1, "b": [{"c": 1, "c": 2}], "a": 3}')
    assert document == {"a": 3, "b": [{"c": 2}]}
    assert sorted(duplicates) == ['duplicate field "a"', 'duplicate field "b[0].c"']


def test_strict_errors_come_as_they_are_met() -> None:
    raw = b"""{"metadata": {"name": "a"}, "spec": {"unknown1": 1, "twice": 1, "twice": 2, "type": "x", "type": "y",
        "ports": [{"port": 1, "nested": 1, "name": "a", "name": "b"}]}, "kind": "Service", "metadata": {}}"""
    document, duplicates = loads(raw)
    found = strict_errors(document, duplicates, decode(SERVICE, document).unknown)
    assert found == [
        'unknown field "spec.unknown1"',
        'unknown field "spec.twice"',
        'duplicate field "spec.type"',
        'unknown field "spec.ports[0].nested"',
        'duplicate field "spec.ports[0].name"',
        'duplicate field "metadata"',
    ]


def test_a_condition_always_has_a_type_and_a_status() -> None:
    sent = {"status": {"conditions": [{}, {"type": "Ready"}]}}
    assert decode(NODE, sent).object["status"]["conditions"] == [
        {"type": "", "status": ""},
        {"type": "Ready", "status": ""},
    ]


def test_ports_are_numbers_or_names() -> None:
    for wrong, what in ((True, "bool"), (1.5, "number 1.5"), ([], "array"), (2**31, f"number {2**31}")):
        with pytest.raises(BadRequest, match=f"cannot unmarshal {what} into Go value of type int32$"):
            decode(SERVICE, {"spec": {"ports": [{"targetPort": wrong}]}})
    assert decode(SERVICE, {"spec": {"ports": [{"targetPort": 8.0}]}}).object["spec"]["ports"] == [{"targetPort": 8}]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "unexpected end of JSON input"),
        (b"{", "unexpected end of JSON input"),
        (b'{"a"}', "invalid character '}' after object key"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"{} x", "invalid character 'x' after top-level value"),
        (b"nope", "invalid character 'o' in literal null (expecting 'u')"),
        (b'{"a":tru', "unexpected end of JSON input"),
        (b"x", "invalid character 'x' looking for beginning of value"),
    ],
)
def test_what_is_no_json(raw: bytes, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        loads(raw)
    assert caught.value.message == text
