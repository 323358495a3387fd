"""An operator written with kopf: for each ConfigMap with a label it keeps a Service, and takes it away again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import kopf
import pytest

from emulator.testing.view import ClusterView

pytestmark = pytest.mark.asyncio

WANTED = """
apiVersion: v1
kind: ConfigMap
metadata: {name: shop, labels: {make: service}}
data: {port: "8080"}
"""


def operator_for(cluster: ClusterView) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**options: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_kubeconfig(**options)

    @kopf.on.create("configmaps", labels={"make": "service"}, registry=registry)
    async def make(name: str, namespace: str | None, body: kopf.Body, **_: Any) -> None:
        spec = {"selector": {"app": name}, "ports": [{"port": int(body["data"]["port"])}]}
        metadata = {"name": name, "namespace": namespace}
        await cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})

    @kopf.on.delete("configmaps", labels={"make": "service"}, registry=registry)
    async def remove(name: str, namespace: str | None, **_: Any) -> None:
        metadata = {"name": name, "namespace": namespace}
        await cluster.delete({"apiVersion": "v1", "kind": "Service", "metadata": metadata})

    return registry


@asynccontextmanager
async def running(registry: kopf.OperatorRegistry) -> AsyncIterator[None]:
    ready, stop = asyncio.Event(), asyncio.Event()
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.process.ultimate_exiting_timeout = None
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(
            kopf.operator(
                registry=registry,
                settings=settings,
                standalone=True,
                namespaces=["default"],
                ready_flag=ready,
                stop_flag=stop,
            )
        )
        await ready.wait()
        try:
            yield
        finally:
            stop.set()
    await asyncio.sleep(0.25)  # aiohttp, which kopf uses, ends TLS connections after it says it has


async def test_the_operator_keeps_services(
    cluster: ClusterView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(cluster.kubeconfig)
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    async with running(operator_for(cluster)):
        await cluster.apply(WANTED)
        await cluster.wait_for("service/shop", "exists")
        await cluster.delete(WANTED)
        await cluster.wait_for("configmap/shop", "delete")  # until the operator has let go of it
        assert "shop" not in {each["metadata"]["name"] for each in await cluster.list("services")}
