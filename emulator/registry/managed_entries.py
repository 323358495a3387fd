"""metadata.managedFields between its wire form and what the ownership rules work on.

Source: k8s.io/apimachinery pkg/util/managedfields/internal/{managedfields,capmanagers,conflict}.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from emulator.api.apply.fieldsets import NOTHING, FieldSet, arranged, parse, path_text, union, value_json
from emulator.api.apply.ownership import Managers, Owned, Path
from emulator.api.errors import ApiError
from emulator.api.kinds import Kind, kind_by_name
from emulator.api.meta import JsonObject, parse_time

APPLY, UPDATE = "Apply", "Update"
FIELDS_TYPE = "FieldsV1"
MAX_UPDATERS = 10  # upstream's DefaultMaxUpdateManagers: older entries of updates are put together
ANCIENT = "ancient-changes"
UNNAMED = "unknown"


class ManagerKey(NamedTuple):
    """What makes two entries one: appliers are the same in every version."""

    manager: str
    operation: str
    api_version: str
    subresource: str = ""

    def text(self) -> str:
        """The identifier upstream sorts by."""
        pairs = zip(("manager", "operation", "apiVersion", "subresource"), self, strict=True)
        return "{" + ",".join(f'"{name}":{value_json(value)}' for name, value in pairs if value) + "}"

    def shown(self) -> str:
        """As conflicts name a manager."""
        text = value_json(self.manager)
        if self.subresource:
            text += f" with subresource {value_json(self.subresource)}"
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


@dataclass(frozen=True, slots=True)
class Managed:
    """The managers of an object and when each last wrote; no time where a manager never changed anything."""

    owned: Managers[ManagerKey]
    times: dict[ManagerKey, str]
    stored: Mapping[ManagerKey, FieldSet] = field(default_factory=dict)
    """The sets as they were read, which need not be arranged again."""


class ApplyConflict(ApiError):
    """An applied configuration changes what others own; force it, take it out, or agree on the value."""

    code, reason = 409, "Conflict"


def key_of(manager: str, operation: str, kind: Kind, subresource: str) -> ManagerKey:
    version = kind.api_version if operation == UPDATE else ""
    return ManagerKey(manager or UNNAMED, operation, version, subresource)


def decode(entries: Any, kind: Kind, *, trusted: bool) -> Managed:
    """The managers of a managedFields list. Raises ValueError for what is no such list.

    trusted: written by this server, so that the sets have their one form. Entries in versions of the kind that are
    not served are forgotten.
    """
    owned: Managers[ManagerKey] = {}
    times: dict[ManagerKey, str] = {}
    for entry in entries or ():
        key, version, fields = _decode_entry(entry, trusted=trusted)
        if not _is_served(kind, version):
            continue
        owned[key] = Owned(fields, key.operation == APPLY)
        if entry.get("time"):
            times[key] = entry["time"]
    return Managed(owned, times, {key: held.fields for key, held in owned.items()} if trusted else {})


def _decode_entry(entry: Any, *, trusted: bool) -> tuple[ManagerKey, str, Any]:
    operation, version = entry.get("operation"), entry.get("apiVersion")
    if operation not in (APPLY, UPDATE):
        raise ValueError("operation must be `Apply` or `Update`")
    if not version:
        raise ValueError("apiVersion must not be empty")
    if entry.get("fieldsType") != FIELDS_TYPE:
        raise ValueError(f"fieldsType must be {FIELDS_TYPE}")
    if not trusted and entry.get("time"):
        parse_time(entry["time"])
    sent = entry.get("fieldsV1")
    fields = sent if trusted else NOTHING if sent is None else parse(sent)
    name, subresource = entry.get("manager") or "", entry.get("subresource") or ""
    return ManagerKey(name, operation, version if operation == UPDATE else "", subresource), version, fields


@lru_cache(maxsize=1024)
def _is_served(kind: Kind, version: str) -> bool:
    return version == kind.api_version or kind_by_name(version, kind.kind) is not None


def encode(managed: Managed, kind: Kind) -> list[JsonObject]:
    """The managedFields list, in upstream's order: appliers, then updaters, the oldest first."""
    entries = [_entry(key, managed, kind) for key in managed.owned]
    return entries if len(entries) < 2 else sorted(entries, key=_order)


def _entry(key: ManagerKey, managed: Managed, kind: Kind) -> JsonObject:
    time, fields = managed.times.get(key), managed.owned[key].fields
    entry: JsonObject = {
        "manager": key.manager,
        "operation": key.operation,
        "apiVersion": key.api_version or kind.api_version,
        "time": time,
        "fieldsType": FIELDS_TYPE,
        "fieldsV1": fields if managed.stored.get(key) is fields else _shared(orjson.dumps(fields)),
    }
    if not key.manager:
        del entry["manager"]
    if not time:
        del entry["time"]
    if key.subresource:
        entry["subresource"] = key.subresource
    return entry


@lru_cache(maxsize=4096)
def _shared(fields: bytes) -> FieldSet:
    """A set, arranged: objects made alike share one, which is most of what managedFields cost in memory and in time."""
    return arranged(orjson.loads(fields))


def _order(entry: Mapping[str, Any]) -> tuple[str, float, str, str, str]:
    names = (entry.get("manager", ""), entry["apiVersion"], entry.get("subresource", ""))
    return (entry["operation"], _seconds(entry.get("time")), *names)


def _seconds(time: str | None) -> float:
    return parse_time(time).timestamp() // 1 if time else 0.0


def capped(managed: Managed) -> Managed:
    """At most MAX_UPDATERS entries of updates; the oldest of each version become one."""
    updaters = [key for key, owned in managed.owned.items() if not owned.applied]
    if len(updaters) <= MAX_UPDATERS:
        return managed
    owned, times, count = dict(managed.owned), dict(managed.times), len(updaters)
    first_of: dict[str, ManagerKey] = {}
    for key in sorted(updaters, key=lambda key: (_seconds(times.get(key)), key.text())):
        if count <= MAX_UPDATERS:
            break
        bucket = ManagerKey(ANCIENT, UPDATE, key.api_version)
        first = first_of.setdefault(key.api_version, key)
        if first == key:
            continue
        if bucket not in owned:
            owned[bucket] = owned.pop(first)
        merged = Owned(union(owned.pop(key).fields, owned[bucket].fields))
        owned[bucket] = merged
        times[bucket] = times.get(key, "")
        count -= 1
    return replace(managed, owned=owned, times=times)


def conflict_error(conflicts: list[tuple[ManagerKey, Path]]) -> ApplyConflict:
    """The answer to an applied configuration that takes what others own."""
    ordered = sorted(conflicts, key=lambda conflict: conflict[0].text())  # stable: paths stay in order
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {key.shown()}",
            "field": path_text(path),
        }
        for key, path in ordered
    ]
    if len(ordered) == 1:
        key, path = ordered[0]
        text = f"1 conflict: conflict with {key.shown()}: {path_text(path)}"
    else:
        lines: list[str] = []
        for key in dict.fromkeys(key for key, _ in ordered):
            lines.append(f"conflicts with {key.shown()}:")
            lines += [f"- {path_text(path)}" for other, path in ordered if other == key]
        text = f"{len(ordered)} conflicts: " + "\n".join(lines)
    return ApplyConflict(f"Apply failed with {text}", details={"causes": causes})


def same_but_times(entries: Any, before: Any) -> bool:
    """Whether two managedFields differ in nothing but times."""
    if not entries or not before or len(entries) != len(before):
        return False
    return all(_timeless(a) == _timeless(b) for a, b in zip(entries, before, strict=True))


def _timeless(entry: Mapping[str, Any]) -> JsonObject:
    return {name: value for name, value in entry.items() if name != "time"}
