"""When a CronJob is due: the next and the latest time of its schedule, in its time zone. Pure.

Summer time as robfig/cron has it: what is scheduled in the hour that is left out does not run, what is scheduled in
the hour that comes twice runs twice. Source: pkg/controller/cronjob/utils.go, github.com/robfig/cron spec.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from emulator.api.meta import parse_time
from emulator.api.schedule import Schedule, parse_schedule

MANY_MISSED = 100
_PREFIXES = ("TZ=", "CRON_TZ=")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Due:
    """time: the latest time that has come, None when none has; missed: about how many came since the last start."""

    time: datetime | None = None
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Times:
    """A schedule in a time zone. All times in and out are UTC."""

    schedule: Schedule
    zone: tzinfo

    def next(self, after: datetime) -> datetime | None:
        """The first time after `after`; None when there is none for years."""
        if self.schedule.every_seconds:
            return self.schedule.next(after)
        while True:
            offset = self._offset(after)
            found = self.schedule.next(after.astimezone(timezone(offset)))
            if found is None:
                return None
            found = found.astimezone(UTC)
            change = self._first_change(after, found)
            if change is None:
                return found
            after = change - timedelta(seconds=1)
            found = self.schedule.next(after.astimezone(timezone(self._offset(change))))
            if found is None:
                return None
            found = found.astimezone(UTC)
            if self._first_change(change, found) is None:
                return found
            after = change

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The times after `after`, up to and including `until`."""
        while (time := self.next(after)) is not None and time <= until:
            yield time
            after = time

    def due(self, since: datetime, at: datetime) -> Due:
        """What has come since `since`. Long pasts are not walked through: the count is an estimate then."""
        first = self.next(since)
        if first is None or at < first:
            return Due()
        second = self.next(first)
        if second is None or at < second:
            return Due(first, 1)
        apart = round((second - first).total_seconds())
        missed = int((at - first).total_seconds()) // apart + 1
        for back in (timedelta(seconds=2 * apart), 2 * _DAY, 32 * _DAY, 366 * _DAY):
            latest = max(self.between(max(at - back, first), at), default=None)
            if latest is not None:
                return Due(latest, missed)
        return Due(max(self.between(first, at), default=first), missed)

    def _offset(self, at: datetime) -> timedelta:
        return at.astimezone(self.zone).utcoffset() or timedelta()

    def _first_change(self, start: datetime, end: datetime) -> datetime | None:
        """When between the two, end included, the zone's clocks are first set anew."""
        offset = self._offset(start)
        low = start
        while low < end:
            high = min(low + _DAY, end)
            if self._offset(high) != offset:
                return self._bisected(low, high, offset)
            low = high
        return None

    def _bisected(self, low: datetime, high: datetime, offset: timedelta) -> datetime:
        while high - low > timedelta(seconds=1):
            middle = low + (high - low) // 2
            low, high = (middle, high) if self._offset(middle) == offset else (low, middle)
        return high.replace(microsecond=0)


def times_of(spec: Mapping[str, Any]) -> Times:
    """Raises ScheduleError for the schedule, KeyError, ValueError or OSError for the zone."""
    text, zone = str(spec["schedule"]), spec.get("timeZone")
    if zone is None and text.startswith(_PREFIXES):
        zone = text.partition(" ")[0].partition("=")[2]
    return Times(parse_schedule(text), ZoneInfo(zone) if zone else UTC)


def last_start(cron_job: Mapping[str, Any]) -> datetime:
    """Since when missed times count: the last start, or the CronJob's own."""
    held = (cron_job.get("status") or {}).get("lastScheduleTime")
    return parse_time(held or cron_job["metadata"]["creationTimestamp"])
