"""The way out of the sandbox: connections to addresses outside the cluster, made again from the host.

Inside, every outside address is local (a default route of type local) and nft hands its packets to a listener of
this process, which dials the real target on the host and carries the bytes. The host's own loopback is
`Sandbox.host_address`. Nothing of the host's network is changed, and targets inside the cluster never come here.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import shutil
import socket
import struct
from functools import partial

from emulator.io.egress_udp import Address, UdpEgress
from emulator.io.hostaddresses import cluster_ranges
from emulator.io.network import Network
from emulator.io.pump import pump, reset_on_close
from emulator.io.sandbox import Sandbox
from emulator.io.tasks import TaskOwner

log = logging.getLogger(__name__)

SBIN = "/usr/sbin:/sbin"  # where nft is, often not on an ordinary user's PATH
MAX_CONNECTIONS = 8192
MAX_BURST = 64
CONNECT_TIMEOUT_SECONDS = 10.0
PAUSE_SECONDS = 0.1  # when this process is out of file descriptors
OUT_OF_MEANS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
SO_ORIGINAL_DST = 80
HOST_LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0/0"
NEVER_DIVERTED = ("127.0.0.0/8", "224.0.0.0/3")


class Egress:
    """The relay of one sandbox. `start` says in the log when there is none, and why."""

    def __init__(self, sandbox: Sandbox, outside: Network) -> None:
        self._sandbox = sandbox
        self._outside = outside
        self._connections = TaskOwner("egress", MAX_CONNECTIONS)
        self._listener: socket.socket | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._udp: UdpEgress | None = None
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        """Open the way out. A machine that cannot is told once; the sandbox works without."""
        nft = shutil.which("nft") or shutil.which("nft", path=SBIN)
        if nft is None:
            log.warning("nft is absent: programs inside reach no address outside the cluster; apt-get install nftables")
            return
        make = self._sandbox.make
        tcp = self._listener = await make(op="tcp", host=HOST_LOOPBACK, port=0, bind=True, transparent=True)
        udp = await make(op="udp", host=HOST_LOOPBACK, port=0, bind=True, transparent=True)
        self._udp = UdpEgress(udp, self._inner_udp, self._outside, self._target)
        self._udp.start()
        kept, host = cluster_ranges(self._sandbox.config.addresses), self._sandbox.host_address
        rules = transparent_rules(kept, host, tcp.getsockname()[1], udp.getsockname()[1])
        problem = await self._sandbox.run_inside([nft, "-f", "-"], rules)
        if problem:
            log.info("transparent proxying is not there (%s); only TCP leaves the sandbox", problem.splitlines()[0])
            rules = redirect_rules(kept, host, tcp.getsockname()[1])
            problem = await self._sandbox.run_inside([nft, "-f", "-"], rules)
        if problem:
            log.warning("programs inside reach no address outside the cluster: nft: %s", problem.splitlines()[0])
            await self.stop()
            return
        await self._sandbox.add_route(EVERYWHERE)
        self._listen()

    async def stop(self) -> None:
        """Close everything. May be called twice."""
        if self._pause is not None:
            self._pause.cancel()
        listener, self._listener = self._listener, None
        if listener is not None:
            self._loop.remove_reader(listener)
            listener.close()
        udp, self._udp = self._udp, None
        if udp is not None:
            await udp.stop()
        await self._connections.close()

    def _target(self, address: Address) -> Address:
        """Where the host has to dial for an address seen inside."""
        host, port = address
        return (HOST_LOOPBACK if host == self._sandbox.host_address else host), port

    async def _inner_udp(self, address: Address) -> socket.socket:
        return await self._sandbox.make(
            op="udp", host=address[0], port=address[1], bind=True, reuse=True, transparent=True
        )

    def _listen(self) -> None:
        self._pause = None
        if self._listener is not None:
            self._loop.add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(MAX_BURST):
            try:
                client, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in OUT_OF_MEANS:
                    log.warning("cannot accept: %s", error)
                    self._loop.remove_reader(listener)
                    self._pause = self._loop.call_later(PAUSE_SECONDS, self._listen)
                return
            client.setblocking(False)
            task = self._connections.start(self._serve(client, listener.getsockname()))
            if task is None:
                reset_on_close(client)
                client.close()
            else:
                task.add_done_callback(partial(_close, client))

    async def _serve(self, client: socket.socket, listening: Address) -> None:
        host, port = self._target(original_destination(client, listening))
        try:
            outer = await self._outside.tcp_connect(host, port, timeout_seconds=CONNECT_TIMEOUT_SECONDS)
        except (OSError, TimeoutError) as error:
            log.debug("no way out to %s:%d: %s", host, port, error)
            reset_on_close(client)
            return
        with outer:
            await pump(client, outer)


def _close(sock: socket.socket, _: asyncio.Task[None]) -> None:
    sock.close()


def original_destination(client: socket.socket, listening: Address) -> Address:
    """Where a diverted connection was meant to go: its own name, or what address translation remembers."""
    name: Address = client.getsockname()
    if name != listening:
        return name
    port, raw = struct.unpack_from("!2xH4s", client.getsockopt(socket.IPPROTO_IP, SO_ORIGINAL_DST, 16))
    return socket.inet_ntoa(raw), port


def transparent_rules(kept: list[str], host: str, tcp: int, udp: int) -> str:
    """Packets to outside addresses and to `host` go to the listeners, target kept; `kept` is the cluster's own."""
    return f"""table ip kubemu {{
  chain out {{
    meta l4proto tcp tproxy to {HOST_LOOPBACK}:{tcp} accept
    meta l4proto udp tproxy to {HOST_LOOPBACK}:{udp} accept
    drop
  }}
  chain prerouting {{
    type filter hook prerouting priority mangle; policy accept;
    ip daddr {host} goto out
{_accepted(kept)}    goto out
  }}
}}
"""


def redirect_rules(kept: list[str], host: str, tcp: int) -> str:
    """The same for TCP alone, by address translation."""
    return f"""table ip kubemu {{
  chain out {{
    meta l4proto tcp redirect to :{tcp}
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    ip daddr {host} goto out
{_accepted(kept)}    goto out
  }}
}}
"""


def _accepted(networks: list[str]) -> str:
    return "".join(f"    ip daddr {network} accept\n" for network in (*NEVER_DIVERTED, *networks))
