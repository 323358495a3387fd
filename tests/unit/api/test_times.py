"""Times that clients send, cases against what Go's time.Parse takes and refuses."""

from __future__ import annotations

import pytest

from emulator.api.times import normal_micro_time, normal_time

LAYOUT = "2006-01-02T15:04:05Z07:00"
MICRO = "2006-01-02T15:04:05.000000Z07:00"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("2026-11-23T22:27:24Z", "2026-11-23T22:27:24Z"),
        ("2026-11-23T22:27:24+00:00", "2026-11-23T22:27:24Z"),
        ("2026-11-23T22:27:24.999999+00:00", "2026-11-23T22:27:24Z"),
        ("2026-11-23T23:30:00+01:30", "2026-11-23T22:00:00Z"),
        ("2026-12-31T23:00:00-02:00", "2027-01-01T01:00:00Z"),
    ],
)
def test_whole_seconds(text: str, kept: str) -> None:
    assert normal_time(text) == kept


def test_micro_seconds_need_their_digits() -> None:
    assert normal_micro_time("2026-11-23T22:27:24.5+00:00".replace(".5", ".500000")) == "2026-11-23T22:27:24.500000Z"
    with pytest.raises(ValueError) as error:
        normal_micro_time("2026-11-23T22:27:24Z")
    assert str(error.value) == f'parsing time "2026-11-23T22:27:24Z" as "{MICRO}": cannot parse "Z" as ".000000"'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("soon", f'parsing time "soon" as "{LAYOUT}": cannot parse "soon" as "2006"'),
        ("2026-11-23", f'parsing time "2026-11-23" as "{LAYOUT}": cannot parse "" as "T"'),
        ("2026-11-23T22:27:24", f'parsing time "2026-11-23T22:27:24" as "{LAYOUT}": cannot parse "" as "Z07:00"'),
        ("2026-13-23T22:27:24Z", 'parsing time "2026-13-23T22:27:24Z": month out of range'),
        ("2026-02-30T22:27:24Z", 'parsing time "2026-02-30T22:27:24Z": day out of range'),
        ("2026-11-23T22:27:24Z!", 'parsing time "2026-11-23T22:27:24Z!": extra text: "!"'),
    ],
)
def test_what_is_no_time(text: str, why: str) -> None:
    with pytest.raises(ValueError) as error:
        normal_time(text)
    assert str(error.value) == why
