"""SyncCluster: a Cluster for code without an event loop. Every method blocks; the cluster runs in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from emulator.api.meta import JsonObject
from emulator.apiserver.io.app import ApiServer
from emulator.client.io.apply import Applied
from emulator.client.io.reset import Baseline
from emulator.config.settings import ClusterConfig
from emulator.dns.io.server import DnsServer
from emulator.io.serving import Served
from emulator.proxy.io.proxy import Connection
from emulator.testing.thread import ClusterThread

if TYPE_CHECKING:
    import httpx
    from requests import Session
    from requests.adapters import HTTPAdapter

Source = str | Path | JsonObject | Sequence[JsonObject]
Objects = list[JsonObject]


class SyncCluster:
    """`with SyncCluster() as cluster:` starts a cluster and leaves nothing behind.

    As emulator.Cluster, whose methods say what each does; safe to use from any thread.
    """

    def __init__(self, config: ClusterConfig | None = None) -> None:
        self.thread = ClusterThread(config)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.thread.stop()

    @property
    def config(self) -> ClusterConfig:
        return self.thread.cluster.config

    @property
    def api_url(self) -> str:
        return self.thread.cluster.api_url

    @property
    def token(self) -> str:
        return self.thread.cluster.token

    @property
    def kubeconfig(self) -> str:
        """The text of a kubeconfig for this cluster."""
        return self.thread.cluster.kubeconfig

    @property
    def dns_address(self) -> tuple[str, int]:
        return self.thread.cluster.dns_address

    def apply(
        self, source: Source, *, namespace: str = "default", wait: bool = False, timeout_seconds: float = 30.0
    ) -> list[Applied]:
        return self.thread.call(
            lambda c: c.apply(source, namespace=namespace, wait=wait, timeout_seconds=timeout_seconds)
        )

    def delete(self, source: Source, *, namespace: str = "default") -> list[Applied]:
        return self.thread.call(lambda c: c.delete(source, namespace=namespace))

    def get(self, target: str, *, namespace: str = "default") -> JsonObject:
        return self.thread.call(lambda c: c.get(target, namespace=namespace))

    def list(self, kind: str, *, namespace: str | None = "default", selector: str = "") -> Objects:
        return self.thread.call(lambda c: c.list(kind, namespace=namespace, selector=selector))

    def wait_ready(self, target: str, *, namespace: str = "default", timeout_seconds: float = 30.0) -> None:
        self.thread.call(lambda c: c.wait_ready(target, namespace=namespace, timeout_seconds=timeout_seconds))

    def wait_for(
        self,
        target: str,
        holds: str | Callable[[JsonObject], bool],
        *,
        namespace: str = "default",
        timeout_seconds: float = 30.0,
    ) -> JsonObject | None:
        return self.thread.call(
            lambda c: c.wait_for(target, holds, namespace=namespace, timeout_seconds=timeout_seconds)
        )

    def resolve(self, name: str, type: str = "A", *, namespace: str = "default") -> Sequence[str]:
        return self.thread.call(lambda c: c.resolve(name, type, namespace=namespace))

    def env(self, namespace: str = "default") -> dict[str, str]:
        return self.thread.ask(lambda c: c.env(namespace))

    def run(self, *command: str, namespace: str = "default", **options: Any) -> CompletedProcess[bytes]:
        return self.thread.call(lambda c: c.run(*command, namespace=namespace, **options))

    def map(self, service: str, backend: str, *, namespace: str = "default") -> None:
        self.thread.call(lambda c: c.map(service, backend, namespace=namespace))

    def unmap(self, service: str, *, namespace: str = "default") -> None:
        self.thread.call(lambda c: c.unmap(service, namespace=namespace))

    @contextmanager
    def serve(self, service: str, handler: Any, port: int = 8080, *, namespace: str = "default") -> Iterator[Served]:
        """As Cluster.serve; the handler runs in the cluster's thread."""
        opened = self.thread.ask(lambda c: c.serve(service, handler, port, namespace=namespace))
        served = self.thread.call(lambda _: opened.__aenter__())
        try:
            yield served
        finally:
            self.thread.call(lambda _: opened.__aexit__(None, None, None))

    @contextmanager
    def namespace(self, prefix: str = "test") -> Iterator[str]:
        opened = self.thread.ask(lambda c: c.namespace(prefix))
        name = self.thread.call(lambda _: opened.__aenter__())
        try:
            yield name
        finally:
            self.thread.call(lambda _: opened.__aexit__(None, None, None))

    def http(self, namespace: str = "default") -> Session:
        """A requests.Session that knows cluster names (needs the extra `requests`); close it, or use it in a `with`."""
        import requests

        session = requests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, self.thread.cluster.requests_adapter(namespace))
        return session

    def requests_adapter(self, namespace: str = "default", **options: Any) -> HTTPAdapter:
        return self.thread.cluster.requests_adapter(namespace, **options)

    def httpx_transport(self, namespace: str = "default", **options: Any) -> httpx.BaseTransport:
        """For httpx.Client."""
        return self.thread.cluster.httpx_sync_transport(namespace, **options)

    def patch_resolver(self, namespace: str = "default") -> AbstractContextManager[None]:
        return self.thread.cluster.patch_resolver(namespace)

    @contextmanager
    def patch_env(self, namespace: str = "default") -> Iterator[dict[str, str]]:
        from emulator.client.io.hostenv import patched_environment

        with patched_environment(self.env(namespace)) as added:
            yield added

    @property
    def dns(self) -> DnsServer:
        """`queries`: what was asked lately."""
        return self.thread.cluster.dns

    @property
    def api(self) -> ApiServer:
        """`requests`: what was asked lately."""
        return self.thread.cluster.api

    @property
    def connections(self) -> Sequence[Connection]:
        return self.thread.cluster.connections

    def forget_records(self) -> None:
        self.thread.ask(lambda c: c.forget_records())

    def snapshot(self) -> Baseline:
        return self.thread.call(lambda c: c.snapshot())

    def restore(self, snapshot: Baseline) -> None:
        self.thread.call(lambda c: c.restore(snapshot))

    def reset(self) -> None:
        self.thread.call(lambda c: c.reset())
