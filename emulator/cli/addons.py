"""`kubemu enable` and `disable`: the parts of a running cluster that can be without."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import click

from emulator.api.errors import EmulatorError, NotFound
from emulator.api.kinds import CONFIG_MAP
from emulator.api.meta import JsonObject
from emulator.cli.remote import call
from emulator.client.io.http import HttpClient
from emulator.config.addons import ADDON_NAMES, ADDONS

WAIT_SECONDS = 5.0
POLL_SECONDS = 0.02


@click.command("enable")
@click.argument("addon", type=click.Choice(ADDON_NAMES))
@click.pass_obj
def enable_command(obj: Any, addon: str) -> None:
    """Start an add-on again."""
    _turn(obj, addon, on=True)


@click.command("disable")
@click.argument("addon", type=click.Choice(ADDON_NAMES))
@click.pass_obj
def disable_command(obj: Any, addon: str) -> None:
    """Stop an add-on; `enable` starts it again."""
    _turn(obj, addon, on=False)


def _turn(obj: Any, addon: str, *, on: bool) -> None:
    state = obj.folder.state()
    host, port = place_of(state, addon)

    async def work(client: HttpClient) -> None:
        wanted: JsonObject = {"data": {addon: "true" if on else "false"}}
        try:
            await client.patch(CONFIG_MAP, ADDONS.name, ADDONS.namespace, patch=wanted)
        except NotFound:
            metadata = {"name": ADDONS.name, "namespace": ADDONS.namespace}
            await client.create(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **wanted})

    call(obj.folder, work)
    deadline = time.monotonic() + WAIT_SECONDS
    while answers(host, port) != on:
        if time.monotonic() > deadline:
            raise EmulatorError(f"{addon} did not {'start' if on else 'stop'}; see `kubemu logs`")
        time.sleep(POLL_SECONDS)
    click.echo(f"{addon} is {'enabled' if on else 'disabled'}")


def place_of(state: Mapping[str, Any], addon: str) -> tuple[str, int]:
    """Where an add-on listens on the host. Raises EmulatorError for one the cluster was started without."""
    if addon == "dns":
        return state["dns"]["host"], state["dns"]["port"]
    if not state.get("http"):
        raise EmulatorError("the cluster was started without the ingress; `kubemu down`, then `kubemu up` with it")
    parts = urlsplit(state["http"])
    return str(parts.hostname), int(parts.port or 0)


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
