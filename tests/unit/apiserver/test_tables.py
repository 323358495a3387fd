"""Tables: columns, and the cells of one object of each kind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from emulator.api import kinds
from emulator.api.meta import JsonObject
from emulator.apiserver.tables import columns, human_duration, row

AT = datetime(2026, 1, 1, 1, tzinfo=UTC)


def named(**fields: Any) -> JsonObject:
    return {"metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"}, **fields}


def cells(kind: kinds.Kind, object: JsonObject) -> list[Any]:
    found = row(kind, object, at=AT).cells
    assert len(found) == len(columns(kind))
    return found


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (50 * 3600, "2d2h"),
        (8 * 86400, "8d"),
        (729 * 86400, "729d"),
        (730 * 86400, "2y"),
        (731 * 86400, "2y1d"),
        (3000 * 86400, "8y"),
    ],
)
def test_human_duration(seconds: float, wanted: str) -> None:
    assert human_duration(seconds) == wanted


def test_columns_carry_all_that_kubectl_reads() -> None:
    first, *_, last = columns(kinds.SERVICE)
    assert {key: first[key] for key in ("name", "type", "format", "priority")} == {
        "name": "Name",
        "type": "string",
        "format": "name",
        "priority": 0,
    }
    assert (last["name"], last["priority"]) == ("Selector", 1)


PORTS = [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]


@pytest.mark.parametrize(
    ("spec", "status", "wanted"),
    [
        (
            {"type": "ClusterIP", "clusterIPs": ["10.0.0.1"], "ports": PORTS},
            {},
            ["10.0.0.1", "<none>", "80:30080/TCP,53/UDP"],
        ),
        ({"type": "ClusterIP", "clusterIPs": ["None"]}, {}, ["None", "<none>", "<none>"]),
        ({"type": "LoadBalancer"}, {}, ["<none>", "<pending>", "<none>"]),
        (
            {"type": "LoadBalancer", "externalIPs": ["9.9.9.9"]},
            {"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}, {"hostname": "1.example.com"}]}},
            ["<none>", "1.example.com,2.2.2.2,9.9.9.9", "<none>"],
        ),
        ({"type": "ExternalName", "externalName": "a.b"}, {}, ["<none>", "a.b", "<none>"]),
    ],
)
def test_service(spec: JsonObject, status: JsonObject, wanted: list[str]) -> None:
    found = cells(kinds.SERVICE, named(spec={**spec, "selector": {"b": "2", "a": "1"}}, status=status))
    assert found == ["x", spec["type"], *wanted, "60m", "a=1,b=2"]


def test_endpoints() -> None:
    assert cells(kinds.ENDPOINTS, named()) == ["x", "<none>", "60m"]
    ready = {"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "ports": [{"port": 80}, {"port": 81}]}
    assert cells(kinds.ENDPOINTS, named(subsets=[ready]))[1] == "10.0.0.1:80,[fd00::1]:80,10.0.0.1:81 + 1 more..."
    unready = {"notReadyAddresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}
    assert cells(kinds.ENDPOINTS, named(subsets=[unready]))[1] == ""
    assert cells(kinds.ENDPOINTS, named(subsets=[{"addresses": [{"ip": "10.0.0.1"}]}]))[1] == "10.0.0.1"


def test_endpoint_slice() -> None:
    empty = named(addressType="IPv4", endpoints=None, ports=None)
    assert cells(kinds.ENDPOINT_SLICE, empty) == ["x", "IPv4", "<unset>", "<unset>", "60m"]
    full = named(
        addressType="IPv4",
        endpoints=[{"addresses": [f"10.0.0.{number}"]} for number in range(5)],
        ports=[{"port": 80}, {"name": "web"}, {}],
    )
    assert cells(kinds.ENDPOINT_SLICE, full)[2:4] == ["80,web,*", "10.0.0.0,10.0.0.1,10.0.0.2 + 2 more..."]


def container(**state: Any) -> JsonObject:
    return {"name": "c", **state}


RUNNING: JsonObject = {"running": {}}


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({"phase": "Pending"}, ["0/1", "Pending", "0"]),
        (
            {"phase": "Pending", "containerStatuses": [container(state={"waiting": {"reason": "ContainerCreating"}})]},
            ["0/1", "ContainerCreating", "0"],
        ),
        (
            {"phase": "Running", "containerStatuses": [container(ready=True, state=RUNNING, restartCount=2)]},
            ["1/1", "Running", "2"],
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [
                    container(
                        ready=True,
                        state=RUNNING,
                        restartCount=2,
                        lastState={"terminated": {"finishedAt": "2026-01-01T00:55:00Z"}},
                    )
                ],
            },
            ["1/1", "Running", "2 (5m ago)"],
        ),
        (
            {"phase": "Succeeded", "containerStatuses": [container(state={"terminated": {"reason": "Completed"}})]},
            ["0/1", "Completed", "0"],
        ),
        (
            {"phase": "Failed", "containerStatuses": [container(state={"terminated": {"exitCode": 3}})]},
            ["0/1", "ExitCode:3", "0"],
        ),
        (
            {"phase": "Failed", "containerStatuses": [container(state={"terminated": {"signal": 9, "exitCode": 137}})]},
            ["0/1", "Signal:9", "0"],
        ),
        ({"phase": "Failed", "reason": "Evicted"}, ["0/1", "Evicted", "0"]),
    ],
)
def test_pod(status: JsonObject, wanted: list[str]) -> None:
    pod = named(spec={"containers": [{"name": "c"}]}, status=status)
    assert cells(kinds.POD, pod) == ["x", *wanted, "60m", "<none>", "<none>", "<none>", "<none>"]


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ({"name": "i", "state": RUNNING}, "Init:0/2"),
        ({"name": "i", "state": {"waiting": {"reason": "ErrImagePull"}}}, "Init:ErrImagePull"),
        ({"name": "i", "state": {"waiting": {"reason": "PodInitializing"}}}, "Init:0/2"),
        ({"name": "i", "state": {"terminated": {"exitCode": 1}}}, "Init:ExitCode:1"),
    ],
)
def test_pod_that_initialises(entry: JsonObject, wanted: str) -> None:
    spec = {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}, {"name": "j"}]}
    pod = named(spec=spec, status={"phase": "Pending", "initContainerStatuses": [entry]})
    assert cells(kinds.POD, pod)[2] == wanted


def test_sidecars_count() -> None:
    spec = {"containers": [{"name": "c"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]}
    status = {
        "phase": "Running",
        "podIP": "10.1.0.2",
        "initContainerStatuses": [{"name": "s", "started": True, "ready": True, "state": RUNNING, "restartCount": 1}],
        "containerStatuses": [container(ready=True, state=RUNNING)],
    }
    assert cells(kinds.POD, named(spec=spec, status=status))[1:4] == ["2/2", "Running", "1"]


def test_a_pod_that_goes_and_one_that_has_gone() -> None:
    pod = named(spec={"containers": [{}]}, status={"phase": "Running"})
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:30:00Z"
    assert cells(kinds.POD, pod)[2] == "Terminating"
    pod["status"]["phase"] = "Succeeded"
    assert row(kinds.POD, pod, at=AT).conditions == [
        {
            "type": "Completed",
            "status": "True",
            "reason": "Succeeded",
            "message": "The pod has completed successfully.",
        }
    ]


def test_readiness_gates() -> None:
    spec = {"containers": [{}], "readinessGates": [{"conditionType": "a"}, {"conditionType": "b"}]}
    status = {"phase": "Running", "conditions": [{"type": "a", "status": "True"}]}
    assert cells(kinds.POD, named(spec=spec, status=status))[-1] == "1/2"


def test_node() -> None:
    node = named(
        spec={"unschedulable": True},
        status={
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.36.0", "kernelVersion": "6.1", "architecture": "amd64"},
        },
    )
    node["metadata"]["labels"] = {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "edge"}
    assert cells(kinds.NODE, node) == [
        "x",
        "Ready,SchedulingDisabled",
        "edge,worker",
        "60m",
        "v1.36.0",
        "10.0.0.1",
        "<none>",
        "<unknown>",
        "6.1 (amd64)",
        "<unknown>",
    ]
    assert cells(kinds.NODE, named())[1:3] == ["Unknown", "<none>"]


def test_event() -> None:
    event = named(
        involvedObject={"kind": "Pod", "name": "p"},
        type="Normal",
        reason="Pulled",
        message=" done ",
        source={"component": "kubelet", "host": "node-1"},
        firstTimestamp="2026-01-01T00:00:00Z",
        lastTimestamp="2026-01-01T00:59:00Z",
    )
    assert cells(kinds.EVENT, event) == [
        "60s",
        "Normal",
        "Pulled",
        "pod/p",
        "",
        "kubelet, node-1",
        "done",
        "60m",
        1,
        "x",
    ]
    event["series"] = {"count": 7, "lastObservedTime": "2026-01-01T00:59:30.000000Z"}
    assert (cells(kinds.EVENT, event)[0], cells(kinds.EVENT, event)[8]) == ("30s", 7)


def test_the_rest() -> None:
    assert cells(kinds.NAMESPACE, named(status={"phase": "Active"})) == ["x", "Active", "60m"]
    assert cells(kinds.CONFIG_MAP, named(data={"a": ""}, binaryData={"b": ""})) == ["x", 2, "60m"]
    assert cells(kinds.SECRET, named(type="Opaque", data={"a": ""})) == ["x", "Opaque", 1, "60m"]
    assert cells(kinds.SERVICE_ACCOUNT, named()) == ["x", "60m"]
    assert cells(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "x"}}) == ["x", "<unknown>"]
