"""`lightkube`: typed models on httpx, no discovery; its synchronous and its asynchronous client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lightkube import ApiError, AsyncClient, Client, KubeConfig, codecs
from lightkube.core.exceptions import LoadResourceError
from lightkube.models.autoscaling_v1 import ScaleSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod
from lightkube.types import CascadeType, PatchType

from tests.support.clients import cluster_and_kubeconfig, collected, config_map, deployment, pod

__all__ = ["collected"]  # a fixture that is always used


@pytest.fixture
async def kubeconfig(tmp_path: Path) -> AsyncIterator[KubeConfig]:
    async with cluster_and_kubeconfig(tmp_path) as (_, path):
        yield KubeConfig.from_file(path)


async def test_objects_live_and_die(kubeconfig: KubeConfig) -> None:
    def work() -> None:
        client = Client(config=kubeconfig, field_manager="light")
        made = client.create(ConfigMap(metadata=ObjectMeta(name="a", labels={"app": "web"}), data={"k": "1"}))
        assert made.metadata.namespace == "default"
        for name in "bcd":
            client.create(codecs.from_dict(config_map(name, k=name)))
        names = [item.metadata.name for item in client.list(ConfigMap, labels={"app": "web"}, chunk_size=2)]
        assert names == ["a", "b", "c", "d"]
        assert [item.metadata.name for item in client.list(ConfigMap, fields={"metadata.name": "b"})] == ["b"]
        held = client.get(ConfigMap, "a")
        held.data["k"] = "2"
        client.replace(held)
        with pytest.raises(ApiError) as error:
            client.replace(held)
        assert (error.value.status.code, error.value.status.reason) == (409, "Conflict")
        assert client.patch(ConfigMap, "a", {"data": {"s": "3"}}).data == {"k": "2", "s": "3"}
        client.patch(ConfigMap, "a", {"data": {"s": None}}, patch_type=PatchType.MERGE)
        operations = [{"op": "test", "path": "/data/k", "value": "2"}, {"op": "remove", "path": "/data/k"}]
        assert not client.patch(ConfigMap, "a", operations, patch_type=PatchType.JSON).data
        mine = ConfigMap(metadata=ObjectMeta(name="a"), data={"owned": "yes"})
        assert client.apply(mine, field_manager="one").data == {"owned": "yes"}
        other = ConfigMap(metadata=ObjectMeta(name="a"), data={"owned": "no"})
        with pytest.raises(ApiError) as error:
            client.apply(other, field_manager="two")
        assert error.value.status.details.causes[0].field == ".data.owned"
        assert client.apply(other, field_manager="two", force=True).data == {"owned": "no"}
        client.deletecollection(ConfigMap)
        with pytest.raises(ApiError) as error:
            client.get(ConfigMap, "b")
        assert (error.value.status.code, error.value.status.reason) == (404, "NotFound")
        with pytest.raises(ApiError) as error:
            client.create(ConfigMap(metadata=ObjectMeta(name="Not_A_Name")))
        assert error.value.status.details.causes[0].field == "metadata.name"
        with pytest.raises(LoadResourceError):
            codecs.from_dict({"apiVersion": "v9", "kind": "Nonsense"})

    await asyncio.to_thread(work)


async def test_workloads_watched_and_scaled(kubeconfig: KubeConfig) -> None:
    client = AsyncClient(config=kubeconfig)
    try:
        await client.create(codecs.from_dict(deployment()))
        await client.wait(Deployment, "web", for_conditions=["Available"])
        scale = await client.get(Deployment.Scale, "web")
        assert scale.spec.replicas == 2
        scale.spec = ScaleSpec(replicas=1)
        await client.replace(scale, "web")
        async for event, held in client.watch(Deployment, fields={"metadata.name": "web"}):
            if held.status.replicas == 1 and held.status.readyReplicas == 1:
                assert event in ("ADDED", "MODIFIED")
                break
        status = await client.get(Deployment.Status, "web")
        assert status.status.observedGeneration == 2
        version = status.metadata.resourceVersion
        await client.patch(Deployment, "web", {"metadata": {"labels": {"new": "label"}}})
        async for event, held in client.watch(Deployment, resource_version=version):
            assert event == "MODIFIED"  # nothing from before the version
            if held.metadata.labels.get("new") == "label":  # the controller may have written its status before
                break
        await client.delete(Deployment, "web", cascade=CascadeType.FOREGROUND)
        await client.create(codecs.from_dict(pod()), namespace="default")
        await client.wait(Pod, "shell", for_conditions=["Ready"])
        assert [line.split(" of ")[0] async for line in client.log("shell")] == ["echo stands behind TCP 8080"]
    finally:
        await client.close()
