"""The way out of the sandbox: connections to addresses outside the cluster, made again from the host.

Inside, every outside address is local (a default route of type local) and nft hands its packets to a listener of
this process, which dials the real target on the host and carries the bytes. The host's own loopback is
`Sandbox.host_address`. Nothing of the host's network is changed, and targets inside the cluster never come here.
"""

from __future__ import annotations

import errno
import logging
import shutil
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Protocol

from emulator.io.egress_udp import UdpEgress
from emulator.io.network import Network
from emulator.io.pump import pump, reset_on_close
from emulator.io.tasks import TaskOwner

log = logging.getLogger(__name__)

SBIN = "/usr/sbin:/sbin"  # where nft is, often not on an ordinary user's PATH
MAX_CONNECTIONS = 8192
CONNECT_TIMEOUT_SECONDS = 10.0
ACCEPT_PAUSE_SECONDS = 0.1  # when this process is out of file descriptors
SO_ORIGINAL_DST = 80
HOST_LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0/0"

Address = tuple[str, int]
Make = Callable[..., Awaitable[socket.socket]]


class Inside(Protocol):
    """What egress needs of the sandbox."""

    host_address: str

    async def make(
        self, *, op: str, host: str, port: int, bind: bool, reuse: bool = True, transparent: bool = False
    ) -> socket.socket: ...

    async def run_inside(self, argv: list[str], text: str) -> str: ...

    async def add_route(self, network: str) -> None: ...


class Egress:
    """The relay of one sandbox. `start` says in the log when there is none, and why."""

    def __init__(self, inside: Inside, outside: Network, ranges: list[str]) -> None:
        self._inside = inside
        self._outside = outside
        self._ranges = ranges
        self._connections = TaskOwner("egress", MAX_CONNECTIONS)
        self._listener: socket.socket | None = None
        self._udp: UdpEgress | None = None

    async def start(self) -> None:
        """Open the way out. A machine that cannot is told once; the sandbox works without."""
        nft = shutil.which("nft") or shutil.which("nft", path=SBIN)
        if nft is None:
            log.warning("nft is absent: programs inside reach no address outside the cluster; apt-get install nftables")
            return
        tcp = await self._inside.make(op="tcp", host=HOST_LOOPBACK, port=0, bind=True, transparent=True)
        self._listener = tcp
        udp = await self._inside.make(op="udp", host=HOST_LOOPBACK, port=0, bind=True, reuse=False, transparent=True)
        self._udp = UdpEgress(udp, self._inside, self._outside, self.target)
        rules = transparent_rules(self._ranges, self._inside.host_address, tcp.getsockname()[1], udp.getsockname()[1])
        if problem := await self._inside.run_inside([nft, "-f", "-"], rules):
            log.info("transparent proxying is not there (%s); only TCP leaves the sandbox", problem.splitlines()[0])
            rules = redirect_rules(self._ranges, self._inside.host_address, tcp.getsockname()[1])
            problem = await self._inside.run_inside([nft, "-f", "-"], rules)
        if problem:
            log.warning("programs inside reach no address outside the cluster: nft: %s", problem.splitlines()[0])
            await self.stop()
            return
        await self._inside.add_route(EVERYWHERE)
        self._udp.start()
        self._watch()

    async def stop(self) -> None:
        """Close everything. May be called twice."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._connections.loop.remove_reader(listener)
            listener.close()
        udp, self._udp = self._udp, None
        if udp is not None:
            await udp.stop()
        await self._connections.close()

    def target(self, address: Address) -> Address:
        """Where the host has to dial for an address seen inside."""
        host, port = address
        return (HOST_LOOPBACK if host == self._inside.host_address else host), port
