"""The API server: HTTPS (or plain http) around a Registry, as a Service.

It decides nothing about objects. It reads requests, asks the registry, and writes answers; whatever goes wrong
becomes a Status. What it did not expect is logged with its traceback and told only as `Internal error occurred`.
"""

from __future__ import annotations

import asyncio
import errno
import fnmatch
import logging
import platform
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from emulator.api.errors import ApiError, InternalError, StartError
from emulator.apiserver.impersonation import impersonated
from emulator.apiserver.io.accounts import Accounts
from emulator.apiserver.io.auth import Authenticator, is_open
from emulator.apiserver.io.documents import Documents
from emulator.apiserver.io.handlers import Handlers
from emulator.apiserver.io.limits import MAX_CONNECTIONS, HttpServer
from emulator.apiserver.io.respond import error_response
from emulator.apiserver.io.serviceproxy import Dial
from emulator.apiserver.io.tls import server_context
from emulator.apiserver.io.watch import Watches
from emulator.apiserver.parameters import flag
from emulator.apiserver.requestinfo import OtherRequest, ResourceRequest, target_of
from emulator.apiserver.users import ANONYMOUS, UNAUTHENTICATED, User
from emulator.config.settings import ClusterConfig
from emulator.io.clock import now, randrange, utc_now
from emulator.io.podstreams import PodStreams
from emulator.io.seen import KEPT, seen
from emulator.io.tasks import TaskOwner
from emulator.pki.authority import Credentials
from emulator.pki.tokens import TokenKey
from emulator.registry.io.pipeline import Registry
from emulator.registry.metadata import new_uid

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
BACKLOG = 1024
MAX_HEADER_BYTES = 64 * 1024  # of one line; label selectors make long URLs
KEEPALIVE_SECONDS = 180.0
HANDSHAKE_SECONDS = 10.0
TLS_SHUTDOWN_SECONDS = 1.0
LINGER_SECONDS = 2.0  # for reading the rest of a refused body, so that the client sees the answer
DRAIN_SECONDS = 2.0  # how long requests under way may take when the server stops
ANYBODY = User(ANONYMOUS, groups=(UNAUTHENTICATED,))


@dataclass(frozen=True, slots=True)
class Requested:
    """One request that was answered. at: monotonic seconds; `path` has the query."""

    at: float
    method: str
    path: str
    status: int
    agent: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.status}"


class ApiServer:
    """Serves one registry on 127.0.0.1, and on every socket it is handed. A Service.

    synced: says whether the parts behind the API are ready; `/readyz` and `/healthz` report it.
    dial: connects to a pod's or node's address and port, for proxied requests; without it none is reached.
    """

    name = "apiserver"

    def __init__(
        self,
        registry: Registry,
        config: ClusterConfig,
        credentials: Credentials,
        *,
        synced: Callable[[], bool] = lambda: True,
        pod_streams: PodStreams | None = None,
        dial: Dial | None = None,
    ) -> None:
        self.config = config
        self.port = config.api_port
        self.accounts = Accounts(registry, TokenKey(), clock=utc_now, rng=randrange)
        self._auth = Authenticator(credentials, self.accounts)
        self._tls = server_context(credentials)
        self._handlers = Handlers(registry, self.accounts, self._auth.of_token, dial=dial)
        self.pod_streams = pod_streams
        self._documents = Documents(synced, lambda: f"{HOST}:{self.port}", platform.machine())
        self._recent: deque[Requested] = deque(maxlen=KEPT)
        self._extra: list[socket.socket] = []
        self._web: HttpServer | None = None
        self.max_connections = MAX_CONNECTIONS
        self._servers: list[asyncio.Server] = []
        self._starting = TaskOwner("apiserver listeners")

    @property
    def url(self) -> str:
        """Where clients of this machine reach the API; right once the server is ready."""
        return f"{'http' if self.config.insecure_http else 'https'}://{HOST}:{self.port}"

    @property
    def pod_streams(self) -> PodStreams | None:
        """Whoever runs the pods: answers logs, exec, attach, port-forward. None: their node does not answer."""
        return self._handlers.connections.pod_streams

    @pod_streams.setter
    def pod_streams(self, streams: PodStreams | None) -> None:
        self._handlers.connections.pod_streams = streams

    @property
    def watches(self) -> Watches:
        """The watches being served now."""
        return self._handlers.watches

    def add_listener(self, sock: socket.socket) -> None:
        """Serve `sock`, bound and listening, with TLS too; it is this server's from now on."""
        self._extra.append(sock)
        if self._web is not None:
            self._starting.start(self._serve_extra())

    async def run(self, ready: Callable[[], None]) -> None:
        """Raises StartError when the port cannot be had."""
        own = _bind(self.config.api_port)
        self.port = own.getsockname()[1]
        self._web = HttpServer(
            self.handle,
            max_connections=self.max_connections,
            access_log=None,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=LINGER_SECONDS,
        )
        try:
            await self._serve(own, tls=not self.config.insecure_http)
            await self._serve_extra()
            ready()
            await asyncio.Event().wait()
        finally:
            await self._stop()

    async def _serve_extra(self) -> None:
        while self._extra:
            await self._serve(self._extra.pop(), tls=True)

    async def _serve(self, sock: socket.socket, *, tls: bool) -> None:
        assert self._web is not None
        server = await asyncio.get_running_loop().create_server(
            self._web,
            sock=sock,
            backlog=BACKLOG,
            ssl=self._tls if tls else None,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if tls else None,
            ssl_shutdown_timeout=TLS_SHUTDOWN_SECONDS if tls else None,
        )
        self._servers.append(server)

    async def _stop(self) -> None:
        """No new connections, watches end, requests drain to a deadline, the rest is cut."""
        for server in self._servers:
            server.close()
        await self._starting.close()
        for sock in self._extra:
            sock.close()
        self._extra.clear()
        self.watches.end()
        self._handlers.connections.sessions.end()
        web_server, self._web = self._web, None
        if web_server is not None:
            web_server.pre_shutdown()
            await web_server.shutdown(DRAIN_SECONDS)
            await web_server.cut()
        await self._handlers.proxy.close()
        self._servers.clear()

    @property
    def requests(self) -> list[Requested]:
        """The last requests over HTTP, the oldest first; a watch is told once it has ended."""
        return list(self._recent)

    def forget_requests(self) -> None:
        self._recent.clear()

    async def saw(self, method: str, path: str, *, count: int = 1, timeout_seconds: float = 5.0) -> list[Requested]:
        """Wait until this was asked; `path` is a glob over path and query. Raises NotSeen."""
        return await seen(
            lambda: self.requests,
            lambda request: request.method == method and fnmatch.fnmatchcase(request.path, path),
            count=count,
            what=f"{method} {path}",
            timeout_seconds=timeout_seconds,
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, under the Audit-Id it came with or one of its own; never raises but when cancelled."""
        response = await self._answer(request)
        if not response.prepared:
            response.headers["Audit-Id"] = request.headers.get("Audit-Id") or new_uid(randrange)
        agent = request.headers.get("User-Agent", "")
        self._recent.append(Requested(now(), request.method, request.path_qs, response.status, agent))
        return response

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            path = request.rel_url.raw_path
            user = ANYBODY
            if not is_open(path.rstrip("/")):
                user = impersonated(await self._auth.user(request), request.headers.items())
            target = target_of(request.method, path, watch=flag(_query(request), "watch"))
            if isinstance(target, ResourceRequest):
                return await self._handlers.handle(request, target, _query(request), user)
            if isinstance(target, OtherRequest):
                return await self._documents.other(request, target)
            return self._documents.discovery(request.method, target, request.headers.get("Accept", ""))
        except ApiError as error:
            return error_response(error)
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:  # the outermost loop of a request
            log.exception("%s %s failed", request.method, request.path)
            return error_response(InternalError.of(str(error) or type(error).__name__))


def _query(request: web.BaseRequest) -> dict[str, list[str]]:
    query: dict[str, list[str]] = {}
    for name, value in request.query.items():
        query.setdefault(name, []).append(value)
    return query


def _bind(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1; port 0 takes a free one. Raises StartError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HOST, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise StartError(_why(error, port)) from error
    return sock


def _why(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {HOST} is in use, so the API cannot listen there; "
            "end the program that has it or choose another with --api-port (0 takes a free one)"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} of {HOST} is not allowed to this user; choose one above 1023 with --api-port"
    return f"the API cannot listen on {HOST} port {port}: {error.strerror}; choose another with --api-port"
