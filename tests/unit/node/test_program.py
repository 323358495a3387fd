"""The command line of a process-backed container, from the entry of its image and its manifest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from emulator.config.images import ImageRule
from emulator.config.settings import ClusterConfig
from emulator.node.program import loopback_variables, program_of

RULE = ImageRule("example/*", ("python", "app.py"), {"MODE": "test"}, "/src", {"/bin/x": "/host/x"})
WITH_IMAGES = replace(ClusterConfig(), images=(RULE, ImageRule("plain")))
WITH_RUNTIME = replace(ClusterConfig(), runtime="process")


@pytest.mark.parametrize(
    ("container", "command"),
    [
        ({}, ("python", "app.py")),
        ({"args": ["--port", "80"]}, ("python", "app.py", "--port", "80")),
        ({"command": ["sh"]}, ("sh",)),
        ({"command": ["sh"], "args": ["-c", "x"]}, ("sh", "-c", "x")),
        ({"command": ["echo", "$(COLOUR)", "$(NOT)", "$$(COLOUR)"]}, ("echo", "green", "$(NOT)", "$(COLOUR)")),
        ({"args": ["$(COLOUR)"]}, ("python", "app.py", "green")),
    ],
)
def test_command_and_args(container: dict[str, Any], command: tuple[str, ...]) -> None:
    program = program_of(WITH_IMAGES, {"image": "example/webapp", **container}, {"COLOUR": "green"})
    assert program is not None
    assert program.command == command
    assert (program.private, program.mounts, program.image_env) == (False, RULE.mounts, RULE.env)


def test_the_entrys_own_words_may_name_variables() -> None:
    config = replace(ClusterConfig(), images=(ImageRule("a", ("serve", "$(POD_IP):$(PORT)")),))
    program = program_of(config, {"image": "a"}, {"PORT": "1"}, {"POD_IP": "127.1.0.3", "PORT": "80"})
    assert program is not None
    assert program.command == ("serve", "127.1.0.3:1")


def test_working_folders() -> None:
    for container, folder in (({}, "/src"), ({"workingDir": "/own"}, "/own")):
        program = program_of(WITH_IMAGES, {"image": "example/webapp", **container}, {})
        assert program is not None
        assert program.folder == folder


def test_an_entry_without_a_command_runs_the_containers() -> None:
    program = program_of(WITH_IMAGES, {"image": "plain", "args": ["ls"]}, {})
    assert program is not None
    assert program.command == ("ls",)
    program = program_of(WITH_IMAGES, {"image": "plain"}, {})
    assert program is not None
    assert program.command == ()


def test_what_is_simulated() -> None:
    assert program_of(WITH_IMAGES, {"image": "other", "command": ["ls"]}, {}) is None
    assert program_of(WITH_RUNTIME, {"image": "busybox"}, {}) is None


def test_the_runtime_runs_own_commands_on_a_read_only_root() -> None:
    for container in ({"command": ["nslookup", "webapp"]}, {"args": ["nslookup", "webapp"]}):
        program = program_of(WITH_RUNTIME, {"image": "busybox", **container}, {})
        assert program is not None
        assert (program.command, program.private) == (("nslookup", "webapp"), True)


def test_a_read_only_root_may_be_asked_for() -> None:
    container = {"image": "example/a", "securityContext": {"readOnlyRootFilesystem": True}}
    program = program_of(WITH_IMAGES, container, {})
    assert program is not None
    assert program.private


def test_where_to_listen_on_loopback() -> None:
    ports = [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 8080}, {"containerPort": 9090}]
    assert loopback_variables({"ports": ports}, "127.1.0.3") == {"POD_IP": "127.1.0.3", "PORT": "8080"}
    assert loopback_variables({}, "127.1.0.3") == {"POD_IP": "127.1.0.3"}
