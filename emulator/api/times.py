"""Times as they come from clients -> as the API keeps and shows them: RFC 3339, in UTC, whole or micro seconds.

Source: Go's time.Parse (texts of refusals), k8s.io/apimachinery pkg/apis/meta/v1/{time,micro_time}.go
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from emulator.api.meta import format_micro_time, format_time

_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
_ELEMENTS: tuple[tuple[str, str], ...] = (
    ("2006", r"\d{4}"),
    ("-", "-"),
    ("01", r"\d{2}"),
    ("-", "-"),
    ("02", r"\d{2}"),
    ("T", "T"),
    ("15", r"\d{2}"),
    (":", ":"),
    ("04", r"\d{2}"),
    (":", ":"),
    ("05", r"\d{2}"),
)
_FRACTION = re.compile(r"[.,](\d+)", re.ASCII)
_MICROS = re.compile(r"[.,](\d{6})(?!\d)", re.ASCII)
_ZONE = re.compile(r"Z|([+-])(\d{2}):(\d{2})", re.ASCII)
_RANGES = (("month", 1, 12), ("day", 1, 31), ("hour", 0, 23), ("minute", 0, 59), ("second", 0, 59))


@lru_cache(1024)  # the same times come again and again
def normal_time(text: str) -> str:
    """A metav1.Time: whole seconds, `Z`. Raises ValueError in Go's words."""
    return format_time(_parsed(text, _LAYOUT, micro=False))


def normal_micro_time(text: str) -> str:
    """A metav1.MicroTime: six digits after the point, which upstream demands. Raises ValueError in Go's words."""
    return format_micro_time(_parsed(text, _MICRO_LAYOUT, micro=True))


def _parsed(text: str, layout: str, *, micro: bool) -> datetime:
    rest, numbers = text, []
    for element, pattern in _ELEMENTS:
        found = re.match(pattern, rest, re.ASCII)
        if found is None:
            raise _refusal(text, layout, rest, element)
        if len(element) > 1:
            numbers.append(int(found.group()))
        rest = rest[found.end() :]
    fraction = (_MICROS if micro else _FRACTION).match(rest)
    if fraction is None and micro:
        raise _refusal(text, layout, rest, ".000000")
    rest = rest[fraction.end() :] if fraction else rest
    zone = _ZONE.match(rest)
    if zone is None:
        raise _refusal(text, layout, rest, "Z07:00")
    if zone.end() < len(rest):
        raise ValueError(f'parsing time "{text}": extra text: "{rest[zone.end() :]}"')
    for (word, least, most), number in zip(_RANGES, numbers[1:], strict=True):
        if not least <= number <= most:
            raise ValueError(f'parsing time "{text}": {word} out of range')
    micros = int(fraction.group(1)[:6].ljust(6, "0")) if fraction else 0
    sign, hours, minutes = zone.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes)) if sign else timedelta()
    try:
        year, month, day, hour, minute, second = numbers
        zone_of = timezone(-offset if sign == "-" else offset)
        at = datetime(year, month, day, hour, minute, second, micros, tzinfo=zone_of)
        return at.astimezone(UTC)
    except (ValueError, OverflowError) as error:  # the 30th of February
        raise ValueError(f'parsing time "{text}": day out of range') from error


def _refusal(text: str, layout: str, rest: str, element: str) -> ValueError:
    return ValueError(f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{element}"')
