"""Cron schedules: the five fields and the @-words, parsed once, and the next time they name.

Day of month and day of week: when both are given, either will do. Pure; time zones are the caller's.
Source: github.com/robfig/cron v3, parser.go and spec.go (grammar and error texts).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

MAX_YEARS = 5  # a schedule that names no day in that many years never will (robfig/cron gives up then)

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NO_NAMES: dict[str, int] = {}
_BOUNDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, _NO_NAMES),
    (0, 23, _NO_NAMES),
    (1, 31, _NO_NAMES),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_DURATION = re.compile(r"([0-9]*\.?[0-9]+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_ZONE_PREFIXES = ("TZ=", "CRON_TZ=")


class ScheduleError(ValueError):
    """What is wrong with a schedule, in upstream's words."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The minutes, hours, days, months and weekdays (Sunday is 0) of a schedule, or the seconds of `@every`."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = False
    any_weekday: bool = False
    every_seconds: int = 0

    def next(self, after: datetime) -> datetime | None:
        """The first time after `after`, in its time zone; None if there is none for years."""
        if self.every_seconds:
            return after.replace(microsecond=0) + timedelta(seconds=self.every_seconds)
        at = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
        last_year = at.year + MAX_YEARS
        while at.year <= last_year:
            if at.month not in self.months:
                at = (at.replace(day=1, hour=0, minute=0) + timedelta(days=32)).replace(day=1)
            elif not self._names_day(at):
                at = at.replace(hour=0, minute=0) + timedelta(days=1)
            elif at.hour not in self.hours:
                at = at.replace(minute=0) + timedelta(hours=1)
            elif at.minute not in self.minutes:
                at += timedelta(minutes=1)
            else:
                return at
        return None

    def _names_day(self, at: datetime) -> bool:
        day, weekday = at.day in self.days, at.isoweekday() % 7 in self.weekdays
        return day and weekday if self.any_day or self.any_weekday else day or weekday


def parse_schedule(text: str) -> Schedule:
    """The schedule of a text such as `*/5 * * * 1-5`; a TZ= prefix is skipped. Raises ScheduleError."""
    if not text:
        raise ScheduleError("empty spec string")
    if text.startswith(_ZONE_PREFIXES):
        text = text.partition(" ")[2].strip()
    if text.startswith("@"):
        return _word(text)
    parts = text.split()
    if len(parts) != len(_BOUNDS):
        raise ScheduleError(f"expected exactly {len(_BOUNDS)} fields, found {len(parts)}: [{' '.join(parts)}]")
    found = [_field(part, *bounds) for part, bounds in zip(parts, _BOUNDS, strict=True)]
    minutes, hours, days, months, weekdays = (values for values, _ in found)
    return Schedule(minutes, hours, days, months, weekdays, any_day=found[2][1], any_weekday=found[4][1])


def _word(text: str) -> Schedule:
    if text in _WORDS:
        return parse_schedule(_WORDS[text])
    if not text.startswith("@every "):
        raise ScheduleError(f"unrecognized descriptor: {text}")
    wanted = text.removeprefix("@every ")
    seconds = _duration(wanted)
    if seconds is None:
        raise ScheduleError(f'failed to parse duration {text}: time: invalid duration "{wanted}"')
    return Schedule(every_seconds=max(int(seconds), 1))


def _duration(text: str) -> float | None:
    digits = text.lstrip("+-")
    parts = _DURATION.findall(digits)
    if digits == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != digits:
        return None
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return -seconds if text.startswith("-") else seconds


def _field(text: str, low: int, high: int, named: dict[str, int]) -> tuple[frozenset[int], bool]:
    """The numbers of a field, and whether it is a star."""
    values: set[int] = set()
    star = False
    for expression in text.split(","):
        if expression:
            numbers, is_star = _range(expression, low, high, named)
            values |= numbers
            star = star or is_star
    return frozenset(values), star


def _range(expression: str, low: int, high: int, named: dict[str, int]) -> tuple[set[int], bool]:
    sides = expression.split("/")
    ends = sides[0].split("-")
    star = ends[0] in ("*", "?")
    if star:
        start, end = low, high
    else:
        start = _number_or_name(ends[0], named)
        if len(ends) > 2:
            raise ScheduleError(f"too many hyphens: {expression}")
        end = _number_or_name(ends[1], named) if len(ends) == 2 else start
    step = 1
    if len(sides) == 2:
        step = _number(sides[1])
        if len(ends) == 1:
            end = high  # N/step means N-max/step
        star = star and step <= 1
    elif len(sides) > 2:
        raise ScheduleError(f"too many slashes: {expression}")
    if start < low:
        raise ScheduleError(f"beginning of range ({start}) below minimum ({low}): {expression}")
    if end > high:
        raise ScheduleError(f"end of range ({end}) above maximum ({high}): {expression}")
    if start > end:
        raise ScheduleError(f"beginning of range ({start}) beyond end of range ({end}): {expression}")
    if step == 0:
        raise ScheduleError(f"step of range should be a positive number: {expression}")
    return set(range(start, end + 1, step)), star


def _number_or_name(text: str, named: dict[str, int]) -> int:
    return named[text.lower()] if text.lower() in named else _number(text)


def _number(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ScheduleError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if int(text) < 0:
        raise ScheduleError(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)
