"""Fixtures several integration tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from emulator import Cluster


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """A cluster on the test's own loop."""
    async with Cluster() as cluster:
        yield cluster
