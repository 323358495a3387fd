"""The DNS server as a Service: sockets bound, records fed by informers, upstreams asked for other names.

Serves from the first moment: until the informers have synced, what is not known is SERVFAIL, never NXDOMAIN.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from emulator.api.errors import StartError
from emulator.api.kinds import ENDPOINT_SLICE, NAMESPACE, POD, SERVICE
from emulator.api.meta import JsonObject
from emulator.client.index import Change
from emulator.client.io.informer import Informers
from emulator.config.settings import ClusterConfig
from emulator.dns import names, wire
from emulator.dns.config import REVERSE_ZONES, DnsConfig
from emulator.dns.engine import Engine, Forward, Reply, Seen
from emulator.dns.explain import explain
from emulator.dns.io.forwarder import Forwarder
from emulator.dns.io.tcp import TcpListener
from emulator.dns.io.udp import UdpListener
from emulator.dns.records import Records
from emulator.dns.upstreams import Upstreams, nameservers
from emulator.dns.walk import Resolver, Step, candidates, is_end
from emulator.dns.wire import Message
from emulator.io import clock
from emulator.io.network import Network
from emulator.io.seen import seen
from emulator.io.tasks import TaskOwner

log = logging.getLogger(__name__)

HOST_NAME = "host.kubemu.internal"
MAX_FORWARDS = 1000  # at once; kubeadm's and MicroK8s' max_concurrent
RESOLV_CONF = Path("/etc/resolv.conf")
FREE_PORT_ATTEMPTS = 10  # a port that is free for TCP may be taken for UDP


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to serve, UDP and TCP; port 0 takes one that is free for both.

    optional: where the system forbids the port (permission, or an address it does not have), go on without it.
    """

    network: Network
    host: str
    port: int
    optional: bool = False


def default_config(config: ClusterConfig, addresses: Sequence[str] = (), host_alias: str | None = None) -> DnsConfig:
    """What MicroK8s' CoreDNS is set to, without its cache: a change shows at once."""
    domain = config.cluster_domain.strip(".") + "."
    return DnsConfig(
        zones=(domain, *REVERSE_ZONES),
        ttl=config.dns_ttl_seconds,
        pods="insecure",
        fallthrough=REVERSE_ZONES,
        loadbalance=True,
        dns_pod_ips=tuple(addresses),
        hosts=((HOST_NAME + ".", host_alias),) if host_alias else (),
    )


class DnsServer:
    """listen: the first entry is the one users are told (`address`). upstreams: addresses with optional ports; None takes
    those of the host's resolv.conf, an empty sequence none (other names are SERVFAIL).
    """

    name = "dns"

    def __init__(
        self,
        informers: Informers,
        config: ClusterConfig,
        *,
        listen: Sequence[Listen | tuple[Network, str, int]],
        upstreams: Sequence[str] | None = None,
        stub_domains: Mapping[str, Sequence[str]] | None = None,
        dns_config: DnsConfig | None = None,
        host_alias: str | None = None,
        upstream_network: Network | None = None,
        now: Callable[[], float] = clock.now,
        rng: Callable[[int], int] = clock.randrange,
    ) -> None:
        self.listen = [entry if isinstance(entry, Listen) else Listen(*entry) for entry in listen]
        if not self.listen:
            raise ValueError("a DNS server needs at least one place to listen")
        self.config = dns_config or default_config(config, _own_addresses(self.listen), host_alias)
        self.records = Records(pods=self.config.pods == "verified")
        self.engine = Engine(self.records, self.config, rng=rng)
        self.engine.synced = False
        self.synced = asyncio.Event()
        self.bound: list[tuple[str, str, int]] = []  # (network mode, host, port)
        self._upstream_servers = upstreams
        self._stub_domains = stub_domains
        self._upstream_network = upstream_network or self.listen[0].network
        self._isolated = config.isolated
        self._now = now
        self._rng = rng
        self._forwarder: Forwarder | None = None
        kinds = [NAMESPACE, SERVICE, ENDPOINT_SLICE, *([POD] if self.records.watches_pods else [])]
        self._informers = [informers[kind] for kind in kinds]
        for informer in self._informers:
            informer.listen(self._apply)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first listener that is bound. Raises StartError before the start."""
        if not self.bound:
            raise StartError("the DNS server is not listening yet")
        return self.bound[0][1:]

    async def run(self, ready: Callable[[], None]) -> None:
        self.bound.clear()
        async with AsyncExitStack() as stack:
            sockets = [pair for entry in self.listen if (pair := await self._bind(entry, stack)) is not None]
            if not sockets:
                raise StartError(
                    "DNS cannot listen anywhere: every port is refused by the system; use --dns-port 10053"
                )
            own = {(host, port) for _, host, port in self.bound}
            upstreams = Upstreams(self._servers(), rng=self._rng, stub_domains=self._stub_domains, own=own)
            forwarder = Forwarder(self._upstream_network, upstreams, now=self._now, rng=self._rng)
            self._forwarder = forwarder
            forwards = TaskOwner("dns forward", MAX_FORWARDS)
            stack.push_async_callback(forwards.close)
            listeners = []
            for tcp, udp in sockets:
                listeners.append(TcpListener(tcp, self.engine, forwarder, now=self._now))
                stack.push_async_callback(listeners[-1].close)
                stack.callback(UdpListener(udp, self.engine, forwarder, forwards, now=self._now).close)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._become_synced(), name="dns sync")
                for listener in listeners:
                    group.create_task(listener.run(), name="dns tcp")
                ready()

    @property
    def queries(self) -> list[Seen]:
        """The last queries, the oldest first; those that `resolve` and other methods ask are among them."""
        return self.engine.recent_queries()

    async def saw(
        self,
        name: str,
        type: str = "A",
        *,
        by: str | JsonObject | None = None,
        count: int = 1,
        timeout_seconds: float = 5.0,
    ) -> list[Seen]:
        """Wait until a name was asked for; `webapp` stands for every name that begins so. Raises NotSeen.

        by: the client's address, or the pod that is to have asked.
        """
        wanted = name.rstrip(".").lower()
        address = by if isinstance(by, str) or by is None else str((by.get("status") or {}).get("podIP"))

        def matches(query: Seen) -> bool:
            asked = query.name.rstrip(".").lower()
            named = asked == wanted or asked.startswith(wanted + ".")
            return named and query.type == type and address in (None, query.peer[0])

        what = f"a query for {name} {type}" + (f" by {address}" if address else "")
        return await seen(lambda: self.queries, matches, count=count, what=what, timeout_seconds=timeout_seconds)

    async def ask(self, name: bytes | str, type_: int, *, client: str = "127.0.0.1") -> Message:
        """The reply a client at this address would get over TCP, without a socket in between. Raises StartError."""
        if self._forwarder is None:
            raise StartError("the DNS server is not running")
        packet = wire.query(name, type_)
        outcome = self.engine.handle(packet, (client, 0), self._now(), "tcp")
        if isinstance(outcome, Forward):
            outcome = await self._forwarder.settle(outcome)
        assert isinstance(outcome, Reply)  # only a broken packet is dropped
        return wire.parse(outcome.payload)

    def ask_own(self, name: bytes, type_: int) -> Message | str | None:
        """What the cluster's own zones say, at once; a name elsewhere that a CNAME leads to; None for other questions."""
        outcome = self.engine.handle(wire.query(name, type_), ("127.0.0.1", 0), self._now(), "tcp")
        if isinstance(outcome, Forward):
            return names.to_text(outcome.name).rstrip(".") if outcome.name.lower() != name.lower() else None
        assert isinstance(outcome, Reply)  # only a broken packet is dropped
        return wire.parse(outcome.payload)

    async def walk(
        self,
        name: str,
        type_: int,
        *,
        search: Sequence[str],
        ndots: int = 5,
        resolver: Resolver = "glibc",
        client: str = "127.0.0.1",
    ) -> list[Step]:
        """What a stub resolver with this search list gets, step by step; see walk.py. Raises ValueError, StartError."""
        steps: list[Step] = []
        for candidate, suffix in candidates(name, search=search, ndots=ndots, resolver=resolver):
            steps.append(Step(candidate, type_, suffix, await self.ask(candidate, type_, client=client)))
            if is_end(steps[-1], resolver):
                break
        return steps

    def explain(self, step: Step) -> str:
        """Why this step's reply is what it is, in one sentence."""
        return explain(step, self.records, self.config)

    async def _become_synced(self) -> None:
        for informer in self._informers:
            await informer.synced.wait()
        self.engine.synced = True
        self.synced.set()

    def _apply(self, change: Change) -> None:
        self.records.apply(change, at=int(clock.utc_now().timestamp()))

    def _servers(self) -> Sequence[str]:
        if self._isolated:
            return ()
        if self._upstream_servers is not None:
            return self._upstream_servers
        try:
            return nameservers(RESOLV_CONF.read_text(encoding="utf-8", errors="replace"))
        except OSError as error:
            log.warning("dns: no upstream for other names: %s", error)
            return ()

    async def _bind(self, entry: Listen, stack: AsyncExitStack) -> tuple[socket.socket, socket.socket] | None:
        """TCP and UDP sockets of one entry, closed by the stack; None for an optional one the system refuses."""
        try:
            tcp, udp = await _bind_both(entry)
        except OSError as error:
            where = f"{entry.host}:{entry.port}"
            if entry.optional and error.errno in (errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL):
                log.warning("dns: not serving on %s: %s", where, error.strerror)
                return None
            raise StartError(f"DNS cannot listen on {where}: {_reason(error)}") from error
        stack.callback(tcp.close)
        stack.callback(udp.close)
        port = int(tcp.getsockname()[1])
        self.bound.append((entry.network.mode, entry.host, port))
        if entry.port == 0:  # run again, it is where it was
            self.listen[self.listen.index(entry)] = replace(entry, port=port)
        return tcp, udp


async def _bind_both(entry: Listen) -> tuple[socket.socket, socket.socket]:
    attempts = 1 if entry.port else FREE_PORT_ATTEMPTS
    while True:
        tcp = await entry.network.tcp_listener(entry.host, entry.port)
        try:
            return tcp, await entry.network.udp_socket(entry.host, int(tcp.getsockname()[1]))
        except OSError as error:
            tcp.close()
            attempts -= 1
            if error.errno != errno.EADDRINUSE or not attempts:
                raise
        except BaseException:
            tcp.close()
            raise


def _own_addresses(listen: Sequence[Listen]) -> list[str]:
    """The addresses pods know this server by; the host's own loopback only if there is nothing else."""
    hosts = list(dict.fromkeys(entry.host for entry in listen if entry.host not in ("0.0.0.0", "::")))
    return [host for host in hosts if host not in ("127.0.0.1", "::1")] or hosts


def _reason(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "the port is taken; stop what uses it or choose another one with --dns-port"
        case errno.EACCES | errno.EPERM:
            return "the system does not allow this port; choose one above 1023 with --dns-port"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address"
        case _:
            return error.strerror or str(error)
