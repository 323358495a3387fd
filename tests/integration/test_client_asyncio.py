"""`kubernetes_asyncio`: the official client's generated code on aiohttp, in the cluster's own loop."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes_asyncio import client as k8s
from kubernetes_asyncio import config, watch
from kubernetes_asyncio.client.exceptions import ApiException
from kubernetes_asyncio.stream import WsApiClient

from tests.support.api import eventually
from tests.support.clients import cluster_and_kubeconfig, collected, config_map, deployment, pod

__all__ = ["collected"]  # a fixture that is always used


@pytest.fixture
async def kubeconfig(tmp_path: Path) -> AsyncIterator[str]:
    async with cluster_and_kubeconfig(tmp_path) as (_, path):
        yield path


@pytest.fixture
async def api(kubeconfig: str) -> AsyncIterator[Any]:
    async with await config.new_client_from_config(kubeconfig) as found:
        yield found


async def test_objects_live_and_die(api: Any) -> None:
    core = k8s.CoreV1Api(api)
    for name in "abc":
        await core.create_namespaced_config_map("default", config_map(name, k=name))
    first = await core.list_namespaced_config_map("default", label_selector="app=web", limit=2)
    token = first.metadata._continue
    rest = await core.list_namespaced_config_map("default", label_selector="app=web", limit=2, _continue=token)
    assert [item.metadata.name for item in [*first.items, *rest.items]] == ["a", "b", "c"]
    held = await core.read_namespaced_config_map("a", "default")
    held.data["k"] = "2"
    assert (await core.replace_namespaced_config_map("a", "default", held)).data == {"k": "2"}
    with pytest.raises(ApiException) as error:
        await core.replace_namespaced_config_map("a", "default", held)
    assert (error.value.status, json.loads(error.value.body or "")["reason"]) == (409, "Conflict")
    json_patch = [{"op": "add", "path": "/data/j", "value": "1"}]
    patched = await core.patch_namespaced_config_map(
        "a", "default", json_patch, _content_type="application/json-patch+json"
    )
    assert patched.data == {"k": "2", "j": "1"}
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "mine"}}
    apply: dict[str, Any] = {"_content_type": "application/apply-patch+yaml", "field_manager": "one"}
    with pytest.raises(ApiException) as error:
        await core.patch_namespaced_config_map("a", "default", wanted, **apply)
    assert error.value.status == 409
    assert (await core.patch_namespaced_config_map("a", "default", wanted, force=True, **apply)).data["k"] == "mine"
    await core.delete_collection_namespaced_config_map("default", label_selector="app=web")
    with pytest.raises(ApiException) as error:
        await core.read_namespaced_config_map("a", "default")
    assert error.value.status == 404


async def test_a_deployment_scales_and_goes(api: Any) -> None:
    apps = k8s.AppsV1Api(api)
    await apps.create_namespaced_deployment("default", deployment())

    async def ready() -> bool:
        return bool((await apps.read_namespaced_deployment_status("web", "default")).status.ready_replicas == 1)

    await apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 1}})
    await eventually(ready)
    assert (await apps.read_namespaced_deployment_scale("web", "default")).status.replicas == 1
    await apps.delete_namespaced_deployment("web", "default", propagation_policy="Orphan")
    assert (await apps.list_namespaced_replica_set("default")).items


async def test_watches_resume(api: Any) -> None:
    core = k8s.CoreV1Api(api)
    version = (await core.list_namespaced_config_map("default")).metadata.resource_version
    await core.create_namespaced_config_map("default", config_map("a", k="1"))
    await core.delete_namespaced_config_map("a", "default")
    seen = []
    async with watch.Watch() as watcher:
        async for event in watcher.stream(
            core.list_namespaced_config_map, "default", resource_version=version, allow_watch_bookmarks=True
        ):
            seen.append((event["type"], event["object"].metadata.name))
            if len(seen) == 2:
                break
    assert seen == [("ADDED", "a"), ("DELETED", "a")]


async def test_pods_are_talked_to(api: Any, kubeconfig: str) -> None:
    core = k8s.CoreV1Api(api)
    await core.create_namespaced_pod("default", pod())

    async def running() -> bool:
        return bool((await core.read_namespaced_pod("shell", "default")).status.phase == "Running")

    await eventually(running)
    assert "echo stands behind TCP 8080" in await core.read_namespaced_pod_log("shell", "default")
    settings = k8s.Configuration()
    await config.load_kube_config(kubeconfig, client_configuration=settings)
    async with WsApiClient(settings) as websocket:
        connect = k8s.CoreV1Api(websocket).connect_get_namespaced_pod_exec
        said = await connect(
            "shell", "default", command=["echo", "hello"], stdout=True, stderr=True, stdin=False, tty=False
        )
        assert said == "hello\n"
        live = await connect(
            "shell", "default", command=["sh", "-c", "exit 3"], stdout=True, stderr=True, _preload_content=False
        )
        async with live as stream:
            while True:
                message = await stream.receive()
                if message.data[:1] == b"\x03":
                    assert WsApiClient.parse_error_data(message.data[1:].decode()) == 3
                    break
    done = await core.delete_namespaced_pod("shell", "default", grace_period_seconds=0)
    assert done.metadata.name == "shell"
