"""`kubemu apply`, `get`, `delete`, `map`, `reset`: for machines without kubectl, in kubectl's words."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from emulator.api.errors import ApiError, EmulatorError, NotFound
from emulator.cli.remote import call, call_state, served_kind
from emulator.cli.tables import print_objects, print_table
from emulator.client.io.apply import Applied, apply_all, delete_all
from emulator.client.io.http import HttpClient
from emulator.client.io.mapping import map_service
from emulator.client.io.reset import restore
from emulator.client.manifests import Manifest, parse_manifests
from emulator.config.settings import ClusterConfig
from emulator.config.sources import build_config, parse_backend

FILES = click.option("-f", "--filename", "filenames", multiple=True, metavar="FILE|DIR|-", help="Manifests.")
NAMESPACE_OPTION = click.option("-n", "--namespace", default="default", metavar="NS", help="Default `default`.")


@click.command("apply")
@FILES
@NAMESPACE_OPTION
@click.pass_obj
def apply_command(obj: Any, filenames: Sequence[str], namespace: str) -> int:
    """Create or change what manifests describe; the good ones are applied even when others fail."""
    if not filenames:
        raise click.UsageError("name manifests with -f FILE")
    state = obj.folder.state()
    manifests = _read(filenames, state)
    return _report(call_state(state, lambda client: apply_all(client, manifests, namespace=namespace)))


def _read(filenames: Sequence[str], state: dict[str, Any]) -> list[Manifest]:
    from emulator.client.io.files import load_manifests

    config = config_of(state)
    found: list[Manifest] = []
    for filename in filenames:
        found += parse_manifests(sys.stdin.read(), "<stdin>") if filename == "-" else load_manifests(filename)
    return [manifest.placed(config.preset, config.addresses) for manifest in found]


def config_of(state: dict[str, Any]) -> ClusterConfig:
    """As much of a running cluster's config as manifests need."""
    settings = {"preset": state["preset"], "service-cidr": state["serviceCIDR"], "pod-cidr": state["podCIDR"]}
    return build_config(settings, state["network"])


def _report(done: Sequence[Applied]) -> int:
    status = 0
    for item in done:
        if item.problem:
            click.echo(f"kubemu: {'warning: ' if item.outcome == 'skipped' else ''}{item}", err=True)
            status = 1 if item.outcome in ("failed", "not found") else status
        elif item.outcome == "deleted":
            name = item.manifest.object["metadata"]["name"]
            click.echo(f'{item.manifest.title.split("/")[0]} "{name}" deleted')
        else:
            click.echo(str(item))
    return status


@click.command("get")
@click.argument("kinds")
@click.argument("name", required=False)
@click.option("-n", "--namespace", default="default", metavar="NS")
@click.option("-A", "--all-namespaces", is_flag=True)
@click.option("-l", "--selector", default="", metavar="LABELS")
@click.option("--field-selector", default="", metavar="FIELDS")
@click.option("-o", "--output", type=click.Choice(["wide", "yaml", "json", "name"]), default=None)
@click.pass_obj
def get_command(
    obj: Any,
    kinds: str,
    name: str | None,
    namespace: str,
    all_namespaces: bool,
    selector: str,
    field_selector: str,
    output: str | None,
) -> None:
    """Print objects as kubectl does: KIND [NAME], or KIND/NAME."""
    if "/" in kinds and name is None:
        kinds, name = kinds.split("/", 1)
    output = output or ("json" if obj.output == "json" else None)
    served = [served_kind(word) for word in kinds.split(",") if word]
    place = "" if all_namespaces and not name else namespace

    async def fetch(client: HttpClient) -> None:
        found = 0
        for kind in served:
            here = place if kind.namespaced else ""
            if output in (None, "wide"):
                table = await client.table(
                    kind, here, name or "", label_selector=selector, field_selector=field_selector
                )
                if table.get("rows"):
                    if found:
                        click.echo()
                    print_table(table, wide=output == "wide", namespaces=kind.namespaced and not here)
                    found += 1
                continue
            if name:
                objects = [await client.get(kind, name, here)]
            else:
                listed = await client.list(kind, here, label_selector=selector, field_selector=field_selector)
                objects = listed.items
            found += len(objects)
            if output == "name":
                for object in objects:
                    suffix = f".{kind.group}" if kind.group else ""
                    click.echo(f"{kind.singular}{suffix}/{object['metadata']['name']}")
            else:
                print_objects(objects, output, single=bool(name))
        if not found and output in (None, "wide"):
            where = f" in {namespace} namespace" if place and any(kind.namespaced for kind in served) else ""
            click.echo(f"No resources found{where}.", err=True)

    call(obj.folder, _worded(fetch))


def _worded(work: Any) -> Any:
    """The same work, API errors in kubectl's words."""

    async def run(client: HttpClient) -> Any:
        try:
            return await work(client)
        except ApiError as error:
            raise EmulatorError(f"Error from server ({error.reason}): {error.message}") from error

    return run


@click.command("delete")
@click.argument("targets", nargs=-1)
@FILES
@NAMESPACE_OPTION
@click.option("-l", "--selector", default="", metavar="LABELS")
@click.pass_obj
def delete_command(obj: Any, targets: Sequence[str], filenames: Sequence[str], namespace: str, selector: str) -> int:
    """Delete objects: -f FILE, KIND NAME..., KIND/NAME..., or KIND[,KIND] -l LABELS."""
    state = obj.folder.state()
    if filenames:
        manifests = _read(filenames, state)
        return _report(call_state(state, lambda client: delete_all(client, manifests, namespace=namespace)))
    if not targets:
        raise click.UsageError("say what to delete: -f FILE, or KIND NAME")
    pairs = _pairs(targets, selector)

    async def work(client: HttpClient) -> int:
        status = 0
        for word, name in pairs:
            kind = served_kind(word)
            here = namespace if kind.namespaced else ""
            names = [name]
            if not name:
                listed = await client.list(kind, here, label_selector=selector)
                names = [object["metadata"]["name"] for object in listed.items]
            for each in names:
                try:
                    await client.delete(kind, each, here, propagation="Background")
                    click.echo(f'{kind.singular}{"." + kind.group if kind.group else ""} "{each}" deleted')
                except NotFound as error:
                    click.echo(f"kubemu: Error from server (NotFound): {error.message}", err=True)
                    status = 1
        return status

    return int(call_state(state, _worded(work)))


def _pairs(targets: Sequence[str], selector: str) -> list[tuple[str, str]]:
    """(kind word, name) for each object meant; an empty name means by selector."""
    if "/" in targets[0]:
        return [(word, name) for word, _, name in (target.partition("/") for target in targets)]
    words = [word for word in targets[0].split(",") if word]
    if len(targets) == 1:
        if not selector:
            raise click.UsageError("name the objects, or choose them with -l LABELS")
        return [(word, "") for word in words]
    return [(word, name) for word in words for name in targets[1:]]


@click.command("map")
@click.argument("service")
@click.argument("backend", metavar="HOST:PORT")
@NAMESPACE_OPTION
@click.pass_obj
def map_command(obj: Any, service: str, backend: str, namespace: str) -> None:
    """Back SERVICE[:PORT] by a process of this host; an absent Service is made (PORT needed, or HOST's port)."""
    name, _, port = service.partition(":")
    target = parse_backend(backend, "HOST:PORT")
    if port and not port.isdigit():
        raise click.UsageError(f"{service}: the port after the colon must be a number")

    async def work(client: HttpClient) -> None:
        pod = await map_service(client, name, int(port) if port else None, target, namespace)
        ports = ", ".join(str(entry["containerPort"]) for entry in pod["spec"]["containers"][0]["ports"])
        click.echo(f"service/{name} port {port or ports} is backed by {target}")

    call(obj.folder, _worded(work))


@click.command("reset")
@click.pass_obj
def reset_command(obj: Any) -> None:
    """Back to the objects as they were after `up`."""
    folder = obj.folder
    state = folder.state()
    baseline = json.loads(folder.baseline.read_text())
    call_state(state, _worded(lambda client: restore(client, baseline)))
    click.echo(f"cluster {folder.name} is as it was after up")
