from __future__ import annotations

import pytest

from emulator.api.kinds import JOB
from emulator.api.meta import JsonObject, ObjectKey
from emulator.controllers.ttlafterfinished import CONTROLLER
from tests.support.world import World

KEY = ObjectKey("default", "once")


def job(ttl: int | None, condition: str = "", status: str = "True") -> JsonObject:
    conditions = (
        [{"type": condition, "status": status, "lastTransitionTime": "2026-03-01T12:00:00Z"}] if condition else []
    )
    spec = {} if ttl is None else {"ttlSecondsAfterFinished": ttl}
    made = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": spec}
    return {**made, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("ttl", "condition", "status", "gone", "wait"),
    [
        (None, "Complete", "True", False, None),
        (0, "", "", False, None),
        (0, "Complete", "False", False, None),
        (0, "FailureTarget", "True", False, None),
        (0, "Complete", "True", True, None),
        (30, "Failed", "True", True, None),
        (100, "Failed", "True", False, 70),
    ],
)
def test_when_it_goes(ttl: int | None, condition: str, status: str, gone: bool, wait: float | None) -> None:
    world = World(job(ttl, condition, status))  # half a minute after the condition
    changes = CONTROLLER.plan(KEY, world, world.at)
    assert changes.retry_after_seconds == wait
    assert [each.propagation for each in changes.deletes] == (["Foreground"] if gone else [])
    world.apply(changes)
    assert (world.get(JOB, "once", "default") is None) == gone
