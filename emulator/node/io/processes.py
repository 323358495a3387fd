"""The runtime behind process-backed pods: their networks, files and processes.

In the sandbox a pod has a network of its own and sees files at its own paths; on loopback its processes share the
host's network and files, and are told by variables where to listen and where their volumes are.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from emulator.api.errors import ApiError
from emulator.api.meta import JsonObject, ObjectKey
from emulator.config.settings import ClusterConfig
from emulator.node.accountfiles import token_request
from emulator.node.backends import Target, declared_ports
from emulator.node.containerlog import ContainerLog
from emulator.node.envvars import expand
from emulator.node.hosts import hosts_file, system_hostname
from emulator.node.io.external import ExternalBackend
from emulator.node.io.podfiles import PodFiles
from emulator.node.io.process import ProcessBackend, StartFailure
from emulator.node.program import STANDARD_PATH, Program, loopback_variables, program_of, rule_of
from emulator.node.resolvconf import pod_resolv_conf
from emulator.node.volumes import Sources, VolumeFailure, references, volume_of, wants_token

if TYPE_CHECKING:
    from emulator.io.network import Network
    from emulator.io.podnetwork import PodNetwork
    from emulator.io.sandbox import Sandbox

HOST_NAME = "host.kubemu.internal"
KEPT = ("PATH", "LANG", "TZ", "HOME", "USER")  # of this process: what an image would set itself
ROOT_VARIABLE = "KUBEMU_ROOT"  # on loopback: the folder below which a pod's volumes are
TERMINATION_LOG = "/dev/termination-log"
Issue = Callable[[str, str, JsonObject], Awaitable[JsonObject]]


class World(Protocol):
    """What the runtime needs to know of the node."""

    network: Network
    host_network: Network
    cluster_domain: str
    cluster_dns: tuple[str, ...]
    node_resolv_conf: str

    def at(self) -> datetime: ...
    def again(self, key: ObjectKey) -> None: ...
    def config_maps(self, namespace: str) -> Mapping[str, JsonObject]: ...
    def secrets(self, namespace: str) -> Mapping[str, JsonObject]: ...
    def allocatable(self) -> Mapping[str, str]: ...


class Place(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def address(self) -> str: ...


class Pod(Protocol):
    """The pod as its run has it."""

    pod: JsonObject
    key: ObjectKey
    uid: str
    address: str
    own_address: str
    network: Network

    @property
    def world(self) -> World: ...
    @property
    def place(self) -> Place: ...


class Container(Protocol):
    manifest: JsonObject
    name: str
    variables: dict[str, str]
    log: ContainerLog | None


class ProcessRuntime:
    """sandbox: where pods get their networks; None where they share the host's. issue: answers a TokenRequest for an
    account (namespace, name, request)."""

    def __init__(self, config: ClusterConfig, sandbox: Sandbox | None, *, issue: Issue) -> None:
        self._config = config
        self._sandbox = sandbox
        self._issue = issue
        self._base = ""
        self._files: dict[str, PodFiles] = {}

    # -- what is backed --------------------------------------------------------------------------------------------

    def backs(self, container: Mapping[str, Any]) -> bool:
        """Whether a container is a process, unless an annotation says otherwise."""
        return rule_of(self._config, container) is not None

    def program(self, run: Pod, container: Container) -> Program | None:
        seen = {**loopback_variables(container.manifest, run.address), **container.variables}
        return program_of(self._config, container.manifest, container.variables, seen)

    # -- pods ------------------------------------------------------------------------------------------------------

    async def open_network(self, address: str) -> PodNetwork | None:
        """A network of its own for the pod at `address`; None on loopback. Raises OSError."""
        if self._sandbox is None:
            return None
        from emulator.io.podnetwork import PodNetwork

        return PodNetwork(self._sandbox, address, await self._sandbox.add_pod(address))

    async def set_up_files(self, run: Pod) -> None:
        """The pod's folder, /etc files and volumes, brought up to date. Raises VolumeFailure, OSError."""
        files = self._files.get(run.uid)
        if files is None:
            files = self._files[run.uid] = PodFiles(f"{self._made_base()}/pods/{run.uid}", f"{self._base}/claims")
        conf = pod_resolv_conf(run.pod, run.world.node_resolv_conf, run.world.cluster_dns, run.world.cluster_domain)
        files.write("resolv.conf", conf.text())
        hosts = hosts_file(run.pod, (run.address,), run.world.cluster_domain)
        files.write("hosts", f"{hosts}{self._host_address}\t{HOST_NAME}\n")
        token = await self._token(run.pod) if wants_token(run.pod["spec"].get("volumes")) else ""
        for volume in run.pod["spec"].get("volumes") or ():
            self._set_up(files, run, volume, token)

    def refresh_files(self, run: Pod, word: str, name: str) -> None:
        """Bring volumes that show a ConfigMap or Secret up to date; what is gone meanwhile stays as it was."""
        files = self._files.get(run.uid)
        if files is None:
            return
        for volume in run.pod["spec"].get("volumes") or ():
            if (word, name) in references(volume) and files.holds(volume["name"]) and not wants_token([volume]):
                with contextlib.suppress(VolumeFailure, OSError):
                    self._set_up(files, run, volume, "")

    def _set_up(self, files: PodFiles, run: Pod, volume: Mapping[str, Any], token: str) -> None:
        namespace = run.key.namespace
        pod = {**run.pod, "status": {**(run.pod.get("status") or {}), "podIP": run.address}}
        world = run.world
        sources = Sources(pod, world.config_maps(namespace), world.secrets(namespace), world.allocatable(), token)
        name = volume["name"]
        try:
            files.volume(name, volume_of(volume, sources))
        except VolumeFailure as error:
            raise VolumeFailure(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error

    async def close_pod(self, run: Pod) -> None:
        """Remove what the pod had, its network first."""
        files = self._files.pop(run.uid, None)
        if files is not None:
            await asyncio.to_thread(files.remove)

    async def close(self) -> None:
        """Remove everything."""
        base, self._base = self._base, ""
        self._files.clear()
        if base:
            await asyncio.to_thread(shutil.rmtree, base, True)

    # -- containers ------------------------------------------------------------------------------------------------

    async def start(self, run: Pod, container: Container, program: Program) -> ProcessBackend:
        """Start a container's process. Raises StartFailure."""
        if not program.command:
            raise StartFailure("no command specified")
        log, key = container.log, run.key

        def wrote(line: bytes, stream: str) -> None:
            if log is not None:
                log.add(run.world.at(), line, stream)

        backend = ProcessBackend(str(key), log=wrote, ended=lambda: run.world.again(key))
        manifest = container.manifest
        try:
            spec = self._spec(run, container, program)
        except (OSError, VolumeFailure) as error:
            raise StartFailure(str(error)) from error
        if any(port.host_port for port in declared_ports(manifest)) and run.own_address:
            backend.ports = ExternalBackend(run.world.network, run.world.network, Target(run.address, 0))
        stdin = bool(manifest.get("stdin"))
        await backend.start(spec, stdin=stdin, stdin_once=bool(manifest.get("stdinOnce")))
        return backend

    def message(self, run: Pod, container: Container) -> str:
        """The termination message of the run that ended."""
        files = self._files.get(run.uid)
        return files.message(container.name) if files is not None else ""

    def _spec(self, run: Pod, container: Container, program: Program) -> dict[str, Any]:
        files = self._files[run.uid]
        sandbox = self._sandbox
        env = self._environment(run, container, program)
        mounts = self._mounts(run, container, program, files)
        spec: dict[str, Any] = {
            "parent": os.getpid(),
            "sandbox": None,
            "command": list(program.command),
            "tty": bool(container.manifest.get("tty")),
            "cwd": program.folder or "/",
        }
        if sandbox is None:
            root = f"{files.folder}/root/{container.name}"
            _link_volumes(root, mounts)
            folder = program.folder if program.folder and os.path.isdir(program.folder) else root + program.folder
            os.makedirs(folder, exist_ok=True)
            return {**spec, "cwd": folder, "env": {**env, ROOT_VARIABLE: root}}
        helper = f"/proc/{sandbox.reference()['pid']}/ns"
        network = getattr(run.network, "path", None) or f"{helper}/net"
        return {
            **spec,
            "env": env,
            "sandbox": {"user": f"{helper}/user", "network": network},
            "hostname": self._hostname(run),
            "root": {
                "folder": f"{files.folder}/root",
                "scratch": f"{files.folder}/scratch",
                "mounts": mounts,
                "readOnly": program.private,
                "privateTmp": program.private,
            },
        }

    def _environment(self, run: Pod, container: Container, program: Program) -> dict[str, str]:
        kept = {"PATH": STANDARD_PATH, **{name: os.environ[name] for name in KEPT if name in os.environ}}
        terminal = {"TERM": "xterm"} if container.manifest.get("tty") else {}
        where = loopback_variables(container.manifest, run.address) if self._sandbox is None else {}
        return {**kept, **terminal, **program.image_env, **where, **container.variables}

    def _mounts(self, run: Pod, container: Container, program: Program, files: PodFiles) -> list[dict[str, Any]]:
        """What appears at which path of the container; later entries win."""
        mounts = {
            "/etc/resolv.conf": (f"{files.folder}/etc/resolv.conf", False),
            "/etc/hosts": (f"{files.folder}/etc/hosts", False),
            container.manifest.get("terminationMessagePath") or TERMINATION_LOG: (
                files.message_file(container.name),
                False,
            ),
        }
        nsswitch = _nsswitch()
        if nsswitch:
            mounts["/etc/nsswitch.conf"] = (files.write("nsswitch.conf", nsswitch), False)
        for inner, path in program.mounts.items():
            if not os.path.exists(path):
                raise VolumeFailure(f"mounts: {path}: no such file or folder on this host")
            mounts[inner] = (path, False)
        volumes = {volume["name"]: volume for volume in run.pod["spec"].get("volumes") or ()}
        for mount in container.manifest.get("volumeMounts") or ():
            source = self._source(run, volumes[mount["name"]], mount, files, container.variables)
            read_only = bool(mount.get("readOnly")) or files.holds(mount["name"])
            mounts[mount["mountPath"]] = (source, read_only)
        return [
            {"source": source, "target": os.path.normpath(target), "readOnly": read_only}
            for target, (source, read_only) in mounts.items()
        ]

    def _source(
        self,
        run: Pod,
        volume: Mapping[str, Any],
        mount: Mapping[str, Any],
        files: PodFiles,
        variables: Mapping[str, str],
    ) -> str:
        if files.holds(volume["name"]):
            source = f"{files.folder}/volumes/{volume['name']}"
        else:
            source = files.volume(volume["name"], volume_of(volume, Sources(run.pod, {}, {}, {})))
        inner = expand(mount.get("subPathExpr") or "", variables.get) or mount.get("subPath") or ""
        if not inner:
            return source
        found = os.path.realpath(os.path.join(source, inner))
        if not f"{found}/".startswith(f"{os.path.realpath(source)}/"):
            raise VolumeFailure(f"subPath {inner!r} leads out of the volume {volume['name']!r}")
        if not os.path.exists(found):
            if files.holds(volume["name"]):
                raise VolumeFailure(f'failed to prepare subPath for volumeMount "{volume["name"]}": {inner} is absent')
            os.makedirs(found)
        return found

    def _hostname(self, run: Pod) -> str:
        spec = run.pod["spec"]
        if spec.get("hostNetwork") and not spec.get("hostname"):
            return run.place.name
        return system_hostname(run.pod, run.world.cluster_domain)

    async def _token(self, pod: JsonObject) -> str:
        namespace = pod["metadata"]["namespace"]
        try:
            made = await self._issue(namespace, pod["spec"].get("serviceAccountName") or "default", token_request(pod))
        except ApiError:  # the account is gone
            return ""
        return str(made["status"]["token"])

    @property
    def _host_address(self) -> str:
        return str(self._config.addresses.nodes[-2]) if self._sandbox is not None else "127.0.0.1"

    def _made_base(self) -> str:
        if not self._base:
            prefix = f"kubemu-{self._config.name}-"
            _remove_left(tempfile.gettempdir(), prefix)
            self._base = tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-")
        return self._base


def _remove_left(folder: str, prefix: str) -> None:
    """Remove what clusters of this name left that were killed."""
    for name in os.listdir(folder):
        pid, dash, _ = name.removeprefix(prefix).partition("-")
        if not name.startswith(prefix) or not dash or not pid.isdigit() or os.path.exists(f"/proc/{pid}"):
            continue
        with contextlib.suppress(OSError):
            if os.stat(f"{folder}/{name}").st_uid == os.geteuid() and os.path.isdir("/proc/self"):
                shutil.rmtree(f"{folder}/{name}", ignore_errors=True)


def _link_volumes(root: str, mounts: list[dict[str, Any]]) -> None:
    """On loopback: the pod's files below one folder, since nothing can be shown at the real paths."""
    for mount in mounts:
        at = root + mount["target"]
        os.makedirs(os.path.dirname(at), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(at)
        os.symlink(mount["source"], at)


def _nsswitch() -> str:
    """nsswitch.conf with only files and DNS for hosts, when the host's own has more, such as systemd-resolved."""
    try:
        with open("/etc/nsswitch.conf") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    found = [line.split()[1:] for line in lines if line.startswith("hosts:")]
    if not found or found == [["files", "dns"]]:
        return ""
    return "".join("hosts: files dns\n" if line.startswith("hosts:") else f"{line}\n" for line in lines)
