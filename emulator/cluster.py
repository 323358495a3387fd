"""Cluster: what users ask of a cluster that runs in their process, and how they start and stop one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from emulator.api.errors import EmulatorError, NotFound
from emulator.api.kinds import (
    INGRESS,
    JOB,
    KINDS,
    NAMESPACE,
    POD,
    SERVICE,
    Kind,
    kind_by_word,
)
from emulator.api.meta import JsonObject, ObjectKey, condition_of, key_of
from emulator.client.io.apply import Applied, apply_all, delete_all
from emulator.client.io.files import load_manifests
from emulator.client.io.mapping import map_service, unmap_service
from emulator.client.io.protocol import WatchEvent
from emulator.client.io.reset import Baseline, restore, take_baseline
from emulator.client.manifests import Manifest
from emulator.client.readiness import has_failed, is_ready
from emulator.composition import Composition, host_file
from emulator.config.settings import ClusterConfig
from emulator.dns.io.resolving import resolve
from emulator.dns.io.server import HOST_NAME
from emulator.io.seen import seen
from emulator.io.serving import Served
from emulator.node.envvars import service_variables
from emulator.node.hosts import HEADER, STANDARD_LINES
from emulator.node.resolvconf import pod_resolv_conf
from emulator.proxy.io.proxy import Connection

if TYPE_CHECKING:
    import ssl
    from subprocess import CompletedProcess

    import httpx
    from aiohttp import ClientSession, TCPConnector
    from requests.adapters import HTTPAdapter


Objects = list[JsonObject]
Texts = list[str]
Connections = list[Connection]
TOLD_SECONDS = 5.0
POLL_SECONDS = 0.01  # how often waiting for readiness looks at the informers' cache


class NotReady(EmulatorError):
    """What was waited for did not become ready in time; the text names it."""


class ApplyFailed(EmulatorError):
    """Some manifests were refused; the text names each with its reason. The others are applied."""


class Cluster(Composition):
    """One emulated cluster. `async with Cluster() as cluster:` starts it and leaves nothing behind.

    Without a config: memory, loopback addresses, free ports.
    """

    def __init__(self, config: ClusterConfig | None = None) -> None:
        super().__init__(config or ClusterConfig(dns_port=0, http_port=0, https_port=0))
        self._baseline: Baseline | None = None
        self._http: ClientSession | None = None

    # -- life ------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start every part; on return the API, DNS and virtual IPs serve. Raises StartError, ConfigError."""
        try:
            await self._start()
            await self.mark_baseline()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop every part in reverse order. May be called twice."""
        session, self._http = self._http, None
        if session is not None:
            await session.close()
        await super().stop()

    # -- what users ask --------------------------------------------------------------------------------------

    @property
    def api_url(self) -> str:
        return self.api.url

    @property
    def token(self) -> str:
        return self.credentials.token

    @property
    def kubeconfig(self) -> str:
        """The text of a kubeconfig for this cluster (context `kubemu-NAME`)."""
        return self.credentials.kubeconfig(self.config.name, self.api_url)

    @property
    def dns_address(self) -> tuple[str, int]:
        """Where DNS answers on the host, UDP and TCP."""
        return self.dns.address

    def parse(self, source: str | Path | JsonObject | Sequence[JsonObject]) -> list[Manifest]:
        """Manifests of a path (file or folder), a YAML text, an object or a list of objects, placed in this cluster.

        Raises ManifestError.
        """
        if isinstance(source, Mapping):
            found = [Manifest(dict(source), "<object>")]
        elif isinstance(source, str | Path):
            found = load_manifests(source)
        else:
            found = [Manifest(dict(object), f"<object {number}>") for number, object in enumerate(source)]
        return [manifest.placed(self.config.preset, self.config.addresses) for manifest in found]

    async def apply(
        self,
        source: str | Path | JsonObject | Sequence[JsonObject],
        *,
        namespace: str = "default",
        wait: bool = False,
        timeout_seconds: float = 30.0,
    ) -> list[Applied]:
        """Apply manifests, and with `wait` until all serve (Jobs are not waited for).

        The good ones are applied even when others fail. Raises ManifestError, ApplyFailed, NotReady.
        """
        applied = await self.apply_manifests(self.parse(source), namespace=namespace)
        await self._told(applied)
        if failed := [str(item) for item in applied if item.outcome == "failed"]:
            raise ApplyFailed("; ".join(failed))
        if wait:
            await self.wait_applied(applied, timeout_seconds=timeout_seconds)
        return applied

    async def _told(self, applied: Sequence[Applied]) -> None:
        """Let the parts see what was applied, so that a name resolves as soon as its Service is applied."""
        async with asyncio.timeout(TOLD_SECONDS):
            for item in applied:
                kind = item.manifest.kind
                if kind is not None and item.object is not None and kind in self.informers:
                    version = int(item.object["metadata"]["resourceVersion"])
                    while self.informers[kind].index.revision < version:
                        await asyncio.sleep(0)

    async def apply_manifests(self, manifests: Sequence[Manifest], *, namespace: str = "default") -> list[Applied]:
        """Apply parsed manifests, each with its outcome."""
        return await apply_all(self.client, manifests, namespace=namespace)

    async def delete(
        self, source: str | Path | JsonObject | Sequence[JsonObject], *, namespace: str = "default"
    ) -> list[Applied]:
        return await delete_all(self.client, self.parse(source), namespace=namespace)

    async def wait_applied(self, applied: Sequence[Applied], *, timeout_seconds: float = 30.0) -> None:
        """Wait until all that was applied serves; Jobs and Ingresses may come later. Raises NotReady."""
        waiting = [
            (kind, key_of(item.object), item.manifest.title)
            for item in applied
            if item.object is not None and (kind := item.manifest.kind) is not None and kind not in (JOB, INGRESS)
        ]
        await self._wait_ready(waiting, timeout_seconds)

    async def wait_ready(self, target: str, *, namespace: str = "default", timeout_seconds: float = 30.0) -> None:
        """Wait until `deployment/webapp`, `service/webapp`, `pod/webapp-1` ... serves, or `job/once` is complete.

        Raises NotReady, also at once for a Job that failed, and NotFound.
        """
        kind, key = _named(target, namespace)
        await self.client.get(kind, key.name, key.namespace)
        await self._wait_ready([(kind, key, target)], timeout_seconds)

    async def _wait_ready(self, waiting: Sequence[tuple[Kind, ObjectKey, str]], timeout_seconds: float) -> None:
        pending = list(waiting)
        try:
            async with asyncio.timeout(timeout_seconds):
                # All at the same time: a Service is served anew once a Pod that came after it is ready.
                while pending := [entry for entry in waiting if not await self._is_ready(*entry)]:
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError as error:
            names = ", ".join(title for _, _, title in pending)
            raise NotReady(f"not ready after {timeout_seconds:g} s: {names}; see `kubemu get events`") from error

    async def _is_ready(self, kind: Kind, key: ObjectKey, title: str) -> bool:
        try:
            object = await self.client.get(kind, key.name, key.namespace)
        except NotFound:
            return False
        if why := has_failed(kind, object):
            raise NotReady(f"{title} will not be ready: {why}")
        if kind is SERVICE:
            return await self._is_served(object)
        return is_ready(kind, object) or (not self.config.nodes and kind.group in ("", "apps", "batch"))

    async def _is_served(self, service: JsonObject) -> bool:
        assigned = service["spec"].get("type") == "LoadBalancer" and self.config.load_balancer == "assign"
        if assigned and not service["spec"].get("loadBalancerClass"):
            return bool((service.get("status") or {}).get("loadBalancer", {}).get("ingress"))
        pods = (await self.client.list(POD, key_of(service).namespace)).items if service["spec"].get("selector") else ()
        return self.proxy.follows(service, pods)

    async def wait_for(
        self,
        target: str,
        holds: str | Callable[[JsonObject], bool],
        *,
        namespace: str = "default",
        timeout_seconds: float = 30.0,
    ) -> JsonObject | None:
        """Wait until something holds of an object, which may not exist yet; the object, None once it is deleted.

        holds: a condition's type (`Available`, `Complete`), `exists`, `delete`, or a function of the object.
        Raises NotReady.
        """
        kind, key = _named(target, namespace)
        object: JsonObject | None = None
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    try:
                        object = await self.client.get(kind, key.name, key.namespace)
                    except NotFound:
                        object = None
                    if (object is None and holds == "delete") or (object is not None and _holds(holds, object)):
                        return object
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError as error:
            what = holds if isinstance(holds, str) else "what was asked for"
            state = "it does not exist" if object is None else f"its status is {object.get('status')}"
            raise NotReady(f"{target}: {what} does not hold after {timeout_seconds:g} s; {state}") from error

    async def get(self, target: str, *, namespace: str = "default") -> JsonObject:
        """The object `service/webapp`; shared, so copy it to change it. Raises NotFound."""
        kind, key = _named(target, namespace)
        return await self.client.get(kind, key.name, key.namespace)

    async def list(self, kind: str, *, namespace: str | None = "default", selector: str = "") -> Objects:
        """The objects of a kind (`services`, `svc`, `deployments.apps`); namespace None: of all namespaces."""
        found = _kind(kind)
        place = (namespace or "") if found.namespaced else ""
        listed = await self.client.list(found, place, label_selector=selector)
        return listed.items

    @asynccontextmanager
    async def watch(self, kind: str, *, namespace: str | None = "default") -> AsyncIterator[AsyncIterator[WatchEvent]]:
        """Events (`.type`, `.object`) from now on; the objects that are there come first, as ADDED."""
        found = _kind(kind)
        place = (namespace or "") if found.namespaced else ""
        listed = await self.client.list(found, place)
        async with self.client.watch(found, place, resource_version=listed.resource_version) as events:

            async def told() -> AsyncIterator[WatchEvent]:
                for object in listed.items:
                    yield WatchEvent("ADDED", object)
                async for event in events:
                    yield event

            yield told()

    async def resolve(self, name: str, type: str = "A", *, namespace: str = "default") -> Texts:
        """What a pod of `namespace` finds under the name: addresses, or a record's data as `dig +short` prints it.

        The first record is that of the search path's first name that has one. Raises NoSuchName when there is none.
        """
        return await resolve(self.dns, name, type, namespace=namespace, domain=self.config.cluster_domain)

    @property
    def http(self) -> ClientSession:
        """An aiohttp session that knows cluster names and addresses, as a pod of `default` does; closed with the cluster."""
        if self._http is None:
            self._http = self.http_session()
        return self._http

    def http_session(self, namespace: str = "default", **options: Any) -> ClientSession:
        """A session of your own, to be closed; `options` are aiohttp.ClientSession's."""
        import aiohttp

        if self.sandbox is None:
            connector: aiohttp.BaseConnector = self.connector(namespace)
        else:
            from emulator.client.io.dialling import DialConnector

            connector = DialConnector(self.names(namespace), self.network.tcp_connect)
        return aiohttp.ClientSession(connector=connector, **options)

    async def connect(
        self, host: str, port: int, *, namespace: str = "default"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TCP connection to a cluster name or address. Raises OSError as connecting does."""
        return await asyncio.open_connection(sock=await self.dial(host, port, namespace=namespace))

    async def dial(self, host: str, port: int, *, namespace: str = "default") -> socket.socket:
        """The connected socket of `connect`, non-blocking and yours to close."""
        return await self.network.tcp_connect(self._address_of(host, namespace), port)

    async def map(self, service: str, backend: str, *, namespace: str = "default") -> None:
        """Back `webapp` or `webapp:8080` by the process at HOST:PORT; an absent Service is made. Raises EmulatorError."""
        name, _, port = service.partition(":")
        await map_service(self.client, name, int(port) if port else None, backend, namespace)
        await self.wait_ready(f"pod/{name}-mapped", namespace=namespace)

    async def unmap(self, service: str, *, namespace: str = "default") -> None:
        """Take away what `map` put behind a Service; the Service stays."""
        await unmap_service(self.client, service.partition(":")[0], namespace)

    @asynccontextmanager
    async def serve(
        self, service: str, handler: Any, port: int = 8080, *, namespace: str = "default"
    ) -> AsyncIterator[Served]:
        """While open, a Service is backed by `handler`; what it was asked is in `.requests`.

        handler: an aiohttp or ASGI application, a function or coroutine function (of the aiohttp request, or of
        nothing), or a fixed answer: text, bytes, a dict or list as JSON, a status, or (status, body).
        """
        served = Served(handler)
        await served.start()
        try:
            await self.map(f"{service}:{port}", served.address, namespace=namespace)
            await self.wait_ready(f"service/{service}", namespace=namespace)
            yield served
        finally:
            await served.stop()
            await self.unmap(service, namespace=namespace)

    async def run(self, *command: str, namespace: str = "default", **options: Any) -> CompletedProcess[bytes]:
        """Run a program with the variables of a pod of `namespace`, and in the sandbox with its network and names.

        options: `stdin` (bytes), `env` (more variables), `cwd`, `timeout_seconds` (60). Standard output and error come
        back; a status other than 0 raises nothing. Raises FileNotFoundError, TimeoutError.
        """
        from emulator.client.io.programs import run_program

        return await run_program(command, self.env(namespace), world=self._world(namespace), **options)

    def _world(self, namespace: str) -> dict[str, Any] | None:
        """What a program finds in the sandbox, as emulator.io.launch reads it; None in this machine's own network."""
        if self.sandbox is None:
            return None
        pod = {"metadata": {"name": "kubemu", "namespace": namespace}, "spec": {}}
        conf = pod_resolv_conf(pod, host_file(), [self.config.addresses.dns], self.config.cluster_domain)
        hosts = f"{HEADER}{STANDARD_LINES}{self.sandbox.host_address}\t{HOST_NAME}\n"
        return {
            "sandbox": self.sandbox.reference(),
            "resolvConf": conf.text(),
            "hosts": hosts,
            "files": {},
            "podAddress": "",
        }

    @asynccontextmanager
    async def namespace(self, prefix: str = "test") -> AsyncIterator[str]:
        """A namespace of its own, ready for pods; it and all in it are gone afterwards."""
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": f"{prefix}-"}}
        made = await self.client.create(NAMESPACE, manifest)
        name: str = made["metadata"]["name"]
        try:
            await self.wait_for("serviceaccount/default", "exists", namespace=name)
            yield name
        finally:
            await self.client.delete(NAMESPACE, name)
            await self.wait_for(f"namespace/{name}", "delete")

    def env(self, namespace: str = "default") -> dict[str, str]:
        """The Service variables a Pod of `namespace` would get now."""
        return service_variables(namespace, self.informers[SERVICE].index)

    # -- names for programs of this process (loopback and host mode, where the addresses are reached directly) ----

    def patch_resolver(self, namespace: str = "default") -> AbstractContextManager[None]:
        """While open, `socket.getaddrinfo` and the event loops of this process know cluster names; others pass through."""
        from emulator.client.io.hostnames import patched

        return patched(self.names(namespace))

    @contextmanager
    def patch_env(self, namespace: str = "default") -> Iterator[dict[str, str]]:
        """While open, os.environ has the Service variables of a pod of `namespace`; what stood there comes back."""
        from emulator.client.io.hostenv import patched_environment

        with patched_environment(self.env(namespace)) as added:
            yield added

    def connector(self, namespace: str = "default", **options: Any) -> TCPConnector:
        """For aiohttp.ClientSession(connector=...): knows cluster names."""
        from emulator.client.io.resolvers import aiohttp_connector

        return aiohttp_connector(self.names(namespace), **options)

    def httpx_transport(
        self, namespace: str = "default", *, verify: ssl.SSLContext | bool = True
    ) -> httpx.AsyncBaseTransport:
        """For httpx.AsyncClient(transport=...); see `httpx_sync_transport` for httpx.Client in another thread."""
        from emulator.client.io.resolvers import httpx_async_transport

        return httpx_async_transport(self.names(namespace), verify=verify)

    def httpx_sync_transport(
        self, namespace: str = "default", *, verify: ssl.SSLContext | bool = True
    ) -> httpx.BaseTransport:
        from emulator.client.io.resolvers import httpx_transport

        return httpx_transport(self.names(namespace), verify=verify)

    def requests_adapter(self, namespace: str = "default", **options: Any) -> HTTPAdapter:
        """For requests.Session.mount("http://", ...), in another thread than the cluster's."""
        from emulator.client.io.resolvers import requests_adapter

        return requests_adapter(self.names(namespace), **options)

    async def mark_baseline(self) -> Baseline:
        """Remember the present objects as what `reset` goes back to."""
        self._baseline = await take_baseline(self.client)
        return self._baseline

    # -- what happened ---------------------------------------------------------------------------------------

    @property
    def connections(self) -> Connections:
        """The last connections to Services, the oldest first. See also `dns.queries` and `api.requests`."""
        return self.proxy.connections

    async def connected(
        self, service: str, *, namespace: str = "default", count: int = 1, timeout_seconds: float = 5.0
    ) -> Connections:
        """Wait until a Service was connected to. Raises NotSeen."""
        key = ObjectKey(namespace, service)
        return await seen(
            lambda: self.connections,
            lambda connection: connection.service == key,
            count=count,
            what=f"a connection to {key}",
            timeout_seconds=timeout_seconds,
        )

    def forget_records(self) -> None:
        """Begin anew with `connections`, `dns.queries` and `api.requests`."""
        self.proxy.forget_connections()
        self.dns.engine.recent.clear()
        self.api.forget_requests()

    async def snapshot(self) -> Baseline:
        """All objects as they stand, for `restore`."""
        return await take_baseline(self.client)

    async def restore(self, snapshot: Baseline) -> None:
        """Back to a snapshot: later objects deleted, changed and missing ones put back, and every part told."""
        await restore(self.client, snapshot)
        async with asyncio.timeout(TOLD_SECONDS):
            for kind in KINDS:
                if kind in self.informers:
                    while len(self.informers[kind].index) != len((await self.client.list(kind)).items):
                        await asyncio.sleep(0)

    async def reset(self) -> None:
        """Back to what `mark_baseline` remembered, without it to the cluster as it was started."""
        if self._baseline is None:
            raise NotReady("nothing to go back to: the cluster was never started")
        await self.restore(self._baseline)


def _named(target: str, namespace: str) -> tuple[Kind, ObjectKey]:
    """What `service/webapp` names. Raises NotFound for a kind that is not served."""
    word, _, name = target.partition("/")
    kind = _kind(word)
    return kind, ObjectKey(namespace if kind.namespaced else "", name)


def _holds(holds: str | Callable[[JsonObject], bool], object: JsonObject) -> bool:
    if not isinstance(holds, str):
        return holds(object)
    if holds in ("exists", "delete"):
        return holds == "exists"
    condition = condition_of(object, holds)
    return condition is not None and condition["status"] == "True"


def _kind(word: str) -> Kind:
    kind = kind_by_word(word)
    if kind is None:
        raise NotFound(f'the server doesn\'t have a resource type "{word}"')
    return kind
