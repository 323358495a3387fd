"""A pod's status worked out from its containers' states: phase, conditions, containerStatuses. Pure.

It must never decide when a container starts, stops or restarts; that is io/kubelet.py's, with the help of restarts.py.
Source: kubernetes pkg/kubelet/status/generate.go, pkg/kubelet/kubelet_pods.go (getPhase), pkg/kubelet/container.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, assert_never

from emulator.api.meta import JsonObject, annotations_of, format_time

READY_ANNOTATION = "kubemu.dev/ready"
READY_AFTER_ANNOTATION = "kubemu.dev/ready-after-seconds"
RUN_SECONDS_ANNOTATION = "kubemu.dev/run-seconds"
EXIT_CODE_ANNOTATION = "kubemu.dev/exit-code"
MESSAGE_ANNOTATION = "kubemu.dev/termination-message"
DEFAULT_RUN_SECONDS = 0.1
MAX_MESSAGE_CHARS = 4096  # the kubelet's limits of termination messages
MAX_LOG_LINES, MAX_LOG_BYTES = 80, 2048

OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
Role = Literal["container", "init", "sidecar"]


@dataclass(frozen=True, slots=True)
class Waiting:
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Terminated:
    exit_code: int
    reason: str
    started_at: datetime
    finished_at: datetime
    message: str = ""


ContainerState = Waiting | Running | Terminated


@dataclass(frozen=True, slots=True)
class Container:
    """One container as it stands: `started` once its startup probe passed, `ready` as its probes and steering say."""

    name: str
    image: str
    role: Role
    state: ContainerState
    last: Terminated | None = None
    restart_count: int = 0
    started: bool = False
    ready: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """What the node knows of one pod. `failure` is (reason, message) of a pod the node itself ended."""

    containers: tuple[Container, ...]
    host_ip: str
    pod_ips: tuple[str, ...] = ()
    started_at: datetime | None = None
    failure: tuple[str, str] | None = None


def pod_status(pod: JsonObject, observed: Observed, *, at: datetime, phase: str = "") -> JsonObject:
    """The whole status to write; what the node does not own (other conditions, qosClass, ...) is kept.

    phase: overrides the one that follows from the containers, for a pod that is ended from outside.
    Settled state gives the very status the pod already has.
    """
    old: Mapping[str, Any] = pod.get("status") or {}
    phase = phase or ("Failed" if observed.failure else pod_phase(pod, observed))
    status: JsonObject = {key: value for key, value in old.items() if key not in ("reason", "message")}
    if generation := pod["metadata"].get("generation"):
        status["observedGeneration"] = generation
    status["phase"] = phase
    if observed.failure:
        status["reason"], status["message"] = observed.failure
    status["conditions"] = _conditions(pod, observed, phase, at)
    status["hostIP"] = observed.host_ip
    status["hostIPs"] = [{"ip": observed.host_ip}]
    if observed.pod_ips:
        status["podIP"] = observed.pod_ips[0]
        status["podIPs"] = [{"ip": ip} for ip in observed.pod_ips]
    if observed.started_at is not None:
        status.setdefault("startTime", format_time(observed.started_at))
    for field, roles in (("initContainerStatuses", ("init", "sidecar")), ("containerStatuses", ("container",))):
        listed = [_container_status(pod, each) for each in observed.containers if each.role in roles]
        if listed:
            status[field] = listed
    return status


def pod_phase(pod: Mapping[str, Any], observed: Observed) -> str:
    """Pending, Running, Succeeded or Failed, by the regular containers once the init containers are through."""
    restart_policy = restart_policy_of(pod)
    inits = [each for each in observed.containers if each.role == "init"]
    regular = [each for each in observed.containers if each.role == "container"]
    if restart_policy == "Never" and any(_ended(each) not in (None, 0) for each in inits):
        return "Failed"
    waiting = [each for each in regular if isinstance(each.state, Waiting) and each.last is None]
    running = [each for each in regular if isinstance(each.state, Running)]
    if not regular or waiting or (not running and not all(_initialized(each) for each in observed.containers)):
        return "Pending"
    if running or restart_policy == "Always":
        return "Running"
    if all(_ended(each) == 0 for each in regular):
        return "Succeeded"
    return "Failed" if restart_policy == "Never" else "Running"


def final_phase(observed: Observed) -> str:
    """The phase of a pod whose containers have all been stopped for good."""
    ended = [_ended(each) for each in observed.containers if each.role == "container"]
    return "Succeeded" if ended and all(code == 0 for code in ended) else "Failed"


def restart_policy_of(pod: Mapping[str, Any]) -> str:
    return (pod.get("spec") or {}).get("restartPolicy") or "Always"


def is_finished(pod: Mapping[str, Any]) -> bool:
    """Whether the pod reached a phase it never leaves."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def steered_ready(pod: JsonObject, running_seconds: float) -> tuple[bool, float | None]:
    """Whether the annotations let a container be ready, and in how many seconds that may change by itself."""
    annotations = annotations_of(pod)
    if annotations.get(READY_ANNOTATION, "true").strip().lower() == "false":
        return False, None
    wait = _seconds(annotations.get(READY_AFTER_ANNOTATION), 0.0) - running_seconds
    return (True, None) if wait <= 0 else (False, wait)


def run_seconds(pod: JsonObject, container: str = "") -> float | None:
    """How long a simulated container runs before it ends by itself; None for ever.

    Pods of Jobs end; any other pod only when an annotation says so.
    """
    annotations = _for_container(pod, container)
    owners = pod["metadata"].get("ownerReferences") or ()
    of_job = any(owner.get("kind") == "Job" and owner.get("controller") for owner in owners)
    if not of_job and RUN_SECONDS_ANNOTATION not in annotations and EXIT_CODE_ANNOTATION not in annotations:
        return None
    return _seconds(annotations.get(RUN_SECONDS_ANNOTATION), DEFAULT_RUN_SECONDS)


def exit_code(pod: JsonObject, container: str = "") -> int:
    """The exit code a simulated container ends with."""
    text = _for_container(pod, container).get(EXIT_CODE_ANNOTATION, "0").strip()
    return int(text) % 256 if text.isdigit() else 0


def init_run(pod: JsonObject, container: str) -> tuple[float, int]:
    """For how many seconds a simulated init container runs, and how it ends: at once and well, unless annotations of
    its own (`kubemu.dev/exit-code.NAME`) say otherwise."""
    own = {name: value for name, value in annotations_of(pod).items() if name.endswith(f".{container}")}
    code = own.get(f"{EXIT_CODE_ANNOTATION}.{container}", "0").strip()
    return _seconds(own.get(f"{RUN_SECONDS_ANNOTATION}.{container}"), 0.0), int(code) % 256 if code.isdigit() else 0


def termination_message(pod: JsonObject, container: Mapping[str, Any], code: int, log: Sequence[bytes]) -> str:
    """What the container says at its end: the annotation's text, or the end of its log where the policy asks for it."""
    given = _for_container(pod, container["name"]).get(MESSAGE_ANNOTATION, "")
    if given or not code or container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
        return given[:MAX_MESSAGE_CHARS]
    text = b"".join(log[-MAX_LOG_LINES:])[-MAX_LOG_BYTES:]
    return text.decode("utf-8", "replace")


def _for_container(pod: JsonObject, container: str) -> Mapping[str, str]:
    """The annotations; one that ends in `.NAME` of the container stands before the one for all."""
    annotations = annotations_of(pod)
    suffix = f".{container}"
    if not container or not any(name.endswith(suffix) for name in annotations):
        return annotations
    own = {name.removesuffix(suffix): value for name, value in annotations.items() if name.endswith(suffix)}
    return {**annotations, **own}


def ended_with(code: int, *, started_at: datetime, finished_at: datetime, message: str = "") -> Terminated:
    return Terminated(code, "Completed" if code == 0 else "Error", started_at, finished_at, message)


def container_id(pod_uid: str, name: str, restart_count: int) -> str:
    """A stable ID for one run of a container, in the shape clients expect."""
    return "kubemu://" + hashlib.sha256(f"{pod_uid}/{name}/{restart_count}".encode()).hexdigest()


def _seconds(text: str | None, default: float) -> float:
    try:
        return max(0.0, min(float(text), 1e9)) if text is not None else default
    except ValueError:
        return default


def _ended(container: Container) -> int | None:
    """The exit code of a container that is not running: of this run, or of the one before while it waits."""
    match container.state:
        case Terminated(exit_code=code):
            return code
        case Waiting():
            return container.last.exit_code if container.last else None
        case Running():
            return None
        case other:
            assert_never(other)


def _initialized(container: Container) -> bool:
    if container.role == "init":
        return isinstance(container.state, Terminated) and container.state.exit_code == 0
    return container.role == "container" or container.started or isinstance(container.state, Terminated)


def _conditions(pod: JsonObject, observed: Observed, phase: str, at: datetime) -> list[JsonObject]:
    old = {each["type"]: each for each in (pod.get("status") or {}).get("conditions") or ()}
    terminal = phase in ("Succeeded", "Failed")
    containers_ready = _containers_ready(observed, phase)
    wanted = {
        "PodReadyToStartContainers": ("True" if observed.pod_ips and not terminal else "False", "", ""),
        "Initialized": _initialized_condition(observed, phase),
        "Ready": _ready(pod, old, containers_ready),
        "ContainersReady": containers_ready,
        "PodScheduled": ("True", "", ""),
    }
    generation = pod["metadata"].get("generation")
    others = [each for type, each in old.items() if type not in wanted]
    return others + [_condition(type, wanted[type], old.get(type), generation, at) for type in OWN_CONDITIONS]


def _condition(
    type: str, wanted: tuple[str, str, str], old: Mapping[str, Any] | None, generation: int | None, at: datetime
) -> JsonObject:
    status, reason, message = wanted
    since = old.get("lastTransitionTime") if old and old.get("status") == status else None
    condition: JsonObject = {
        "type": type,
        **({"observedGeneration": generation} if generation else {}),
        "status": status,
        "lastProbeTime": None,
        "lastTransitionTime": since or format_time(at),
    }
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def _containers_ready(observed: Observed, phase: str) -> tuple[str, str, str]:
    if phase == "Succeeded":
        return "False", "PodCompleted", ""
    if phase == "Failed":
        return "False", "PodFailed", ""
    unready = [each.name for each in observed.containers if each.role != "init" and not each.ready]
    if unready:
        return "False", "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return "True", "", ""


def _ready(
    pod: JsonObject, conditions: Mapping[str, Mapping[str, Any]], containers_ready: tuple[str, str, str]
) -> tuple[str, str, str]:
    if containers_ready[0] != "True":
        return containers_ready
    missing = []
    for gate in (pod.get("spec") or {}).get("readinessGates") or ():
        type = gate["conditionType"]
        if type not in conditions:
            missing.append(f'corresponding condition of pod readiness gate "{type}" does not exist.')
        elif conditions[type].get("status") != "True":
            status = conditions[type].get("status")
            missing.append(f'the status of pod readiness gate "{type}" is not "True", but {status}')
    return ("False", "ReadinessGatesNotReady", ", ".join(missing)) if missing else ("True", "", "")


def _initialized_condition(observed: Observed, phase: str) -> tuple[str, str, str]:
    if phase == "Succeeded":
        return "True", "PodCompleted", ""
    incomplete = [each.name for each in observed.containers if not _initialized(each)]
    if incomplete:
        return "False", "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(incomplete)}]"
    return "True", "", ""


def _container_status(pod: JsonObject, container: Container) -> JsonObject:
    uid = pod["metadata"].get("uid") or ""
    waiting_first = isinstance(container.state, Waiting) and container.last is None
    identity = "" if waiting_first else container_id(uid, container.name, container.restart_count)
    return {
        "name": container.name,
        "state": _state(container.state, uid, container),
        "lastState": _state(container.last, uid, container) if container.last else {},
        "ready": container.ready,
        "restartCount": container.restart_count,
        "image": container.image,
        "imageID": "" if waiting_first else _image_id(container.image),
        **({"containerID": identity} if identity else {}),
        "started": container.started,
        **_granted(pod, container),
    }


def _granted(pod: JsonObject, container: Container) -> JsonObject:
    """The resources and mounts a running container has: what its manifest asks for now."""
    spec = pod.get("spec") or {}
    listed = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    manifest: Mapping[str, Any] = next((each for each in listed if each.get("name") == container.name), {})
    mounts = [_mount(each) for each in manifest.get("volumeMounts") or ()]
    granted: JsonObject = {"volumeMounts": mounts} if mounts else {}
    if isinstance(container.state, Running):
        resources = manifest.get("resources") or {}
        granted["resources"] = {name: resources[name] for name in ("limits", "requests") if resources.get(name)}
        if resources.get("requests"):
            granted["allocatedResources"] = resources["requests"]
    return granted


def _mount(mount: Mapping[str, Any]) -> JsonObject:
    read_only = {"readOnly": True, "recursiveReadOnly": "Disabled"} if mount.get("readOnly") else {}
    return {"name": mount["name"], "mountPath": mount["mountPath"], **read_only}


def _image_id(image: str) -> str:
    return f"{image.partition('@')[0]}@sha256:{hashlib.sha256(image.encode()).hexdigest()}"


def _state(state: ContainerState, uid: str, container: Container) -> JsonObject:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        case Running(started_at):
            return {"running": {"startedAt": format_time(started_at)}}
        case Terminated():
            before = state is container.last and isinstance(container.state, Running)
            run = container.restart_count - (1 if before else 0)
            return {
                "terminated": {
                    "exitCode": state.exit_code,
                    "reason": state.reason,
                    **({"message": state.message} if state.message else {}),
                    "startedAt": format_time(state.started_at),
                    "finishedAt": format_time(state.finished_at),
                    "containerID": container_id(uid, container.name, run),
                }
            }
        case other:
            assert_never(other)


def declared_containers(pod: JsonObject) -> Sequence[tuple[Role, JsonObject]]:
    """The containers of a pod in the order in which they start, with what each is."""
    spec = pod.get("spec") or {}
    found: list[tuple[Role, JsonObject]] = [
        ("sidecar" if each.get("restartPolicy") == "Always" else "init", each)
        for each in spec.get("initContainers") or ()
    ]
    return found + [("container", each) for each in spec.get("containers") or ()]
