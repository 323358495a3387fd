"""Quantities: their canonical spelling and their value."""

from __future__ import annotations

from fractions import Fraction

import pytest

from emulator.registry.kinds import quantities


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("0.5", "500m"),
        (1, "1"),
        ("1000m", "1"),
        ("1000", "1k"),
        ("1500", "1500"),
        ("1024Mi", "1Gi"),
        ("1000Mi", "1000Mi"),
        ("1.5Gi", "1536Mi"),
        ("100Ki", "100Ki"),
        ("512", "512"),
        ("0", "0"),
        ("0Mi", "0"),
        ("1e3", "1e3"),
        ("12e6", "12e6"),
        ("-1", "-1"),
        ("1n", "1n"),
        ("nope", "nope"),
    ],
)
def test_canonical(given: object, wanted: str) -> None:
    assert quantities.canonical(given) == wanted


def test_value() -> None:
    assert quantities.value("250m") == Fraction(1, 4)
    assert quantities.value("1Ki") == 1024
    assert quantities.value("1 Ki") is None
    assert quantities.value("") is None


def test_resource_lists_keep_thousandths_at_least() -> None:
    amounts = {"cpu": "0.0001", "memory": "1Mi"}
    quantities.canonicalise(amounts)
    assert amounts == {"cpu": "1m", "memory": "1Mi"}
