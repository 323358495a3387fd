"""What a process-backed container runs: its command line, variables and folder, put together as a runtime does. Pure.

Source: kubernetes pkg/kubelet/container/helpers.go (ExpandContainerCommandAndArgs); the image's entrypoint, working
directory and variables are those of an `images:` entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.config.images import ImageRule, rule_for
from emulator.config.settings import ClusterConfig
from emulator.node.backends import declared_ports
from emulator.node.envvars import expand

STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Program:
    """What runs. `folder` "" is the root; `private` runs on a read-only root with a /tmp of its own."""

    command: tuple[str, ...]
    image_env: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""
    mounts: Mapping[str, str] = field(default_factory=dict)
    private: bool = False


def rule_of(config: ClusterConfig, container: Mapping[str, Any]) -> ImageRule | None:
    """The rule by which a container is backed by a process; None for one that is simulated."""
    rule = rule_for(config.images, container.get("image") or "")
    if rule is not None:
        return rule
    if config.runtime == "process" and (container.get("command") or container.get("args")):
        return ImageRule(match="*")
    return None


def program_of(
    config: ClusterConfig,
    container: Mapping[str, Any],
    variables: Mapping[str, str],
    image_variables: Mapping[str, str] | None = None,
) -> Program | None:
    """The program behind a container, None for one that is simulated. `command` is empty when nothing names one.

    image_variables: what the words of an `images:` entry may refer to besides `variables`.
    """
    rule = rule_of(config, container)
    if rule is None:
        return None

    def expanded(words: Any) -> tuple[str, ...]:
        return tuple(expand(str(word), variables.get) for word in words or ())

    seen = {**(image_variables or {}), **rule.env, **variables}
    command = expanded(container.get("command")) or tuple(expand(word, seen.get) for word in rule.command)
    private = rule not in config.images
    security = container.get("securityContext") or {}
    return Program(
        command=(*command, *expanded(container.get("args"))),
        image_env=rule.env,
        folder=container.get("workingDir") or rule.cwd,
        mounts=rule.mounts,
        private=private or bool(security.get("readOnlyRootFilesystem")),
    )


def loopback_variables(container: Mapping[str, Any], address: str) -> dict[str, str]:
    """Where a process without a network of its own is to listen."""
    port = next((port.port for port in declared_ports(container) if port.protocol == "TCP"), None)
    return {"POD_IP": address, **({"PORT": str(port)} if port else {})}


def missing_program(words: str) -> str:
    """The kubelet's message for a command that cannot be started."""
    return (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
        f"unable to start container process: error during container init: {words}"
    )
