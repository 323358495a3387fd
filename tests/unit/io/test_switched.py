"""A Service that is switched off and on again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from emulator.io.switched import Switched
from emulator.io.tasks import running


class Lamp:
    name = "lamp"

    def __init__(self) -> None:
        self.lit = 0
        self.broken = asyncio.Event()

    async def run(self, ready: Callable[[], None]) -> None:
        self.lit += 1
        try:
            ready()
            await self.broken.wait()
            raise OSError("broken")
        finally:
            self.lit -= 1


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not check():
            await asyncio.sleep(0)


async def test_it_runs_while_it_is_on() -> None:
    lamp = Lamp()
    switched = Switched(lamp)
    async with running(switched):
        assert lamp.lit == 1
        switched.turn(on=True)
        switched.turn(on=False)
        await until(lambda: lamp.lit == 0)
        switched.turn(on=False)
        switched.turn(on=True)
        await until(lambda: lamp.lit == 1)
    assert lamp.lit == 0


async def test_what_fails_is_told() -> None:
    lamp = Lamp()

    async def break_it() -> None:
        async with running(Switched(lamp)) as failed, asyncio.timeout(5):
            lamp.broken.set()
            await failed.wait()

    with pytest.raises(ExceptionGroup):
        await break_it()
