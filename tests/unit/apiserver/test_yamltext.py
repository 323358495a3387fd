"""YAML answers, byte for byte as Go's library writes them."""

from __future__ import annotations

import yaml

from emulator.apiserver.yamltext import yaml_text


def test_quotes_where_a_reader_would_see_no_text() -> None:
    body = {
        "time": "2026-01-01T00:00:00Z",
        "number": "80",
        "yes": "true",
        "null": "null",
        "empty": "",
        "plain": "a b",
        "colon": "a: b",
        "y": "n",
        "lines": "a\nb\n",
        "long": "x" * 200 + " " + "y" * 200,
        "n": 5,
        "list": ["a", {"b": 1}],
        "none": None,
        "map": {},
        "items": [],
    }
    text = yaml_text(body).decode()
    assert yaml.safe_load(text) == body
    assert text == (
        "colon: 'a: b'\n"
        'empty: ""\n'
        "items: []\n"
        "lines: |\n  a\n  b\n"
        "list:\n- a\n- b: 1\n"
        f"long: {'x' * 200} {'y' * 200}\n"
        "map: {}\n"
        '"n": 5\n'
        "none: null\n"
        '"null": "null"\n'
        'number: "80"\n'
        "plain: a b\n"
        'time: "2026-01-01T00:00:00Z"\n'
        '"y": "n"\n'
        '"yes": "true"\n'
    )
