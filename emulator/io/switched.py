"""A Service that runs while it is switched on: what `kubemu enable` and `disable` turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from emulator.io.tasks import Service, running


class Switched:
    """Around a Service that can be run again after it was stopped. On at first; ready in either state."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.name = service.name
        self._on = True
        self._turned = asyncio.Event()

    def turn(self, *, on: bool) -> None:
        """Start or stop soon; the state that counts is the last one asked for."""
        if on != self._on:
            self._on = on
            self._turned.set()

    async def run(self, ready: Callable[[], None]) -> None:
        while True:
            self._turned.clear()
            if self._on:
                failed = asyncio.Event()
                async with running(self.service, failed=failed):
                    ready()
                    await _either(self._turned, failed)
            else:
                ready()
                await self._turned.wait()


async def _either(one: asyncio.Event, other: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(event.wait()) for event in (one, other)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
