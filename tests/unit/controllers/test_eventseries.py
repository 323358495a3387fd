"""Repeats of an Event: a count in the older form, a series in the newer."""

from __future__ import annotations

from datetime import timedelta

from emulator.api.kinds import POD
from emulator.controllers.changes import event
from emulator.controllers.eventseries import EventSeries
from tests.unit.controllers.world import AT, pod


def test_a_repeat_counts_in_the_form_of_the_first() -> None:
    told = event("kubelet", pod("a"), POD, type="Normal", reason="R", message="m", at=AT, suffix="")
    newer = {**told, "source": {}, "eventTime": "2026-03-04T05:06:07.000000Z", "reason": "S"}
    later = AT + timedelta(seconds=3)
    series = EventSeries()
    for each, wanted in (
        (told, {"count": 2, "lastTimestamp": "2026-03-04T05:06:10Z", "message": "m"}),
        (newer, {"series": {"count": 2, "lastObservedTime": "2026-03-04T05:06:10.000000Z"}}),
    ):
        first = series.take(each, AT)
        assert first is not None
        assert first.name == ""
        again = series.take(each, later)
        assert again is not None
        assert (again.name, again.object) == (first.object["metadata"]["name"], wanted)
