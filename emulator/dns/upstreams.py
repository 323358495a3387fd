"""Which upstream resolver is asked next: order, health and backoff, and which names have servers of their own.

Pure: time and chance come in. Source: dns.md 10 [coredns plugin/forward: random policy, two failures make one down].
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from emulator.api.errors import ConfigError
from emulator.dns import names

DNS_PORT = 53
MAX_FAILURES = 2
FIRST_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 30.0
MAX_SERVERS = 15  # for one zone; coredns plugin/forward has the same limit


@dataclass(frozen=True, slots=True)
class Upstream:
    host: str
    port: int = DNS_PORT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(slots=True)
class _Health:
    failures: int = 0
    down_until: float = 0.0


class Upstreams:
    """The upstreams of one server. Those in `own` (our listeners) are left out: asking them would be a loop."""

    def __init__(
        self,
        servers: Sequence[str],
        *,
        rng: Callable[[int], int],
        stub_domains: Mapping[str, Sequence[str]] | None = None,
        own: Collection[tuple[str, int]] = (),
    ) -> None:
        """servers: `1.1.1.1`, `1.1.1.1:53`, `[2606:4700::1]:53`. Raises ConfigError."""
        self._rng = rng
        self._health: dict[Upstream, _Health] = {}
        self._routes = {names.ROOT: _usable(servers, own)}
        for zone, zone_servers in (stub_domains or {}).items():
            self._routes[names.to_wire(zone.lower())] = _usable(zone_servers, own)

    def order(self, name: bytes, now: float) -> list[Upstream]:
        """The upstreams to try for a wire name: healthy ones in random order, then those that are down."""
        zone = names.longest_match(name.lower(), self._routes)
        servers = list(self._routes[zone if zone is not None else names.ROOT])
        for at in range(len(servers) - 1, 0, -1):
            other = self._rng(at + 1)
            servers[at], servers[other] = servers[other], servers[at]
        return sorted(servers, key=lambda server: self.is_down(server, now))

    def is_down(self, server: Upstream, now: float) -> bool:
        health = self._health.get(server)
        return health is not None and health.failures >= MAX_FAILURES and now < health.down_until

    def succeeded(self, server: Upstream) -> None:
        self._health.pop(server, None)

    def failed(self, server: Upstream, now: float) -> None:
        """Count a failure; each one past the second doubles the time the server is asked last."""
        health = self._health.setdefault(server, _Health())
        health.failures += 1
        doubled = FIRST_BACKOFF_SECONDS * 2.0 ** min(health.failures - MAX_FAILURES, 10)
        health.down_until = now + min(doubled, MAX_BACKOFF_SECONDS)


def parse_server(text: str) -> Upstream:
    """The upstream that `host`, `host:port` or `[v6]:port` names. Raises ConfigError."""
    from ipaddress import ip_address

    host, port = text, str(DNS_PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, port = text.split(":")
    try:
        ip_address(host.partition("%")[0])
        return Upstream(host, int(port))
    except ValueError as error:
        raise ConfigError(f"upstream {text!r} is not an address with an optional port, such as 1.1.1.1:53") from error


def nameservers(resolv_conf: str) -> list[str]:
    """The addresses of the `nameserver` lines of a resolv.conf; what is no address is skipped."""
    found = []
    for line in resolv_conf.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) >= 2 and words[0] == "nameserver":
            found.append(words[1])
    return found


def _usable(servers: Sequence[str], own: Collection[tuple[str, int]]) -> list[Upstream]:
    parsed = dict.fromkeys(parse_server(text) for text in servers)
    return [server for server in parsed if (server.host, server.port) not in own][:MAX_SERVERS]
