"""What the API asks of whoever runs the pods: logs, commands, attachment, connections to their ports.

The API server speaks WebSocket and SPDY to clients and knows nothing of containers; the node agent runs containers
and knows nothing of HTTP. They meet in this protocol, as kube-apiserver and the kubelet do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket  # in signatures alone: what reads requests imports this module and must not do I/O

Write = Callable[[bytes], Awaitable[None]]
"""Takes bytes on; returns when more may come (back-pressure). Raises ConnectionError when nobody takes any more."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """PodLogOptions. `since_at` is sinceTime, or sinceSeconds before now; None means from the beginning."""

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since_at: datetime | None = None
    stream: str = "All"


@dataclass(slots=True)
class Streams:
    """The client's ends of one exec or attach. A stream that was not asked for is None.

    stdin: chunks until the client ends its input; resizes: (columns, rows) of the terminal as they change.
    """

    stdin: AsyncIterator[bytes] | None = None
    stdout: Write | None = None
    stderr: Write | None = None
    tty: bool = False
    resizes: AsyncIterator[tuple[int, int]] | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit status, or why it could not be run (then `exit_code` is 126 or 127)."""

    exit_code: int
    problem: str = ""


class PodStreams(Protocol):
    """Raises NotFound for a pod that does not run here, BadRequest in the kubelet's words for a container that is
    not there or not running. Everything ends when the caller is cancelled."""

    def logs(self, namespace: str, pod: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Chunks of text; with `follow` until the container ends."""
        ...

    async def exec(self, namespace: str, pod: str, container: str, command: Sequence[str], streams: Streams) -> Ended:
        """Run a command in the container's surroundings until it ends."""
        ...

    async def attach(self, namespace: str, pod: str, container: str, streams: Streams) -> Ended:
        """Be the terminal of the container's own process until it ends or the client leaves."""
        ...

    async def connect(self, namespace: str, pod: str, port: int) -> socket.socket:
        """A connected stream socket to the pod's port. Raises OSError."""
        ...
