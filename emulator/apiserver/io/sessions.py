"""Long answers under way: each ends when its work is done, its pod is gone, or the server stops.

That the client left ends it too: then the request is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from emulator.api.errors import ApiError, TooManyRequests
from emulator.api.kinds import POD
from emulator.api.meta import JsonObject
from emulator.registry.io.pipeline import Registry

MAX_SESSIONS = 2000
GONE_SECONDS = 1.0  # for what ends with its pod to tell how it ended

Result = TypeVar("Result")
Work = Coroutine[Any, Any, Result]


class Interrupted(Exception):
    """The work was not done: the server stops, the pod is gone, or something else came first."""


class Sessions:
    """Those of one server."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._stops: set[asyncio.Event] = set()
        self._ended = False

    def __len__(self) -> int:
        return len(self._stops)

    def check_room(self) -> None:
        """Raises TooManyRequests when the server has as many as it takes."""
        if len(self._stops) >= MAX_SESSIONS:
            why = "too many streams are open, please try again later"
            raise TooManyRequests(why, details={"retryAfterSeconds": 1})

    def end(self) -> None:
        """End them all, and those that come later at once."""
        self._ended = True
        for stop in self._stops:
            stop.set()

    async def run(self, work: Work[Result], pod: JsonObject | None, *others: Work[object]) -> Result:
        """The result of `work`. Raises what it raises, and Interrupted when anything else ends before it.

        others: what ends the session by ending.
        """
        stop = asyncio.Event()
        if self._ended:
            stop.set()
        self._stops.add(stop)
        try:
            enders: list[Work[object]] = [*others, stop.wait()]
            if pod is not None:
                enders.append(self._until_gone(pod))
            return await first(work, *enders)
        finally:
            self._stops.discard(stop)

    async def _until_gone(self, pod: JsonObject) -> None:
        metadata = pod["metadata"]
        selector, version = f"metadata.name={metadata['name']}", metadata["resourceVersion"]
        while True:
            try:
                async with self._registry.watch(
                    POD, metadata["namespace"], field_selector=selector, resource_version=version
                ) as events:
                    async for event in events:
                        found = event.object["metadata"]
                        if event.type == "DELETED" or found.get("uid", metadata["uid"]) != metadata["uid"]:
                            await asyncio.sleep(GONE_SECONDS)
                            return
                        version = found["resourceVersion"]
            except ApiError:  # too old by now: look at the present state
                version = "0"
                listing = await self._registry.list(POD, metadata["namespace"], field_selector=selector)
                if not any(item["metadata"]["uid"] == metadata["uid"] for item in listing.items):
                    return


async def first(work: Work[Result], *enders: Work[object]) -> Result:
    """The result of `work`, or Interrupted when one of the others ends before; all have ended when this returns."""
    works: tuple[Work[Any], ...] = (work, *enders)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_outcome(each)) for each in works]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            done = tasks[0].done()
            for task in tasks:
                task.cancel()
    finally:
        for each in works:
            each.close()  # of one that was cancelled before it began
    if not done:
        raise Interrupted
    result: Any = tasks[0].result()
    if isinstance(result, _Failure):
        raise result.error
    value: Result = result
    return value


class _Failure:
    def __init__(self, error: Exception) -> None:
        self.error = error


async def _outcome(work: Work[Any]) -> Any:
    """What came of it, errors too: a task group would else make groups of them."""
    try:
        return await work
    except Exception as error:  # raised again by `first`
        return _Failure(error)
