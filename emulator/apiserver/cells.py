"""What the tables of all kinds share: columns, ages, lists cut short, selectors as text.

Source: pkg/printers/internalversion/printers.go, k8s.io/apimachinery pkg/util/duration and pkg/labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from emulator.api.meta import JsonObject, parse_time

NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"
MAX_LISTED = 3  # of endpoints, ports or hosts in one cell


class Column(NamedTuple):
    """One column; wide ones show only with `-o wide`."""

    name: str
    description: str
    type: str = "string"
    wide: bool = False
    format: str = ""

    def definition(self) -> JsonObject:
        """As a Table's columnDefinitions hold it."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": int(self.wide),
        }


NAME = Column("Name", "The name, unique in its namespace.", format="name")
AGE = Column("Age", "The time since it was created.")


def human_duration(seconds: float) -> str:
    """A duration as kubectl shows it: two units at most, coarser as it grows."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 120:
        return f"{max(whole, 0)}s"
    minutes, hours = whole // 60, whole // 3600
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 2 * 365:
        return f"{days}d"
    years = days // 365
    return _two(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _two(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large}{unit}{small}{small_unit}" if small else f"{large}{unit}"


def since(text: str | None, at: datetime) -> str:
    """The time from an RFC 3339 text to `at`; `<unknown>` if there is none."""
    if not text:
        return UNKNOWN
    try:
        return human_duration((at - parse_time(text)).total_seconds())
    except ValueError:
        return UNKNOWN


def age(object: JsonObject, at: datetime) -> str:
    return since(object["metadata"].get("creationTimestamp"), at)


def name_of(object: JsonObject) -> str:
    return str(object["metadata"].get("name", ""))


def selector_text(selector: Mapping[str, str] | None) -> str:
    """`a=1,b=2`, sorted."""
    return ",".join(f"{key}={value}" for key, value in sorted((selector or {}).items())) or NONE


def label_selector_text(selector: Mapping[str, Any] | None) -> str:
    """A metav1.LabelSelector as text, by key: `a=1,b in (x,y),!c`."""
    selector = selector or {}
    found = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression.get("key", ""), ",".join(sorted(expression.get("values") or ()))
        forms = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "DoesNotExist": f"!{key}"}
        found.append((key, forms.get(expression.get("operator", ""), key)))
    return ",".join(text for _, text in sorted(found, key=lambda pair: pair[0])) or NONE


def cut_short(items: Iterable[Any]) -> str:
    """The first three, and how many more there are; "" for none."""
    texts = [str(item) for item in items]
    shown = ",".join(texts[:MAX_LISTED])
    return f"{shown} + {len(texts) - MAX_LISTED} more..." if len(texts) > MAX_LISTED else shown
