"""How each field of a kind is owned: as a whole, field by field, or item by item. Made once from the field tables.

Source: k8s.io/kube-openapi pkg/schemaconv (which list and map types mean what).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from emulator.api.fields import Field, Message, Table, message_of, table_of
from emulator.api.kinds import Kind


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """One value. type: `string`, `numeric` or `boolean`."""

    type: str


@dataclass(frozen=True, slots=True, eq=False)
class AnyValue:
    """No type is told: maps are owned key by key, all else as a whole."""


@dataclass(frozen=True, slots=True, eq=False)
class MapOf:
    """A struct (fields) or a map (element), owned as a whole when atomic. fields: name -> (path element, shape)."""

    atomic: bool
    fields: dict[str, tuple[str, Shape]] = field(default_factory=dict)
    element: Shape | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ListOf:
    """relation: `atomic`, `set` (of scalars) or `map` (items told apart by keys: sorted (name, default))."""

    element: Shape
    relation: str
    keys: tuple[tuple[str, str | None], ...] = ()


Shape = Scalar | AnyValue | MapOf | ListOf

ANY = AnyValue()
_STRING, _NUMERIC, _BOOLEAN = Scalar("string"), Scalar("numeric"), Scalar("boolean")
_SCALARS: dict[str, Shape] = {
    "string": _STRING,
    "bytes": _STRING,
    "int32": _NUMERIC,
    "int64": _NUMERIC,
    "number": _NUMERIC,
    "boolean": _BOOLEAN,
}
"""Times, quantities and int-or-strings take any scalar."""


@cache
def shape_of(kind: Kind) -> MapOf:
    return _Shapes(table_of(kind)).of(message_of(kind), atomic=False)


class _Shapes:
    """Makes each type once, so that types which contain themselves end."""

    def __init__(self, types: Table) -> None:
        self._types = types
        self._made: dict[tuple[str, bool], MapOf] = {}

    def of(self, message: Message, *, atomic: bool) -> MapOf:
        key = (message.name, atomic)
        if key not in self._made:
            made = self._made[key] = MapOf(atomic)
            for entry in message.fields.values():
                made.fields[entry.name] = (f"f:{entry.name}", self._field(entry))
        return self._made[key]

    def _field(self, entry: Field) -> Shape:
        if entry.shape == "list":
            return self._list(entry)
        if entry.shape == "map":
            return MapOf(entry.map_type == "atomic", element=self._value(entry))
        return self._value(entry)

    def _value(self, entry: Field) -> Shape:
        if not entry.type:
            return _SCALARS.get(entry.scalar, ANY)
        message = self._types.messages[entry.type]
        told = entry.map_type if not entry.shape else ""
        return self.of(message, atomic=told == "atomic" or (message.atomic and told != "granular"))

    def _list(self, entry: Field) -> ListOf:
        element, relation = self._value(entry), entry.list_type
        if not relation and entry.merge_key is not None:
            relation = "map" if entry.merge_key else "set"
        if relation != "map":
            return ListOf(element, relation or "atomic")
        fields = self._types.messages[entry.type].fields
        names = entry.list_keys or (str(entry.merge_key),)
        return ListOf(element, "map", tuple((name, fields[name].default) for name in sorted(names)))
