"""A Cluster on an event loop of its own in a thread: its servers answer whatever the caller's thread or loop is doing."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from emulator.api.errors import EmulatorError
from emulator.cluster import Cluster
from emulator.config.settings import ClusterConfig

START_SECONDS = 30.0
STOP_SECONDS = 30.0
T = TypeVar("T")


class NotRunning(EmulatorError):
    """The cluster was not started, or is stopped."""


class ClusterThread:
    """Start, ask, stop; every method may be called from any thread but the cluster's own."""

    def __init__(self, config: ClusterConfig | None = None) -> None:
        self.cluster = Cluster(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event | None = None

    def start(self) -> None:
        """Back once everything serves. Raises what Cluster.start raises."""
        started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="kubemu", daemon=True)
        self._thread.start()
        try:
            started.result(START_SECONDS)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Back once nothing is left. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and self._stopping is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join(STOP_SECONDS)
        if thread.is_alive():
            raise EmulatorError(f"the cluster did not stop in {STOP_SECONDS:g} s")

    def _run(self, started: concurrent.futures.Future[None]) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._serve(started))

    async def _serve(self, started: concurrent.futures.Future[None]) -> None:
        self._stopping = asyncio.Event()
        try:
            await self.cluster.start()
        except BaseException as error:  # told to whoever waits for the start
            started.set_exception(error)
            return
        try:
            started.set_result(None)
            await self._stopping.wait()
        finally:
            await self.cluster.stop()

    def submit(self, work: Callable[[Cluster], Coroutine[Any, Any, T]]) -> concurrent.futures.Future[T]:
        """Run `work` of the cluster on its loop. Raises NotRunning."""
        if self._loop is None or self._thread is None or self._loop.is_closed():
            raise NotRunning("the cluster is not running")
        if threading.current_thread() is self._thread:
            raise EmulatorError("a handler that the cluster serves would wait for itself; ask from another thread")
        return asyncio.run_coroutine_threadsafe(work(self.cluster), self._loop)

    def call(self, work: Callable[[Cluster], Coroutine[Any, Any, T]]) -> T:
        """The result of `work`; blocks. Interrupted, it takes the work back."""
        future = self.submit(work)
        try:
            return future.result()
        finally:
            future.cancel()

    def ask(self, question: Callable[[Cluster], T]) -> T:
        """What a plain function of the cluster gives, on its loop; blocks."""

        async def work(cluster: Cluster) -> T:
            return question(cluster)

        return self.call(work)

    async def wait(self, work: Callable[[Cluster], Coroutine[Any, Any, T]]) -> T:
        """The result of `work`, awaited from any event loop of asyncio."""
        awaitable: Awaitable[T] = asyncio.wrap_future(self.submit(work))
        return await awaitable
