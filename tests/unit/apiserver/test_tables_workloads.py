"""Tables of the workload kinds: the cells of one object of each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from emulator.api import kinds
from emulator.api.meta import JsonObject
from emulator.apiserver.shapes import partial
from emulator.apiserver.tables import columns, row

AT = datetime(2026, 1, 1, 1, tzinfo=UTC)
TEMPLATE = {"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "i:2"}]}}
SELECTOR = {"matchLabels": {"app": "web"}}


def named(**fields: Any) -> JsonObject:
    return {"metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"}, **fields}


def cells(kind: kinds.Kind, object: JsonObject) -> list[Any]:
    found = row(kind, object, at=AT).cells
    assert len(found) == len(columns(kind))
    return found


def test_deployment() -> None:
    spec = {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE}
    status = {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}
    object = named(spec=spec, status=status)
    assert cells(kinds.DEPLOYMENT, object) == ["x", "1/3", 2, 1, "60m", "a,b", "i:1,i:2", "app=web"]
    assert cells(kinds.DEPLOYMENT, named(spec={"selector": {}}))[-1] == ""


def test_replica_set_and_controller() -> None:
    spec = {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE}
    object = named(spec=spec, status={"replicas": 2, "readyReplicas": 1})
    assert cells(kinds.REPLICA_SET, object) == ["x", 3, 2, 1, "60m", "a,b", "i:1,i:2", "app=web"]
    plain = named(spec={"replicas": 1, "selector": {"b": "2", "a": "1"}}, status={})
    assert cells(kinds.REPLICATION_CONTROLLER, plain) == ["x", 1, 0, 0, "60m", "", "", "a=1,b=2"]


def test_stateful_set() -> None:
    object = named(spec={"replicas": 2, "template": TEMPLATE}, status={"readyReplicas": 1})
    assert cells(kinds.STATEFUL_SET, object) == ["x", "1/2", "60m", "a,b", "i:1,i:2"]


def test_daemon_set() -> None:
    template = {"spec": {**TEMPLATE["spec"], "nodeSelector": {"ssd": "true"}}}
    status = {
        "desiredNumberScheduled": 5,
        "currentNumberScheduled": 4,
        "numberReady": 3,
        "updatedNumberScheduled": 2,
        "numberAvailable": 1,
    }
    object = named(spec={"selector": SELECTOR, "template": template}, status=status)
    assert cells(kinds.DAEMON_SET, object) == [
        "x",
        *(5, 4, 3, 2, 1),
        "ssd=true",
        "60m",
        "a,b",
        "i:1,i:2",
        "app=web",
    ]


def test_metadata_of_a_daemon_set_hides_the_template_generation() -> None:
    annotations = {"deprecated.daemonset.template.generation": "1"}
    object: JsonObject = {"kind": "DaemonSet", "metadata": {"name": "x", "annotations": annotations}}
    assert partial(object)["metadata"] == {"name": "x"}
    annotations["other"] = "1"
    assert partial(object)["metadata"]["annotations"] == {"other": "1"}
    assert partial({**object, "kind": "Pod"})["metadata"]["annotations"] == annotations


def test_controller_revision() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": True}
    object = named(revision=3)
    assert cells(kinds.CONTROLLER_REVISION, object) == ["x", "<none>", 3, "60m"]
    object["metadata"]["ownerReferences"] = [owner]
    assert cells(kinds.CONTROLLER_REVISION, object)[1] == "daemonset.apps/d"


def test_pod_disruption_budget() -> None:
    object = named(spec={"minAvailable": "50%"}, status={"disruptionsAllowed": 2})
    assert cells(kinds.POD_DISRUPTION_BUDGET, object) == ["x", "50%", "N/A", 2, "60m"]
    assert cells(kinds.POD_DISRUPTION_BUDGET, named(spec={"maxUnavailable": 0}))[1:3] == ["N/A", "0"]


def job(status: JsonObject, **spec: Any) -> JsonObject:
    return named(spec={"selector": SELECTOR, "template": TEMPLATE, **spec}, status=status)


def condition(*types: str) -> JsonObject:
    return {"conditions": [{"type": type, "status": "True"} for type in types]}


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({}, "Running"),
        (condition("Suspended"), "Suspended"),
        (condition("FailureTarget"), "FailureTarget"),
        (condition("FailureTarget", "Failed"), "Failed"),
        (condition("SuccessCriteriaMet"), "SuccessCriteriaMet"),
        (condition("SuccessCriteriaMet", "Complete"), "Complete"),
    ],
)
def test_status_of_a_job(status: JsonObject, wanted: str) -> None:
    assert cells(kinds.JOB, job(status))[1] == wanted


@pytest.mark.parametrize(
    ("spec", "status", "wanted"),
    [
        ({"completions": 3, "parallelism": 2}, {"succeeded": 1}, "1/3"),
        ({"parallelism": 1}, {}, "0/1"),
        ({"parallelism": 4}, {"succeeded": 2}, "2/1 of 4"),
    ],
)
def test_completions_of_a_job(spec: JsonObject, status: JsonObject, wanted: str) -> None:
    assert cells(kinds.JOB, job(status, **spec))[2] == wanted


def test_duration_of_a_job() -> None:
    started = {"startTime": "2026-01-01T00:59:00Z"}
    assert cells(kinds.JOB, job({}))[3] == ""
    assert cells(kinds.JOB, job(started))[3:] == ["60s", "60m", "a,b", "i:1,i:2", "app=web"]
    assert cells(kinds.JOB, job({**started, "completionTime": "2026-01-01T00:59:05Z"}))[3] == "5s"
    going = job({})
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert cells(kinds.JOB, going)[1] == "Terminating"


def test_cron_job() -> None:
    spec = {"schedule": "@daily", "suspend": False, "jobTemplate": {"spec": {"template": TEMPLATE}}}
    wanted = ["x", "@daily", "<none>", "False", 0, "<none>", "60m", "a,b", "i:1,i:2", "<none>"]
    assert cells(kinds.CRON_JOB, named(spec=spec)) == wanted
    status = {"active": [{}], "lastScheduleTime": "2026-01-01T00:59:30Z"}
    object = named(spec={**spec, "timeZone": "UTC", "suspend": True}, status=status)
    assert cells(kinds.CRON_JOB, object)[2:6] == ["UTC", "True", 1, "30s"]


def metric(type: str, part: str, target: JsonObject, **source: Any) -> JsonObject:
    return {"type": type, part: {**source, "target": target}}


CPU = metric("Resource", "resource", {"averageUtilization": 50}, name="cpu")


@pytest.mark.parametrize(
    ("metrics", "current", "wanted"),
    [
        ([], [], "<none>"),
        ([CPU], [], "cpu: <unknown>/50%"),
        ([CPU], [{"resource": {"current": {"averageUtilization": 10}}}], "cpu: 10%/50%"),
        ([metric("Resource", "resource", {"averageValue": "1Gi"}, name="memory")], [], "memory: <unknown>/1Gi"),
        (
            [metric("Pods", "pods", {"averageValue": "5"})],
            [{"pods": {"current": {"averageValue": "3"}}}],
            "3/5",
        ),
        ([metric("External", "external", {"averageValue": "5"})], [], "<unknown>/5 (avg)"),
        ([metric("Object", "object", {"value": "5"})], [], "<unknown>/5"),
        ([CPU, CPU, CPU], [], "cpu: <unknown>/50%, cpu: <unknown>/50% + 1 more..."),
        ([{"type": "Magic"}], [], "<unknown type>"),
    ],
)
def test_metrics_of_an_autoscaler(metrics: list[JsonObject], current: list[JsonObject], wanted: str) -> None:
    target = {"kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3, "metrics": metrics}
    object = named(spec=spec, status={"currentReplicas": 2, "currentMetrics": current})
    assert cells(kinds.HORIZONTAL_POD_AUTOSCALER, object) == ["x", "Deployment/web", wanted, "1", 3, 2, "60m"]


def test_scale() -> None:
    object = named(spec={"replicas": 3}, status={"replicas": 2})
    assert cells(kinds.SCALE_KIND, object) == ["x", 3, 2, "60m"]
    assert [column["name"] for column in columns(kinds.SCALE_KIND)] == ["Name", "Desired", "Available", "Age"]
