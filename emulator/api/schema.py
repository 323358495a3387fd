"""From bytes to JSON, and from JSON to an object whose fields have the types their table says.

A decoded object is a private copy: unknown fields and nulls are dropped as a typed server drops them, unknown ones
reported. Source: sigs.k8s.io/json (texts), k8s.io/apimachinery pkg/runtime/serializer.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.api.errors import BadRequest
from emulator.api.fields import Field, Message, Table, message_of, table_of
from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject
from emulator.api.times import normal_micro_time, normal_time

MAX_DEPTH = 200  # nested levels of a body; real objects stay below 20
INT_LIMITS = {"int32": 2**31, "int64": 2**63}
GO_KINDS: dict[type, str] = {str: "string", int: "int64", float: "float64", list: "slice", dict: "map"}
_QUANTITY = re.compile(r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$")
_QUANTITY_SUFFIX = re.compile(r"[KMGTPE]i|[numkMGTPE]?|[eE][-+]?[0-9]+")
GO_LITERALS = {"n": "null", "t": "true", "f": "false"}
GO_TYPES = {"boolean": "bool", "number": "float64", "bytes": "[]uint8", "quantity": "resource.Quantity"}


@dataclass(frozen=True, slots=True)
class Decoded:
    """unknown: strict errors such as `unknown field "spec.ports[0].tgtPort"`, in upstream's order."""

    object: JsonObject
    unknown: list[str]


class _Malformed(Exception):
    """A value of the right JSON type that its own type cannot read, in that type's words."""


class _Mismatch(Exception):
    """A value of the wrong JSON type: as Go's decoder says it, and as its converter of maps to structs does."""

    def __init__(self, value: Any, message: str, path: str, wanted: str) -> None:
        scalar = "[" not in wanted and "." not in wanted
        found = _json_type(value, wanted if scalar else "")
        super().__init__(f"json: cannot unmarshal {found} into Go struct field {message}.{path} of type {wanted}")
        self.conversion = _conversion_problem(value, wanted, scalar=scalar)


def _conversion_problem(value: Any, wanted: str, *, scalar: bool) -> str:
    kind = "bool" if isinstance(value, bool) else GO_KINDS.get(type(value), "interface")
    if wanted.startswith("map["):
        return f"cannot restore map from {kind}"
    if wanted.startswith("["):
        return f"cannot restore slice from {kind}"
    if not scalar:
        return f"cannot restore struct from: {kind}"
    numbers = (kind == "int64" and wanted != "bool") or (kind == "float64" and wanted.startswith("int"))
    return f"cannot convert {kind} to {wanted}" if numbers else f"unrecognized type: {wanted}"


def loads(raw: bytes) -> tuple[Any, list[str]]:
    """The document of a JSON body, and its duplicate fields as strict errors. Raises BadRequest."""
    text = raw.decode("utf-8", "replace")
    duplicates: list[str] = []
    try:
        document = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise BadRequest(_go_problem(text, error)) from error
    return _plain(document, "", duplicates, 0), duplicates


class Duplicate(str):
    """`duplicate field "spec.paused"`, and where it came: after what field that was new."""

    __slots__ = ("after", "path")

    path: str
    after: str

    @classmethod
    def of(cls, path: str, after: str) -> Duplicate:
        found = cls(f'duplicate field "{path}"')
        found.path, found.after = path, after
        return found


def strict_errors(document: Any, duplicates: Sequence[str], unknown: Sequence[str]) -> list[str]:
    """Both kinds of strict error in the order in which a decoder meets them; nothing of what stands in unknown fields."""
    placed = [found for found in duplicates if isinstance(found, Duplicate)]
    if not placed or not unknown:
        return [*duplicates, *unknown]
    errors: list[str] = [found for found in duplicates if not isinstance(found, Duplicate)]
    left = set(unknown)

    def visit(node: Any, path: str) -> None:
        if isinstance(node, list):
            for index, item in enumerate(node):
                visit(item, f"{path}[{index}]")
            return
        for key, value in node.items() if isinstance(node, dict) else ():
            where = f"{path}.{key}" if path else str(key)
            text = f'unknown field "{where}"'
            if text in left:
                left.remove(text)
                errors.append(text)
                hidden.append(where)
            else:
                visit(value, where)
            errors.extend(found for found in placed if found.after == where and found.path not in hidden)

    hidden: list[str] = []
    visit(document, "")
    return [*errors, *(text for text in unknown if text in left)]


class _Pairs(list[tuple[str, Any]]):
    """An object with its fields as they stood."""


def _plain(node: Any, path: str, duplicates: list[str], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise BadRequest("exceeded max depth")
    if isinstance(node, _Pairs):
        out: JsonObject = {}
        newest = ""
        for key, value in node:
            where = f"{path}.{key}" if path else key
            if key in out:
                duplicates.append(Duplicate.of(where, newest))
            else:
                newest = where
            out[key] = _plain(value, where, duplicates, depth + 1) if isinstance(value, list) else value
        return out
    if isinstance(node, list):
        return [
            _plain(item, f"{path}[{index}]", duplicates, depth + 1) if isinstance(item, list) else item
            for index, item in enumerate(node)
        ]
    return node


def _go_problem(text: str, error: Exception) -> str:
    """The texts of Go's JSON scanner for the mistakes people make."""
    if not isinstance(error, json.JSONDecodeError):
        return "exceeded max depth"
    rest = text[error.pos :]
    if not rest.strip():
        return "unexpected end of JSON input"
    char = "'\\\\''" if rest[0] == "'" else f"'{rest[0]}'"
    if error.msg.startswith("Expecting property name"):
        return f"invalid character {char} looking for beginning of object key string"
    if error.msg.startswith("Expecting ':'"):
        return f"invalid character {char} after object key"
    if error.msg.startswith("Expecting ','"):
        inside = (
            "array element" if text[: error.pos].count("[") > text[: error.pos].count("]") else "object key:value pair"
        )
        return f"invalid character {char} after {inside}"
    if error.msg.startswith("Extra data"):
        return f"invalid character {char} after top-level value"
    literal = GO_LITERALS.get(rest[0])
    if literal is not None:
        at = next((i for i, wanted in enumerate(literal) if rest[i : i + 1] != wanted), 0)
        if not rest[at:].strip():
            return "unexpected end of JSON input"
        return f"invalid character '{rest[at]}' in literal {literal} (expecting '{literal[at]}')"
    return f"invalid character {char} looking for beginning of value"


def decode(kind: Kind, object: JsonObject, *, from_map: bool = False) -> Decoded:
    """The typed copy of an object. Raises BadRequest for a value of the wrong JSON type.

    from_map: a strategic patch's result, of which upstream speaks in other words: it never was JSON.
    """
    unknown: list[str] = []
    body = {key: value for key, value in object.items() if key not in ("apiVersion", "kind")}
    try:
        typed = _message(body, message_of(kind), table_of(kind), "", "", unknown, 0)
    except (_Mismatch, _Malformed) as error:
        if from_map:
            raise BadRequest(error.conversion if isinstance(error, _Mismatch) else str(error)) from error
        raise BadRequest(
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {error}'
        ) from error
    return Decoded({"apiVersion": kind.api_version, "kind": kind.kind, **typed}, unknown)


def _message(
    node: Any, message: Message, types: Table, go_path: str, path: str, unknown: list[str], depth: int
) -> JsonObject:
    out: JsonObject = {}
    if depth > MAX_DEPTH:
        raise BadRequest("exceeded max depth")
    fields = message.fields
    for key, value in node.items():
        field = fields.get(key)
        if field is None:
            if key not in ("apiVersion", "kind"):
                unknown.append(f'unknown field "{path}{key}"')
            continue
        if value is None:
            continue
        where = f"{go_path}.{key}" if go_path else key
        if field.shape == "list":
            if not isinstance(value, list):
                raise _Mismatch(value, message.short, where, "[]" + _go_type(field))
            out[key] = [
                _value(item, field, message, types, where, f"{path}{key}[{index}]", unknown, depth)
                for index, item in enumerate(value)
            ]
            if key == "conditions" and field.type:
                _write_required(out[key], types.messages[field.type])
        elif field.shape == "map":
            if not isinstance(value, dict):
                raise _Mismatch(value, message.short, where, "map[string]" + _go_type(field))
            out[key] = {
                name: _value(item, field, message, types, where, f"{path}{key}.{name}", unknown, depth)
                for name, item in value.items()
            }
        else:
            out[key] = _value(value, field, message, types, where, f"{path}{key}", unknown, depth)
    return out


def _write_required(conditions: list[JsonObject], message: Message) -> None:
    """A condition always says its type and status, if only that they are empty: who reads conditions counts on it."""
    for name in message.required:
        field = message.fields[name]
        if field.scalar == "string" and not field.shape:
            for condition in conditions:
                condition.setdefault(name, "")


def _value(
    value: Any, field: Field, owner: Message, types: Table, go_path: str, path: str, unknown: list[str], depth: int
) -> Any:
    if field.type:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise _Mismatch(value, owner.short, go_path, _go_type(field))
        return _message(value, types.messages[field.type], types, go_path, path + ".", unknown, depth + 1)
    if value is None:
        value = _ZERO.get(field.scalar)
    checked = _SCALARS[field.scalar](value)
    if checked is _WRONG:
        wanted = GO_TYPES.get(field.scalar, field.scalar)
        raise _Mismatch(value, owner.short, go_path, wanted)
    return checked


_WRONG = object()
_ZERO: dict[str, Any] = {"string": "", "int32": 0, "int64": 0, "boolean": False, "number": 0, "bytes": ""}


def _string(value: Any) -> Any:
    return value if isinstance(value, str) else _WRONG


def _time(normal: Callable[[str], str]) -> Callable[[Any], Any]:
    """Clients write times in many ways; they are compared and kept in one."""

    def check(value: Any) -> Any:
        if not isinstance(value, str):
            return _WRONG
        try:
            return normal(value)
        except ValueError as error:
            raise _Malformed(str(error)) from error

    return check


def _boolean(value: Any) -> Any:
    return value if isinstance(value, bool) else _WRONG


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else _WRONG


def _integer(limit: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not -limit <= value < limit:
            return _WRONG
        return value

    return check


def _int_or_string(value: Any) -> Any:
    if isinstance(value, str):
        return value
    limit = INT_LIMITS["int32"]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -limit <= value < limit:
        raise _Malformed(f"json: cannot unmarshal {_json_type(value, 'int32')} into Go value of type int32")
    return value


def _quantity(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return _WRONG
    match = _QUANTITY.fullmatch(str(value))
    if match is None or not any(character.isdigit() for character in match[1]):
        raise _Malformed(f"quantities must match the regular expression '{_QUANTITY.pattern}'")
    if not _QUANTITY_SUFFIX.fullmatch(match[2]):
        raise _Malformed("unable to parse quantity's suffix")
    return str(value)


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return _WRONG
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        at = next(
            (i for i, c in enumerate(value) if not (c.isascii() and (c.isalnum() or c in "+/="))), len(value) // 4 * 4
        )
        raise _Malformed(f"illegal base64 data at input byte {at}") from error
    return value


def _any(value: Any) -> Any:
    return value


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "string": _string,
    "time": _time(normal_time),
    "microTime": _time(normal_micro_time),
    "boolean": _boolean,
    "number": _number,
    "int32": _integer(INT_LIMITS["int32"]),
    "int64": _integer(INT_LIMITS["int64"]),
    "intOrString": _int_or_string,
    "quantity": _quantity,
    "bytes": _bytes,
    "any": _any,
}


def _json_type(value: Any, wanted: str = "") -> str:
    """How Go's decoder calls what it found; a number that does not fit a number is told too."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float) and wanted.startswith(("int", "float")):
        return f"number {value}"
    if isinstance(value, float):
        return "number"
    return {str: "string", int: "number", list: "array", dict: "object"}.get(type(value), "null")


def _go_type(field: Field) -> str:
    if not field.type:
        return GO_TYPES.get(field.scalar, field.scalar)
    version, _, short = field.type.rpartition(".")
    return f"{version.rsplit('.', 1)[-1]}.{short}"
