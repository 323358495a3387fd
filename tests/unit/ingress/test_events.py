"""Problems as Events: each is told once for as long as it lasts."""

from __future__ import annotations

from datetime import UTC, datetime

from emulator.api.meta import ObjectKey
from emulator.ingress.events import Told, problem_event
from emulator.ingress.model import Problem
from tests.unit.ingress.world import ingress, router, rule

FIRST = Problem(ObjectKey("shop", "web"), "InvalidRegex", "one")
SECOND = Problem(ObjectKey("shop", "web"), "InvalidRegex", "two")


def test_each_once_while_it_lasts() -> None:
    told = Told()
    assert told.news([FIRST, FIRST]) == [FIRST]
    assert told.news([FIRST, SECOND]) == [SECOND]
    assert told.news([SECOND]) == []
    assert told.news([FIRST]) == [FIRST]


def test_the_event() -> None:
    made = ingress(rule(), configuration_snippet="deny all;")
    made["metadata"] |= {"uid": "u", "resourceVersion": "7"}
    (problem,) = router(made).problems
    event = problem_event(problem, made, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "1a")
    assert event["metadata"] == {"name": "web.1a", "namespace": "shop"}
    assert (event["involvedObject"]["kind"], event["involvedObject"]["uid"]) == ("Ingress", "u")
    assert (event["type"], event["reason"]) == ("Warning", "SnippetRefused")
    assert event["message"] == problem.message
    assert event["firstTimestamp"] == "2026-01-02T03:04:05Z"
