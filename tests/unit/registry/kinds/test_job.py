"""Job: defaults, the generated selector, checks, what may change, its status."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from emulator.api.meta import JsonObject
from tests.unit.registry.kinds.support import create_errors, created, patched, update_errors, warnings
from tests.unit.registry.kinds.workloads import job, template, with_status

RESOURCE = "jobs.batch"
GENERATED = {
    "batch.kubernetes.io/controller-uid": "u-1",
    "batch.kubernetes.io/job-name": "j",
    "controller-uid": "u-1",
    "job-name": "j",
}
NEGATIVE = "must be greater than or equal to 0"
RULES = "spec.podFailurePolicy.rules"


def indexed(completions: int | None = 3, **spec: Any) -> JsonObject:
    return job(completionMode="Indexed", completions=completions, parallelism=1, **spec)


def failing(*rules: JsonObject, **spec: Any) -> JsonObject:
    return job(podFailurePolicy={"rules": list(rules)}, **spec)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, {"completions": 1, "parallelism": 1, "backoffLimit": 6, "podReplacementPolicy": "TerminatingOrFailed"}),
        ({"completions": 3}, {"completions": 3, "parallelism": 1}),
        ({"parallelism": 3}, {"completions": None, "parallelism": 3}),
        ({"parallelism": 0, "suspend": True}, {"completions": None, "parallelism": 0, "suspend": True}),
        ({"backoffLimitPerIndex": 1}, {"backoffLimit": 2147483647}),
        ({"backoffLimit": 0}, {"backoffLimit": 0}),
        ({"podFailurePolicy": {"rules": []}}, {"podReplacementPolicy": "Failed"}),
        ({}, {"completionMode": "NonIndexed", "suspend": False, "manualSelector": False}),
    ],
)
def test_defaults(spec: JsonObject, wanted: JsonObject) -> None:
    made = created(RESOURCE, job(**spec))
    assert {name: made["spec"].get(name) for name in wanted} == wanted
    assert made["status"] == {}


def test_the_selector_is_generated() -> None:
    made = created(RESOURCE, job())
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}}
    assert made["spec"]["template"]["metadata"]["labels"] == GENERATED
    assert "labels" not in made["metadata"]


def test_labels_of_the_template_are_the_jobs_too() -> None:
    made = created(RESOURCE, job(template=template(labels={"a": "b"}, restartPolicy="Never")))
    assert made["metadata"]["labels"] == made["spec"]["template"]["metadata"]["labels"] == {**GENERATED, "a": "b"}
    assert made["metadata"]["labels"] is not made["spec"]["template"]["metadata"]["labels"]
    own = job(template=template(labels={"a": "b"}, restartPolicy="Never"))
    own["metadata"]["labels"] = {"x": "y"}
    assert created(RESOURCE, own)["metadata"]["labels"] == {"x": "y"}


def test_a_selector_of_ones_own() -> None:
    own = job(
        manualSelector=True,
        selector={"matchLabels": {"a": "b"}},
        template=template(labels={"a": "b"}, restartPolicy="Never"),
    )
    assert create_errors(RESOURCE, own) == []
    assert created(RESOURCE, own)["spec"]["template"]["metadata"]["labels"] == {"a": "b"}
    wrong = job(template=template(labels={"job-name": "other"}, restartPolicy="Never"))
    assert [text.split(": Invalid")[0] for text in create_errors(RESOURCE, wrong)] == [
        "spec.template.metadata.labels[job-name]"
    ]


@pytest.mark.parametrize(
    ("object", "wanted"),
    [
        (job(), []),
        (indexed(), []),
        (
            job(template=template(labels=None)),
            ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
        ),
        (
            job(parallelism=-2, backoffLimit=-1),
            [
                f"spec.parallelism: Invalid value: -2: {NEGATIVE}",
                f"spec.backoffLimit: Invalid value: -1: {NEGATIVE}",
            ],
        ),
        (
            job(ttlSecondsAfterFinished=-1, activeDeadlineSeconds=-1),
            [
                f"spec.activeDeadlineSeconds: Invalid value: -1: {NEGATIVE}",
                f"spec.ttlSecondsAfterFinished: Invalid value: -1: {NEGATIVE}",
            ],
        ),
        (
            job(completionMode="Sorted"),
            ['spec.completionMode: Unsupported value: "Sorted": supported values: "NonIndexed", "Indexed"'],
        ),
        (indexed(None), ["spec.completions: Required value: when completion mode is Indexed"]),
        (
            job(backoffLimitPerIndex=1),
            ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
        ),
        (
            indexed(maxFailedIndexes=1),
            ["spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified"],
        ),
        (
            indexed(maxFailedIndexes=4, backoffLimitPerIndex=1),
            ["spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions"],
        ),
        (
            job(podReplacementPolicy="Never"),
            [
                'spec.podReplacementPolicy: Unsupported value: "Never": supported values: "Failed", "TerminatingOrFailed"'
            ],
        ),
        (
            job(managedBy="me"),
            ['spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")'],
        ),
        (job(managedBy="acme.io/foo"), []),
        (
            job(successPolicy={"rules": [{"succeededCount": 1}]}),
            [
                (
                    'spec.successPolicy: Invalid value: {"Rules":[{"SucceededIndexes":null,"SucceededCount":1}]}: requires '
                    "indexed completion mode"
                )
            ],
        ),
        (
            indexed(successPolicy={"rules": []}),
            [
                (
                    "spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy "
                    "is specified"
                )
            ],
        ),
        (indexed(successPolicy={"rules": [{"succeededIndexes": "0,2", "succeededCount": 2}]}), []),
        (
            indexed(successPolicy={"rules": [{"succeededIndexes": "0-3"}, {"succeededCount": 4}, {}]}),
            [
                (
                    'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0-3": error parsing succeededIndexes: '
                    'too large index: "3"'
                ),
                (
                    "spec.successPolicy.rules[1].succeededCount: Invalid value: 4: must be less than or equal to 3 (the "
                    "number of specified completions)"
                ),
                (
                    "spec.successPolicy.rules[2]: Required value: at least one of succeededCount or succeededIndexes must "
                    "be specified"
                ),
            ],
        ),
    ],
)
def test_mistakes(object: JsonObject, wanted: list[str]) -> None:
    assert create_errors(RESOURCE, object) == wanted


CODES = {"operator": "In", "values": [1, 2]}


@pytest.mark.parametrize(
    ("object", "wanted"),
    [
        (failing({"action": "FailJob", "onExitCodes": CODES}), []),
        (failing({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}), []),
        (
            failing(
                {"action": "FailJob", "onExitCodes": CODES}, template=template(labels=None, restartPolicy="OnFailure")
            ),
            [
                (
                    'spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when '
                    "podFailurePolicy is specified"
                )
            ],
        ),
        (
            failing({}),
            [
                f'{RULES}[0].action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]',
                f"{RULES}[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
            ],
        ),
        (
            failing({"action": "FailIndex", "onExitCodes": CODES}),
            [f'{RULES}[0].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set'],
        ),
        (
            failing({"action": "Count", "onExitCodes": {"operator": "In", "values": [2, 0, 2], "containerName": "x"}}),
            [
                (
                    f'{RULES}[0].onExitCodes.containerName: Invalid value: "x": must be one of the container or '
                    "initContainer names in the pod template"
                ),
                f"{RULES}[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
                f"{RULES}[0].onExitCodes.values[2]: Duplicate value: 2",
                f"{RULES}[0].onExitCodes.values: Invalid value: [2,0,2]: must be ordered",
            ],
        ),
        (
            failing({"action": "Count", "onPodConditions": [{"type": "A", "status": "Maybe"}]}),
            [
                (
                    f'{RULES}[0].onPodConditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", '
                    '"Unknown"'
                )
            ],
        ),
        (
            failing({"action": "FailJob", "onExitCodes": CODES}, podReplacementPolicy="TerminatingOrFailed"),
            ['spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"'],
        ),
    ],
)
def test_failure_policies(object: JsonObject, wanted: list[str]) -> None:
    assert create_errors(RESOURCE, object) == wanted


def test_the_name_must_leave_room_for_the_index() -> None:
    text = create_errors(RESOURCE, {**indexed(), "metadata": {"name": "a" * 62, "namespace": "default", "uid": "u-1"}})
    assert text == [
        f'metadata.name: Invalid value: "{"a" * 62}": will not able to create pod with invalid DNS label: {"a" * 62}-2'
    ]


@pytest.mark.parametrize(
    ("old", "spec", "wanted"),
    [
        (job(), {"parallelism": 5, "suspend": True, "backoffLimit": 2, "ttlSecondsAfterFinished": 1}, []),
        (job(), {"completions": 3}, ["spec.completions: Invalid value: 3: field is immutable"]),
        (indexed(3), {"completions": 4, "parallelism": 4}, []),
        (
            indexed(3),
            {"completions": 4},
            ["spec.completions: Invalid value: 4: can only be modified in tandem with spec.parallelism"],
        ),
        (indexed(3), {"completionMode": "NonIndexed", "completions": 3}, ["spec.completionMode"]),
        (job(), {"backoffLimitPerIndex": 1}, ["spec.backoffLimitPerIndex", "spec.backoffLimitPerIndex"]),
        (job(), {"managedBy": "a.b/c"}, ["spec.managedBy"]),
    ],
)
def test_what_may_change(old: JsonObject, spec: JsonObject, wanted: list[str]) -> None:
    stored = created(RESOURCE, old)
    found = update_errors(RESOURCE, stored, patched(stored, **spec))
    assert len(found) == len(wanted)
    assert all(text.startswith(beginning) for text, beginning in zip(found, wanted, strict=True)), found


def test_the_template_of_a_suspended_job_may_move() -> None:
    def retried(old: JsonObject, **pod: Any) -> list[str]:
        new = copy.deepcopy(old)
        new["spec"]["template"]["spec"].update(pod)
        return [text.split(":")[0] for text in update_errors(RESOURCE, old, new)]

    running, resting = created(RESOURCE, job()), created(RESOURCE, job(suspend=True))
    selector = {"nodeSelector": {"a": "b"}}
    assert retried(running, **selector) == ["spec.template"]
    assert retried(resting, **selector, tolerations=[{"operator": "Exists"}]) == []
    terms = [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]
    wanted = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    assert retried(resting, affinity=wanted) == []
    assert retried(resting, containers=[{"name": "c", "image": "other:1"}]) == ["spec.template"]
    started = with_status(resting, startTime="2026-01-01T00:00:00Z", active=1)
    assert retried(started, **selector) == ["spec.template"]


START, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
COMPLETE = [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}]


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ({}, {"startTime": START, "active": 1, "ready": 0, "uncountedTerminatedPods": {}}, []),
        ({"startTime": START}, {"conditions": COMPLETE, "completionTime": LATER, "succeeded": 1}, []),
        (
            {"startTime": START},
            {"conditions": COMPLETE},
            ["status.completionTime: Required value: completionTime is required for Complete jobs"],
        ),
        (
            {"startTime": LATER},
            {"conditions": COMPLETE, "completionTime": START},
            [f'status.completionTime: Invalid value: "{START}": completionTime cannot be set before startTime'],
        ),
        (
            {"startTime": START, "active": 1},
            {"conditions": COMPLETE, "completionTime": LATER},
            ["status.active: Invalid value: 1: active>0 is invalid for finished job"],
        ),
        (
            {},
            {"conditions": COMPLETE, "completionTime": LATER},
            ["status.startTime: Required value: startTime is required for finished job"],
        ),
        (
            {"startTime": START, "conditions": COMPLETE, "completionTime": LATER},
            {"conditions": [COMPLETE[0]]},
            [
                (
                    f'status.completionTime: Invalid value: "{LATER}": cannot set completionTime when there is no '
                    "Complete=True condition"
                ),
                "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
            ],
        ),
        (
            {"failed": 2, "succeeded": 2},
            {"failed": 1, "succeeded": 1},
            [
                "status.failed: Invalid value: 1: cannot decrease the failed counter",
                "status.succeeded: Invalid value: 1: cannot decrease the succeeded counter",
            ],
        ),
        (
            {},
            {"completedIndexes": "0"},
            [
                (
                    'status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed '
                    "completion mode"
                )
            ],
        ),
        (
            {"startTime": START},
            {"startTime": LATER},
            ["status.startTime: Required value: startTime cannot be removed for unsuspended job"],
        ),
    ],
)
def test_status_mistakes(before: JsonObject, after: JsonObject, wanted: list[str]) -> None:
    old = with_status(created(RESOURCE, job()), **before)
    assert update_errors(RESOURCE, old, with_status(old, **after), "status") == wanted


def test_indexes_of_an_indexed_job() -> None:
    old = created(RESOURCE, indexed(4, backoffLimitPerIndex=1))
    assert update_errors(RESOURCE, old, with_status(old, completedIndexes="0-1", failedIndexes="3"), "status") == []
    both = with_status(old, completedIndexes="0-2", failedIndexes="1,3")
    assert update_errors(RESOURCE, old, both, "status") == [
        'status.failedIndexes: Invalid value: "1,3": failedIndexes and completedIndexes overlap at index: 1'
    ]
    odd = with_status(old, completedIndexes="2-1")
    assert update_errors(RESOURCE, old, odd, "status") == [
        (
            'status.completedIndexes: Invalid value: "2-1": error parsing completedIndexes: non-increasing order, '
            "previous: 2, current: 1"
        )
    ]


def test_warnings() -> None:
    assert warnings(RESOURCE, job()) == []
    (text,) = warnings(RESOURCE, job(completionMode="Indexed", completions=100_001, parallelism=10_001))
    assert text.startswith("spec: In Indexed Jobs with a number of completions higher than 10^5")
