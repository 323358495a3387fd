"""Resource quantities (`100m`, `1Gi`), as far as a container's own environment shows them."""

from __future__ import annotations

import math
import re
from fractions import Fraction

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


class QuantityError(ValueError):
    """The text is no quantity."""


def quantity(text: str) -> Fraction:
    """The exact amount a quantity stands for. Raises QuantityError."""
    match = _QUANTITY.fullmatch(text)
    if match is None or len(text) > 64:
        raise QuantityError(f"unable to parse quantity {text!r}")
    number, exponent, suffix = match.groups()
    amount = Fraction(number)
    if exponent:
        power = int(exponent[1:])
        if abs(power) > 30:
            raise QuantityError(f"unable to parse quantity {text!r}")
        return amount * Fraction(10**power) if power >= 0 else amount / Fraction(10**-power)
    if suffix in _BINARY:
        return amount * Fraction(1024 ** _BINARY[suffix])
    power = _DECIMAL[suffix or ""]
    return amount * Fraction(10**power) if power >= 0 else amount / Fraction(10**-power)


def divided(text: str, divisor: str) -> int:
    """How many times `divisor` goes into the quantity, rounded up."""
    unit = quantity(divisor)
    if unit <= 0:
        raise QuantityError(f"unable to divide by {divisor!r}")
    return math.ceil(quantity(text) / unit)
