"""`kubemu down`, `status`, `list`, `logs`: as docker compose has them."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import click

from emulator.api.errors import EmulatorError, NotFound
from emulator.api.kinds import CONFIG_MAP, INGRESS, INGRESS_CLASS, NODE, POD, SERVICE
from emulator.api.meta import JsonObject, condition_of
from emulator.cli.state import ClusterFolder, NotRunning, all_folders
from emulator.config.addons import ADDON_NAMES, ADDONS, is_on
from emulator.routing.ingressclasses import is_ours, our_classes

STOP_SECONDS = 10.0  # a cluster drains for at most half of it
POLL_SECONDS = 0.02


@click.command("down")
@click.pass_obj
def down_command(obj: Any) -> None:
    """Stop the cluster; nothing of it is left."""
    folder: ClusterFolder = obj.folder
    try:
        pid = int(folder.state()["pid"])
    except NotRunning:
        click.echo(f"cluster {folder.name} is not running")
        folder.remove()
        return
    _end(pid, signal.SIGTERM)
    if not _gone(folder, STOP_SECONDS):
        _end(pid, signal.SIGKILL)
        if not _gone(folder, STOP_SECONDS):
            raise EmulatorError(f"process {pid} does not end; see {folder.log}")
    folder.remove()
    click.echo(f"cluster {folder.name} is down")


def _end(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise EmulatorError(f"process {pid} belongs to another user; stop it as that user") from error


def _gone(folder: ClusterFolder, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while folder.is_running():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


@click.command("list")
@click.pass_obj
def list_command(obj: Any) -> None:
    """The clusters that run."""
    states = []
    for folder in all_folders(os.environ):
        try:
            states.append(folder.state())
        except NotRunning:
            continue
    if obj.output == "json":
        click.echo(json.dumps([public_part(state) for state in states]))
        return
    from emulator.cli.tables import print_rows

    rows = [[s["name"], str(s["pid"]), s["network"], s["apiServer"], _port(s)] for s in states]
    print_rows(["NAME", "PID", "NETWORK", "API", "DNS"], rows)


def public_part(state: dict[str, Any]) -> dict[str, Any]:
    """What scripts may rely on, without what only the other verbs need."""
    return {key: value for key, value in state.items() if key not in ("sandbox", "preset", "httpInBrowsers")}


def _port(state: dict[str, Any]) -> str:
    return f"{state['dns']['host']}:{state['dns']['port']}"


@click.command("status")
@click.pass_obj
def status_command(obj: Any) -> None:
    """Where everything is, and how it does."""
    from emulator.cli.remote import call
    from emulator.client.io.http import HttpClient

    folder: ClusterFolder = obj.folder
    state = folder.state()

    async def look(client: HttpClient) -> tuple[list[list[JsonObject]], JsonObject | None]:
        listed = [(await client.list(kind)).items for kind in (NODE, POD, SERVICE, INGRESS, INGRESS_CLASS)]
        try:
            return listed, await client.get(CONFIG_MAP, ADDONS.name, ADDONS.namespace)
        except NotFound:  # nothing was ever switched
            return listed, None

    (nodes, pods, services, ingresses, classes), switches = call(folder, look)
    off = [addon for addon in ADDON_NAMES if not is_on(switches, addon)]
    served = [ingress for ingress in ingresses if is_ours(ingress, our_classes(classes))]
    ready = sum((condition_of(pod, "Ready") or {}).get("status") == "True" for pod in pods)
    urls = ingress_urls(state, served) if "ingress" not in off else {}
    if obj.output == "json":
        public = public_part(state)
        counts = {
            "ingresses": urls,
            "nodes": len(nodes),
            "pods": len(pods),
            "podsReady": ready,
            "services": len(services),
            "disabled": off,
        }
        click.echo(json.dumps({**public, **counts}))
        return
    click.echo(f"cluster {state['name']} runs (pid {state['pid']}, network {state['network']})")
    click.echo(f"  API       {state['apiServer']}   (export KUBECONFIG={state['kubeconfig']})")
    click.echo(f"  DNS       {_port(state)} on the host, {state['clusterDNS']}:53 inside")
    click.echo(f"  nodes     {len(nodes)}, pods {ready} ready of {len(pods)}")
    types = Counter(service["spec"].get("type", "ClusterIP") for service in services)
    click.echo("  services  " + ", ".join(f"{count} {type}" for type, count in sorted(types.items())))
    for service in services:
        for port in service["spec"].get("ports") or ():
            if port.get("nodePort"):
                name = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
                click.echo(
                    f"  NodePort  {node_port_scheme(port)}://127.0.0.1:{port['nodePort']}  {name}:{port['port']}"
                )
    for url, owner in urls.items():
        click.echo(f"  Ingress   {url}  {owner}")
    for addon in off:
        click.echo(f"  disabled  {addon}; `kubemu enable {addon}` starts it again")


def node_port_scheme(port: Mapping[str, Any]) -> str:
    """The scheme of a node port's URL as far as its Service tells: by application protocol, by name, by number."""
    if port.get("protocol", "TCP") != "TCP":
        return str(port["protocol"]).lower()
    words = (port.get("appProtocol"), port.get("name"), str(port["port"]))
    return "https" if "https" in words or "443" in words else "http"


def ingress_urls(state: Mapping[str, Any], ingresses: Iterable[JsonObject]) -> dict[str, str]:
    """Each URL that Ingress rules serve on this machine, and whose rule it is.

    `*.localhost` is this machine to every browser; other hosts need a line in /etc/hosts or curl --resolve.
    """
    urls: dict[str, str] = {}
    for ingress in ingresses:
        secure = {host for entry in ingress["spec"].get("tls") or () for host in entry.get("hosts") or ()}
        for rule in ingress["spec"].get("rules") or [{}]:
            host = rule.get("host") or "localhost"
            base = state["https"] if host in secure else state.get("httpInBrowsers") or state["http"]
            if not base:
                continue
            at = f"{base.partition('://')[0]}://{host.replace('*', 'any')}:{base.rpartition(':')[2]}"
            for path in (rule.get("http") or {}).get("paths") or [{}]:
                key = f"{ingress['metadata']['namespace']}/{ingress['metadata']['name']}"
                urls.setdefault(at + (path.get("path") or "/"), key)
    return urls


@click.command("logs")
@click.option("-f", "--follow", is_flag=True, help="Go on as it grows.")
@click.pass_obj
def logs_command(obj: Any, follow: bool) -> None:
    """What a detached cluster logged."""
    folder: ClusterFolder = obj.folder
    try:
        stream = folder.log.open()
    except OSError as error:
        raise NotRunning(f"cluster {folder.name!r} has no log; only `kubemu up -d` writes one") from error
    with stream:
        while True:
            text = stream.read(65536)
            if text:
                sys.stdout.write(text)
                sys.stdout.flush()
            elif not follow or not folder.is_running():
                return
            else:
                time.sleep(0.2)
