"""A client that spreads its requests by itself: a headless Service gives the addresses of all ready pods."""

import asyncio
import itertools
import socket
from collections import Counter

import aiohttp
import pytest

from emulator.testing.view import ClusterView

pytestmark = pytest.mark.asyncio

WORKERS = """
apiVersion: v1
kind: Service
metadata: {name: workers}
spec: {clusterIP: None, selector: {app: worker}, ports: [{port: 8080}]}
"""
WORKER = """
apiVersion: v1
kind: Pod
metadata: {name: worker-%d, labels: {app: worker}}
spec: {containers: [{name: worker, image: worker, ports: [{containerPort: 8080}]}]}
"""


async def addresses(name: str, port: int) -> list[str]:
    """The code under test asks its resolver, as code does that cannot be given another one."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except socket.gaierror:  # no pod is ready yet
        return []
    return sorted({str(entry[4][0]) for entry in found})


async def test_each_pod_gets_its_share(cluster: ClusterView) -> None:
    await cluster.apply(WORKERS + "".join("---" + WORKER % number for number in range(3)), wait=True)
    with cluster.patch_resolver():
        async with asyncio.timeout(10):
            while len(found := await addresses("workers.default.svc.cluster.local", 8080)) < 3:
                await asyncio.sleep(0.02)
    places = itertools.cycle(found)
    answers: Counter[str] = Counter()
    async with aiohttp.ClientSession() as session:
        for _ in range(9):
            async with session.get(f"http://{next(places)}:8080/hostname") as answer:
                answers[await answer.text()] += 1
    assert answers == {"worker-0": 3, "worker-1": 3, "worker-2": 3}
