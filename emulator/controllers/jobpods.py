"""The pods of a Job: made from its template, counted as failed or not, and how long a failure makes it wait. Pure.

Source: pkg/controller/job/{job_controller,backoff_utils,indexed_job_utils,tracking_utils}.go.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from emulator.api.kinds import JOB, POD
from emulator.api.meta import JsonObject, annotations_of, condition_of, is_terminating, parse_time
from emulator.controllers.changes import Write
from emulator.controllers.jobindexes import INDEX, index_of, is_indexed
from emulator.controllers.jobpolicies import verdict
from emulator.controllers.owned import pod_of

FINALIZER = "batch.kubernetes.io/job-tracking"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 10.0, 600.0
MAX_POD_NAME = 63
RANDOM_LETTERS = 5  # that the server adds to generateName


def is_tracked(pod: Mapping[str, Any]) -> bool:
    """Whether the pod is still to be counted in the Job's status."""
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def untracked(pod: JsonObject) -> Write:
    """The pod without the finalizer that kept it until it was counted."""
    left = [entry for entry in pod["metadata"].get("finalizers") or () if entry != FINALIZER]
    return Write(POD, {**pod, "metadata": {**pod["metadata"], "finalizers": left}})


def tracked(pod: JsonObject) -> JsonObject:
    finalizers = pod["metadata"].get("finalizers") or []
    if FINALIZER in finalizers:
        return pod
    return {**pod, "metadata": {**pod["metadata"], "finalizers": [*finalizers, FINALIZER]}}


def phase_of(pod: Mapping[str, Any]) -> str:
    return (pod.get("status") or {}).get("phase") or "Pending"


def replaces_only_failed(job: Mapping[str, Any]) -> bool:
    """Whether a pod that is being deleted is waited for before there is another."""
    spec = job["spec"]
    return spec.get("podReplacementPolicy") == "Failed" or spec.get("podFailurePolicy") is not None


def is_failed(pod: Mapping[str, Any], job: Mapping[str, Any]) -> bool:
    """Failed; or deleted before it could succeed, unless only what has failed is replaced."""
    if phase_of(pod) == "Failed":
        return True
    return not replaces_only_failed(job) and is_terminating(pod) and phase_of(pod) != "Succeeded"


def restarts(pods: Iterable[Mapping[str, Any]]) -> int:
    """How often containers of pods that have not ended were started again."""
    return sum(
        int(entry.get("restartCount") or 0)
        for pod in pods
        if phase_of(pod) in ("Pending", "Running")
        for field in ("initContainerStatuses", "containerStatuses")
        for entry in (pod.get("status") or {}).get(field) or ()
    )


def finished_at(pod: Mapping[str, Any]) -> datetime:
    """When the last container ended; else when it stopped being ready, was deleted, or was made."""
    status = pod.get("status") or {}
    ends = [(entry.get("state") or {}).get("terminated") or {} for entry in status.get("containerStatuses") or ()]
    times = [ended["finishedAt"] for ended in ends if ended.get("finishedAt")]
    if times and len(times) == len(ends):
        return max(parse_time(time) for time in times)
    ready = condition_of(pod, "Ready")
    if ready is not None and ready["status"] == "False" and ready.get("lastTransitionTime"):
        return parse_time(ready["lastTransitionTime"])
    metadata = pod["metadata"]
    if metadata.get("deletionTimestamp"):
        grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
        return parse_time(metadata["deletionTimestamp"]) - grace
    return parse_time(metadata["creationTimestamp"])


def backoff_seconds(failures: int, last: datetime, at: datetime) -> float:
    """How long is still to be waited after so many failures in a row; 0 when no more."""
    if failures <= 0:
        return 0.0
    pause = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 20), MAX_BACKOFF_SECONDS)
    return max(pause - (at - last).total_seconds(), 0.0)


def wait_after_failures(job: Mapping[str, Any], pods: Iterable[JsonObject], at: datetime) -> float:
    """The wait that the failures since the last success ask for.

    Told from the pods that are there: what was deleted and is gone is not remembered.
    """
    failures, last = 0, at
    ended = [(finished_at(pod), pod) for pod in pods if phase_of(pod) == "Succeeded" or is_failed(pod, job)]
    for moment, pod in sorted(ended, key=lambda entry: entry[0]):
        failures, last = (0, last) if phase_of(pod) == "Succeeded" else (failures + 1, moment)
    return backoff_seconds(failures, last, at)


# -- indexes -----------------------------------------------------------------------------------------------------


def number(pod: Mapping[str, Any], annotation: str) -> int:
    text = annotations_of(pod).get(annotation, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def all_failures(pod: Mapping[str, Any]) -> int:
    """Failures of the index before this pod."""
    return number(pod, FAILURES) + number(pod, IGNORED_FAILURES)


def fails_index(job: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    """Whether this failed pod was the last that its index may have."""
    if not is_failed(pod, job):
        return False
    found = verdict(job, pod)
    return found.action == "FailIndex" or (
        found.counted and number(pod, FAILURES) >= job["spec"]["backoffLimitPerIndex"]
    )


def indexes_of(pods: Iterable[JsonObject], completions: int) -> set[int]:
    found = (index_of(pod) for pod in pods)
    return {index for index in found if index is not None and index < completions}


def last_failed(
    job: Mapping[str, Any], pods: Iterable[JsonObject], done: frozenset[int] | set[int]
) -> dict[int, JsonObject]:
    """By index, the latest failed pod of those that are not done: it hands its failure count on."""
    found: dict[int, JsonObject] = {}
    for pod in pods:
        index = index_of(pod)
        if index is None or index in done or not is_failed(pod, job):
            continue
        held = found.get(index)
        if held is None or (all_failures(held), finished_at(held)) <= (all_failures(pod), finished_at(pod)):
            found[index] = pod
    return found


# -- new pods ----------------------------------------------------------------------------------------------------


def new_pod(job: JsonObject, index: int | None = None, replaced: JsonObject | None = None) -> JsonObject:
    """A pod of the Job, for an index when it has those; replaced: the failed pod it comes after."""
    pod = tracked(pod_of(job["spec"]["template"], job, JOB))
    if index is None or not is_indexed(job):
        return pod
    name = job["metadata"]["name"]
    metadata, spec = pod["metadata"], copy.deepcopy(pod["spec"])
    annotations = {**(metadata.get("annotations") or {}), INDEX: str(index)}
    if job["spec"].get("backoffLimitPerIndex") is not None:
        annotations |= _failure_counts(job, replaced)
    pod["metadata"] = {
        **metadata,
        "generateName": _index_prefix(name, index),
        "annotations": annotations,
        "labels": {**(metadata.get("labels") or {}), INDEX: str(index)},
    }
    spec["hostname"] = f"{name}-{index}"
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            _add_index_variable(container)
    pod["spec"] = spec
    return pod


def _index_prefix(name: str, index: int) -> str:
    tail = f"-{index}-"
    return name[: MAX_POD_NAME - RANDOM_LETTERS - len(tail)] + tail


def _failure_counts(job: JsonObject, replaced: JsonObject | None) -> dict[str, str]:
    if replaced is None:
        return {FAILURES: "0"}
    counted = verdict(job, replaced).counted
    ignored = number(replaced, IGNORED_FAILURES) + (not counted)
    counts = {FAILURES: str(number(replaced, FAILURES) + counted)}
    return {**counts, IGNORED_FAILURES: str(ignored)} if ignored else counts


def _add_index_variable(container: JsonObject) -> None:
    held = container.get("env") or []
    if any(entry["name"] == INDEX_VARIABLE for entry in held):
        return
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    container["env"] = [*held, {"name": INDEX_VARIABLE, "valueFrom": source}]
