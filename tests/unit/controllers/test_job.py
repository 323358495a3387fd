from __future__ import annotations

from typing import Any

import pytest

from emulator.api.kinds import JOB, POD
from emulator.api.meta import JsonObject, ObjectKey, annotations_of, condition_of, is_terminating, key_of, labels_of
from emulator.controllers.job import CONTROLLERS
from tests.support.world import World, reasons

KEY = ObjectKey("default", "work")
CONTROLLER, ORPHANS = CONTROLLERS


def job(**spec: Any) -> JsonObject:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "work", "uid": "job-uid"},
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 6,
            "completionMode": "NonIndexed",
            "suspend": False,
            "podReplacementPolicy": "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed",
            "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "job-uid"}},
            "template": {
                "metadata": {"labels": {"batch.kubernetes.io/controller-uid": "job-uid"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
            },
            **spec,
        },
    }


def turn(world: World) -> None:
    world.settle(CONTROLLER, KEY)
    for pod in world.pods():
        world.settle(ORPHANS, key_of(pod))
    world.kubelet()


def running(world: World) -> list[JsonObject]:
    return [pod for pod in world.pods() if pod["status"]["phase"] == "Running" and not is_terminating(pod)]


def end(world: World, pod: JsonObject, phase: str, code: int = 1) -> None:
    ended = {"name": "c", "state": {"terminated": {"exitCode": 0 if phase == "Succeeded" else code}}}
    world.set_phase(pod, phase, containerStatuses=[ended])


def play(world: World, *phases: str, codes: tuple[int, ...] = ()) -> None:
    """End one running pod after the other; each end is followed by enough time for the next pod."""
    for number, phase in enumerate(phases):
        turn(world)
        turn(world)
        end(world, running(world)[0], phase, codes[number] if codes else 1)
        turn(world)
        world.wait(700)
    for _ in range(4):
        turn(world)


def status(world: World) -> JsonObject:
    held = world.get(JOB, "work", "default")
    assert held is not None
    found: JsonObject = held.get("status") or {}
    return found


def conditions(world: World) -> list[tuple[str, str, str]]:
    return [(each["type"], each["status"], each["reason"]) for each in status(world).get("conditions") or ()]


COMPLETE = [("SuccessCriteriaMet", "True", "CompletionsReached"), ("Complete", "True", "CompletionsReached")]


def failed(reason: str) -> list[tuple[str, str, str]]:
    return [("FailureTarget", "True", reason), ("Failed", "True", reason)]


S, F = "Succeeded", "Failed"
INDEXED = {"completionMode": "Indexed", "completions": 3, "parallelism": 1}


@pytest.mark.parametrize(
    ("spec", "phases", "expected", "counts"),
    [
        ({}, [S], COMPLETE, (1, 0)),
        ({}, [F, F, S], COMPLETE, (1, 2)),
        ({"completions": 3, "parallelism": 2}, [S, F, S, S], COMPLETE, (3, 1)),
        ({"completions": None, "parallelism": 3}, [S, F, S], COMPLETE, (2, 1)),
        ({"completions": 0}, [], COMPLETE, (0, 0)),
        ({"backoffLimit": 0}, [F], failed("BackoffLimitExceeded"), (0, 1)),
        ({"backoffLimit": 2}, [F, F, F], failed("BackoffLimitExceeded"), (0, 3)),
        ({"backoffLimit": 0, "completions": 3, "parallelism": 3}, [S, F], failed("BackoffLimitExceeded"), (1, 2)),
        (INDEXED, [S, F, S, S], COMPLETE, (3, 1)),
        ({**INDEXED, "backoffLimitPerIndex": 0, "backoffLimit": 99}, [S, F, S], failed("FailedIndexes"), (2, 1)),
        ({**INDEXED, "backoffLimitPerIndex": 1, "backoffLimit": 99}, [F, S, S, S], COMPLETE, (3, 1)),
        (
            {**INDEXED, "backoffLimitPerIndex": 0, "maxFailedIndexes": 0, "backoffLimit": 99},
            [F],
            failed("MaxFailedIndexesExceeded"),
            (0, 1),
        ),
        (
            {**INDEXED, "successPolicy": {"rules": [{"succeededCount": 2}]}},
            [S, S],
            [("SuccessCriteriaMet", "True", "SuccessPolicy"), ("Complete", "True", "SuccessPolicy")],
            (2, 0),
        ),
        (
            {**INDEXED, "successPolicy": {"rules": [{"succeededIndexes": "0"}]}},
            [S],
            [("SuccessCriteriaMet", "True", "SuccessPolicy"), ("Complete", "True", "SuccessPolicy")],
            (1, 0),
        ),
    ],
)
def test_how_it_ends(
    spec: JsonObject, phases: list[str], expected: list[tuple[str, str, str]], counts: tuple[int, int]
) -> None:
    world = World(job(**spec))
    play(world, *phases)
    assert conditions(world) == expected
    assert (status(world).get("succeeded", 0), status(world).get("failed", 0)) == counts
    assert "active" not in status(world)
    assert status(world)["uncountedTerminatedPods"] == {}
    assert ("completionTime" in status(world)) == (expected[-1][0] == "Complete")
    assert not [pod for pod in world.pods() if pod["metadata"].get("finalizers")]
    told = ("Completed", "Job completed") if expected[-1][0] == "Complete" else None
    assert told is None or told in world.events
    assert told is not None or expected[-1][2] in reasons(world)


def rule(action: str, *codes: int) -> JsonObject:
    return {"action": action, "onExitCodes": {"operator": "In", "values": list(codes)}}


@pytest.mark.parametrize(
    ("rules", "spec", "phases", "codes", "expected", "failures"),
    [
        ([rule("FailJob", 42)], {}, [F], (42,), failed("PodFailurePolicy"), 1),
        ([rule("FailJob", 42)], {}, [F, S], (1, 0), COMPLETE, 1),
        ([rule("Ignore", 42)], {"backoffLimit": 0}, [F, F, S], (42, 42, 0), COMPLETE, 0),
        ([rule("Count", 42), rule("Ignore", 42)], {"backoffLimit": 0}, [F], (42,), failed("BackoffLimitExceeded"), 1),
        (
            [rule("FailIndex", 42)],
            {**INDEXED, "backoffLimitPerIndex": 5, "backoffLimit": 99},
            [F, S, S],
            (42, 0, 0),
            failed("FailedIndexes"),
            1,
        ),
    ],
)
def test_pod_failure_policy(
    rules: list[JsonObject],
    spec: JsonObject,
    phases: list[str],
    codes: tuple[int, ...],
    expected: list[tuple[str, str, str]],
    failures: int,
) -> None:
    world = World(job(podFailurePolicy={"rules": rules}, **spec))
    play(world, *phases, codes=codes)
    assert conditions(world) == expected
    assert status(world).get("failed", 0) == failures


def test_the_message_of_a_failure_policy_names_pod_and_rule() -> None:
    world = World(job(podFailurePolicy={"rules": [rule("FailJob", 42)]}))
    play(world, F, codes=(42,))
    name = world.pods()[0]["metadata"]["name"]
    message = f"Container c for pod default/{name} failed with exit code 42 matching FailJob rule at index 0"
    assert (condition_of({"status": status(world)}, "Failed") or {})["message"] == message


def test_pods_as_many_as_parallelism_and_what_is_left() -> None:
    world = World(job(completions=5, parallelism=3))
    turn(world)
    assert (len(running(world)), status(world)["active"]) == (3, 3)
    for left, expected in ((4, 3), (3, 3), (2, 2), (1, 1)):
        end(world, running(world)[0], S)
        turn(world)
        turn(world)
        assert len(running(world)) == min(expected, left)
    assert world.events[0][0] == "SuccessfulCreate"


def test_parallelism_follows_the_spec() -> None:
    world = World(job(completions=9, parallelism=4))
    turn(world)
    for wanted in (1, 3, 0):
        world.edit(JOB, "work", lambda held, wanted=wanted: held["spec"].update(parallelism=wanted))  # type: ignore[misc]
        for _ in range(3):
            turn(world)
        assert len(running(world)) == wanted
    assert "failed" not in status(world)


def test_pods_of_indexes() -> None:
    world = World(job(completionMode="Indexed", completions=3, parallelism=2))
    turn(world)
    first, second = running(world)
    mark = "batch.kubernetes.io/job-completion-index"
    assert [annotations_of(pod)[mark] for pod in (first, second)] == ["0", "1"]
    assert [labels_of(pod)[mark] for pod in (first, second)] == ["0", "1"]
    assert first["spec"]["hostname"] == "work-0"
    assert first["metadata"]["generateName"] == "work-0-"
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{mark}']"}}
    assert first["spec"]["containers"][0]["env"] == [{"name": "JOB_COMPLETION_INDEX", "valueFrom": source}]
    assert first["metadata"]["finalizers"] == ["batch.kubernetes.io/job-tracking"]
    end(world, second, S)
    turn(world)
    turn(world)
    assert status(world)["completedIndexes"] == "1"
    assert sorted(annotations_of(pod)[mark] for pod in running(world)) == ["0", "2"]


def test_failures_wait_longer_each_time() -> None:
    world = World(job())
    waits = []
    for _ in range(4):
        turn(world)
        turn(world)
        end(world, running(world)[0], F)
        turn(world)
        turn(world)
        waits.append(round(CONTROLLER.plan(KEY, world, world.at).retry_after_seconds or 0))
        world.wait(waits[-1])
    assert waits == [10, 20, 40, 80]


def test_deadline() -> None:
    world = World(job(activeDeadlineSeconds=60))
    turn(world)
    assert CONTROLLER.plan(KEY, world, world.at).retry_after_seconds == 60
    world.wait(60)
    for _ in range(5):
        turn(world)
    assert conditions(world) == failed("DeadlineExceeded")
    assert running(world) == []
    assert ("DeadlineExceeded", "Job was active longer than specified deadline") in world.events


def test_suspend_and_resume() -> None:
    world = World(job(suspend=True, parallelism=2, completions=2))
    turn(world)
    assert running(world) == []
    assert conditions(world) == [("Suspended", "True", "JobSuspended")]
    assert "startTime" not in status(world)
    world.wait(100)
    world.edit(JOB, "work", lambda held: held["spec"].update(suspend=False))
    turn(world)
    assert len(running(world)) == 2
    assert status(world)["startTime"] == "2026-03-01T12:02:10Z"
    assert conditions(world) == [("Suspended", "False", "JobResumed")]
    world.edit(JOB, "work", lambda held: held["spec"].update(suspend=True))
    for _ in range(3):
        turn(world)
    assert (running(world), conditions(world)) == ([], [("Suspended", "True", "JobSuspended")])
    assert "failed" not in status(world)
    assert [each for each in reasons(world) if each in ("Suspended", "Resumed")] == [
        "Suspended",
        "Resumed",
        "Suspended",
    ]


def test_on_failure_counts_restarts_of_live_pods() -> None:
    template = job()["spec"]["template"]
    template["spec"]["restartPolicy"] = "OnFailure"
    world = World(job(template=template, backoffLimit=2))
    turn(world)
    for count in (1, 2):
        (pod,) = running(world)
        world.set_phase(pod, "Running", containerStatuses=[{"name": "c", "restartCount": count}])
        turn(world)
    for _ in range(4):
        turn(world)
    assert conditions(world) == failed("BackoffLimitExceeded")


@pytest.mark.parametrize(("policy", "failures", "replaced"), [("TerminatingOrFailed", 1, True), ("Failed", 0, False)])
def test_a_deleted_pod_is_replaced_as_the_policy_says(policy: str, failures: int, replaced: bool) -> None:
    world = World(job(podReplacementPolicy=policy))
    turn(world)
    world.delete(POD, key_of(running(world)[0]))
    world.settle(CONTROLLER, KEY)
    world.wait(60)
    world.settle(CONTROLLER, KEY)
    assert status(world).get("failed", 0) == failures
    assert any(not is_terminating(pod) for pod in world.pods()) == replaced
    assert status(world).get("terminating", 0) == 1
    for _ in range(4):
        turn(world)
        world.wait(60)
    assert len(running(world)) == 1
    assert status(world)["failed"] == 1


def test_somebody_elses_job_is_left_alone() -> None:
    world = World(job(managedBy="example.com/other"))
    turn(world)
    assert world.pods() == []


def test_a_deleted_job_lets_its_pods_go() -> None:
    world = World(job())
    turn(world)
    world.delete(JOB, KEY)
    (pod,) = world.pods()
    world.settle(ORPHANS, key_of(pod))
    assert world.pods()[0]["metadata"]["finalizers"] == []
