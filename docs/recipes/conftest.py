"""A cluster for each test: in memory, on loopback addresses; each xdist worker has ranges of its own."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest_asyncio

from emulator import Cluster, ClusterConfig
from emulator.config.presets import address_plan


def config() -> ClusterConfig:
    worker = 100 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ranges = {"service_cidr": f"127.152.{worker}.0/24", "pod_cidr": f"127.{worker}.0.0/16"}
    return replace(ClusterConfig(dns_port=0), addresses=address_plan("microk8s", "loopback", **ranges))


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(config()) as cluster:
        yield cluster
