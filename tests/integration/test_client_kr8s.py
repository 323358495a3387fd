"""`kr8s`: objects with methods, on httpx; discovery, merge patches, exec and port-forward over WebSockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import kr8s
import pytest
from kr8s.asyncio.objects import ConfigMap, Deployment, Pod, Service

from tests.support.api import eventually
from tests.support.clients import LABELS, cluster_and_kubeconfig, collected, config_map, deployment, pod

pytestmark = pytest.mark.filterwarnings("ignore:Kubernetes version .* is not supported:UserWarning")
__all__ = ["collected"]  # a fixture that is always used


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Any]:
    async with cluster_and_kubeconfig(tmp_path) as (_, path):
        made = await kr8s.asyncio.api(kubeconfig=path)
        yield made
        await made._session.aclose()  # it has no close of its own


async def test_objects_live_and_die(api: Any) -> None:
    for name in "abc":
        await (await ConfigMap(config_map(name, k=name), api=api)).create()
    found = [item.name async for item in api.get("configmaps", namespace="default", label_selector=LABELS)]
    assert found == ["a", "b", "c"]
    only = [item.name async for item in api.get("cm", namespace="default", field_selector="metadata.name=b")]
    assert only == ["b"]
    held = await ConfigMap.get("a", namespace="default", api=api)
    await held.patch({"data": {"k": "2"}})
    assert held.data == {"k": "2"}
    await held.patch([{"op": "remove", "path": "/data/k"}], type="json")
    assert "data" not in held.raw
    await held.label(tier="back")
    await held.annotate(note="kept")
    assert (await ConfigMap.get("a", namespace="default", api=api)).annotations["note"] == "kept"
    with pytest.raises(kr8s.ServerError) as error:
        await (await ConfigMap(config_map("a"), api=api)).create()
    assert (error.value.response.status_code, error.value.status["reason"]) == (409, "AlreadyExists")
    await held.delete()
    await held.wait("delete", timeout=10)
    assert not await held.exists()
    with pytest.raises(kr8s.NotFoundError):
        await ConfigMap.get("a", namespace="default", api=api)


async def test_a_deployment_scales_and_is_watched(api: Any) -> None:
    made = await Deployment(deployment(), api=api)
    await made.create()
    await made.wait("condition=Available", timeout=20)
    await made.scale(3)
    assert len(await made.pods()) == 3
    service = await Service(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": LABELS, "ports": [{"port": 80, "targetPort": 8080}]},
        },
        api=api,
    )
    await service.create()
    assert len(await service.ready_pods()) == 3
    await made.delete(propagation_policy="Foreground")
    seen = []
    async for event, _ in api.watch("deployments", namespace="default"):
        seen.append(event)
        if event == "DELETED":
            break
    assert seen[0] in ("ADDED", "DELETED")
    version = await api.version()
    assert version["gitVersion"].startswith("v1.36.")
    kinds = {resource["kind"] for resource in await api.api_resources()}
    assert {"Pod", "Deployment", "EndpointSlice"} <= kinds


async def test_pods_are_talked_to(api: Any) -> None:
    made = await Pod({**pod(), "metadata": {"name": "shell", "namespace": "default"}}, api=api)
    await made.create()
    await eventually(made.ready)
    assert [line.split(" of ")[0] async for line in made.logs()] == ["echo stands behind TCP 8080"]
    done = await made.exec(["sh", "-c", "echo out; echo err >&2"])
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 0)
    failed = await made.exec(["sh", "-c", "exit 3"], check=False)
    assert failed.returncode == 3
    async with made.portforward(remote_port=8080, local_port="auto") as port, httpx.AsyncClient() as http:
        assert (await http.get(f"http://127.0.0.1:{port}/hostname")).text == "shell"
    await made.delete(grace_period=0)
    await made.wait("delete", timeout=10)
