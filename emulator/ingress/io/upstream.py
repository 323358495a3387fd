"""What asking a backend means, in whatever version of HTTP: the request, the answer, and how it can fail."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from emulator.ingress.messages import ResponseHead
from emulator.ingress.model import BackendTls, Header

CLOSE_SECONDS = 5.0  # for what is written to leave
NOT_REPEATABLE = frozenset(("POST", "LOCK", "PATCH"))  # nginx non_idempotent


class Place(NamedTuple):
    """An endpoint, and how it is asked by TLS, if it is."""

    host: str
    port: int
    secure: bool | BackendTls = False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Timeouts(NamedTuple):
    """Seconds: to connect, between two reads, between two writes."""

    connect: float
    read: float
    send: float


class Question(NamedTuple):
    """A request for a backend. body: all of it, or its pieces as they come; chunked: no header gives their length."""

    method: str
    target: str
    headers: Sequence[Header]
    body: bytes | AsyncIterator[bytes] = b""
    chunked: bool = False
    minor: int = 1


class BackendAnswer(Protocol):
    """A backend's answer whose head has come. Closed by `release`, whatever became of it."""

    head: ResponseHead

    @property
    def is_whole(self) -> bool:
        """Nothing more of the body is to come than `ready` gives."""
        ...

    @property
    def trailers(self) -> list[Header]:
        """Known at the end of the body."""
        ...

    def ready(self) -> bytes:
        """What has come of the body and was not read."""
        ...

    async def read(self) -> bytes:
        """The next piece of the body, b"" behind its end. Raises BrokenOff, TimedOut."""
        ...

    async def write(self, data: bytes) -> None:
        """Bytes of the other protocol, after 101. Raises TimedOut."""
        ...

    def release(self) -> None: ...


class Asker(Protocol):
    """Asks backends in one version of HTTP."""

    async def ask(self, place: Place, question: Question, timeouts: Timeouts) -> BackendAnswer:
        """The answer's head. Raises CannotConnect, BrokenOff, TimedOut, BadMessage, and what reading the body raises."""
        ...

    async def close(self) -> None:
        """End every connection, whatever is under way on it."""
        ...


class BrokenOff(Exception):
    """The connection ended, or brought what is no HTTP. `begun`: some of the answer had come."""

    def __init__(self, why: str, *, begun: bool) -> None:
        super().__init__(why)
        self.begun = begun


class TimedOut(Exception):
    """The backend was silent for too long."""


C = TypeVar("C")


async def ended(connections: set[C], abort: Callable[[C], None]) -> None:
    """Break connections off and wait until each has told that it is lost, which takes it out of the set."""
    for connection in list(connections):
        abort(connection)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            while connections:
                await asyncio.sleep(0.001)
