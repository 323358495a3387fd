"""An app that starts before its dependency: the name is NXDOMAIN first, and the app tries again."""

import asyncio

import aiohttp
import pytest

from emulator.testing.view import ClusterView

pytestmark = pytest.mark.asyncio

WEBAPP = """
apiVersion: v1
kind: Service
metadata: {name: webapp}
spec: {selector: {app: webapp}, ports: [{port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: webapp-0, labels: {app: webapp}}
spec: {containers: [{name: webapp, image: webapp, ports: [{containerPort: 8080}]}]}
"""


async def fetch_with_retries(session: aiohttp.ClientSession, url: str, failures: list[str]) -> str:
    """The code under test."""
    while True:
        try:
            async with session.get(url) as answer:
                return await answer.text()
        except aiohttp.ClientConnectorError as error:
            failures.append(type(error).__name__)
            await asyncio.sleep(0.05)


async def test_the_app_waits_for_its_dependency(cluster: ClusterView) -> None:
    failures: list[str] = []
    url = "http://webapp.default.svc.cluster.local:8080/hostname"
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        answer = group.create_task(fetch_with_retries(cluster.http, url, failures))
        while not failures:
            await asyncio.sleep(0.01)
        await cluster.apply(WEBAPP)
    assert failures[0] == "ClientConnectorDNSError"
    assert answer.result() == "webapp-0"
