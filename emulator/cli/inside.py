"""`kubemu run`, `shell`, `env`: be a program in the cluster, or see what one would."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from emulator.api.errors import ApiError
from emulator.api.kinds import CONFIG_MAP, POD, SECRET, SERVICE
from emulator.api.meta import JsonObject
from emulator.cli.remote import call_state
from emulator.client.io.http import HttpClient
from emulator.node.accountfiles import account_files, token_request, wants_account_files
from emulator.node.envvars import environment, service_variables
from emulator.node.hosts import HEADER, STANDARD_LINES, hosts_file
from emulator.node.resolvconf import pod_resolv_conf

HOST_NAME = "host.kubemu.internal"
NAMESPACE_OPTION = click.option("-n", "--namespace", default="default", metavar="NS", help="Default `default`.")
NOT_FOUND, NOT_EXECUTABLE = 127, 126  # a shell's exit statuses for a command that cannot be run


@click.command("run", context_settings={"allow_interspersed_args": False})
@NAMESPACE_OPTION
@click.option("--pod", metavar="POD", help="Take the variables and resolv.conf of this pod.")
@click.option("--env-only", is_flag=True, help="Only the variables: the host's network and resolv.conf.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
@click.pass_obj
def run_command(obj: Any, namespace: str, pod: str | None, env_only: bool, command: Sequence[str]) -> None:
    """Run a command of this host as if in the cluster: variables, resolv.conf, network."""
    execute(obj.folder.state(), list(command), namespace, pod, env_only=env_only)


@click.command("shell")
@NAMESPACE_OPTION
@click.option("--pod", metavar="POD", help="Take the variables and resolv.conf of this pod.")
@click.pass_obj
def shell_command(obj: Any, namespace: str, pod: str | None) -> None:
    """A shell as if in the cluster."""
    shell = os.environ.get("SHELL") or pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh"
    execute(obj.folder.state(), [shell], namespace, pod, env_only=False)


@click.command("env")
@NAMESPACE_OPTION
@click.argument("pod", required=False)
@click.option("--format", "form", type=click.Choice(["shell", "dotenv", "json"]), default="shell")
@click.pass_obj
def env_command(obj: Any, namespace: str, pod: str | None, form: str) -> None:
    """The variables that a pod (or POD, with its own) would get."""
    variables, _ = variables_for(obj.folder.state(), namespace, pod)
    if form == "json" or obj.output == "json":
        click.echo(json.dumps(variables, indent=2))
        return
    for name, value in sorted(variables.items()):
        if form == "shell":
            click.echo(f"export {name}={shlex.quote(value)}")
        else:
            click.echo(f"{name}={dotenv_value(value)}")


def dotenv_value(value: str) -> str:
    """The value as dotenv files and docker's --env-file take it: plain when it can be, else in double quotes."""
    if value and all(char.isalnum() or char in "_-./:@%+,=[]" for char in value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("$", "\\$") + '"'


def variables_for(state: Mapping[str, Any], namespace: str, pod: str | None) -> tuple[dict[str, str], JsonObject]:
    """The variables of a pod, and the pod: the named one, or one that stands for any pod of the namespace."""
    variables, found, _ = surroundings_of(state, namespace, pod, account=False)
    return variables, found


def surroundings_of(
    state: Mapping[str, Any], namespace: str, pod: str | None, *, account: bool
) -> tuple[dict[str, str], JsonObject, dict[str, str]]:
    """Variables and pod as above, and with `account` the files of its ServiceAccount, if there is one."""

    ca = Path(state["caFile"]).read_text()

    async def read(client: HttpClient) -> tuple[dict[str, str], JsonObject, dict[str, str]]:
        services = (await client.list(SERVICE)).items
        if pod is None:
            anybody: JsonObject = {"metadata": {"name": "kubemu", "namespace": namespace}}
            files = await _account_files(client, ca, namespace, None) if account else {}
            return service_variables(namespace, services), anybody, files
        found = await client.get(POD, pod, namespace)
        maps = (await client.list(CONFIG_MAP, namespace)).items
        hidden = (await client.list(SECRET, namespace)).items
        variables = environment(
            found,
            found["spec"]["containers"][0],
            services,
            config_maps={item["metadata"]["name"]: item for item in maps},
            secrets={item["metadata"]["name"]: item for item in hidden},
        )
        files = await _account_files(client, ca, namespace, found) if account else {}
        return variables, found, files

    return call_state(dict(state), read)


async def _account_files(client: HttpClient, ca: str, namespace: str, pod: JsonObject | None) -> dict[str, str]:
    if pod is not None and not wants_account_files(pod):
        return {}
    name = pod["spec"]["serviceAccountName"] if pod is not None else "default"
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    try:
        made = await client.request("POST", path, body=token_request(pod))
    except ApiError:  # the account or its namespace is not there
        return {}
    return account_files(made["status"]["token"], ca, namespace)


def execute(
    state: Mapping[str, Any], command: list[str], namespace: str, pod: str | None, *, env_only: bool
) -> NoReturn:
    """Become `command`; its exit status is ours. Does not return."""
    inside = state["sandbox"] is not None and not env_only
    variables, found, files = surroundings_of(state, namespace, pod, account=inside)
    env = {**os.environ, **variables}
    program = shutil.which(command[0], path=env.get("PATH"))
    if program is None:
        click.echo(f"kubemu: {command[0]}: command not found on this host", err=True)
        raise SystemExit(NOT_FOUND)
    if not inside:
        try:
            os.execvpe(program, command, env)  # noqa: S606 - running the given command is the verb
        except OSError as error:
            click.echo(f"kubemu: {command[0]}: {error.strerror}", err=True)
            raise SystemExit(NOT_EXECUTABLE) from error
    from emulator.io.enter import enter

    resolv_conf = pod_resolv_conf(found, _host_resolv_conf(), [state["clusterDNS"]], state["clusterDomain"])
    raise SystemExit(
        enter(
            state["sandbox"],
            command,
            env=env,
            resolv_conf=resolv_conf.text(),
            hosts=_hosts(state, found),
            files=files,
            pod_address=_own_address(found),
        )
    )


def _hosts(state: Mapping[str, Any], pod: JsonObject) -> str:
    """The kubelet's hosts file, and the name of the host; a command without a pod keeps its own name on loopback."""
    if "spec" in pod:
        status = pod.get("status") or {}
        ips = tuple(entry["ip"] for entry in status.get("podIPs") or ())
        text = hosts_file(pod, ips, state["clusterDomain"])
    else:
        text = HEADER + STANDARD_LINES + f"127.0.0.1\t{os.uname().nodename}\n"
    return f"{text}{state['hostAddress']}\t{HOST_NAME}\n"


def _own_address(pod: JsonObject) -> str:
    """The address of a pod that is not on its node's network."""
    shares = (pod.get("spec") or {}).get("hostNetwork")
    return "" if shares else str((pod.get("status") or {}).get("podIP") or "")


def _host_resolv_conf() -> str:
    try:
        return Path("/etc/resolv.conf").read_text()
    except OSError:
        return ""
