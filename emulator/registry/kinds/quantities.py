"""Resource quantities ("500m", "1Gi", 2): their value, their canonical spelling, and what is wrong with them.

Source: k8s.io/apimachinery pkg/api/resource (Quantity), pkg/apis/core/validation (ValidateResourceQuantityValue).
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from emulator.api.errors import FieldError, invalid
from emulator.api.meta import JsonObject

_SHAPE = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]?|[eE][+-]?\d+)")
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {0: "", **{power: suffix for suffix, power in _BINARY.items()}}

_MALFORMED = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_INTEGER_RESOURCES = ("pods", "services", "count/")  # counted in whole numbers, besides extended resources


def value(quantity: Any) -> Fraction | None:
    """The number a quantity stands for; None if it is malformed."""
    parsed = _parse(quantity)
    return None if parsed is None else parsed[0]


def _parse(quantity: Any) -> tuple[Fraction, str] | None:
    """(value, suffix style: "binary", "decimal" or "exponent")."""
    match = _SHAPE.fullmatch(str(quantity))
    if match is None:
        return None
    sign, digits, suffix = match.groups()
    number = Fraction(digits) * (-1 if sign == "-" else 1)
    if suffix in _BINARY:
        return number * 1024 ** _BINARY[suffix], "binary"
    if suffix in _DECIMAL:
        return number * Fraction(10) ** _DECIMAL[suffix], "decimal"
    return number * Fraction(10) ** int(suffix[1:]), "exponent"


def canonical(quantity: Any) -> Any:
    """The quantity as the API writes it back: no fraction, the largest suffix; a malformed one as it is."""
    parsed = _parse(quantity)
    if parsed is None:
        return quantity
    number, style = parsed
    if style == "binary" and not -1024 < number < 1024:
        return _binary_text(-(-number.numerator // number.denominator))
    exponent, whole = -9, _rounded_up(number * 10**9)
    if whole == 0:
        return "0"
    while exponent < 18 and whole % 1000 == 0:
        whole, exponent = whole // 1000, exponent + 3
    if style == "exponent":
        return f"{whole}e{exponent}" if exponent else str(whole)
    return f"{whole}{_DECIMAL_SUFFIX[exponent]}"


def _rounded_up(number: Fraction) -> int:
    # away from zero, as Kubernetes rounds what is finer than it can hold
    size = -(-abs(number.numerator) // number.denominator)
    return size if number >= 0 else -size


def _binary_text(whole: int) -> str:
    power = 0
    while power < 6 and whole % 1024 == 0:
        whole, power = whole // 1024, power + 1
    return f"{whole}{_BINARY_SUFFIX[power]}"


def canonicalise(resources: JsonObject | None) -> None:
    """Rewrites each quantity of a resource list to its canonical spelling, in whole thousandths at least."""
    for name, quantity in (resources or {}).items():
        number = value(quantity)
        if number is not None and (number * 1000).denominator != 1:
            quantity = f"{_rounded_up(number * 1000)}m"
        (resources or {})[name] = canonical(quantity)


def not_negative_errors(path: str, quantity: Any) -> list[FieldError]:
    """Malformed or below zero."""
    number = value(quantity)
    if number is None:
        return [invalid(path, quantity, _MALFORMED)]
    return [invalid(path, str(canonical(quantity)), "must be greater than or equal to 0")] if number < 0 else []


def resource_errors(path: str, name: str, quantity: Any) -> list[FieldError]:
    """`not_negative_errors`, and not whole where the resource is counted in whole numbers."""
    errors = not_negative_errors(path, quantity)
    number = value(quantity)
    if number is not None and number.denominator != 1 and _is_whole(name):
        errors.append(invalid(path, str(canonical(quantity)), "must be an integer"))
    return errors


def _is_whole(name: str) -> bool:
    return name.startswith(_INTEGER_RESOURCES) or is_extended(name)


def is_extended(name: str) -> bool:
    """A resource of a vendor, `example.com/gpu`."""
    prefix, slash, _ = name.partition("/")
    return bool(slash) and "kubernetes.io" not in prefix and not prefix.startswith("requests.")
