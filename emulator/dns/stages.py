"""The stages behind the server's door, in CoreDNS' plugin order; each may answer or pass the question on.

any, loadbalance, autopath, cache, minimal, transfer, hosts, kubernetes, forward: the order stands in this module once.
A stage that needs an upstream yields an `Ask` and is sent the reply, or an rcode. Source: dns.md 1 and 10.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

from emulator.dns import names, wire
from emulator.dns.answers import Answers, Lookup, Sections, address_octets
from emulator.dns.cache import Cache
from emulator.dns.config import DnsConfig
from emulator.dns.records import Records
from emulator.dns.request import Request, limit_of, renamed, reply_to, sized
from emulator.dns.transfer import zone_records
from emulator.dns.wire import Message, Record

MAX_REENTRIES = 10  # how often one question may ask the whole server again
ANY_TTL_SECONDS = 8482  # RFC 8482


@dataclass(frozen=True, slots=True)
class Ask:
    message: Message
    transport: str


Answered = Message | int  # an int is an rcode no stage has written a reply for
Steps = Generator[Ask, "Answered", Answered]


class Stages:
    """The stages of one server. `synced` False turns name errors into SERVFAIL until the records are complete."""

    def __init__(self, records: Records, config: DnsConfig, *, rng: Callable[[int], int]) -> None:
        self.records = records
        self.config = config
        self.answers = Answers(records, config)
        self.synced = config.synced
        self._rng = rng
        self._zones = frozenset(names.to_wire(zone.lower()) for zone in config.zones)
        self._server_zones = frozenset(names.to_wire(zone.lower()) for zone in config.server_zones)
        self._fallthrough = frozenset(names.to_wire(zone.lower()) for zone in config.fallthrough)
        self._hosts = {names.to_wire(name.lower()): address_octets(address) for name, address in config.hosts}
        self._node_search = [names.to_wire(zone) for zone in config.node_search]
        self._cache = Cache(config.cache_seconds) if config.cache_seconds is not None else None

    def serve(self, request: Request) -> Steps:
        """The server block that holds the name, or REFUSED."""
        if names.longest_match(request.lower, self._server_zones) is None:
            return wire.REFUSED
        if request.depth > MAX_REENTRIES:
            return wire.SERVFAIL
        return (yield from self._chain(request))

    def _chain(self, request: Request) -> Steps:
        """any, loadbalance, then the stages inside autopath (dns.md 1, plugin order)."""
        if self.config.any and request.type == wire.ANY:
            return _obsolete_any(request)
        reply = yield from self._autopath(request)
        if self.config.loadbalance and isinstance(reply, Message) and reply.rcode == wire.NOERROR:
            self._shuffle(reply, request)
        return reply

    def _autopath(self, request: Request) -> Steps:
        """Walk the search path here instead of in the client; only for clients that are known pods."""
        search = self._search_path(request)
        if not search or not request.lower.endswith(search[0]) or request.lower == search[0]:
            return (yield from self._cached(request))
        if not names.is_below(request.lower, search[0]):
            return (yield from self._cached(request))
        base = request.name[: len(request.name) - len(search[0])]
        first: Answered | None = None
        for suffix in search:
            if len(base) + len(suffix) > names.MAX_NAME_BYTES:
                continue
            reply = yield from self._cached(renamed(request, base + suffix))
            if reply == wire.SERVFAIL:
                return reply
            if first is None:
                first = reply
            if isinstance(reply, Message) and reply.rcode != wire.NXDOMAIN:
                reply.question = request.message.question
                reply.answer = _with_alias(reply.answer, request.name)
                return reply
        assert first is not None
        if isinstance(first, Message):
            first.question = request.message.question
        return first

    def _cached(self, request: Request) -> Steps:
        if self._cache is None:
            return (yield from self._minimal(request))
        held = self._cache.get(request.message, request.now)
        if held is not None:
            return replace(reply_to(request), rcode=held.rcode, aa=True, ra=held.ra, answer=held.answer,
                           authority=held.authority, additional=held.additional)  # fmt: skip
        reply = yield from self._minimal(request)
        return self._cache.put(request.message, reply, request.now) if isinstance(reply, Message) else reply

    def _minimal(self, request: Request) -> Steps:
        reply = yield from self._transfer(request)
        if self.config.minimal and isinstance(reply, Message) and reply.rcode == wire.NOERROR and reply.answer:
            reply.authority, reply.additional = [], []
        return reply

    def _transfer(self, request: Request) -> Steps:
        if not self.config.transfer or request.type not in (wire.AXFR, wire.IXFR):
            return (yield from self._host_names(request))
        if request.transport == "udp":
            return wire.REFUSED
        if request.lower not in self._zones:
            return (yield from self._host_names(request))
        reply = reply_to(request)
        if request.type == wire.IXFR:
            held = [record for record in request.message.authority if record.type == wire.SOA]
            if len(held) != 1:
                return wire.SERVFAIL
            serial = struct.unpack_from("!I", held[0].data, len(held[0].data) - 20)[0]
            if serial == self.records.serial & 0xFFFFFFFF and serial:
                reply.answer = [self.answers.soa(request.name)]
                return reply
        reply.aa = True
        reply.answer = list(zone_records(self.answers, request.name))
        return reply

    def _host_names(self, request: Request) -> Steps:
        """Names of our own (host.kubemu.internal), answered as a hosts file would."""
        if request.lower not in self._hosts:
            return (yield from self._kubernetes(request))
        reply = reply_to(request)
        reply.aa = True
        octets = self._hosts[request.lower]
        if octets is not None and request.type == (wire.A if len(octets) == 4 else wire.AAAA):
            reply.answer = [wire.address_record(request.name, octets, self.config.ttl)]
        return reply

    def _kubernetes(self, request: Request) -> Steps:
        matched = names.longest_match(request.lower, self._zones)
        if matched is None:
            return (yield from self._forward(request))
        if request.type in (wire.AXFR, wire.IXFR):
            return wire.REFUSED
        zone = request.name[len(request.name) - len(matched) :]  # the zone's case as asked
        sections = yield from self._look_up(request, zone)
        reply = reply_to(request)
        reply.aa = True
        if not sections.exists:
            if names.longest_match(request.lower, self._fallthrough) is not None:
                return (yield from self._forward(request))
            reply.rcode = wire.NXDOMAIN if self.synced else wire.SERVFAIL
        reply.answer = list(sections.answer)
        reply.additional = list(sections.additional)
        reply.tc = sections.tc and bool(sections.answer)
        if not reply.answer:
            reply.authority = [self.answers.soa(zone)]
        return reply

    def _look_up(self, request: Request, zone: bytes) -> Generator[Ask, Answered, Sections]:
        """The zone's sections; names outside the zone are asked of the whole server again."""
        steps = self.answers.sections(request.name, request.type, zone)
        try:
            lookup: Lookup = next(steps)
            while True:
                inner = renamed(request, lookup.name, lookup.type)
                inner.depth += 1
                reply = yield from self.serve(inner)
                request.forwarded |= inner.forwarded
                request.shuffled |= inner.shuffled
                if isinstance(reply, int):
                    reply = Message(rcode=reply)
                else:
                    wire.truncate(sized(reply, inner.message), limit_of(inner))
                lookup = steps.send(reply)
        except StopIteration as stop:
            sections: Sections = stop.value
            return sections

    def _forward(self, request: Request) -> Steps:
        if not self.config.forward:
            return wire.SERVFAIL
        request.forwarded = True
        message = request.message
        asked = Message(opcode=message.opcode, rd=message.rd, cd=message.cd, ad=message.ad, question=message.question,
                        edns=message.edns)  # fmt: skip
        return (yield Ask(asked, request.transport))

    # -- what autopath and loadbalance need

    def _search_path(self, request: Request) -> list[bytes]:
        matched = names.longest_match(request.lower, self._zones) if self.config.autopath else None
        if matched is None or self.config.pods != "verified":
            return []
        pod = next(iter(self.records.pods_at(request.peer[0])), None)
        if pod is None:
            return []
        service_zone = names.join(("svc",), matched)
        return [names.join((pod.namespace,), service_zone), service_zone, matched, *self._node_search, names.ROOT]

    def _shuffle(self, reply: Message, request: Request) -> None:
        """CNAMEs, then everything else, then addresses and MX in random order [coredns plugin/loadbalance]."""
        for section in (reply.answer, reply.authority, reply.additional):
            addresses = [record for record in section if record.type in (wire.A, wire.AAAA)]
            exchanges = [record for record in section if record.type == wire.MX]
            if len(addresses) < 2 and len(exchanges) < 2:
                continue
            request.shuffled = True
            aliases = [record for record in section if record.type == wire.CNAME]
            others = (wire.CNAME, wire.A, wire.AAAA, wire.MX)
            rest = [record for record in section if record.type not in others]
            section[:] = [*aliases, *rest, *self._shuffled(addresses), *self._shuffled(exchanges)]

    def _shuffled(self, records: list[Record]) -> list[Record]:
        for at in range(len(records) - 1, 0, -1):
            other = self._rng(at + 1)
            records[at], records[other] = records[other], records[at]
        return records


def _with_alias(answer: list[Record], original: bytes) -> list[Record]:
    """The answer led by a CNAME from the name asked to the first other owner in it."""
    for record in answer:
        if record.name.lower() != original.lower():
            return [Record(original, wire.CNAME, record.ttl, record.name), *answer]
    return answer


def _obsolete_any(request: Request) -> Message:
    data = wire.text_data([b"ANY obsoleted", b"See RFC 8482"])
    return replace(reply_to(request), answer=[Record(request.name, wire.HINFO, ANY_TTL_SECONDS, data)])
