"""A pod that says it is not ready gets no new connections; when it is ready again, it does."""

import asyncio

import pytest

from emulator.testing.view import ClusterView

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
metadata: {name: webapp-%d, labels: {app: webapp}, annotations: %s}
spec: {containers: [{name: webapp, image: webapp, ports: [{containerPort: 8080}]}]}
"""


async def who_answers(cluster: ClusterView) -> set[str]:
    names: set[str] = set()
    for _ in range(40):  # each a new connection, and so a new choice
        async with cluster.http.get("http://webapp:8080/hostname") as answer:
            names.add(await answer.text())
    return names


async def test_only_ready_pods_answer(cluster: ClusterView) -> None:
    await cluster.apply(SERVICE + "".join("---" + POD_OF % (number, "{}") for number in range(2)), wait=True)
    assert await who_answers(cluster) == {"webapp-0", "webapp-1"}
    await cluster.apply(POD_OF % (0, '{kubemu.dev/ready: "false"}'))
    async with asyncio.timeout(10):
        while await who_answers(cluster) != {"webapp-1"}:
            pass
    await cluster.apply(POD_OF % (0, "{}"))
    async with asyncio.timeout(10):
        while await who_answers(cluster) != {"webapp-0", "webapp-1"}:
            pass
