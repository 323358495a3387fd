"""How typed servers write objects: parts that are always there, and empty values that never are.

Go writes a struct even when it is empty and leaves out an empty text, list or map marked omitempty; defaulting puts
decoded objects into that shape. Each function changes the private copy it is handed.
"""

from __future__ import annotations

from emulator.api.meta import JsonObject


def part(object: JsonObject, name: str) -> JsonObject:
    """The object at a field that is always written; made when absent."""
    found: JsonObject = object.setdefault(name, {})
    return found


def drop_empty(object: JsonObject, *names: str) -> None:
    """Take away empty texts, zeros, falses, lists and maps of fields that are written only when they say something."""
    for name in names:
        if name in object and not object[name]:
            del object[name]


def written(object: JsonObject, *names: str) -> None:
    """Texts that are written even when empty."""
    for name in names:
        object.setdefault(name, "")


def nullable(object: JsonObject, *names: str) -> None:
    """Fields that are written as null when they are absent."""
    for name in names:
        object.setdefault(name, None)
