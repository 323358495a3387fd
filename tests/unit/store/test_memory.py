"""The store in memory keeps the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from emulator.store.io.memory import MemoryStore
from emulator.store.io.store import Store
from tests.unit.store.contract import StoreContract


class TestMemoryStore(StoreContract):
    @asynccontextmanager
    async def open_store(self, *, queue_limit: int = 1000) -> AsyncIterator[Store]:
        store = MemoryStore(queue_limit=queue_limit)
        yield store
        await store.close()
