"""Which Events are really written: repeats become a count, many alike become one, a flood is cut off. Pure.

Source: client-go tools/record/events_cache.go (EventAggregator, eventLogger, EventSourceObjectSpamFilter).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from emulator.api.meta import JsonObject, format_micro_time, format_time

MAX_REMEMBERED = 4096
MAX_ALIKE = 10  # that many different messages of one reason within INTERVAL_SECONDS are told as one
INTERVAL_SECONDS = 600.0
COMBINED = "(combined from similar events): "
BURST, REFILL_SECONDS = 25, 300.0  # Events about one object: so many at once, then one in five minutes

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """A map of bounded size that forgets what was not used for longest."""

    def __init__(self) -> None:
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > MAX_REMEMBERED:
            self._values.popitem(last=False)

    def drop(self, key: Hashable) -> None:
        self._values.pop(key, None)


@dataclass(slots=True)
class _Alike:
    messages: set[str] = field(default_factory=set)
    last: float = 0.0


@dataclass(frozen=True, slots=True)
class _Written:
    name: str
    namespace: str
    count: int


@dataclass(frozen=True, slots=True)
class EventWrite:
    """object: a new Event; or, when name is set, how the Event of that name changes."""

    object: JsonObject
    namespace: str
    name: str = ""


class EventSeries:
    """Remembers what was told; `take` says what to write of one more Event."""

    def __init__(self) -> None:
        self._alike: Recent[_Alike] = Recent()
        self._written: Recent[_Written] = Recent()
        self._tokens: Recent[tuple[float, float]] = Recent()
        self._last_stamp = 0

    def take(self, event: JsonObject, at: datetime) -> EventWrite | None:
        """What to write; None when the object had too many Events already."""
        now = at.timestamp()
        about, kind = _identity(event)
        message = event["message"]
        key: Hashable = (kind, message)
        if self._is_one_of_many(kind, message, now):
            key, message = kind, COMBINED + message
        namespace = event["metadata"]["namespace"]
        held = self._written.get(key)
        if held is None:
            name = f"{event['involvedObject']['name']}.{self._stamp(at):x}"
            self._written.put(key, _Written(name, namespace, 1))
            written = EventWrite(
                {**event, "metadata": {**event["metadata"], "name": name}, "message": message}, namespace
            )
        else:
            count = held.count + 1
            self._written.put(key, _Written(held.name, namespace, count))
            change: JsonObject = {"count": count, "lastTimestamp": format_time(at), "message": message}
            if event.get("eventTime"):
                change = {"series": {"count": count, "lastObservedTime": format_micro_time(at)}}
            written = EventWrite(change, namespace, held.name)
        return written if self._is_let_through(about, now) else None

    def forget(self, event: JsonObject) -> None:
        """The Event that was to be changed is gone: the next repeat is a new one."""
        _, kind = _identity(event)
        for key in (kind, (kind, event["message"])):
            self._written.drop(key)

    def _is_one_of_many(self, kind: Hashable, message: str, now: float) -> bool:
        alike = self._alike.get(kind)
        if alike is None or now - alike.last > INTERVAL_SECONDS:
            alike = _Alike()
        self._alike.put(kind, alike)
        alike.messages.add(message)
        alike.last = now
        if len(alike.messages) < MAX_ALIKE:
            return False
        alike.messages.pop()
        return True

    def _is_let_through(self, about: Hashable, now: float) -> bool:
        tokens, since = self._tokens.get(about) or (float(BURST), now)
        tokens = min(tokens + (now - since) / REFILL_SECONDS, float(BURST))
        allowed = tokens >= 1
        self._tokens.put(about, (tokens - 1 if allowed else tokens, now))
        return allowed

    def _stamp(self, at: datetime) -> int:
        """Nanoseconds that no other Event has."""
        self._last_stamp = max(int(at.timestamp() * 1e6) * 1000, self._last_stamp + 1)
        return self._last_stamp


def _identity(event: JsonObject) -> tuple[Hashable, Hashable]:
    """Who told about what; and with which reason."""
    involved, source = event["involvedObject"], event["source"]
    about = (source.get("component"), source.get("host"), involved.get("uid"), involved["kind"], involved["name"])
    return about, (about, event["type"], event["reason"])
