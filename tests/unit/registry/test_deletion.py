"""What a DELETE does, by grace period, finalizers and propagation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from emulator.api.errors import Conflict
from emulator.api.kinds import CONFIG_MAP, ENDPOINT_SLICE, NAMESPACE, POD
from emulator.api.meta import JsonObject
from emulator.registry.deletion import goes_with_update, plan_deletion, plan_namespace_deletion
from emulator.registry.options import DeleteOptions
from emulator.registry.strategy import Strategy

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW = "2026-01-02T03:04:05Z"
PLAIN = Strategy(CONFIG_MAP)
GRACEFUL = Strategy(POD, grace_period_seconds=lambda pod: pod.get("grace", 30))


def thing(*finalizers: str, **metadata: Any) -> JsonObject:
    held = {"finalizers": list(finalizers)} if finalizers else {}
    return {"metadata": {"name": "a", "uid": "u", "resourceVersion": "7", **held, **metadata}}


def test_without_grace_and_finalizers_it_goes_at_once() -> None:
    plan = plan_deletion(PLAIN, thing(), DeleteOptions(), at=AT)
    assert (plan.mark, plan.remove) == (None, True)


def test_finalizers_make_it_wait() -> None:
    plan = plan_deletion(PLAIN, thing("x.io/y", generation=1), DeleteOptions(), at=AT)
    assert not plan.remove
    assert plan.mark is not None
    assert plan.mark["metadata"] == {
        "name": "a",
        "uid": "u",
        "resourceVersion": "7",
        "finalizers": ["x.io/y"],
        "generation": 2,
        "deletionTimestamp": NOW,
        "deletionGracePeriodSeconds": 0,
    }
    again = plan_deletion(PLAIN, plan.mark, DeleteOptions(), at=AT + timedelta(hours=1))
    assert (again.mark, again.remove) == (None, False)


@pytest.mark.parametrize(
    ("before", "propagation", "after"),
    [
        ([], "Foreground", ["foregroundDeletion"]),
        ([], "Orphan", ["orphan"]),
        (["orphan"], "Foreground", ["foregroundDeletion"]),
        (["x.io/y", "foregroundDeletion"], "Orphan", ["x.io/y", "orphan"]),
        (["orphan"], None, ["orphan"]),
    ],
)
def test_the_propagation_policy_becomes_a_finalizer(
    before: list[str], propagation: str | None, after: list[str]
) -> None:
    plan = plan_deletion(PLAIN, thing(*before), DeleteOptions(propagation=propagation), at=AT)
    assert plan.mark is not None
    assert plan.mark["metadata"]["finalizers"] == after
    assert not plan.remove


def test_background_takes_an_earlier_policy_away() -> None:
    plan = plan_deletion(PLAIN, thing("orphan"), DeleteOptions(propagation="Background"), at=AT)
    assert plan.remove


@pytest.mark.parametrize(
    ("default", "asked", "seconds"), [(30, None, 30), (30, 5, 5), (30, 60, 60), (30, 0, 0), (0, 60, 0), (30, -1, 1)]
)
def test_the_grace_period(default: int, asked: int | None, seconds: int) -> None:
    object = {**thing(generation=1), "grace": default}
    plan = plan_deletion(GRACEFUL, object, DeleteOptions(grace_period_seconds=asked), at=AT)
    assert plan.mark is not None
    metadata = plan.mark["metadata"]
    assert metadata["deletionGracePeriodSeconds"] == seconds
    assert metadata["deletionTimestamp"] == (AT + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert metadata["generation"] == 2
    assert plan.remove == (seconds == 0)


def pending(seconds: int) -> JsonObject:
    plan = plan_deletion(GRACEFUL, thing(), DeleteOptions(grace_period_seconds=seconds), at=AT)
    assert plan.mark is not None
    return plan.mark


@pytest.mark.parametrize("asked", [None, 30, 31])
def test_a_pending_deletion_is_never_prolonged(asked: int | None) -> None:
    plan = plan_deletion(GRACEFUL, pending(30), DeleteOptions(grace_period_seconds=asked), at=AT)
    assert (plan.mark, plan.remove) == (None, False)


def test_a_pending_deletion_can_be_shortened_from_when_it_began() -> None:
    plan = plan_deletion(GRACEFUL, pending(30), DeleteOptions(grace_period_seconds=10), at=AT + timedelta(seconds=5))
    assert plan.mark is not None
    assert plan.mark["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:15Z"
    assert plan.mark["metadata"]["deletionGracePeriodSeconds"] == 10
    assert not plan.remove
    forced = plan_deletion(GRACEFUL, plan.mark, DeleteOptions(grace_period_seconds=0), at=AT)
    assert forced.remove


def test_preconditions_name_the_kind() -> None:
    with pytest.raises(Conflict) as raised:
        plan_deletion(PLAIN, thing(), DeleteOptions(uid="v"), at=AT)
    assert raised.value.message == (
        'Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (v) does not match the UID in '
        "record (u). The object might have been deleted and then recreated"
    )
    with pytest.raises(Conflict) as raised:
        plan_deletion(Strategy(ENDPOINT_SLICE), thing(), DeleteOptions(resource_version="8"), at=AT)
    assert raised.value.message == (
        'Operation cannot be fulfilled on EndpointSlice.discovery.k8s.io "a": the ResourceVersion in the precondition '
        "(8) does not match the ResourceVersion in record (7). The object might have been modified"
    )


def test_a_namespace_is_terminating_until_it_is_finalized() -> None:
    namespace = {**thing(), "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    plan = plan_namespace_deletion(Strategy(NAMESPACE), namespace, DeleteOptions(), at=AT)
    assert plan.mark is not None
    assert not plan.remove
    assert plan.mark["status"]["phase"] == "Terminating"
    assert plan.mark["metadata"]["deletionTimestamp"] == NOW
    waiting = plan_namespace_deletion(Strategy(NAMESPACE), plan.mark, DeleteOptions(), at=AT)
    assert (waiting.mark, waiting.remove) == (None, False)
    finalized = {**plan.mark, "spec": {}}
    assert goes_with_update(NAMESPACE, finalized, plan.mark)
    assert plan_namespace_deletion(Strategy(NAMESPACE), finalized, DeleteOptions(), at=AT).remove


def test_the_last_finalizer_takes_the_object_with_it() -> None:
    marked = thing("x.io/y", deletionTimestamp=NOW, deletionGracePeriodSeconds=0)
    bare = thing(deletionTimestamp=NOW, deletionGracePeriodSeconds=0)
    assert goes_with_update(CONFIG_MAP, bare, marked)
    assert not goes_with_update(CONFIG_MAP, marked, marked)
    assert not goes_with_update(CONFIG_MAP, thing(), thing("x.io/y"))
    waiting = thing(deletionTimestamp=NOW, deletionGracePeriodSeconds=30)
    assert not goes_with_update(POD, waiting, waiting)
