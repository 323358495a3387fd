"""YAML bodies as the JSON they mean."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.errors import BadRequest
from emulator.api.yamlbody import load_yaml

READ: list[tuple[str, Any, list[str]]] = [
    ("", None, []),
    ("null", None, []),
    ('{"a": 1, "b": [true, null, 1.5]}', {"a": 1, "b": [True, None, 1.5]}, []),
    ("a: 2020-01-01T00:00:00Z\nb: 2020-01-01\n", {"a": "2020-01-01T00:00:00Z", "b": "2020-01-01"}, []),
    ("1: a\ntrue: b\nnull: c\n", {"1": "a", "true": "b", "null": "c"}, []),
    ("a: {x: 1, x: 2}\nb: 1\nb: 2\n", {"a": {"x": 2}, "b": 2}, ["line 1: key {x}", "line 3: key {b}"]),
    ('{"a": 1, "a": 2}', {"a": 2}, ["line 1: key {a}"]),
    ('{a: "1"}', {"a": "1"}, []),
    ("x: &x {a: 1}\ny: {<<: *x, b: 2}\n", {"x": {"a": 1}, "y": {"a": 1, "b": 2}}, []),
    ("a: 1\n---\nb: 2\n", {"a": 1}, []),
    ("- a\n", ["a"], []),
]


@pytest.mark.parametrize(("text", "document", "duplicates"), READ)
def test_reading(text: str, document: Any, duplicates: list[str]) -> None:
    shown = [f"{line.replace('{', chr(34)).replace('}', chr(34))} already set in map" for line in duplicates]
    assert load_yaml(text.encode()) == (document, shown)


@pytest.mark.parametrize("text", ["a: [", "{", "a: b: c", "\t- x", "a: *nobody"])
def test_what_is_not_yaml(text: str) -> None:
    with pytest.raises(BadRequest, match=r"^error converting YAML to JSON: yaml: "):
        load_yaml(text.encode())
