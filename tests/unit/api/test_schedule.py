"""Cron schedules: what they name, what is refused, and in which words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from emulator.api.schedule import ScheduleError, parse_schedule

AT = datetime(2026, 1, 30, 23, 58, 30, tzinfo=UTC)  # a Friday


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("* * * * *", "2026-01-30 23:59:00"),
        ("*/5 * * * *", "2026-01-31 00:00:00"),
        ("30 4 * * *", "2026-01-31 04:30:00"),
        ("0 0 29 2 *", "2028-02-29 00:00:00"),
        ("0 12 * * MON-WED", "2026-02-02 12:00:00"),
        ("0 12 * * 0", "2026-02-01 12:00:00"),
        ("0 0 15 * 2", "2026-02-03 00:00:00"),  # either the day of the month or the weekday
        ("0 0 */10 * 2", "2026-01-31 00:00:00"),
        ("0 0 1 jan,JUL ?", "2026-07-01 00:00:00"),
        ("10-20/5,50 8 * * *", "2026-01-31 08:10:00"),
        ("5/20 * * * *", "2026-01-31 00:05:00"),
        ("@hourly", "2026-01-31 00:00:00"),
        ("@weekly", "2026-02-01 00:00:00"),
        ("@every 1h30m", "2026-01-31 01:28:30"),
        ("TZ=Europe/Berlin 0 1 * * *", "2026-01-31 01:00:00"),
    ],
)
def test_next(text: str, wanted: str) -> None:
    found = parse_schedule(text).next(AT)
    assert found is not None
    assert f"{found:%Y-%m-%d %H:%M:%S}" == wanted


def test_a_day_that_never_comes() -> None:
    assert parse_schedule("0 0 30 2 *").next(AT) is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "empty spec string"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("0 0 * * * *", "expected exactly 5 fields, found 6: [0 0 * * * *]"),
        ("61 * * * *", "end of range (61) above maximum (59): 61"),
        ("* 24 * * *", "end of range (24) above maximum (23): 24"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * 13 *", "end of range (13) above maximum (12): 13"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("9-5 * * * *", "beginning of range (9) beyond end of range (5): 9-5"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("*/2/3 * * * *", "too many slashes: */2/3"),
        ("a * * * *", 'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax'),
        ("@often", "unrecognized descriptor: @often"),
        ("@every x", 'failed to parse duration @every x: time: invalid duration "x"'),
    ],
)
def test_mistakes(text: str, wanted: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        parse_schedule(text)
    assert str(caught.value) == wanted
