"""The classes a cluster begins with, the class and the address of new Ingresses, and what reset makes of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from emulator import Cluster, ClusterConfig
from emulator.api.kinds import INGRESS, INGRESS_CLASS

CONFIG = ClusterConfig(dns_port=0)
CATCH_ALL = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "Ingress",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}},
}


async def classes(cluster: Cluster) -> dict[str, Any]:
    """Name -> whether it is the default."""
    listed = (await cluster.client.list(INGRESS_CLASS)).items
    return {entry["metadata"]["name"]: "annotations" in entry["metadata"] for entry in listed}


async def address(cluster: Cluster) -> list[Any]:
    """What the status of `web` says once it says anything."""
    async with asyncio.timeout(10):
        while True:
            ingress = await cluster.get("ingress/web")
            if ingress["status"]["loadBalancer"]:
                return [point["ip"] for point in ingress["status"]["loadBalancer"]["ingress"]]
            await asyncio.sleep(0.01)


async def test_new_ingresses_get_the_default_class_and_an_address() -> None:
    async with Cluster(CONFIG) as cluster:
        assert await classes(cluster) == {"nginx": True, "public": False}
        made = await cluster.client.create(INGRESS, CATCH_ALL)
        assert made["spec"]["ingressClassName"] == "nginx"
        assert await address(cluster) == ["127.0.0.1"]


async def test_reset_puts_the_classes_back() -> None:
    async with Cluster(CONFIG) as cluster:
        await cluster.mark_baseline()
        await cluster.client.delete(INGRESS_CLASS, "nginx", "")
        await cluster.client.create(INGRESS, CATCH_ALL)
        assert await address(cluster) == ["127.0.0.1"], "without a class it is served too"
        await cluster.reset()
        assert await classes(cluster) == {"nginx": True, "public": False}
        assert (await cluster.client.list(INGRESS)).items == []


async def test_without_the_add_on_and_where_nobody_gives_addresses() -> None:
    for config in (replace(CONFIG, ingress=False), replace(CONFIG, nodes=0)):
        async with Cluster(config) as cluster:
            assert await classes(cluster) == {}
    async with Cluster(replace(CONFIG, load_balancer="pending")) as cluster:
        assert await classes(cluster) == {"nginx": False, "public": False}
        made = await cluster.client.create(INGRESS, CATCH_ALL)
        assert "ingressClassName" not in made["spec"]
