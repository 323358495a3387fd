"""What backs a container: something that listens on the pod's address, and lets go of it in steps."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Listen:
    """One address to serve; `container_port` is the port it stands for (another one behind a hostPort)."""

    protocol: str
    host: str
    port: int
    container_port: int


@dataclass(frozen=True, slots=True)
class BindFailure:
    """An address that could not be bound; `in_use` when another socket holds it, else it is not allowed."""

    listen: Listen
    error: OSError

    @property
    def text(self) -> str:
        return f"{self.listen.protocol} {self.listen.host}:{self.listen.port}: {self.error.strerror or self.error}"


class Backend(Protocol):
    """Serves one container's ports. `bind` may be called again after `abort`."""

    async def bind(self, listens: list[Listen]) -> list[BindFailure]:
        """Serve each address; those that cannot be bound come back, the others are served."""
        ...

    def stop_listening(self) -> None:
        """Take no new connections; tell the open ones to end: idle ones are closed now."""
        ...

    @property
    def connections(self) -> int:
        """How many connections are still open."""
        ...

    async def drained(self, timeout_seconds: float) -> bool:
        """Wait until every connection ended; False when the time was up first."""
        ...

    async def abort(self) -> None:
        """Cut what is left and free every socket."""
        ...


CLOSING_TURNS = 3  # of the loop: the server closes, late connections are made, their sockets close


def close_server(server: asyncio.Server) -> None:
    """Accept nothing more now, close in the loop's next turn.

    Closing at once would lose a connection just accepted: until 3.12 its transport fails on a closed server, and its
    socket stays open.
    """
    loop = asyncio.get_running_loop()
    for sock in server.sockets:
        with contextlib.suppress(RuntimeError):  # uvloop guards its own sockets, and has no such gap
            loop.remove_reader(sock.fileno())
    loop.call_soon(server.close)


async def sockets_closed() -> None:
    """Wait until what was closed or aborted is so."""
    for _ in range(CLOSING_TURNS):
        await asyncio.sleep(0)
