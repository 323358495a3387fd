"""Zone transfer: every record of a zone that AXFR shows, in CoreDNS' order.

Pod and dns-version records are never in it. Source: dns.md 9 [coredns plugin/kubernetes/xfr.go].
"""

from __future__ import annotations

from collections.abc import Iterator

from emulator.dns import names, wire
from emulator.dns.answers import Answers, address_octets
from emulator.dns.records import ServiceRecord
from emulator.dns.wire import Record


def zone_records(answers: Answers, zone: bytes) -> Iterator[Record]:
    """SOA, NS with glue (TTL 0), the Services sorted by name, SOA again."""
    soa = answers.soa(zone)
    yield soa
    seen: set[bytes] = set()
    for name, octets in answers.name_servers(zone):
        if name not in seen:
            seen.add(name)
            yield Record(zone, wire.NS, answers.config.ttl, name)
        yield wire.address_record(name, octets, 0)
    for service in sorted(answers.records.services.values(), key=lambda one: (one.name, one.namespace)):
        if answers.is_exposed(service.namespace):
            yield from _service_records(answers, service, zone)
    yield soa


def _service_records(answers: Answers, service: ServiceRecord, zone: bytes) -> Iterator[Record]:
    base = (service.name, service.namespace, "svc")
    name = names.join(base, zone)
    ttl = answers.config.ttl
    if service.external_name is not None:
        if address_octets(service.external_name) is None:
            yield Record(name, wire.CNAME, ttl, names.to_wire(service.external_name))
    elif service.is_headless:
        yield from _endpoint_records(answers, service, zone)
    else:
        for address in service.cluster_ips:
            if (octets := address_octets(address)) is not None:
                yield wire.address_record(name, octets, ttl)
        for port in service.ports:
            data = wire.srv_data(0, 100, port.number, name)
            yield Record(name, wire.SRV, ttl, data)
            if port.name:
                owner = names.join((f"_{port.name}", f"_{port.protocol}", *base), zone)
                yield Record(owner, wire.SRV, ttl, data)


def _endpoint_records(answers: Answers, service: ServiceRecord, zone: bytes) -> Iterator[Record]:
    base = (service.name, service.namespace, "svc")
    name = names.join(base, zone)
    ttl = answers.config.ttl
    for slice_ in answers.slices_of(service):
        weight = max(1, 100 // max(1, len(slice_.endpoints)))
        for endpoint in slice_.endpoints:
            octets = address_octets(endpoint.address)
            if octets is None:
                continue
            target = names.join((answers.label(endpoint), *base), zone)
            yield wire.address_record(name, octets, ttl)
            yield wire.address_record(target, octets, ttl)
            for port in slice_.ports:
                if port.name:
                    owner = names.join((f"_{port.name}", f"_{port.protocol}", *base), zone)
                    yield Record(owner, wire.SRV, ttl, wire.srv_data(0, weight, port.number, target))
