"""The field tables: which fields each type has, of what type, with which merge keys. Loaded once a group.

The data under data/ is made by tools/generate_field_tables.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from emulator.api.kinds import Kind


@dataclass(frozen=True, slots=True)
class Field:
    """One field. shape: `` (one value), `list` or `map`; scalar: its type's name, "" when `type` names a message."""

    name: str
    shape: str
    scalar: str
    type: str
    merge_key: str | None = None  # "" for a set of scalars, None for a list that is replaced
    retain_keys: bool = False
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    map_type: str = ""  # `atomic` or `granular` where the field, not its type, says so
    default: str | None = None  # of a list key that an item leaves out
    number: int = 0
    inside: int = 0  # in protobuf the field stands in a message with this number, which JSON leaves out


@dataclass(frozen=True, slots=True)
class Message:
    """A type with fields; `short` is how Go names it: ServicePort."""

    name: str
    short: str
    fields: dict[str, Field] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    atomic: bool = False  # server-side apply owns and replaces it as a whole

    def by_number(self, inside: int = 0) -> dict[int, Field]:
        """The fields by protobuf number; inside: those in the message of that number."""
        return {entry.number: entry for entry in self.fields.values() if entry.number and entry.inside == inside}

    def nested_numbers(self) -> frozenset[int]:
        """The numbers of messages whose fields JSON writes as this message's own."""
        return frozenset(entry.inside for entry in self.fields.values() if entry.inside)


class Table:
    """The messages of one file."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.kinds: dict[str, str] = dict(document["kinds"])
        self.messages = {name: _message(name, entry) for name, entry in document["types"].items()}

    def of_kind(self, kind: str) -> Message:
        return self.messages[self.kinds[kind]]


@cache
def table(group: str) -> Table:
    """The table of an API group ("" is core), or of `meta`. Raises KeyError for a group without data."""
    path = files("emulator.api") / "data" / f"{group or 'core'}.json"
    try:
        return Table(json.loads(path.read_text()))
    except FileNotFoundError as error:
        raise KeyError(group) from error


def table_of(kind: Kind) -> Table:
    """The table a kind is described in: its group's, or that of its group and version for another shape of a kind."""
    return table(kind.group if kind.storage is None else f"{kind.group}.{kind.version}")


def message_of(kind: Kind) -> Message:
    return table_of(kind).of_kind(kind.kind)


def _message(name: str, entry: Mapping[str, Any]) -> Message:
    fields = {field: _field(field, *spec) for field, spec in entry["fields"].items()}
    return Message(name, name.rsplit(".", 1)[1], fields, tuple(entry.get("required", ())), bool(entry.get("atomic")))


def _field(name: str, type: str, options: Mapping[str, Any] | None = None) -> Field:
    options = options or {}
    shape, _, rest = type.partition(":") if type.startswith(("list:", "map:")) else ("", "", type)
    nested = rest.startswith(("list:", "map:"))
    inside, number = options["number"] if isinstance(options.get("number"), list) else (0, options.get("number", 0))
    return Field(
        name=name,
        shape=shape,
        scalar="any" if nested else "" if rest.startswith("ref:") else rest,
        type=rest.removeprefix("ref:") if rest.startswith("ref:") else "",
        merge_key=options.get("merge"),
        retain_keys=bool(options.get("retain")),
        list_type=options.get("listType", ""),
        list_keys=tuple(options.get("listKeys", ())),
        map_type=options.get("mapType", ""),
        default=options.get("default"),
        number=number,
        inside=inside,
    )
