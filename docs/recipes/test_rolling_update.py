"""A Deployment gets a new image while clients keep asking; none of them sees an error."""

import asyncio
from typing import Any

import pytest

from emulator.testing.view import ClusterView

pytestmark = pytest.mark.asyncio

WEBAPP = """
apiVersion: v1
kind: Service
metadata: {name: webapp}
spec: {selector: {app: webapp}, ports: [{port: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: webapp}
spec:
  replicas: 3
  selector: {matchLabels: {app: webapp}}
  template:
    metadata: {labels: {app: webapp}}
    spec: {containers: [{name: webapp, image: "webapp:1", ports: [{containerPort: 8080}]}]}
"""


def rolled_out(deployment: dict[str, Any]) -> bool:
    status = deployment.get("status") or {}
    counts = [status.get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return status.get("observedGeneration") == deployment["metadata"]["generation"] and counts == [3, 3, 3]


async def test_no_request_is_lost(cluster: ClusterView) -> None:
    await cluster.apply(WEBAPP, wait=True)
    await cluster.wait_for("deployment/webapp", rolled_out)
    rolling = True

    async def hostname() -> str:
        async with cluster.http.get("http://webapp:8080/hostname") as answer:
            assert answer.status == 200
            return await answer.text()

    async def keep_asking() -> None:
        while rolling:
            await hostname()
            await asyncio.sleep(0.005)

    before = await hostname()
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(keep_asking())
        await cluster.apply(WEBAPP.replace("webapp:1", "webapp:2"))
        await cluster.wait_for("deployment/webapp", rolled_out)
        rolling = False
    assert await hostname() != before  # a pod of the new generation
