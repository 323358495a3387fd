"""ClusterView: a running cluster as asynchronous tests see it, from whatever asyncio loop a test runs on.

The cluster lives in a thread of its own, so a test that blocks its loop, or a fixture of another loop, disturbs nothing.
What a test hands in (handlers, sessions) runs on the test's own loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any

from emulator.api.meta import JsonObject
from emulator.apiserver.io.app import ApiServer
from emulator.client.io.apply import Applied
from emulator.client.io.reset import Baseline
from emulator.config.settings import ClusterConfig
from emulator.dns.io.server import DnsServer
from emulator.io.serving import Served
from emulator.proxy.io.proxy import Connection
from emulator.testing.sync import SyncCluster

if TYPE_CHECKING:
    import httpx
    from aiohttp import ClientSession, TCPConnector

Source = str | Path | JsonObject | Sequence[JsonObject]
Objects = list[JsonObject]


class ClusterView:
    """As emulator.Cluster, whose methods say what each does. `sync` is the same cluster for blocking code."""

    def __init__(self, sync: SyncCluster) -> None:
        self.sync = sync
        self._thread = sync.thread
        self._session: ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def close(self) -> None:
        """Let go of the session; the cluster goes on."""
        session, self._session = self._session, None
        if session is not None:
            session.detach()  # it keeps no connection open, and its loop may be closed by now

    @property
    def config(self) -> ClusterConfig:
        return self.sync.config

    @property
    def api_url(self) -> str:
        return self.sync.api_url

    @property
    def token(self) -> str:
        return self.sync.token

    @property
    def kubeconfig(self) -> str:
        return self.sync.kubeconfig

    @property
    def dns_address(self) -> tuple[str, int]:
        return self.sync.dns_address

    async def apply(
        self, source: Source, *, namespace: str = "default", wait: bool = False, timeout_seconds: float = 30.0
    ) -> list[Applied]:
        return await self._thread.wait(
            lambda c: c.apply(source, namespace=namespace, wait=wait, timeout_seconds=timeout_seconds)
        )

    async def delete(self, source: Source, *, namespace: str = "default") -> list[Applied]:
        return await self._thread.wait(lambda c: c.delete(source, namespace=namespace))

    async def get(self, target: str, *, namespace: str = "default") -> JsonObject:
        return await self._thread.wait(lambda c: c.get(target, namespace=namespace))

    async def list(self, kind: str, *, namespace: str | None = "default", selector: str = "") -> Objects:
        return await self._thread.wait(lambda c: c.list(kind, namespace=namespace, selector=selector))

    async def wait_ready(self, target: str, *, namespace: str = "default", timeout_seconds: float = 30.0) -> None:
        await self._thread.wait(lambda c: c.wait_ready(target, namespace=namespace, timeout_seconds=timeout_seconds))

    async def wait_for(
        self,
        target: str,
        holds: str | Callable[[JsonObject], bool],
        *,
        namespace: str = "default",
        timeout_seconds: float = 30.0,
    ) -> JsonObject | None:
        return await self._thread.wait(
            lambda c: c.wait_for(target, holds, namespace=namespace, timeout_seconds=timeout_seconds)
        )

    async def resolve(self, name: str, type: str = "A", *, namespace: str = "default") -> Sequence[str]:
        return await self._thread.wait(lambda c: c.resolve(name, type, namespace=namespace))

    def env(self, namespace: str = "default") -> dict[str, str]:
        return self.sync.env(namespace)

    async def run(self, *command: str, namespace: str = "default", **options: Any) -> CompletedProcess[bytes]:
        return await self._thread.wait(lambda c: c.run(*command, namespace=namespace, **options))

    async def map(self, service: str, backend: str, *, namespace: str = "default") -> None:
        await self._thread.wait(lambda c: c.map(service, backend, namespace=namespace))

    async def unmap(self, service: str, *, namespace: str = "default") -> None:
        await self._thread.wait(lambda c: c.unmap(service, namespace=namespace))

    @asynccontextmanager
    async def serve(
        self, service: str, handler: Any, port: int = 8080, *, namespace: str = "default"
    ) -> AsyncIterator[Served]:
        """As Cluster.serve; the handler runs on this loop, beside the test."""
        served = Served(handler)
        await served.start()
        try:
            await self.map(f"{service}:{port}", served.address, namespace=namespace)
            await self.wait_ready(f"service/{service}", namespace=namespace)
            yield served
        finally:
            await served.stop()
            await self.unmap(service, namespace=namespace)

    @property
    def http(self) -> ClientSession:
        """An aiohttp session of the running loop that knows cluster names; ends with the test."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            self.close()
            self._session, self._loop = self.http_session(), loop
        return self._session

    def http_session(self, namespace: str = "default", **options: Any) -> ClientSession:
        """A session of your own, to be closed; `options` are aiohttp.ClientSession's."""
        import aiohttp

        # No connection outlives its request, so nothing is left to close when the test's loop is gone.
        return aiohttp.ClientSession(connector=self._thread.cluster.connector(namespace, force_close=True), **options)

    async def connect(
        self, host: str, port: int, *, namespace: str = "default"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = await self._thread.wait(lambda c: c.dial(host, port, namespace=namespace))
        return await asyncio.open_connection(sock=sock)

    @asynccontextmanager
    async def namespace(self, prefix: str = "test") -> AsyncIterator[str]:
        opened = self._thread.ask(lambda c: c.namespace(prefix))
        name = await self._thread.wait(lambda _: opened.__aenter__())
        try:
            yield name
        finally:
            await self._thread.wait(lambda _: opened.__aexit__(None, None, None))

    def connector(self, namespace: str = "default", **options: Any) -> TCPConnector:
        return self._thread.cluster.connector(namespace, **options)

    def httpx_transport(self, namespace: str = "default", **options: Any) -> httpx.AsyncBaseTransport:
        return self._thread.cluster.httpx_transport(namespace, **options)

    def patch_resolver(self, namespace: str = "default") -> AbstractContextManager[None]:
        return self.sync.patch_resolver(namespace)

    def patch_env(self, namespace: str = "default") -> AbstractContextManager[dict[str, str]]:
        return self.sync.patch_env(namespace)

    @property
    def dns(self) -> DnsServer:
        """`queries`, and `await cluster.dns.saw("webapp", "A")`."""
        return self.sync.dns

    @property
    def api(self) -> ApiServer:
        """`requests`, and `await cluster.api.saw("GET", "/api/v1/*")`."""
        return self.sync.api

    @property
    def connections(self) -> Sequence[Connection]:
        return self.sync.connections

    async def connected(
        self, service: str, *, namespace: str = "default", count: int = 1, timeout_seconds: float = 5.0
    ) -> Sequence[Connection]:
        return await self._thread.wait(
            lambda c: c.connected(service, namespace=namespace, count=count, timeout_seconds=timeout_seconds)
        )

    async def snapshot(self) -> Baseline:
        return await self._thread.wait(lambda c: c.snapshot())

    async def restore(self, snapshot: Baseline) -> None:
        await self._thread.wait(lambda c: c.restore(snapshot))

    async def reset(self) -> None:
        await self._thread.wait(lambda c: c.reset())
