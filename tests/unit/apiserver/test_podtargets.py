"""Which container is meant, and refusals in upstream's words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from emulator.api.errors import BadRequest, Invalid
from emulator.api.meta import JsonObject
from emulator.apiserver.podtargets import (
    ContainerNotFound,
    check_has_log,
    check_running,
    command_options,
    container_of,
    log_options,
    node_of,
    ports_of,
)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def pod(*containers: str, state: JsonObject | None = None, last: JsonObject | None = None) -> JsonObject:
    status = {"name": "a", "state": state or {}, "lastState": last or {}}
    spec = {"initContainers": [{"name": "i"}], "containers": [{"name": name} for name in containers]}
    return {"metadata": {"name": "p"}, "spec": spec, "status": {"containerStatuses": [status]}}


def test_the_container_meant() -> None:
    assert container_of(pod("a"), "") == "a"
    assert container_of(pod("a", "b"), "b") == "b"
    assert container_of(pod("a"), "i") == "i"
    with pytest.raises(BadRequest, match=r"^a container name must be specified for pod p, choose one of: \[i a b\]$"):
        container_of(pod("a", "b"), "")
    with pytest.raises(BadRequest, match=r"^container x is not valid for pod p$"):
        container_of(pod("a"), "x")
    with pytest.raises(BadRequest, match=r"^pod p does not have a host assigned$"):
        node_of(pod("a"))


@pytest.mark.parametrize(
    ("state", "last", "previous", "message"),
    [
        (
            {"waiting": {"reason": "ContainerCreating"}},
            {},
            False,
            'container "a" in pod "p" is waiting to start: ContainerCreating',
        ),
        (
            {"waiting": {"reason": "ErrImagePull"}},
            {},
            False,
            'container "a" in pod "p" is waiting to start: image can\'t be pulled',
        ),
        (
            {"waiting": {"reason": "ImagePullBackOff"}},
            {},
            False,
            'container "a" in pod "p" is waiting to start: trying and failing to pull image',
        ),
        ({}, {}, False, 'container "a" in pod "p" is waiting to start - no logs yet'),
        ({"running": {}}, {}, True, 'previous terminated container "a" in pod "p" not found'),
        ({"running": {}}, {}, False, ""),
        ({"terminated": {}}, {}, False, ""),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, {"terminated": {}}, False, ""),
        ({"running": {}}, {"terminated": {}}, True, ""),
    ],
)
def test_containers_with_and_without_a_log(state: JsonObject, last: JsonObject, previous: bool, message: str) -> None:
    found = ""
    try:
        check_has_log(pod("a", state=state, last=last), "a", previous=previous)
    except BadRequest as error:
        found = error.message
    assert found == message


def test_only_a_running_container_takes_commands() -> None:
    check_running(pod("a", state={"running": {}}), "a")
    states: list[tuple[str, JsonObject]] = [("a", {"terminated": {}}), ("b", {"running": {}})]
    for name, state in states:
        with pytest.raises(ContainerNotFound, match=rf'^container not found \("{name}"\)$'):
            check_running(pod("a", state=state), name)


def test_options_of_a_command() -> None:
    query = {"command": ["sh", "-c", "x"], "stdin": ["true"], "stdout": ["1"], "stderr": ["true"], "tty": ["true"]}
    options = command_options(query, "a", exec=True)
    assert options.command == ("sh", "-c", "x")
    assert (options.stdin, options.stdout, options.stderr, options.tty) == (True, True, False, True)
    with pytest.raises(BadRequest, match="at least 1 of stdin, stdout, stderr"):
        command_options({"command": ["x"]}, "a", exec=True)
    with pytest.raises(BadRequest, match="at least one command"):
        command_options({"stdout": ["true"]}, "a", exec=True)
    assert command_options({"stdout": ["true"]}, "a", exec=False).command == ()


def test_options_of_a_log() -> None:
    query = {"container": ["a"], "follow": ["true"], "tailLines": ["5"], "sinceSeconds": ["60"], "timestamps": ["true"]}
    options = log_options(query, "p", at=AT)
    assert (options.container, options.follow, options.tail_lines, options.timestamps) == ("a", True, 5, True)
    assert options.since_at is not None
    assert options.since_at.isoformat() == "2026-01-02T03:03:05+00:00"
    assert log_options({"sinceTime": ["2026-01-01T00:00:00Z"]}, "p", at=AT).since_at == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"tailLines": "-1"}, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ({"limitBytes": "0"}, "limitBytes: Invalid value: 0: must be greater than 0"),
        ({"sinceSeconds": "0"}, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ({"stream": "Out"}, 'stream: Unsupported value: "Out": supported values: "All", "Stderr", "Stdout"'),
    ],
)
def test_options_of_a_log_that_are_refused(query: dict[str, str], message: str) -> None:
    with pytest.raises(Invalid) as caught:
        log_options({name: [value] for name, value in query.items()}, "p", at=AT)
    assert caught.value.message == f'PodLogOptions "p" is invalid: {message}'


@pytest.mark.parametrize("query", [{"tailLines": ["x"]}, {"sinceTime": ["yesterday"]}])
def test_options_of_a_log_that_cannot_be_read(query: Any) -> None:
    with pytest.raises(BadRequest):
        log_options(query, "p", at=AT)


def test_ports() -> None:
    assert ports_of({"ports": ["80", "81,82"]}) == [80, 81, 82]
    for text in ("", "x", "0", "65536", "-1"):
        with pytest.raises(BadRequest):
            ports_of({"ports": [text]})
