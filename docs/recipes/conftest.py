"""A cluster for each test: in memory, on loopback addresses of its own."""

from collections.abc import AsyncIterator

import pytest_asyncio

from emulator import Cluster


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster() as cluster:
        yield cluster
