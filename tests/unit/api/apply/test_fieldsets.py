"""The algebra of field sets, their one form, and how paths are written."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.apply.fieldsets import (
    FieldSet,
    arranged,
    difference,
    has,
    intersection,
    item_by_keys,
    item_by_value,
    parse,
    path_text,
    paths,
    recursive_difference,
    set_of,
    union,
)

A, B, C = "f:a", "f:b", "f:c"
PORT = 'k:{"port":80,"protocol":"TCP"}'

ALGEBRA: list[tuple[str, FieldSet, FieldSet, FieldSet, FieldSet, FieldSet, FieldSet]] = [
    # name, a, b, union, intersection, difference, recursive difference
    ("empty", {}, {}, {}, {}, {}, {}),
    ("one empty", {A: {}}, {}, {A: {}}, {}, {A: {}}, {A: {}}),
    ("same leaf", {A: {}}, {A: {}}, {A: {}}, {A: {}}, {}, {}),
    ("two leaves", {A: {}}, {B: {}}, {A: {}, B: {}}, {}, {A: {}}, {A: {}}),
    ("parent and child", {A: {}}, {A: {B: {}}}, {A: {".": {}, B: {}}}, {}, {A: {}}, {A: {}}),
    ("child and parent", {A: {B: {}}}, {A: {}}, {A: {".": {}, B: {}}}, {}, {A: {B: {}}}, {}),
    (
        "both and child",
        {A: {".": {}, B: {}}},
        {A: {B: {}}},
        {A: {".": {}, B: {}}},
        {A: {B: {}}},
        {A: {}},
        {A: {}},
    ),
    (
        "both and parent",
        {A: {".": {}, B: {}}},
        {A: {}},
        {A: {".": {}, B: {}}},
        {A: {}},
        {A: {B: {}}},
        {},
    ),
    (
        "deep",
        {A: {B: {C: {}}}, B: {}},
        {A: {B: {C: {}}, C: {}}},
        {A: {B: {C: {}}, C: {}}, B: {}},
        {A: {B: {C: {}}}},
        {B: {}},
        {B: {}},
    ),
]


@pytest.mark.parametrize(
    ("name", "a", "b", "both", "common", "rest", "deep_rest"), ALGEBRA, ids=[c[0] for c in ALGEBRA]
)
def test_algebra(
    name: str, a: FieldSet, b: FieldSet, both: FieldSet, common: FieldSet, rest: FieldSet, deep_rest: FieldSet
) -> None:
    assert union(a, b) == both
    assert union(b, a) == both
    assert intersection(a, b) == common
    assert intersection(b, a) == common
    assert difference(a, b) == rest
    assert recursive_difference(a, b) == deep_rest


def test_a_set_of_paths_gives_its_paths_back_parents_first() -> None:
    wanted = [(B,), (A, PORT), (A, PORT, "f:port"), (A, 'v:"x"')]
    found = set_of(*wanted)
    assert list(paths(found)) == [(B,), (A, PORT), (A, 'v:"x"'), (A, PORT, "f:port")]
    assert all(has(found, path) for path in wanted)
    assert not has(found, (A,))
    assert not has(found, ())
    assert not has(found, (C, B))


PARSED: list[tuple[Any, FieldSet]] = [
    ({}, {}),
    ({"f:a": {}}, {A: {}}),
    ({"f:a": {".": {}}}, {A: {}}),
    ({"f:a": {"f:b": {}, ".": {}}}, {A: {".": {}, B: {}}}),
    ({"f:a": {'k:{"protocol":"TCP", "port":80}': {"f:port": {}}}}, {A: {PORT: {"f:port": {}}}}),
    ({"f:a": {'v: "x"': {}, "i: 3": {}}}, {A: {'v:"x"': {}, "i:3": {}}}),
    ({"f:a": {"x:later": {}}}, {A: {}}),
    ({".": {}, "f:a": {}}, {A: {}}),
]


@pytest.mark.parametrize(("sent", "meant"), PARSED)
def test_what_a_client_sends_is_brought_into_one_form(sent: Any, meant: FieldSet) -> None:
    assert parse(sent) == meant
    assert parse(parse(sent)) == meant


@pytest.mark.parametrize(
    "sent", [[], "x", None, {"a": {}}, {"f": {}}, {"f:a": 1}, {"k:{": {}}, {"k:[]": {}}, {"v:": {}}, {"i:x": {}}]
)
def test_what_is_no_set_is_refused(sent: Any) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse(sent)


def test_elements_come_in_upstream_s_order() -> None:
    ports = [item_by_keys({"port": port, "protocol": "TCP"}) for port in (443, 80, 8080)]
    mixed: FieldSet = {key: {} for key in ("i:10", "i:9", 'v:"b"', 'v:"a"', "v:2", *ports, "f:b", "f:a", ".")}
    order = [".", "f:a", "f:b", ports[1], ports[0], ports[2], "v:2", 'v:"a"', 'v:"b"', "i:9", "i:10"]
    assert list(arranged({"f:x": mixed})["f:x"]) == order


TEXTS = [
    ((A, B), ".a.b"),
    (("f:metadata", "f:annotations", "f:example.org/x"), ".metadata.annotations.example.org/x"),
    (("f:spec", "f:ports", PORT, "f:nodePort"), '.spec.ports[port=80,protocol="TCP"].nodePort'),
    (("f:metadata", "f:finalizers", item_by_value("a/b")), '.metadata.finalizers[="a/b"]'),
    ((A, item_by_value(True), item_by_value(1)), ".a[=true][=1]"),
    ((A, "i:3"), ".a[3]"),
]


@pytest.mark.parametrize(("path", "text"), TEXTS)
def test_paths_are_written_as_upstream_writes_them(path: tuple[str, ...], text: str) -> None:
    assert path_text(path) == text


def test_values_in_elements_are_escaped_as_go_does() -> None:
    assert item_by_value("<a&b>") == 'v:"\\u003ca\\u0026b\\u003e"'
    assert item_by_keys({"name": "ä", "port": 1}) == 'k:{"name":"ä","port":1}'
    assert path_text((item_by_value("<"),)) == '[="<"]'
