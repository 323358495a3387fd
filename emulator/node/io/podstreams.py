"""The node's answers to the API: logs, commands, attachment, connections to a pod's ports. Fulfils PodStreams.

A command is a program of this host in the pod's surroundings: its variables, and in the sandbox its network,
resolv.conf and hosts.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from emulator.api.errors import ApiError, BadRequest, NotFound
from emulator.api.kinds import POD
from emulator.api.meta import JsonObject, annotations_of
from emulator.config.settings import ClusterConfig
from emulator.io.network import Network
from emulator.io.podstreams import Ended, LogOptions, Streams
from emulator.node.accountfiles import account_files, token_request, wants_account_files
from emulator.node.containerlog import ContainerLog, Line, selected
from emulator.node.hosts import hosts_file, pod_hostname
from emulator.node.io.containerrun import ContainerRun
from emulator.node.io.kubelet import NodeAgent
from emulator.node.io.podrun import PodRun
from emulator.node.resolvconf import pod_resolv_conf

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
HOST_NAME = "host.kubemu.internal"
KEPT = ("PATH", "LANG", "TZ", "HOME", "USER")  # of this process: what an image would set itself
DIAL_SECONDS = 5.0
NOT_FOUND = 127


class NodeStreams:
    """sandbox: gives Sandbox.reference(), or None where pods share the host's network; issue: answers a TokenRequest
    for an account (namespace, name, request)."""

    def __init__(
        self,
        agent: NodeAgent,
        network: Network,
        config: ClusterConfig,
        sandbox: Callable[[], dict[str, Any]] | None,
        *,
        ca: str,
        issue: Callable[[str, str, JsonObject], Awaitable[JsonObject]],
    ) -> None:
        self._ca = ca
        self._issue = issue
        self._agent = agent
        self._network = network
        self._config = config
        self._sandbox = sandbox
        self._host_address = str(config.addresses.nodes[-2]) if sandbox is not None else "127.0.0.1"

    async def logs(self, namespace: str, pod: str, options: LogOptions) -> AsyncIterator[bytes]:
        container = self._container(self._run(namespace, pod), options.container)
        log = container.previous_log if options.previous else container.log
        if log is None:
            if options.previous:
                raise BadRequest(f'previous terminated container "{container.name}" in pod "{pod}" not found')
            return
        left = options.limit_bytes
        async for lines in _read(log, options):
            text = b"".join(line.shown(timestamps=options.timestamps) for line in lines)
            if left is not None:
                text, left = text[:left], left - len(text)
            if text:
                yield text
            if left is not None and left <= 0:
                return

    async def exec(self, namespace: str, pod: str, container: str, command: Sequence[str], streams: Streams) -> Ended:
        from emulator.node.io.command import run_command

        run = self._run(namespace, pod)
        each = self._container(run, container)
        if not each.running:
            raise BadRequest(f"container {each.name} is not running")
        if run.processes is not None and run.processes.runs(each):
            return await run.processes.exec(each, command, streams)
        env = self._environment(run, each, tty=streams.tty)
        program, problem = _program(command[0], env.get("PATH"))
        if program is None:
            why = f'exec: "{command[0]}": {problem}'
            return Ended(
                NOT_FOUND, f"OCI runtime exec failed: exec failed: unable to start container process: {why}: unknown"
            )
        return await run_command(await self._spec(run, [program, *command[1:]], env, tty=streams.tty), streams)

    async def attach(self, namespace: str, pod: str, container: str, streams: Streams) -> Ended:
        run = self._run(namespace, pod)
        each = self._container(run, container)
        if each.log is None or not each.running:
            raise BadRequest(f"container {each.name} not found in pod {pod}_{namespace}")
        if run.processes is not None and run.processes.runs(each):
            await run.processes.attach(each, streams)
            return Ended(0)  # attaching went well; how the process ended stands in the pod's status
        _, number = each.log.after(0)
        async for lines in _follow(each.log, number):
            for line in lines:
                write = streams.stderr if line.stream == "stderr" and not streams.tty else streams.stdout
                if write is not None:
                    await write(line.text)
        return Ended(getattr(each.state, "exit_code", 0))

    async def connect(self, namespace: str, pod: str, port: int) -> socket.socket:
        run = self._run(namespace, pod)
        if not run.address:
            raise ConnectionRefusedError(f"pod {pod} has no address yet")
        return await self._network.tcp_connect(run.address, port, timeout_seconds=DIAL_SECONDS)

    # -- which pod, which container ----------------------------------------------------------------------------------

    def _run(self, namespace: str, pod: str) -> PodRun:
        run = self._agent.run_of(namespace, pod)
        if run is None:
            raise NotFound.of(POD.resource, pod)
        return run

    def _container(self, run: PodRun, name: str) -> ContainerRun:
        wanted = name or annotations_of(run.pod).get(DEFAULT_CONTAINER, "")
        for each in run.containers:
            if each.name == wanted or (not wanted and each.role == "container"):
                return each
        raise BadRequest(f"container {wanted} is not valid for pod {run.key.name}")

    # -- surroundings ------------------------------------------------------------------------------------------------

    def _environment(self, run: PodRun, each: ContainerRun, *, tty: bool) -> dict[str, str]:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        terminal = {"TERM": "xterm"} if tty else {}
        return {**kept, **terminal, "HOSTNAME": pod_hostname(run.pod), **each.variables}

    async def _spec(self, run: PodRun, command: list[str], env: Mapping[str, str], *, tty: bool) -> dict[str, Any]:
        spec: dict[str, Any] = {"command": command, "env": dict(env), "tty": tty, "sandbox": None}
        if self._sandbox is not None:
            domain = self._config.cluster_domain
            dns = (self._config.addresses.dns,)
            conf = pod_resolv_conf(run.pod, self._agent.node_resolv_conf, dns, domain)
            spec["sandbox"] = self._sandbox()
            spec["podAddress"] = run.own_address
            spec["files"] = await self._account_files(run.pod)
            spec["resolvConf"] = conf.text()
            spec["hosts"] = f"{hosts_file(run.pod, (run.address,), domain)}{self._host_address}\t{HOST_NAME}\n"
        return spec

    async def _account_files(self, pod: JsonObject) -> dict[str, str]:
        if not wants_account_files(pod):
            return {}
        namespace = pod["metadata"]["namespace"]
        try:
            made = await self._issue(namespace, pod["spec"]["serviceAccountName"], token_request(pod))
        except ApiError:  # the account is gone
            return {}
        return account_files(made["status"]["token"], self._ca, namespace)


def _program(name: str, path: str | None) -> tuple[str | None, str]:
    """Where a program of this host is, else why it cannot be run, as a container runtime says it."""
    if "/" not in name:
        return shutil.which(name, path=path), "executable file not found in $PATH"
    if not os.path.exists(name):
        return None, f"stat {name}: no such file or directory"
    usable = os.access(name, os.X_OK) and not os.path.isdir(name)
    return (name if usable else None), "permission denied"


async def _read(log: ContainerLog, options: LogOptions) -> AsyncIterator[list[Line]]:
    """What is there as the options ask, then, with `follow`, what comes."""
    lines, number = log.after(0)
    yield selected(lines, since=options.since_at, tail=options.tail_lines, stream=options.stream)
    if options.follow:
        async for more in _follow(log, number):
            yield selected(more, since=None, tail=None, stream=options.stream)


async def _follow(log: ContainerLog, number: int) -> AsyncIterator[list[Line]]:
    """New lines from the `number`th on until the log ends."""
    changed = asyncio.Event()
    log.listeners.append(changed.set)
    try:
        while True:
            changed.clear()
            lines, number = log.after(number)
            if lines:
                yield lines
            elif log.ended:
                return
            else:
                await changed.wait()
    finally:
        log.listeners.remove(changed.set)
