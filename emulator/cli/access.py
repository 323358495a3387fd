"""`kubemu kubeconfig`: the path of the cluster's own kubeconfig; merging into the user's is opt-in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import yaml

from emulator.api.errors import EmulatorError

LISTS = ("clusters", "contexts", "users")


@click.command("kubeconfig")
@click.option("--merge", is_flag=True, help="Add the context to your own kubeconfig and select it.")
@click.pass_obj
def kubeconfig_command(obj: Any, merge: bool) -> None:
    """Print the path of a kubeconfig for this cluster."""
    folder = obj.folder
    folder.state()
    if not merge:
        click.echo(folder.kubeconfig)
        return
    target = Path(os.environ.get("KUBECONFIG", "").split(":")[0] or Path.home() / ".kube" / "config")
    if target == folder.kubeconfig:
        raise EmulatorError("KUBECONFIG is this cluster's own file already; unset it to merge into yours")
    merged = merge_kubeconfig(_read(target), yaml.safe_load(folder.kubeconfig.read_text()))
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = target.with_name(target.name + ".kubemu")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        yaml.safe_dump(merged, stream, sort_keys=False)
    draft.replace(target)
    click.echo(f"context {merged['current-context']} added to {target}")


def merge_kubeconfig(own: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """The user's config with our cluster, user and context replaced or added, and selected."""
    merged = {"apiVersion": "v1", "kind": "Config", **own}
    for key in LISTS:
        names = {entry["name"] for entry in ours[key]}
        merged[key] = [entry for entry in merged.get(key) or [] if entry["name"] not in names] + ours[key]
    merged["current-context"] = ours["current-context"]
    return merged


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, yaml.YAMLError) as error:
        raise EmulatorError(f"{path} cannot be read as a kubeconfig: {error}") from error
    if found is not None and not isinstance(found, dict):
        raise EmulatorError(f"{path} is not a kubeconfig")
    return found or {}
