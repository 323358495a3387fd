"""An API server with controllers on a free port, and the kubectl programs of this machine, for tests."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from emulator.apiserver.identity import certificate_hosts
from emulator.apiserver.io.app import ApiServer
from emulator.apiserver.io.serviceproxy import Dial
from emulator.client.io.informer import Informers
from emulator.client.io.inprocess import InProcessClient
from emulator.config.settings import API_PORT_IN_CLUSTER, ClusterConfig
from emulator.controllers.io.runner import ControllerRunner
from emulator.io.clock import utc_now
from emulator.io.tasks import Service, running
from emulator.pki.authority import Credentials, make_credentials
from emulator.registry.io.pipeline import Registry
from emulator.store.io.memory import MemoryStore

TOKEN = "test-token"
KUBECTL_SECONDS = 60.0
POLL_SECONDS = 0.02
WANTED_VERSIONS = ("1.29", "1.30", "1.31", "1.32", "1.33")


def recorded_config() -> ClusterConfig:
    """The configuration under which real Kubernetes was recorded: objects only, LoadBalancers pending."""
    default = ClusterConfig()
    addresses = replace(default.addresses, services=IPv4Network("10.152.183.0/24"))
    return replace(default, nodes=0, load_balancer="pending", addresses=addresses)


@dataclass
class Api:
    """A running API server."""

    server: ApiServer
    registry: Registry
    client: InProcessClient
    credentials: Credentials

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def kubeconfig(self) -> str:
        return self.credentials.kubeconfig("test", self.url)

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.credentials.ca)

    def session(self, *, token: str = TOKEN) -> aiohttp.ClientSession:
        """An HTTP client that trusts the server; with a token unless it is ""."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(ssl=self.tls(), limit=0))


@asynccontextmanager
async def api_server(
    config: ClusterConfig | None = None, *, controllers: bool = True, dial: Dial | None = None
) -> AsyncIterator[Api]:
    """A server over a memory store; with `controllers` also default namespaces, accounts and `kubernetes`."""
    config = config or replace(ClusterConfig(), nodes=0)
    registry = Registry(MemoryStore(), config)
    client = InProcessClient(registry)
    informers = Informers(client)
    credentials = make_credentials(certificate_hosts(config), name=config.name, token=TOKEN, at=utc_now())
    server = ApiServer(registry, config, credentials, synced=lambda: not controllers or informers.synced, dial=dial)
    parts: list[Service] = [server]
    if controllers:
        endpoint = ("127.0.0.1", API_PORT_IN_CLUSTER)
        runner = ControllerRunner(client, informers, config, api_endpoint=endpoint, ca=credentials.ca)
        parts += [informers, runner]
    async with running(*parts):
        yield Api(server, registry, client, credentials)


async def eventually(check: Callable[[], Awaitable[object]], *, seconds: float = 10.0) -> None:
    """Wait until `check` says yes. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            if await check():
                return
            await asyncio.sleep(POLL_SECONDS)


def kubectl_versions() -> dict[str, str]:
    """Every kubectl of this machine: version or name -> path. Raises AssertionError when there is none."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    main = shutil.which("kubectl")
    if main:
        folders.append(Path(main).resolve().parent)
    found: dict[str, str] = {}
    for folder in folders:
        for path in sorted(folder.glob("kubectl.1.*")) if os.access(folder, os.R_OK | os.X_OK) else ():
            found.setdefault(path.name.removeprefix("kubectl."), str(path))
    usable = {version: path for version, path in found.items() if version in WANTED_VERSIONS}
    if not usable and main:
        usable = {"kubectl": main}
    assert usable, "no kubectl on this machine: install the package kubernetes-client, or kubectl from kubernetes.io"
    return usable


@dataclass
class Result:
    """What a program printed and how it ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return f"exit {self.status}\n{self.stdout}{self.stderr}"


@dataclass
class Kubectl:
    """One kubectl with a home of its own, pointed at one server."""

    path: str
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    async def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> Result:
        process = await self.start(*arguments, **environment)
        try:
            async with asyncio.timeout(KUBECTL_SECONDS):
                out, err = await process.communicate(stdin.encode())
        except BaseException:
            process.kill()
            await process.wait()
            raise
        return Result(process.returncode or 0, out.decode(), err.decode())

    async def ok(self, *arguments: str, stdin: str = "", **environment: str) -> str:
        """Standard output of a command that must succeed."""
        result = await self(*arguments, stdin=stdin, **environment)
        assert result.status == 0, result.text
        return result.stdout

    async def start(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            self.path,
            *arguments,
            cwd=self.home,
            env={**self.environment, **environment},
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )


class Configured(Protocol):
    """What a kubectl can be pointed at: a server of a test, or a whole cluster."""

    @property
    def kubeconfig(self) -> str: ...


@contextmanager
def kubectl_for(api: Configured, path: str) -> Iterator[Kubectl]:
    """A kubectl for `api` in a temporary home; nothing of the user's own configuration is read."""
    with tempfile.TemporaryDirectory(prefix="kubemu-test-") as folder:
        home = Path(folder)
        config = home / "kubeconfig"
        config.write_text(api.kubeconfig)
        config.chmod(0o600)
        environment: dict[str, Any] = {"HOME": folder, "KUBECONFIG": str(config), "PATH": os.environ["PATH"]}
        yield Kubectl(path, home, environment)
