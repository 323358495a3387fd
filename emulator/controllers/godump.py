"""What Go's spew prints of a pod template, which upstream hashes. Pure.

The form: `(type){Field:(type)value ...}`, every field, `<nil>` for what is not set, maps by sorted keys.
Source: github.com/davecgh/go-spew spew/format.go (verb %#v, methods off), k8s.io/apimachinery pkg/util/dump and
pkg/api/resource/quantity.go (how a quantity is held), pkg/util/hash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from emulator.controllers.gotypes import structs

NIL = "<nil>"
_ZERO_TIME = "{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}"
_NUMBERS = ("int32", "int64")
_QUANTITY = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?(.*)")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def dump(template: Mapping[str, Any]) -> str:
    """The dump of a PodTemplateSpec."""
    return "".join(_typed("v1.PodTemplateSpec", template))


def _typed(type: str, value: Any) -> Iterator[str]:
    """A field's value, its type before it."""
    yield f"({type})"
    if type.startswith("*"):
        if value is None:
            yield NIL
        else:
            yield from _bare(type[1:], value)
    else:
        yield from _bare(type, value)


def _bare(type: str, value: Any) -> Iterator[str]:
    """A value without its type. JSON leaves zero values out: None is the type's zero."""
    if type.startswith("[]"):
        yield from _list(type[2:], value)
    elif type.startswith("map[string]"):
        yield from _map(type.removeprefix("map[string]"), value)
    elif type == "v1.ResourceList":
        yield from _map("resource.Quantity", value)
    elif type in structs():
        yield from _struct(type, value or {})
    else:
        yield _scalar(type, value)


def _list(type: str, value: Any) -> Iterator[str]:
    if not value:
        yield NIL
        return
    for number, item in enumerate(value):
        yield " " if number else "["
        yield from _bare(type, item)
    yield "]"


def _map(type: str, value: Any) -> Iterator[str]:
    if not value:
        yield NIL
        return
    for number, key in enumerate(sorted(value, key=lambda text: str(text).encode())):
        yield f"{' ' if number else 'map['}{key}:"
        yield from _bare(type, value[key])
    yield "]"


def _struct(type: str, value: Mapping[str, Any]) -> Iterator[str]:
    for number, (name, of, json_name) in enumerate(structs()[type]):
        yield f"{' ' if number else '{'}{name}:"
        yield from _typed(of, value.get(json_name) if json_name else value)
    yield "}"


def _scalar(type: str, value: Any) -> str:
    if type == "v1.Time":
        return _ZERO_TIME  # the server keeps no times in templates
    if type == "bool":
        return "true" if value else "false"
    if type in _NUMBERS:
        return str(value or 0)
    if type == "intstr.IntOrString":
        if isinstance(value, str):
            return f"{{Type:(intstr.Type)1 IntVal:(int32)0 StrVal:(string){value}}}"
        return f"{{Type:(intstr.Type)0 IntVal:(int32){value or 0} StrVal:(string)}}"
    if type == "resource.Quantity":
        return _quantity("0" if value is None else str(value))  # Go writes an absent one as 0
    return "" if value is None else str(value)


def _quantity(text: str) -> str:
    """As resource.ParseQuantity holds the text on its fast path, which all ordinary amounts take.

    The text itself is kept only where it surely is the canonical spelling.
    """
    amount, scale, form, kept = 0, 0, "DecimalSI", text
    if text != "0":
        digits, scale, form, factor = _parsed(text)
        amount = digits * factor
        shown = str(abs(digits))
        canonical = digits & 7 != 0 if form == "BinarySI" else scale % 3 == 0 and not shown.endswith("000")
        kept = text if canonical and digits else ""
    held = f"i:(resource.int64Amount){{value:(int64){amount} scale:(resource.Scale){scale}}}"
    return (
        f"{{{held} d:(resource.infDecAmount){{Dec:(*inf.Dec)<nil>}} s:(string){kept} Format:(resource.Format){form}}}"
    )


def _parsed(text: str) -> tuple[int, int, str, int]:
    """The digits as one number, the power of ten they are scaled by, the format, and a binary suffix's factor."""
    match = _QUANTITY.fullmatch(text)
    sign, whole, fraction, suffix = match.groups(default="") if match else ("", text, "", "")
    digits = int(f"{sign}{whole or 0}{fraction}")
    if suffix in _BINARY:
        return digits, -len(fraction), "BinarySI", 1 << _BINARY[suffix]
    if suffix in _DECIMAL:
        return digits, _DECIMAL[suffix] - len(fraction), "DecimalSI", 1
    return digits, int(suffix[1:] or 0) - len(fraction), "DecimalExponent", 1
