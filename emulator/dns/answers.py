"""What the cluster zones answer: the index and a question give record sections.

A question whose answer needs a name outside the zone yields that `Lookup` and is sent the whole server's reply to it.
Nothing is sent or cached here. Source: dns.md 3-7 [coredns plugin/backend_lookup.go, plugin/kubernetes].
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from emulator.dns import names, wire
from emulator.dns.config import DnsConfig
from emulator.dns.names import Query
from emulator.dns.records import NO_PORTS, Endpoint, Records, ServiceRecord, Slice
from emulator.dns.wire import Message, Record

DNS_SCHEMA_VERSION = b"1.1.0"  # kubernetes/dns specification
DNS_VERSION_TTL_SECONDS = 28800  # whatever `ttl` says
MAX_SOA_TTL_SECONDS = 300
MAX_ALIASES = 8  # an ExternalName chain longer than this is given up

_NS_DNS = b"\x02ns\x03dns"
_HOSTMASTER = b"\x0ahostmaster"


@dataclass(frozen=True, slots=True)
class Lookup:
    """A name that must be asked of the whole server again."""

    name: bytes
    type: int


@dataclass(frozen=True, slots=True)
class Found:
    """One (address, port) pair or one alias behind a name. `owner`: the labels of its own name, left of the zone."""

    host: str
    address: bytes | None
    port: int
    owner: tuple[str, ...]


@dataclass(slots=True)
class Sections:
    """`exists` False is a name error; an empty answer of a name that exists is NODATA."""

    exists: bool = True
    answer: list[Record] = field(default_factory=list)
    additional: list[Record] = field(default_factory=list)
    tc: bool = False


Steps = Generator[Lookup, Message, Sections]
NAME_ERROR = Sections(exists=False)
NODATA = Sections()


@lru_cache(maxsize=65536)
def address_octets(text: str) -> bytes | None:
    """4 or 16 octets of an address text, an IPv4-mapped one counting as IPv4; None if it is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped.packed if address.ipv4_mapped else address.packed
    return address.packed


class Answers:
    """The zones of one server over one index."""

    def __init__(self, records: Records, config: DnsConfig) -> None:
        self.records = records
        self.config = config
        self._primary_zone = names.to_wire(config.primary_zone)

    def sections(self, name: bytes, type_: int, zone: bytes) -> Steps:
        """The sections for a name as it was sent; `zone` is its tail, in the case it was sent."""
        match type_:
            case wire.A | wire.AAAA:
                return (yield from self._addresses(name, type_, zone, ()))
            case wire.SRV:
                return self._services(name, zone)
            case wire.PTR:
                return self._pointers(name, zone)
            case wire.TXT:
                return self._texts(name, zone)
            case wire.CNAME:
                return self._alias(name, zone)
            case wire.SOA:
                return Sections(answer=[self.soa(zone)]) if name == zone else NODATA
            case wire.NS if name.lower() == zone:
                return self._name_servers(zone)
            case _:  # a hidden A lookup tells NODATA from NXDOMAIN
                return NAME_ERROR if self.find(name, zone) is None else NODATA

    def soa(self, zone: bytes) -> Record:
        """The zone's SOA, its names in the zone's case as asked."""
        ttl = self.config.ttl
        data = wire.soa_data(_NS_DNS + zone, _HOSTMASTER + zone, self.records.serial, 7200, 1800, 86400, ttl)
        return Record(zone, wire.SOA, min(ttl, MAX_SOA_TTL_SECONDS), data)

    def is_exposed(self, namespace: str) -> bool:
        """True if the namespace exists and is not hidden by the `namespaces` setting."""
        return self._is_listed(namespace) and namespace in self.records.namespaces

    def find(self, name: bytes, zone: bytes) -> list[Found] | None:
        """What stands behind a forward name; empty: the name exists and holds nothing; None: there is no such name."""
        lower = name.lower()
        if lower == _NS_DNS + zone:  # a zone in mixed case misses this special name, as it does upstream
            return []
        query = names.parse(_relative(lower, zone), zonal=self.config.zonal)
        if query is None:
            return None
        if not query.kind:
            return []
        if names.is_reverse(lower) or not self.is_exposed(query.namespace):
            return None
        return self._pods(query) if query.kind == "pod" else self._endpoints_or_service(query)

    def name_servers(self, zone: bytes) -> list[tuple[bytes, bytes]]:
        """(name, address octets) of the servers of the zone: the Services in front of this server, else its own addresses."""
        found: list[tuple[bytes, bytes]] = []
        own_addresses = () if self.config.noendpoints else self.config.dns_pod_ips
        slices = [slice_ for address in own_addresses for slice_ in self.records.slices_at(address)]
        for slice_ in slices:
            service = self.records.service(slice_.service, slice_.namespace)
            if service is None:
                continue
            owner = (service.name, service.namespace, "svc")
            pairs: list[tuple[tuple[str, ...], str]]
            if service.is_headless:
                pairs = [((self.label(end), *owner), end.address) for end in slice_.endpoints]
            else:
                pairs = [(owner, address) for address in service.cluster_ips]
            found += [
                (names.join(labels, zone), octets)
                for labels, address in pairs
                if (octets := address_octets(address)) is not None
            ]
        if slices:
            return found
        own = [address_octets(address) for address in self.config.dns_pod_ips]
        return [(_NS_DNS + zone, octets) for octets in own if octets is not None]

    def label(self, endpoint: Endpoint) -> str:
        return endpoint.label(pod_names=self.config.endpoint_pod_names)

    def slices_of(self, service: ServiceRecord) -> tuple[Slice, ...]:
        if self.config.noendpoints:
            return ()
        return self.records.slices_of(service.name, service.namespace)

    def _is_listed(self, namespace: str) -> bool:
        return not self.config.namespaces or namespace in self.config.namespaces

    # -- what a name stands for

    def _pods(self, query: Query) -> list[Found] | None:
        mode, label = self.config.pods, query.service
        if mode == "disabled":
            return None
        if not label:
            return []
        is_v4 = label.count("-") == 3 and "--" not in label
        address = label.replace("-", "." if is_v4 else ":")
        if mode == "insecure":
            known = 1 if address_octets(address) is not None else 0
        else:
            known = sum(pod.namespace == query.namespace for pod in self.records.pods_at(address))
        found = Found(address, address_octets(address), 0, (label, query.namespace, "pod"))
        return [found] * known or None

    def _endpoints_or_service(self, query: Query) -> list[Found] | None:
        if not query.service:
            return []
        service = self.records.service(query.service, query.namespace)
        if service is None or (query.zone_policy and not service.is_headless):
            return None
        owner = (service.name, service.namespace, "svc")
        if service.external_name is not None:
            below = query.endpoint or query.port or query.protocol
            if below or address_octets(service.external_name) is not None:
                return None
            return [Found(service.external_name, None, 0, owner)]
        ignores_empty = self.config.ignore_empty_service and not service.is_headless
        if ignores_empty and not any(slice_.endpoints for slice_ in self.slices_of(service)):
            return None
        if service.is_headless or query.endpoint:
            return self._endpoints(query, service)
        ports = [port for port in service.ports if _matches(query, port.name, port.protocol)]
        if not ports:
            return None
        return [
            Found(address, address_octets(address), port.number, owner)
            for port in ports
            for address in service.cluster_ips
        ]

    def _endpoints(self, query: Query, service: ServiceRecord) -> list[Found] | None:
        found, zones = [], []
        for slice_ in self.slices_of(service):
            ports = [port.number for port in slice_.ports if _matches(query, port.name, port.protocol)]
            for endpoint in slice_.endpoints:
                label = self.label(endpoint)
                if query.endpoint and query.endpoint != label.lower():
                    continue
                owner = (label, service.name, service.namespace, "svc")
                octets = address_octets(endpoint.address)
                found += [Found(endpoint.address, octets, port, owner) for port in ports]
                zones += [endpoint.zone.lower()] * len(ports)
        if not query.zone_policy or not found:
            return found or None
        inside = [entry for entry, zone in zip(found, zones, strict=True) if zone == query.topology_zone]
        return found if not inside and query.zone_policy == "prefer" else inside

    # -- one method for each type that can answer

    def _addresses(self, name: bytes, type_: int, zone: bytes, seen: tuple[bytes, ...]) -> Steps:
        lower = name.lower()
        if lower == _NS_DNS + zone:
            size = 4 if type_ == wire.A else 16
            octets = [address for _, address in self.name_servers(zone) if len(address) == size]
            return Sections(answer=[self._address(name, address) for address in dict.fromkeys(octets)])
        found = self.find(name, zone)
        if found is None:
            return NAME_ERROR
        if found and found[0].address is None:
            return (yield from self._aliased(name, type_, zone, found[0].host, seen))
        size = 4 if type_ == wire.A else 16
        addresses = dict.fromkeys(
            (entry.host, entry.address) for entry in found if entry.address is not None and len(entry.address) == size
        )
        return Sections(answer=[self._address(name, octets) for _, octets in addresses])

    def _aliased(self, name: bytes, type_: int, zone: bytes, host: str, seen: tuple[bytes, ...]) -> Steps:
        """An ExternalName's CNAME and what its target gives; `seen` are the targets on the way here."""
        target = _external(host)
        if target is None or names.is_below(target, name) or target in seen or len(seen) >= MAX_ALIASES:
            return NODATA
        alias = Record(name, wire.CNAME, self.config.ttl, target)
        if names.is_below(target, zone):
            sections = yield from self._addresses(target, type_, zone, (*seen, target))
            if not sections.answer:
                return Sections(tc=sections.tc)
            return Sections(answer=[alias, *sections.answer], tc=sections.tc)
        reply = yield Lookup(target, type_)
        return Sections(answer=[alias, *reply.answer], tc=reply.tc)

    def _services(self, name: bytes, zone: bytes) -> Sections:
        found = self.find(name, zone)
        if found is None:
            return NAME_ERROR
        pairs = [entry for entry in found if entry.address is not None]
        if not pairs:
            return NODATA
        weight = max(1, int(100.0 / (100 * len(pairs)) * 100))
        answer: dict[tuple[bytes, int], Record] = {}
        additional: dict[tuple[bytes, str], Record] = {}
        for entry in pairs:
            if entry.port == NO_PORTS or entry.address is None:
                continue
            target = names.join(entry.owner, zone)
            data = wire.srv_data(0, weight, entry.port, target)
            answer.setdefault((target, entry.port), Record(name, wire.SRV, self.config.ttl, data))
            additional.setdefault((target, entry.host), self._address(target, entry.address))
        return Sections(answer=list(answer.values()), additional=list(additional.values()))

    def _alias(self, name: bytes, zone: bytes) -> Sections:
        found = self.find(name, zone)
        if found is None:
            return NAME_ERROR
        target = _external(found[0].host) if found and found[0].address is None else None
        return NODATA if target is None else Sections(answer=[Record(name, wire.CNAME, self.config.ttl, target)])

    def _texts(self, name: bytes, zone: bytes) -> Sections:
        if _relative(name.lower(), zone) == ["dns-version"]:
            data = wire.text_data([DNS_SCHEMA_VERSION])
            return Sections(answer=[Record(name, wire.TXT, DNS_VERSION_TTL_SECONDS, data)])
        return NODATA if self.find(name, zone) else NAME_ERROR  # empty non-terminals too, an oddity of upstream's

    def _name_servers(self, zone: bytes) -> Sections:
        servers = self.name_servers(zone)
        ttl = self.config.ttl
        return Sections(
            answer=[Record(zone, wire.NS, ttl, name) for name in dict.fromkeys(name for name, _ in servers)],
            additional=[self._address(name, octets) for name, octets in servers],
        )

    def _pointers(self, name: bytes, zone: bytes) -> Sections:
        lower = name.lower()
        address = names.reverse_address(lower)
        if address is None:
            special = lower == _NS_DNS + zone
            return NAME_ERROR if special or self.find(name, zone) is None else NODATA
        targets = dict.fromkeys(self._reverse(address))
        if not targets:
            return NAME_ERROR
        ttl = self.config.ttl
        return Sections(
            answer=[Record(name, wire.PTR, ttl, names.join(labels, self._primary_zone)) for labels in targets]
        )

    def _reverse(self, address: str) -> Iterator[tuple[str, ...]]:
        """The names of an address: its Service's one name, else one per endpoint that has it."""
        for service in self.records.services_at(address):
            if self._is_listed(service.namespace) and self._has_namespace(service.namespace):
                yield service.name, service.namespace, "svc"
                return
        if self.config.noendpoints:
            return
        for slice_ in self.records.slices_at(address):
            if not (slice_.service and self._is_listed(slice_.namespace) and self._has_namespace(slice_.namespace)):
                continue
            for endpoint in slice_.endpoints:
                if endpoint.address == address:
                    yield self.label(endpoint), slice_.service, slice_.namespace, "svc"

    def _has_namespace(self, namespace: str) -> bool:
        """Reverse lookups ask whether a namespace exists only when namespaces are listed."""
        return not self.config.namespaces or namespace in self.records.namespaces

    def _address(self, name: bytes, octets: bytes) -> Record:
        return wire.address_record(name, octets, self.config.ttl)


def _matches(query: Query, port: str, protocol: str) -> bool:
    """An empty port or protocol in the question matches anything."""
    return (not query.port or query.port == port) and (not query.protocol or query.protocol == protocol)


def _relative(lower: bytes, zone: bytes) -> list[str]:
    """The labels of a name left of its zone."""
    return [label.decode("latin-1") for label in names.split(lower[: len(lower) - len(zone)] + names.ROOT)]


def _external(host: str) -> bytes | None:
    try:
        return names.to_wire(host)
    except ValueError:
        return None
