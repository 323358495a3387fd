"""Owners of tasks: services that start in order and stop in reverse, and groups for per-connection work.

The only module that may call `create_task`; everything else uses these or a TaskGroup.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol

log = logging.getLogger(__name__)


class Service(Protocol):
    """A long-running part. `run` calls `ready` once it serves, and returns only when cancelled."""

    @property
    def name(self) -> str: ...

    async def run(self, ready: Callable[[], None]) -> None: ...


class ServiceStopped(Exception):
    """A service returned or died although nobody asked it to stop."""


@asynccontextmanager
async def running(*services: Service, failed: asyncio.Event | None = None) -> AsyncIterator[asyncio.Event]:
    """Start services in order, each after the one before is ready; stop them in reverse.

    Yields an event (`failed`, when given) that is set when a service ends by itself; its error leaves when the
    block ends.
    """
    failed = failed or asyncio.Event()
    tasks: list[asyncio.Task[None]] = []
    errors: list[Exception] = []

    def ended(task: asyncio.Task[None]) -> None:
        failed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s ended: %r", task.get_name(), error)

    try:
        for service in services:
            ready = asyncio.Event()
            task = asyncio.create_task(service.run(ready.set), name=service.name)
            tasks.append(task)
            waiter = asyncio.create_task(ready.wait(), name=f"{service.name} ready")
            try:
                await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiter.cancel()
            if task.done():
                task.result()
                raise ServiceStopped(f"{service.name} returned before it was ready")
            task.add_done_callback(ended)
        yield failed
    finally:
        for task in reversed(tasks):
            task.remove_done_callback(ended)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass
            except Exception as error:  # collected: the other services must still be stopped
                errors.append(error)
    if errors:
        raise ExceptionGroup("services failed", errors)


class TaskOwner:
    """Owns short-lived tasks (a connection, a delivery): bounded, named, cancelled together."""

    def __init__(self, name: str, limit: int = 100_000) -> None:
        self.name = name
        self.limit = limit
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any], name: str = "") -> asyncio.Task[Any] | None:
        """Run `work` as a task; over the limit it is closed unrun and None comes back."""
        if len(self._tasks) >= self.limit:
            work.close()
            return None
        task = asyncio.create_task(work, name=name or self.name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed: %r", task.get_name(), error, exc_info=error)

    async def close(self) -> None:
        """Cancel every task and wait for each."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
