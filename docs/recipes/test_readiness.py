"""A pod that says it is not ready gets no new connections; when it is ready again, it does."""

import asyncio

import aiohttp
import pytest

from emulator import Cluster
from emulator.api.kinds import POD

pytestmark = pytest.mark.asyncio

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: webapp}
spec: {selector: {app: webapp}, ports: [{port: 8080}]}
"""
POD_OF = """
apiVersion: v1
kind: Pod
metadata: {name: webapp-%d, labels: {app: webapp}}
spec: {containers: [{name: webapp, image: webapp, ports: [{containerPort: 8080}]}]}
"""


async def who_answers(cluster: Cluster) -> set[str]:
    names: set[str] = set()
    connector = cluster.connector(force_close=True)  # a new connection, and so a new choice, for every request
    async with aiohttp.ClientSession(connector=connector) as session:
        for _ in range(40):
            async with session.get("http://webapp:8080/hostname") as answer:
                names.add(await answer.text())
    return names


async def steer(cluster: Cluster, name: str, *, ready: bool) -> None:
    annotations = {"kubemu.dev/ready": None if ready else "false"}
    await cluster.client.patch(POD, name, "default", patch={"metadata": {"annotations": annotations}})


async def test_only_ready_pods_answer(cluster: Cluster) -> None:
    await cluster.apply(SERVICE + "".join("---" + POD_OF % number for number in range(2)), wait=True)
    assert await who_answers(cluster) == {"webapp-0", "webapp-1"}
    await steer(cluster, "webapp-0", ready=False)
    async with asyncio.timeout(10):
        while await who_answers(cluster) != {"webapp-1"}:
            pass
    await steer(cluster, "webapp-0", ready=True)
    async with asyncio.timeout(10):
        while await who_answers(cluster) != {"webapp-0", "webapp-1"}:
            pass
