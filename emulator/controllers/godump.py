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
        return _quantity("" if value is None else str(value))
    return "" if value is None else str(value)


def _quantity(text: str) -> str:
    """As resource.ParseQuantity holds the text on its fast path, which all ordinary amounts take."""
    amount, scale, form = 0, 0, ""
    if text not in ("", "0"):
        amount, scale, form = _parsed(text)
    held = f"i:(resource.int64Amount){{value:(int64){amount} scale:(resource.Scale){scale}}}"
    return (
        f"{{{held} d:(resource.infDecAmount){{Dec:(*inf.Dec)<nil>}} s:(string){text} Format:(resource.Format){form}}}"
    )


def _parsed(text: str) -> tuple[int, int, str]:
    match = _QUANTITY.fullmatch(text)
    sign, whole, fraction, suffix = match.groups(default="") if match else ("", text, "", "")
    whole = whole.lstrip("0") or "0"
    amount = int(f"{sign}{whole}{fraction}")
    if suffix in _BINARY:
        return amount << _BINARY[suffix], -len(fraction), "BinarySI"
    if suffix in _DECIMAL:
        return amount, _DECIMAL[suffix] - len(fraction), "DecimalSI"
    return amount, int(suffix[1:] or 0) - len(fraction), "DecimalExponent"
