from __future__ import annotations

from typing import Any

import pytest

from emulator.api.kinds import POD, POD_DISRUPTION_BUDGET
from emulator.api.meta import JsonObject, ObjectKey
from emulator.controllers.disruption import CONTROLLER
from tests.support.world import World, reasons

KEY = ObjectKey("default", "budget")
WEB = {"matchLabels": {"app": "web"}}


def budget(**spec: Any) -> JsonObject:
    made = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "budget"}}
    return {**made, "spec": {"selector": WEB, **spec}}


def owner(kind: str, name: str, replicas: int, above: JsonObject | None = None, version: str = "apps/v1") -> JsonObject:
    metadata: JsonObject = {"name": name, "uid": f"uid-of-{name}"}
    if above is not None:
        metadata["ownerReferences"] = [reference(above)]
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": {"replicas": replicas}}


def reference(object: JsonObject) -> JsonObject:
    metadata = object["metadata"]
    base = {"apiVersion": object["apiVersion"], "kind": object["kind"], "controller": True}
    return {**base, "name": metadata["name"], "uid": metadata["uid"]}


def pod(name: str, above: JsonObject | None = None, *, ready: bool = True) -> JsonObject:
    metadata: JsonObject = {"name": name, "labels": {"app": "web"}}
    if above is not None:
        metadata["ownerReferences"] = [reference(above)]
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": "n"}}
    return {**made, "status": {"phase": "Running", "conditions": conditions}}


DEPLOYMENT = owner("Deployment", "web", 4)
REPLICA_SET = owner("ReplicaSet", "web-1", 3, DEPLOYMENT)
LONE_SET = owner("ReplicaSet", "lone", 3)
STATEFUL = owner("StatefulSet", "state", 2)
DAEMON = owner("DaemonSet", "daemon", 0)


def status(world: World) -> JsonObject:
    held = world.get(POD_DISRUPTION_BUDGET, "budget", "default")
    assert held is not None
    found: JsonObject = held["status"]
    return found


def numbers(world: World) -> tuple[int, ...]:
    """expected, desired, healthy, allowed."""
    names = ("expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed")
    return tuple(status(world)[name] for name in names)


@pytest.mark.parametrize(
    ("spec", "above", "pods", "expected"),
    [
        ({"minAvailable": 2}, [], [pod("a"), pod("b"), pod("c")], (3, 2, 3, 1)),
        ({"minAvailable": 2}, [], [pod("a"), pod("b"), pod("c", ready=False)], (3, 2, 2, 0)),
        ({"minAvailable": 0}, [], [], (0, 0, 0, 0)),
        (
            {"minAvailable": "50%"},
            [LONE_SET],
            [pod("a", LONE_SET), pod("b", LONE_SET), pod("c", LONE_SET)],
            (3, 2, 3, 1),
        ),
        ({"maxUnavailable": 1}, [DEPLOYMENT, REPLICA_SET], [pod(n, REPLICA_SET) for n in "abcd"], (4, 3, 4, 1)),
        ({"maxUnavailable": "30%"}, [DEPLOYMENT, REPLICA_SET], [pod(n, REPLICA_SET) for n in "abcd"], (4, 2, 4, 2)),
        ({"maxUnavailable": 9}, [LONE_SET], [pod(n, LONE_SET) for n in "abc"], (3, 0, 3, 3)),
        ({"maxUnavailable": 1}, [LONE_SET, STATEFUL], [pod("a", LONE_SET), pod("b", STATEFUL)], (5, 4, 2, 0)),
        ({}, [], [pod("a")], (0, 0, 1, 0)),
        ({"minAvailable": 1, "selector": None}, [], [pod("a")], (0, 1, 0, 0)),
        ({"minAvailable": 1, "selector": {}}, [], [pod("a"), pod("b")], (2, 1, 2, 1)),
    ],
)
def test_numbers(spec: JsonObject, above: list[JsonObject], pods: list[JsonObject], expected: tuple[int, ...]) -> None:
    world = World(budget(**spec), *above, *pods)
    world.settle(CONTROLLER, KEY)
    assert numbers(world) == expected
    (condition,) = status(world)["conditions"]
    allowed = expected[3] > 0
    assert condition == {
        "type": "DisruptionAllowed",
        "status": "True" if allowed else "False",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-03-01T12:00:30Z",
        "reason": "SufficientPods" if allowed else "InsufficientPods",
        "message": "",
    }
    assert status(world)["observedGeneration"] == 1
    assert ("NoPods" in reasons(world)) == (not pods or spec.get("selector", 0) is None)


def test_the_condition_moves_only_when_its_status_does() -> None:
    world = World(budget(minAvailable=1), pod("a"), pod("b"))
    world.settle(CONTROLLER, KEY)
    world.wait(60)
    world.create(pod("c"))
    world.settle(CONTROLLER, KEY)
    assert status(world)["conditions"][0]["lastTransitionTime"] == "2026-03-01T12:00:30Z"
    for name in "abc":
        world.delete(POD, ObjectKey("default", name))
    world.settle(CONTROLLER, KEY)
    assert status(world)["conditions"][0]["lastTransitionTime"] == "2026-03-01T12:01:30Z"


def test_unmanaged_pods_are_told_of() -> None:
    world = World(budget(maxUnavailable=1), pod("a"))
    world.settle(CONTROLLER, KEY)
    assert numbers(world) == (0, 0, 1, 0)
    ((reason, message),) = world.events
    assert reason == "UnmanagedPods"
    shown = "&LabelSelector{MatchLabels:map[string]string{app: web,},MatchExpressions:[]LabelSelectorRequirement{},}"
    assert f"(selector: {shown})" in message


def test_pods_of_what_has_no_scale_fail_it() -> None:
    world = World(budget(maxUnavailable=1), DAEMON, pod("a", DAEMON))
    world.settle(CONTROLLER, KEY)
    condition = status(world)["conditions"][0]
    assert (condition["reason"], condition["message"]) == (
        "SyncFailed",
        "daemonsets.apps does not implement the scale subresource",
    )
    assert status(world)["disruptionsAllowed"] == 0
    assert reasons(world) == ["CalculateExpectedPodCountFailed"]


def test_an_evicted_pod_counts_again_when_it_does_not_go() -> None:
    world = World(budget(minAvailable=1), pod("a"), pod("b"))
    world.settle(CONTROLLER, KEY)
    held = world.get(POD_DISRUPTION_BUDGET, "budget", "default")
    assert held is not None
    evicted = {**held["status"], "disruptionsAllowed": 0, "disruptedPods": {"a": "2026-03-01T12:00:00Z"}}
    world.update(POD_DISRUPTION_BUDGET, {**held, "status": evicted}, status=True)
    world.settle(CONTROLLER, KEY)
    assert numbers(world) == (2, 1, 1, 0)
    assert CONTROLLER.plan(KEY, world, world.at).retry_after_seconds == 90
    world.wait(90)
    world.settle(CONTROLLER, KEY)
    assert numbers(world) == (2, 1, 2, 1)
    assert "disruptedPods" not in status(world)
