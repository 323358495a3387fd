"""What a part has seen lately, for tests that look: bounded, newest last, readable from any thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from emulator.api.errors import EmulatorError

KEPT = 1000
POLL_SECONDS = 0.005
T = TypeVar("T")


class NotSeen(EmulatorError):
    """What was waited for did not happen in time; the text says what did."""


async def seen(
    look: Callable[[], Sequence[T]], matches: Callable[[T], bool], *, count: int, what: str, timeout_seconds: float
) -> list[T]:
    """The first `count` records that match, once there are so many. Raises NotSeen."""
    found: list[T] = []
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                found = [record for record in look() if matches(record)]
                if len(found) >= count:
                    return found[:count]
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        lately = ", ".join(str(record) for record in list(look())[-5:]) or "nothing"
        raise NotSeen(
            f"{what}: {len(found)} of {count} seen within {timeout_seconds:g} s; the last were: {lately}"
        ) from error
