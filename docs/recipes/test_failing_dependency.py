"""A dependency that is down: its name resolves, its Service has no endpoints, connections are refused; then it is back."""

import asyncio

import aiohttp
import pytest

from emulator.testing.view import ClusterView

pytestmark = pytest.mark.asyncio

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: payments}
spec: {selector: {app: payments}, ports: [{port: 8080}]}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: payments-0, labels: {app: payments}}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: payments, image: payments, ports: [{containerPort: 8080}]}]}
"""


async def status_of(session: aiohttp.ClientSession) -> str:
    """The code under test: degrade, do not fail."""
    try:
        async with session.get("http://payments:8080/healthz", timeout=aiohttp.ClientTimeout(total=2)) as answer:
            return "up" if answer.status == 200 else "ill"
    except aiohttp.ClientConnectorError as error:
        return "down" if isinstance(error.os_error, ConnectionRefusedError) else "unknown"


async def becomes(session: aiohttp.ClientSession, wanted: str) -> None:
    async with asyncio.timeout(10):
        while await status_of(session) != wanted:
            await asyncio.sleep(0.02)


async def test_it_is_down_and_comes_back(cluster: ClusterView) -> None:
    await cluster.apply(SERVICE, wait=True)
    assert await status_of(cluster.http) == "down"
    await cluster.apply(POD, wait=True)
    await becomes(cluster.http, "up")
    await cluster.delete(POD)
    await becomes(cluster.http, "down")
