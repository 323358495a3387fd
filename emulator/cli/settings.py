"""`kubemu config`: the settings in force and what the short form stands for; and how settings are found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import yaml

from emulator.api.errors import ConfigError
from emulator.config.images import ImageRule
from emulator.config.settings import ClusterConfig, NetworkMode
from emulator.config.sources import FileConfig, build_config, camel, expand_services, merged, parse_file

DEFAULT_FILE = "kubemu.yaml"


def read_config_file(path: str | None) -> FileConfig:
    """The file named by --config or KUBEMU_CONFIG, else ./kubemu.yaml when it is there. Raises ConfigError."""
    path = path or os.environ.get("KUBEMU_CONFIG")
    file = Path(path or DEFAULT_FILE)
    try:
        return parse_file(file.read_text(), str(file), os.path.dirname(os.path.abspath(file)))
    except FileNotFoundError as error:
        if path:
            raise ConfigError(f"{path}: no such file") from error
        return FileConfig()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error


def decide_network(wanted: str) -> tuple[NetworkMode, str]:
    """The mode that `auto` (or the explicit wish) comes to, and why. Raises StartError when a wish cannot be met."""
    from emulator.api.errors import StartError
    from emulator.io.sandbox import probe_sandbox

    if wanted == "loopback":
        return "loopback", "as asked"
    if wanted == "host":
        if os.geteuid() != 0:
            raise StartError("--network host needs root; use --network sandbox, or sudo")
        return "host", "as asked"
    problem = probe_sandbox()
    if problem is None:
        return "sandbox", "user namespaces work here" if wanted == "auto" else "as asked"
    if wanted == "sandbox":
        raise StartError(f"--network sandbox does not work here: {problem}")
    return "loopback", f"sandbox does not work here: {problem}"


@click.command("config")
@click.option("--show", is_flag=True, help="Print the settings in force and the objects of the short form.")
@click.pass_obj
def config_command(obj: Any, show: bool) -> None:
    """Show the settings that `up` would use here."""
    file = read_config_file(obj.config_file)
    settings = merged({"name": obj.name}, os.environ, file)
    config: ClusterConfig = build_config(settings, _shown_mode(settings.get("network", "auto")))
    shown = {camel(key): value for key, value in sorted(settings.items())}
    shown.setdefault("name", config.name)
    shown.setdefault("network", "auto")
    shown["serviceCIDR"], shown["podCIDR"] = str(config.addresses.services), str(config.addresses.pods)
    if file.images:
        shown["images"] = [_shown_image(rule) for rule in file.images]
    documents: list[Any] = [{"apiVersion": "kubemu.dev/v1alpha1", "kind": "ClusterConfig", **shown}]
    if show:
        documents += expand_services(file.services)
    click.echo(yaml.safe_dump_all(documents, sort_keys=False), nl=False)


def _shown_image(rule: ImageRule) -> dict[str, Any]:
    shown = {
        "match": rule.match,
        "command": list(rule.command),
        "env": dict(rule.env),
        "cwd": rule.cwd,
        "mounts": dict(rule.mounts),
    }
    return {key: value for key, value in shown.items() if value}


def _shown_mode(wanted: str) -> NetworkMode:
    return "loopback" if wanted == "loopback" else "sandbox"
