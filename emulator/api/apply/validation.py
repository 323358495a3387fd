"""What is wrong with an applied configuration, by its shape: unknown fields, wrong types, list items told twice.

Source: sigs.k8s.io/structured-merge-diff typed/{validate,helpers}.go (texts, with Go's way of printing values).
"""

from __future__ import annotations

import json
from typing import Any

from emulator.api.apply.fieldsets import element_text
from emulator.api.apply.shapes import AnyValue, ListOf, MapOf, Scalar, Shape
from emulator.api.apply.typed import ShapeError, item_element

Problem = tuple[str, str]  # path, what is wrong


def problems_of(value: Any, shape: Shape) -> str:
    """All mistakes as one text, "" for none."""
    found = _check(value, shape)
    shown = [f"{path}: {text}" if path else text for path, text in found]
    if len(shown) < 2:
        return "".join(shown)
    return "\n".join(["errors:", *(f"  {text}" for text in shown)])


def _check(value: Any, shape: Shape) -> list[Problem]:
    if value is None or isinstance(shape, AnyValue):
        return []
    if isinstance(shape, MapOf):
        return _check_map(value, shape)
    if isinstance(shape, ListOf):
        return _check_list(value, shape)
    return _check_scalar(value, shape)


def _check_map(value: Any, shape: MapOf) -> list[Problem]:
    if not isinstance(value, dict):
        return [("", f"expected map, got &{{{_printed(value)}}}")]
    found: list[Problem] = []
    for key, child in value.items():
        declared = shape.fields.get(key)
        inner = declared[1] if declared is not None else shape.element
        if inner is None:
            return [*found, (f".{key}", "field not declared in schema")]
        found += _below(f".{key}", _check(child, inner))
    return found


def _check_list(value: Any, shape: ListOf) -> list[Problem]:
    if not isinstance(value, list):
        return [("", f"expected list, got &{{{_printed(value)}}}")]
    found: list[Problem] = []
    seen: set[str] = set()
    for index, item in enumerate(value):
        if shape.relation == "atomic":
            where = f"[{index}]"
        else:
            try:
                element = item_element(item, shape)
            except ShapeError as error:
                return [*found, ("", f"element {index}: {error}")]
            where = element_text(element)
            if element in seen:
                found.append(("", f"duplicate entries for key {where}"))
            seen.add(element)
        found += _below(where, _check(item, shape.element))
    return found


def _check_scalar(value: Any, shape: Scalar) -> list[Problem]:
    is_bool = isinstance(value, bool)
    if shape.type == "numeric" and (is_bool or not isinstance(value, int | float)):
        return [("", f"expected numeric (int or float), got {_go_type(value)}")]
    if shape.type == "string" and not isinstance(value, str):
        return [("", f"expected string, got &value.valueUnstructured{{Value:{_go_syntax(value)}}}")]
    if shape.type == "boolean" and not is_bool:
        return [("", f"expected boolean, got &{{{_printed(value)}}}")]
    return []


def _below(prefix: str, found: list[Problem]) -> list[Problem]:
    return [(prefix + path, text) for path, text in found] if found else found


def _go_type(value: Any) -> str:
    names: dict[type, str] = {bool: "bool", str: "string", list: "[]interface {}", dict: "map[string]interface {}"}
    return names.get(type(value), "int64")


def _printed(value: Any) -> str:
    """As Go's %v."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_printed(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(_printed(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)


def _go_syntax(value: Any) -> str:
    """As Go's %#v."""
    if isinstance(value, dict):
        shown = ", ".join(f"{json.dumps(key)}:{_go_syntax(value[key])}" for key in sorted(value))
        return f"map[string]interface {{}}{{{shown}}}"
    if isinstance(value, list):
        return "[]interface {}{" + ", ".join(_go_syntax(item) for item in value) + "}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return "interface {}(nil)" if value is None else _printed(value)
