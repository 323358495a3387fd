"""Which container of a pod a request means, whether it can be reached, and what it asks for. No I/O.

Refused in upstream's words. Source: pkg/registry/core/pod/strategy.go (LogLocation, streamLocation, validateContainer),
pkg/apis/core/validation/validation.go (ValidatePodLogOptions), pkg/kubelet/kubelet_pods.go (validateContainerLogStatus).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from emulator.api.errors import ApiError, BadRequest, FieldError, Invalid, forbidden_field, invalid, not_supported
from emulator.api.meta import JsonObject, parse_time
from emulator.apiserver.parameters import Query, flag, number, text
from emulator.io.podstreams import LogOptions

CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
STATUS_LISTS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
KUBELET_PORT = 10250
ADDRESS_TYPES = ("InternalIP", "Hostname", "InternalDNS", "ExternalDNS", "ExternalIP")
LOG_STREAMS = ("All", "Stdout", "Stderr")
PULL_FAILURES = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


@dataclass(frozen=True, slots=True)
class CommandOptions:
    """PodExecOptions or PodAttachOptions; stderr is never true with a terminal."""

    container: str
    command: tuple[str, ...] = ()
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


class ContainerNotFound(ApiError):
    """The container does not run; told as the kubelet tells it, in plain text."""


def container_of(pod: JsonObject, wanted: str) -> str:
    """The container's name; "" is the only one's. Raises BadRequest."""
    spec, name = pod.get("spec") or {}, pod["metadata"]["name"]
    names = [each["name"] for part in CONTAINER_LISTS for each in spec.get(part) or ()]
    if wanted:
        if wanted not in names:
            raise BadRequest(f"container {wanted} is not valid for pod {name}")
        return wanted
    containers = list(spec.get("containers") or ())
    if len(containers) == 1:
        only: str = containers[0]["name"]
        return only
    choices = f", choose one of: [{' '.join(names)}]" if containers else ""
    raise BadRequest(f"a container name must be specified for pod {name}{choices}")


def node_of(pod: JsonObject) -> str:
    """Where the pod is. Raises BadRequest."""
    node: str = (pod.get("spec") or {}).get("nodeName") or ""
    if not node:
        raise BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
    return node


def node_address(node: JsonObject) -> tuple[str, int]:
    """Where its kubelet would answer: the internal address before others. Raises ApiError when it has none."""
    status = node.get("status") or {}
    found = {each.get("type"): each.get("address") for each in reversed(status.get("addresses") or ())}
    port = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint", {}).get("Port") or KUBELET_PORT
    for type in ADDRESS_TYPES:
        if found.get(type):
            return str(found[type]), int(port)
    raise ApiError("no preferred addresses found; known addresses: []", reason="")


def check_running(pod: JsonObject, container: str) -> None:
    """Raises ContainerNotFound unless the container runs now."""
    status = _status_of(pod, container)
    if status is None or "running" not in (status.get("state") or {}):
        raise ContainerNotFound(f'container not found ("{container}")')


def check_has_log(pod: JsonObject, container: str, *, previous: bool) -> None:
    """Raises BadRequest when the container never ran, or not twice."""
    shown = f'container "{container}" in pod "{pod["metadata"]["name"]}"'
    status = _status_of(pod, container)
    if status is None:
        raise BadRequest(f"{shown} is not available")
    state, last = status.get("state") or {}, status.get("lastState") or {}
    if previous:
        if "terminated" not in last:
            raise BadRequest(f"previous terminated {shown} not found")
        return
    if "running" in state or "terminated" in state or "terminated" in last:
        return
    waiting = state.get("waiting")
    if waiting is None:
        raise BadRequest(f"{shown} is waiting to start - no logs yet")
    reason = waiting.get("reason") or ""
    raise BadRequest(f"{shown} is waiting to start: {PULL_FAILURES.get(reason, reason)}")


def _status_of(pod: JsonObject, container: str) -> JsonObject | None:
    status = pod.get("status") or {}
    found = (each for part in STATUS_LISTS for each in status.get(part) or () if each.get("name") == container)
    return next(found, None)


def command_options(query: Query, container: str, *, exec: bool) -> CommandOptions:
    """Of an exec or attach to that container. Raises BadRequest."""
    tty = flag(query, "tty")
    options = CommandOptions(
        container=container,
        command=tuple(query.get("command", ())) if exec else (),
        stdin=flag(query, "stdin"),
        stdout=flag(query, "stdout"),
        stderr=flag(query, "stderr") and not tty,
        tty=tty,
    )
    if not (options.stdin or options.stdout or options.stderr):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    if exec and not options.command:
        raise BadRequest("you must specify at least one command for the container")
    return options


def log_options(query: Query, pod: str, *, at: datetime) -> LogOptions:
    """PodLogOptions. Raises BadRequest, and Invalid naming the pod."""
    tail, limit, seconds = (number(query, name) for name in ("tailLines", "limitBytes", "sinceSeconds"))
    since, stream = text(query, "sinceTime"), text(query, "stream")
    errors: list[FieldError] = []
    if tail is not None and tail < 0:
        errors.append(invalid("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        errors.append(invalid("limitBytes", limit, "must be greater than 0"))
    if seconds is not None and since:
        errors.append(forbidden_field("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    elif seconds is not None and seconds < 1:
        errors.append(invalid("sinceSeconds", seconds, "must be greater than 0"))
    if stream and stream not in LOG_STREAMS:
        errors.append(not_supported("stream", stream, LOG_STREAMS))
    elif stream not in ("", "All") and tail is not None:
        errors.append(forbidden_field("", "`tailLines` and specific `stream` are mutually exclusive for now"))
    since_at = _since(since, seconds, at)
    if errors:
        raise Invalid.of("PodLogOptions", "", pod, errors)
    return LogOptions(
        container=text(query, "container"),
        follow=flag(query, "follow"),
        previous=flag(query, "previous"),
        timestamps=flag(query, "timestamps"),
        tail_lines=tail,
        limit_bytes=limit,
        since_at=since_at,
        stream=stream or "All",
    )


def with_container(options: LogOptions, container: str) -> LogOptions:
    """The same of a container that is known now."""
    return replace(options, container=container)


def _since(time: str, seconds: int | None, at: datetime) -> datetime | None:
    if time:
        try:
            return parse_time(time)
        except ValueError:
            shown = f'parsing time "{time}" as "2006-01-02T15:04:05Z07:00": cannot parse "{time}" as "2006"'
            raise BadRequest(shown) from None
    try:
        return at - timedelta(seconds=max(seconds, 1)) if seconds is not None else None
    except OverflowError:
        return None


def ports_of(query: Query) -> list[int]:
    """The `ports` of a port-forward over channels. Raises BadRequest."""
    texts = [part for value in query.get("ports", ()) for part in value.split(",")]
    if not texts or texts == [""]:
        raise BadRequest('query parameter "port" is required')
    for each in texts:
        if not (each.isascii() and each.isdigit()):
            raise BadRequest(f'unable to parse "{each}" as a port: strconv.ParseUint: parsing "{each}": invalid syntax')
        if not 0 < int(each[:6]) <= 0xFFFF:
            raise BadRequest(f'port "{each}" must be > 0 and < 65536')
    return [int(each) for each in texts]
