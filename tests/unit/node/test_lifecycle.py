from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from emulator.node import lifecycle
from emulator.node.lifecycle import Container, ContainerState, Observed, Running, Terminated, Waiting, pod_status

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = AT + timedelta(seconds=9)
RUNNING = Running(AT)
DONE = Terminated(0, "Completed", AT, AT)
BROKEN = Terminated(3, "Error", AT, AT)


def pod(status: dict[str, Any] | None = None, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "p", "namespace": "default", "uid": "u", "generation": 1, "annotations": annotations or {}}
    return {"metadata": metadata, "spec": spec, "status": status or {"phase": "Pending", "qosClass": "BestEffort"}}


def one(state: ContainerState, *, ready: bool = False, role: lifecycle.Role = "container", **more: Any) -> Container:
    return Container("c", "nginx", role, state, ready=ready, **more)


def observed(*containers: Container, **more: Any) -> Observed:
    return Observed(containers, "10.0.0.1", ("10.1.0.3",), AT, **more)


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: each["status"] for each in status["conditions"]}


def test_a_running_pod_is_ready_and_its_status_settles() -> None:
    status = pod_status(pod(), observed(one(RUNNING, ready=True, started=True)), at=AT)
    assert status["phase"] == "Running"
    assert list(conditions(status)) == list(lifecycle.OWN_CONDITIONS)
    assert set(conditions(status).values()) == {"True"}
    assert status["qosClass"] == "BestEffort"
    assert status["podIPs"] == [{"ip": "10.1.0.3"}]
    assert status["startTime"] == "2026-01-02T03:04:05Z"
    assert pod_status(pod(status), observed(one(RUNNING, ready=True, started=True)), at=LATER) == status


def test_an_unready_container_is_named() -> None:
    status = pod_status(pod(), observed(one(RUNNING)), at=AT)
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
    assert ready["message"] == "containers with unready status: [c]"


def test_transition_times_change_only_with_the_status() -> None:
    before = pod_status(pod(), observed(one(RUNNING)), at=AT)
    after = pod_status(pod(before), observed(one(RUNNING, ready=True)), at=LATER)
    times = {each["type"]: each["lastTransitionTime"] for each in after["conditions"]}
    assert times["Ready"] == "2026-01-02T03:04:14Z"
    assert times["Initialized"] == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    ("policy", "states", "phase"),
    [
        ("Always", [RUNNING], "Running"),
        ("Always", [Waiting("ContainerCreating")], "Pending"),
        ("Always", [RUNNING, Waiting("ContainerCreating")], "Pending"),
        ("Always", [DONE], "Running"),
        ("Never", [DONE], "Succeeded"),
        ("Never", [DONE, BROKEN], "Failed"),
        ("Never", [RUNNING, BROKEN], "Running"),
        ("OnFailure", [DONE], "Succeeded"),
        ("OnFailure", [BROKEN], "Running"),
    ],
)
def test_phase(policy: str, states: list[ContainerState], phase: str) -> None:
    status = pod_status(pod(restartPolicy=policy), observed(*(one(state) for state in states)), at=AT)
    assert status["phase"] == phase


def test_a_container_waiting_for_its_restart_keeps_the_pod_running() -> None:
    waiting = one(Waiting("CrashLoopBackOff"), last=BROKEN, restart_count=1)
    status = pod_status(pod(), observed(waiting), at=AT)
    assert status["phase"] == "Running"
    assert status["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 3


def test_a_finished_pod_is_not_ready_because_it_completed() -> None:
    status = pod_status(pod(restartPolicy="Never"), observed(one(DONE)), at=AT)
    reasons = {each["type"]: (each["status"], each.get("reason")) for each in status["conditions"]}
    assert reasons["Ready"] == reasons["ContainersReady"] == ("False", "PodCompleted")
    assert reasons["Initialized"] == ("True", "PodCompleted")
    assert reasons["PodReadyToStartContainers"][0] == "False"


def test_init_containers_hold_the_pod_back() -> None:
    init = Container("setup", "busybox", "init", BROKEN)
    held = observed(init, one(Waiting("PodInitializing")))
    assert pod_status(pod(), held, at=AT)["phase"] == "Pending"
    assert pod_status(pod(restartPolicy="Never"), held, at=AT)["phase"] == "Failed"
    condition = next(each for each in pod_status(pod(), held, at=AT)["conditions"] if each["type"] == "Initialized")
    assert condition["message"] == "containers with incomplete status: [setup]"


def test_readiness_gates_and_foreign_conditions() -> None:
    gates = [{"conditionType": "example.com/a"}]
    running = observed(one(RUNNING, ready=True))
    status = pod_status(pod(readinessGates=gates), running, at=AT)
    assert conditions(status)["Ready"] == "False"
    assert conditions(status)["ContainersReady"] == "True"
    status["conditions"].append({"type": "example.com/a", "status": "True"})
    again = pod_status(pod(status, readinessGates=gates), running, at=LATER)
    assert conditions(again)["Ready"] == conditions(again)["example.com/a"] == "True"


def test_a_pod_the_node_failed() -> None:
    status = pod_status(pod(), observed(one(BROKEN), failure=("DeadlineExceeded", "too long")), at=AT)
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "DeadlineExceeded", "too long")


def test_steering_by_annotations() -> None:
    assert lifecycle.steered_ready(pod(), 0.0) == (True, None)
    assert lifecycle.steered_ready(pod(annotations={"kubemu.dev/ready": "false"}), 99.0) == (False, None)
    slow = pod(annotations={"kubemu.dev/ready-after-seconds": "2.5"})
    assert lifecycle.steered_ready(slow, 1.0) == (False, 1.5)
    assert lifecycle.steered_ready(slow, 2.5) == (True, None)
    assert lifecycle.steered_ready(pod(annotations={"kubemu.dev/ready-after-seconds": "soon"}), 0.0) == (True, None)


def test_only_pods_of_jobs_and_annotated_ones_end_by_themselves() -> None:
    of_job = pod()
    of_job["metadata"]["ownerReferences"] = [{"kind": "Job", "controller": True}]
    assert lifecycle.run_seconds(pod()) is None
    assert lifecycle.run_seconds(of_job) == 0.1
    assert lifecycle.run_seconds(pod(annotations={"kubemu.dev/run-seconds": "3"})) == 3.0
    assert lifecycle.exit_code(pod(annotations={"kubemu.dev/exit-code": "7"})) == 7


def test_a_container_may_have_annotations_of_its_own() -> None:
    steered = pod(
        annotations={"kubemu.dev/exit-code": "1", "kubemu.dev/exit-code.web": "2", "kubemu.dev/run-seconds": "5"}
    )
    assert (lifecycle.exit_code(steered, "web"), lifecycle.exit_code(steered, "other")) == (2, 1)
    assert lifecycle.run_seconds(steered, "web") == 5.0
    assert lifecycle.init_run(steered, "setup") == (0.0, 0)
    init = pod(annotations={"kubemu.dev/exit-code.setup": "3", "kubemu.dev/run-seconds.setup": "0.5"})
    assert lifecycle.init_run(init, "setup") == (0.5, 3)


LOG = [b"one\n", b"two\n"]
SAID = [
    ("nothing", {}, {}, 1, ""),
    ("the annotation", {"kubemu.dev/termination-message": "bye"}, {}, 0, "bye"),
    ("its own", {"kubemu.dev/termination-message": "bye", "kubemu.dev/termination-message.web": "ciao"}, {}, 0, "ciao"),
    ("the log of a failure", {}, {"terminationMessagePolicy": "FallbackToLogsOnError"}, 1, "one\ntwo\n"),
    ("no log of a success", {}, {"terminationMessagePolicy": "FallbackToLogsOnError"}, 0, ""),
    ("a file that nobody wrote", {}, {"terminationMessagePolicy": "File"}, 1, ""),
]


@pytest.mark.parametrize(("annotations", "fields", "code", "said"), [c[1:] for c in SAID], ids=[c[0] for c in SAID])
def test_termination_messages(annotations: dict[str, str], fields: dict[str, Any], code: int, said: str) -> None:
    container = {"name": "web", **fields}
    assert lifecycle.termination_message(pod(annotations=annotations), container, code, LOG) == said


def test_the_end_of_a_long_log() -> None:
    container = {"name": "web", "terminationMessagePolicy": "FallbackToLogsOnError"}
    many = [f"{number:04}\n".encode() for number in range(1000)]
    assert lifecycle.termination_message(pod(), container, 1, many).splitlines()[0] == "0920"
    assert len(lifecycle.termination_message(pod(), container, 1, [b"x" * 5000])) == 2048


def test_what_a_running_container_is_granted() -> None:
    mounts = [{"name": "data", "mountPath": "/data"}, {"name": "keys", "mountPath": "/keys", "readOnly": True}]
    resources = {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}}
    spec = [{"name": "c", "image": "i", "resources": resources, "volumeMounts": mounts}]
    (status,) = pod_status(pod(containers=spec), observed(one(RUNNING)), at=AT)["containerStatuses"]
    assert status["resources"] == resources
    assert status["allocatedResources"] == {"cpu": "100m"}
    assert status["volumeMounts"][1] == {
        "name": "keys",
        "mountPath": "/keys",
        "readOnly": True,
        "recursiveReadOnly": "Disabled",
    }
    (waiting,) = pod_status(pod(containers=spec), observed(one(Waiting("x"))), at=AT)["containerStatuses"]
    assert "resources" not in waiting
