"""Copies of requests on their way to mirror-target: nobody waits for them, and their answers are dropped."""

from __future__ import annotations

import logging
from collections.abc import Callable

import aiohttp
from yarl import URL

from emulator.ingress.mirroring import Copy
from emulator.io.tasks import TaskOwner

log = logging.getLogger(__name__)

MAX_UNDER_WAY = 128  # more are not sent: a slow target must not cost memory
SECONDS = 60.0  # proxy_read_timeout


class Mirrors:
    """The copies that are under way."""

    def __init__(self, session: Callable[[], aiohttp.ClientSession]) -> None:
        self._session = session
        self._tasks = TaskOwner("mirrored request", MAX_UNDER_WAY)

    def send(self, copy: Copy) -> None:
        if self._tasks.start(self._sent(copy)) is None:
            log.debug("%s is not mirrored: too many copies are under way", copy.url)

    async def close(self) -> None:
        await self._tasks.close()

    async def _sent(self, copy: Copy) -> None:
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        try:
            async with self._session().request(
                copy.method,
                URL(copy.url, encoded=True),
                headers=copy.headers,
                data=copy.body or None,
                timeout=timeout,
                allow_redirects=False,
            ) as answered:
                async for _ in answered.content.iter_any():
                    pass
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            log.debug("%s was not mirrored: %s", copy.url, error)
