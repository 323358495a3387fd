"""The ingress controller as a Service: Ingresses watched, a router for each moment, listeners for HTTP and HTTPS.

A change of the objects makes a new router in the loop's next turn; requests under way keep the decision they have.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import aiohttp
from aiohttp import web

from emulator.api.errors import ApiError, StartError
from emulator.api.kinds import CONFIG_MAP, ENDPOINT_SLICE, EVENT, INGRESS, INGRESS_CLASS, SECRET, SERVICE
from emulator.api.meta import JsonObject, ObjectKey, key_of
from emulator.client.index import Change
from emulator.client.io.informer import Informers
from emulator.client.io.protocol import Client
from emulator.ingress.backends import default_port, port_id, single_place
from emulator.ingress.events import Told, kind_of, problem_event
from emulator.ingress.io.alpn import ByAlpn
from emulator.ingress.io.backends import client as backend_client
from emulator.ingress.io.http1_clients import Http1Server
from emulator.ingress.io.server import IngressServer
from emulator.ingress.io.tls import Contexts
from emulator.ingress.model import BackendRef, Problem, Proxy
from emulator.ingress.requests import Door
from emulator.ingress.router import Router, build
from emulator.io import clock
from emulator.io.network import Network
from emulator.io.tasks import TaskOwner
from emulator.routing.ingressclasses import names_a_class
from emulator.routing.servicemap import Endpoint, ServiceMap

log = logging.getLogger(__name__)

BACKLOG = 1024
DRAIN_SECONDS = 5.0
KINDS = (INGRESS, INGRESS_CLASS, SERVICE, ENDPOINT_SLICE, SECRET, CONFIG_MAP)


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to serve. optional: what cannot be bound is only logged. may_move: a taken port is replaced by a free one.

    name: under which `bound` has the port; "" for the scheme.
    """

    network: Network
    host: str
    port: int
    scheme: str
    optional: bool = False
    may_move: bool = False
    name: str = ""


class IngressController:
    """listen: the first http and https entries are those users are told. resolve: addresses of a host name in the cluster."""

    name = "ingress"

    def __init__(
        self,
        client: Client,
        informers: Informers,
        network: Network,
        *,
        listen: Sequence[Listen],
        certificate: tuple[str, str],
        resolve: Callable[[str], str],
        rng: Callable[[int], int] = clock.randrange,
        at: Callable[[], datetime] = clock.utc_now,
    ) -> None:
        self.listen = listen
        self.bound: dict[str, int] = {}
        self._ports: dict[str, int] = {}
        self._client = client
        self._network = network
        self._certificate = certificate
        self._resolve = resolve
        self._rng = rng
        self._at = at
        self._informers = {kind: informers[kind] for kind in KINDS}
        self._services = ServiceMap()
        self._endpoints: dict[tuple[BackendRef, bool], tuple[Endpoint, ...]] = {}  # of backends asked since a change
        self._router: Router = build((), (), secret=lambda _: None)
        self._config_maps: set[ObjectKey] = set()  # those that this router was made with, or would have been
        self._stale = True
        self._calling: asyncio.Handle | None = None
        self._told = Told()
        self._tasks = TaskOwner("ingress event")
        self._session: aiohttp.ClientSession | None = None
        self._servers: list[tuple[asyncio.Server, web.Server]] = []
        self._http2: list[ByAlpn] = []
        self._serial = 0
        self._requests = IngressServer(self, self._backend_session, self._dial, rng)
        for informer in self._informers.values():
            informer.listen(self._changed)

    @property
    def http_port(self) -> int | None:
        return self.bound.get("http")

    @property
    def https_port(self) -> int | None:
        return self.bound.get("https")

    async def run(self, ready: Callable[[], None]) -> None:
        """Raises StartError when a port users are told cannot be had."""
        try:
            for informer in self._informers.values():
                await informer.synced.wait()
            await self._open()
            ready()
            await asyncio.Event().wait()
        finally:
            await self._stop()

    # -- what the server asks ------------------------------------------------------------------------------------

    def router(self) -> Router:
        if self._stale:
            self._rebuild()
        return self._router

    def endpoints(self, proxy: Proxy) -> Sequence[Endpoint]:
        asked = (proxy.backend, proxy.settings.service_upstream)
        found = self._endpoints.get(asked)
        if found is None:
            found = self._endpoints[asked] = tuple(self._found(proxy))
        return found

    def _found(self, proxy: Proxy) -> Iterable[Endpoint]:
        service = self._informers[SERVICE].index.by_key(proxy.backend.key)
        if service is None:
            return ()
        single = single_place(service, proxy.backend, service_upstream=proxy.settings.service_upstream)
        if single is not None:
            return (Endpoint(single.host, single.port),)
        port = port_id(service, proxy.backend)
        found = self._services.endpoints(port) if port is not None else ()
        return [endpoint for endpoint in found if endpoint.ready and not endpoint.terminating]

    def instead(self, proxy: Proxy) -> Proxy | None:
        name, owner = proxy.settings.default_backend, proxy.route.ingress
        if not name or owner is None:
            return None
        service = self._informers[SERVICE].index.by_key(ObjectKey(owner.namespace, name))
        backend: BackendRef | None = default_port(service) if service is not None else None
        return replace(proxy, backend=backend) if backend is not None else None

    # -- routers ---------------------------------------------------------------------------------------------------

    def _changed(self, change: Change) -> None:
        if change.kind in (SERVICE, ENDPOINT_SLICE):
            self._services.apply(change)
            self._endpoints.clear()
            return
        if change.kind is CONFIG_MAP and key_of(change.object) not in self._config_maps:
            return
        self._stale = True
        if self._calling is None:
            self._calling = asyncio.get_running_loop().call_soon(self._rebuild)

    def _rebuild(self) -> None:
        self._calling = None
        if not self._stale:
            return
        self._stale = False
        self._endpoints.clear()
        self._config_maps.clear()
        self._router = build(
            self._informers[INGRESS].index,
            self._informers[INGRESS_CLASS].index,
            secret=self._informers[SECRET].index.by_key,
            config_map=self._config_map,
        )
        for problem in self._told.news(self._router.problems):
            self._tasks.start(self._warn(problem))

    def _config_map(self, key: ObjectKey) -> JsonObject | None:
        self._config_maps.add(key)
        return self._informers[CONFIG_MAP].index.by_key(key)

    async def _warn(self, problem: Problem) -> None:
        """One Warning event for each problem of an Ingress or a ConfigMap, until it is mended."""
        about = self._informers[kind_of(problem)].index.by_key(problem.about)
        if about is None or (problem.kind == "Ingress" and not names_a_class(about)):
            return  # one that names no class is served too, but it was not written for this controller
        at = self._at()
        self._serial += 1
        suffix = f"{int(at.timestamp() * 1e6) * 1000 + self._serial % 1000:x}"
        event = problem_event(problem, about, at, suffix)
        try:
            await self._client.create(EVENT, event)
        except ApiError as error:  # its namespace is gone, or the API is
            log.debug("event not written: %s", error)

    # -- sockets ---------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        contexts: Contexts | None = None
        doors: list[tuple[Listen, socket.socket]] = []
        try:
            for entry in self.listen:
                sock = await self._bind(entry)
                if sock is not None:
                    doors.append((entry, sock))
            while doors:
                entry, sock = doors.pop(0)
                port = sock.getsockname()[1]
                if entry.scheme == "https" and contexts is None:
                    contexts = Contexts(*self._certificate, lambda name: self.router().certificate(name))
                https = self._https_beside(entry)
                door = Door("https" if entry.scheme == "https" else "http", port, https)
                await self._serve(sock, door, contexts if entry.scheme == "https" else None)
        finally:
            for _, sock in doors:
                sock.close()

    async def _bind(self, entry: Listen) -> socket.socket | None:
        name = entry.name or entry.scheme
        port = entry.port or self._ports.get(name, 0)  # run again, it is where it was
        try:
            sock = await entry.network.tcp_listener(entry.host, port, backlog=BACKLOG)
        except OSError as error:
            if entry.may_move and error.errno == errno.EADDRINUSE:
                log.warning("port %d is taken: the ingress serves %s at a free one", entry.port, entry.scheme)
                return await self._bind(replace(entry, port=0))
            if entry.optional:
                log.info("ingress does not listen on %s:%d: %s", entry.host, entry.port, error)
                return None
            raise StartError(
                f"port {entry.port} of {entry.host} cannot be had for {entry.scheme}: {error.strerror or error}; "
                f"choose another with --{entry.scheme}-port (0 takes a free one), or end the program that has it"
            ) from error
        self.bound.setdefault(name, sock.getsockname()[1])
        self._ports.setdefault(name, sock.getsockname()[1])
        return sock

    def _https_beside(self, entry: Listen) -> int:
        """The https port at the same place; the usual one where there is none."""
        beside = [each for each in self.listen if each.scheme == "https" and each.host == entry.host]
        if beside and beside[0].port not in (0, 443):
            return beside[0].port
        return self.bound.get("https", 443) if entry.network is self.listen[0].network and beside else 443

    async def _serve(self, sock: socket.socket, door: Door, contexts: Contexts | None) -> None:
        server = Http1Server(door, self._requests.handle)
        factory: Callable[[], asyncio.BaseProtocol] = server
        if contexts is not None:
            both = ByAlpn(server, door, self._requests.handle)
            self._http2.append(both)
            factory = both
        listener = await asyncio.get_running_loop().create_server(
            factory, sock=sock, backlog=BACKLOG, ssl=contexts.default if contexts is not None else None
        )
        self._servers.append((listener, server))

    async def _stop(self) -> None:
        """No new connections; requests drain to a deadline, the rest is cut."""
        if self._calling is not None:
            self._calling.cancel()
            self._calling = None
        for listener, _ in self._servers:
            listener.close()
        for _, server in self._servers:
            server.pre_shutdown()
        async with asyncio.TaskGroup() as group:
            for _, server in self._servers:
                # It waits twice: for the handler, then for its end.
                group.create_task(server.shutdown(DRAIN_SECONDS / 2))
            for both in self._http2:
                group.create_task(both.close(DRAIN_SECONDS))
        self._servers.clear()
        self._http2.clear()
        self.bound.clear()
        await self._tasks.close()
        await self._requests.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _backend_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = backend_client(self._dial)
        return self._session

    async def _dial(self, host: str, port: int) -> socket.socket:
        return await self._network.tcp_connect(self._resolve(host), port)
