"""One listening TCP socket and its connections: accept, draw an endpoint, dial, pump.

Like a kernel proxy it never tries a second endpoint: a backend that refuses shows to the client as a reset.
Connections outlive their listener; they belong to the task owner that is handed in.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from functools import partial

from emulator.io.network import Network
from emulator.io.pump import pump, reset_on_close
from emulator.io.tasks import TaskOwner
from emulator.routing.servicemap import Endpoint

log = logging.getLogger(__name__)

DIAL_SECONDS = 5.0
MAX_BURST = 64  # connections per wake-up, so other work on the loop gets its turn
PAUSE_SECONDS = 0.1  # when this process has no descriptor left
OUT_OF_MEANS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Route = Callable[[str], Endpoint | None]
"""The endpoint for a new connection of this client address; None when there is none now."""


class TcpListener:
    """Serves one bound socket until `close`, which closes the socket but no connection."""

    def __init__(self, sock: socket.socket, route: Route, network: Network, connections: TaskOwner) -> None:
        self._sock = sock
        self._route = route
        self._network = network
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._listen()

    def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()

    def _listen(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(MAX_BURST):
            try:
                client, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in OUT_OF_MEANS:
                    log.warning("cannot accept: %s", error)
                    self._loop.remove_reader(self._sock.fileno())
                    self._pause = self._loop.call_later(PAUSE_SECONDS, self._listen)
                return
            client.setblocking(False)
            task = self._connections.start(self._serve(client, peer[0]))
            if task is None:
                reset_on_close(client)
                client.close()
            else:  # also when it is cancelled before its first step
                task.add_done_callback(partial(_close, client))

    async def _serve(self, client: socket.socket, address: str) -> None:
        endpoint = self._route(address)
        if endpoint is None:
            reset_on_close(client)
            return
        try:
            backend = await self._network.tcp_connect(endpoint.address, endpoint.port, timeout_seconds=DIAL_SECONDS)
        except (OSError, TimeoutError) as error:
            log.debug("%s:%d: %s", endpoint.address, endpoint.port, error)
            reset_on_close(client)
            return
        with backend:
            await pump(client, backend)


def _close(sock: socket.socket, _: asyncio.Task[None]) -> None:
    sock.close()
