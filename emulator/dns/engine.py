"""The DNS server without its sockets: a packet comes in; a Reply, a Forward or a Drop goes out.

The order of stages stands in `Engine.handle`, `_serve` and `_chain` and nowhere else. A stage that needs an upstream
yields the query; the caller gets a Forward and resumes it with what came. Never blocks, never raises on any packet.

Replies that depend on nothing but the octets asked and the records are kept whole ("compiled"), keyed by the query
behind its id, and dropped at the next change: the usual path is one slice, one look-up, one concatenation.
"""

from __future__ import annotations

import logging
import struct
from collections import Counter, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace

from emulator.dns import names, wire
from emulator.dns.answers import Answers, Lookup, Sections, address_octets
from emulator.dns.cache import Cache
from emulator.dns.config import DnsConfig
from emulator.dns.records import Records
from emulator.dns.transfer import zone_records
from emulator.dns.wire import Edns, Message, Question, Record

log = logging.getLogger(__name__)

MAX_COMPILED = 8192  # replies; the table is emptied when it is full
MAX_RECENT = 1000  # queries remembered for those who look later
MAX_REENTRIES = 10  # how often one question may ask the whole server again
MAX_TRANSFER_RECORDS = 200  # per message of a zone transfer
ANY_TTL_SECONDS = 8482  # RFC 8482
FRAGMENT_FREE_BYTES = {4: 1480, 6: 1220}  # Ethernet or minimum MTU less the IP header
REFLECTED_OPTIONS = frozenset((3, 9, 10, 11, 12))  # NSID, EXPIRE, COOKIE, TCP-KEEPALIVE, PADDING


@dataclass(frozen=True, slots=True)
class Reply:
    """Octets to send back; `more` holds the further messages of a zone transfer."""

    payload: bytes
    more: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Forward:
    """A question for an upstream. Send `query` under an id of your own and call one of the two.

    resume(packet, now): what came back; fail(rcode, now): nothing did. Either gives the next outcome.
    """

    query: bytes
    name: bytes
    transport: str
    resume: Callable[[bytes, float], Outcome]
    fail: Callable[[int, float], Outcome]


@dataclass(frozen=True, slots=True)
class Drop:
    """Nothing is sent."""

    why: str = ""


Outcome = Reply | Forward | Drop


@dataclass(slots=True)
class Compiled:
    """A reply without its id, and how often it went out."""

    tail: bytes
    type: int
    rcode: int
    hits: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """One query of the recent past."""

    at: float
    peer: tuple[str, int]
    name: str
    type: str
    rcode: str
    transport: str


@dataclass(slots=True)
class _Request:
    message: Message
    name: bytes
    lower: bytes
    type: int
    peer: tuple[str, int]
    now: float
    transport: str
    depth: int = 0
    forwarded: bool = False
    shuffled: bool = False


@dataclass(frozen=True, slots=True)
class _Ask:
    message: Message
    transport: str


Answered = Message | int  # an int is an rcode no stage has written a reply for
Steps = Generator[_Ask, "Answered", Answered]


@dataclass(slots=True)
class Stats:
    """Counts since the start; compiled replies are added when `Engine.stats` is read."""

    queries: Counter[tuple[int, int]] = field(default_factory=Counter)  # (type, rcode)
    dropped: int = 0
    forwarded: int = 0

    def by_rcode(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for (_, rcode), count in self.queries.items():
            counts[wire.RCODES.get(rcode, str(rcode))] += count
        return dict(counts)

    def by_type(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for (type_, _), count in self.queries.items():
            counts[wire.type_text(type_)] += count
        return dict(counts)


class Engine:
    """One server. `synced` False turns name errors into SERVFAIL until the records are complete."""

    def __init__(self, records: Records, config: DnsConfig, *, rng: Callable[[int], int]) -> None:
        self.records = records
        self.config = config
        self.answers = Answers(records, config)
        self.compiled: dict[bytes, Compiled] = {}
        self.compiled_tcp: dict[bytes, Compiled] = {}
        self.recent: deque[tuple[float, tuple[str, int], bytes, int, str]] = deque(maxlen=MAX_RECENT)
        self._synced = config.synced
        self._rng = rng
        self._stats = Stats()
        self._zones = frozenset(names.to_wire(zone.lower()) for zone in config.zones)
        self._server_zones = frozenset(names.to_wire(zone.lower()) for zone in config.server_zones)
        self._fallthrough = frozenset(names.to_wire(zone.lower()) for zone in config.fallthrough)
        self._hosts = {names.to_wire(name.lower()): address_octets(address) for name, address in config.hosts}
        self._node_search = [names.to_wire(zone) for zone in config.node_search]
        self._cache = Cache(config.cache_seconds) if config.cache_seconds is not None else None
        self._may_compile = self._cache is None and not config.autopath
        records.listen(self.forget_compiled)

    @property
    def synced(self) -> bool:
        return self._synced

    @synced.setter
    def synced(self, synced: bool) -> None:
        if synced != self._synced:
            self._synced = synced
            self.forget_compiled()

    @property
    def stats(self) -> Stats:
        """Counts up to now; a snapshot."""
        queries = Counter(self._stats.queries)
        for table in (self.compiled, self.compiled_tcp):
            for entry in table.values():
                queries[entry.type, entry.rcode] += entry.hits
        return replace(self._stats, queries=queries)

    def recent_queries(self) -> list[Seen]:
        """The last queries, oldest first."""
        return [seen for entry in list(self.recent) if (seen := _seen(*entry)) is not None]

    def forget_compiled(self) -> None:
        """Drop every compiled reply; their counts stay."""
        for table in (self.compiled, self.compiled_tcp):
            for entry in table.values():
                if entry.hits:
                    self._stats.queries[entry.type, entry.rcode] += entry.hits
            table.clear()

    # -- the stages

    def handle(self, packet: bytes, peer: tuple[str, int], now: float, transport: str = "udp") -> Outcome:
        """What to do about a packet. Source of the refusals before any zone is looked at: dns.md 9."""
        table = self.compiled if transport == "udp" else self.compiled_tcp
        entry = table.get(packet[2:])
        if entry is not None:
            entry.hits += 1
            self.recent.append((now, peer, packet, entry.rcode, transport))
            return Reply(packet[:2] + entry.tail)
        refused = _refusal(packet)
        if refused is not None:
            return self._refuse(refused, packet, peer, now, transport)
        try:
            message = wire.parse(packet)
        except wire.WireError:
            return self._refuse(wire.FORMERR, packet, peer, now, transport)
        if message.question is None:  # a lone header that promises a question
            return self._finish_plain(message, wire.SERVFAIL, packet, peer, now, transport)
        if message.question.class_ != wire.CLASS_IN and not self.config.forward:
            return self._finish_plain(message, wire.REFUSED, packet, peer, now, transport)
        if message.edns is not None and message.edns.version > 0:
            return self._bad_version(message, packet, peer, now, transport)
        if self.config.bufsize is not None and message.edns is not None:
            size = min(message.edns.udp_size, self.config.bufsize)
            message.edns = replace(message.edns, udp_size=size)
        name = message.question.name
        request = _Request(message, name, name.lower(), message.question.type, peer, now, transport)
        return self._drive(request, packet, self._serve(request), None)

    def _serve(self, request: _Request) -> Steps:
        """The server block that holds the name, or REFUSED."""
        if names.longest_match(request.lower, self._server_zones) is None:
            return wire.REFUSED
        if request.depth > MAX_REENTRIES:
            return wire.SERVFAIL
        return (yield from self._chain(request))

    def _chain(self, request: _Request) -> Steps:
        """any, loadbalance, then the stages inside autopath (dns.md 1, plugin order)."""
        if self.config.any and request.type == wire.ANY:
            return _obsolete_any(request)
        reply = yield from self._autopath(request)
        if self.config.loadbalance and isinstance(reply, Message) and reply.rcode == wire.NOERROR:
            self._shuffle(reply, request)
        return reply

    def _autopath(self, request: _Request) -> Steps:
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
            reply = yield from self._cached(_renamed(request, base + suffix))
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

    def _cached(self, request: _Request) -> Steps:
        if self._cache is None:
            return (yield from self._minimal(request))
        held = self._cache.get(request.message, request.now)
        if held is not None:
            return replace(_reply(request), rcode=held.rcode, aa=True, ra=held.ra, answer=held.answer,
                           authority=held.authority, additional=held.additional)  # fmt: skip
        reply = yield from self._minimal(request)
        return self._cache.put(request.message, reply, request.now) if isinstance(reply, Message) else reply

    def _minimal(self, request: _Request) -> Steps:
        reply = yield from self._transfer(request)
        if self.config.minimal and isinstance(reply, Message) and reply.rcode == wire.NOERROR and reply.answer:
            reply.authority, reply.additional = [], []
        return reply

    def _transfer(self, request: _Request) -> Steps:
        if not self.config.transfer or request.type not in (wire.AXFR, wire.IXFR):
            return (yield from self._host_names(request))
        if request.transport == "udp":
            return wire.REFUSED
        if request.lower not in self._zones:
            return (yield from self._host_names(request))
        reply = _reply(request)
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

    def _host_names(self, request: _Request) -> Steps:
        """Names of our own (host.kubemu.internal), answered as a hosts file would."""
        if request.lower not in self._hosts:
            return (yield from self._kubernetes(request))
        reply = _reply(request)
        reply.aa = True
        octets = self._hosts[request.lower]
        if octets is not None and request.type == (wire.A if len(octets) == 4 else wire.AAAA):
            reply.answer = [wire.address_record(request.name, octets, self.config.ttl)]
        return reply

    def _kubernetes(self, request: _Request) -> Steps:
        matched = names.longest_match(request.lower, self._zones)
        if matched is None:
            return (yield from self._forward(request))
        if request.type in (wire.AXFR, wire.IXFR):
            return wire.REFUSED
        zone = request.name[len(request.name) - len(matched) :]  # the zone's case as asked
        sections = yield from self._look_up(request, zone)
        reply = _reply(request)
        reply.aa = True
        if not sections.exists:
            if names.longest_match(request.lower, self._fallthrough) is not None:
                return (yield from self._forward(request))
            reply.rcode = wire.NXDOMAIN if self._synced else wire.SERVFAIL
        reply.answer = list(sections.answer)
        reply.additional = list(sections.additional)
        reply.tc = sections.tc and bool(sections.answer)
        if not reply.answer:
            reply.authority = [self.answers.soa(zone)]
        return reply

    def _look_up(self, request: _Request, zone: bytes) -> Generator[_Ask, Answered, Sections]:
        """The zone's sections; names outside the zone are asked of the whole server again."""
        steps = self.answers.sections(request.name, request.type, zone)
        try:
            lookup: Lookup = next(steps)
            while True:
                inner = _renamed(request, lookup.name, lookup.type)
                inner.depth += 1
                reply = yield from self._serve(inner)
                request.forwarded |= inner.forwarded
                request.shuffled |= inner.shuffled
                if isinstance(reply, int):
                    reply = Message(rcode=reply)
                else:
                    wire.truncate(_sized(reply, inner.message), _limit(inner))
                lookup = steps.send(reply)
        except StopIteration as stop:
            sections: Sections = stop.value
            return sections

    def _forward(self, request: _Request) -> Steps:
        if not self.config.forward:
            return wire.SERVFAIL
        request.forwarded = True
        message = request.message
        asked = Message(opcode=message.opcode, rd=message.rd, cd=message.cd, ad=message.ad, question=message.question,
                        edns=message.edns)  # fmt: skip
        return (yield _Ask(asked, request.transport))

    # -- running the stages

    def _drive(self, request: _Request, packet: bytes, steps: Steps, sent: Answered | None) -> Outcome:
        """Run the stages up to their end or to the next question for an upstream."""
        try:
            ask = next(steps) if sent is None else steps.send(sent)
        except StopIteration as stop:
            return self._finish(request, packet, stop.value)
        except ValueError as error:  # a record whose name cannot be written
            log.warning("no answer for %s: %s", names.to_text(request.name), error)
            return self._finish(request, packet, wire.SERVFAIL)
        self._stats.forwarded += 1

        def resume(reply: bytes, now: float) -> Outcome:
            request.now = now
            return self._drive(request, packet, steps, _upstream_reply(reply, ask.message))

        def fail(rcode: int, now: float) -> Outcome:
            request.now = now
            return self._drive(request, packet, steps, rcode)

        question = ask.message.question
        assert question is not None
        return Forward(wire.render(ask.message), question.name, ask.transport, resume, fail)

    def _finish(self, request: _Request, packet: bytes, answered: Answered) -> Outcome:
        reply = replace(_reply(request), rcode=answered) if isinstance(answered, int) else answered
        reply.id = request.message.id
        reply.question = request.message.question
        if request.type == wire.AXFR and len(reply.answer) > MAX_TRANSFER_RECORDS:
            return self._transfer_messages(request, packet, reply)
        _sized(reply, request.message)
        compress = wire.truncate(reply, _limit(request))
        large = False
        if not compress and request.transport == "udp":
            size = wire.uncompressed_bytes(reply)
            large = size > FRAGMENT_FREE_BYTES[6]
            compress = size > FRAGMENT_FREE_BYTES[6 if ":" in request.peer[0] else 4]
        payload = wire.render(reply, compress=compress)
        options = request.message.edns.options if request.message.edns is not None else ()
        if self._may_compile and not (request.forwarded or request.shuffled or large or options):
            self._compile(request, packet, payload, reply.rcode)
        self._count(packet, request.type, reply.rcode, request.peer, request.now, request.transport)
        return Reply(payload)

    def _compile(self, request: _Request, packet: bytes, payload: bytes, rcode: int) -> None:
        table = self.compiled if request.transport == "udp" else self.compiled_tcp
        if len(table) >= MAX_COMPILED:
            self.forget_compiled()
        table[packet[2:]] = Compiled(payload[2:], request.type, rcode)

    def _transfer_messages(self, request: _Request, packet: bytes, reply: Message) -> Outcome:
        self._count(packet, request.type, reply.rcode, request.peer, request.now, request.transport)
        payloads = []
        for at in range(0, len(reply.answer), MAX_TRANSFER_RECORDS):
            part = replace(reply, answer=reply.answer[at : at + MAX_TRANSFER_RECORDS])
            payloads.append(wire.render(part, compress=True))
        return Reply(payloads[0], tuple(payloads[1:]))

    def _search_path(self, request: _Request) -> list[bytes]:
        matched = names.longest_match(request.lower, self._zones) if self.config.autopath else None
        if matched is None or self.config.pods != "verified":
            return []
        pod = next(iter(self.records.pods_at(request.peer[0])), None)
        if pod is None:
            return []
        service_zone = names.join(("svc",), matched)
        return [names.join((pod.namespace,), service_zone), service_zone, matched, *self._node_search, names.ROOT]

    def _shuffle(self, reply: Message, request: _Request) -> None:
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

    # -- refusals

    def _refuse(self, rcode: int, packet: bytes, peer: tuple[str, int], now: float, transport: str) -> Outcome:
        if rcode < 0:
            self._stats.dropped += 1
            return Drop("a reply" if len(packet) >= wire.HEADER_BYTES else "shorter than a header")
        bits = int.from_bytes(packet[2:4], "big")
        keep = 0x7800 if rcode == wire.NOTIMP else 0  # the opcode is kept only where it is the reason
        bits = wire.QR | bits & (keep | wire.TC | wire.RD | wire.RA | wire.AD | wire.CD) | rcode
        self._count(packet, 0, rcode, peer, now, transport)
        return Reply(packet[:2] + bits.to_bytes(2, "big") + bytes(8))

    def _finish_plain(
        self, message: Message, rcode: int, packet: bytes, peer: tuple[str, int], now: float, transport: str
    ) -> Outcome:
        question = message.question or Question(names.ROOT, 0)
        request = _Request(message, question.name, question.name.lower(), question.type, peer, now, transport)
        request.forwarded = True  # not worth keeping
        return self._finish(request, packet, rcode)

    def _bad_version(
        self, message: Message, packet: bytes, peer: tuple[str, int], now: float, transport: str
    ) -> Outcome:
        question = message.question
        assert question is not None
        request = _Request(message, question.name, question.name, question.type, peer, now, transport)
        reply = replace(_reply(request), id=message.id, question=question, rcode=wire.BADVERS, edns=Edns(0))
        self._count(packet, question.type, wire.BADVERS, peer, now, transport)
        return Reply(wire.render(reply))

    def _count(self, packet: bytes, type_: int, rcode: int, peer: tuple[str, int], now: float, transport: str) -> None:
        self._stats.queries[type_, rcode] += 1
        self.recent.append((now, peer, packet, rcode, transport))


def _refusal(packet: bytes) -> int | None:
    """The rcode that ends a message by its header alone; -1: no reply. Source: miekg/dns acceptfunc.go."""
    if len(packet) < wire.HEADER_BYTES or packet[2] & 0x80:
        return -1
    if packet[2] >> 3 & 0xF not in (wire.QUERY, wire.NOTIFY):
        return wire.NOTIMP
    questions, answers, authorities, additionals = struct.unpack_from("!HHHH", packet, 4)
    if questions != 1 or answers > 1 or authorities > 1 or additionals > 2:
        return wire.FORMERR
    return None


def _reply(request: _Request) -> Message:
    """A reply to the request, empty so far: RD and CD are copied for QUERY, AD and RA never."""
    asked = request.message
    is_query = asked.opcode == wire.QUERY
    return Message(
        id=asked.id,
        response=True,
        opcode=asked.opcode,
        rd=asked.rd and is_query,
        cd=asked.cd and is_query,
        question=asked.question,
    )


def _sized(reply: Message, asked: Message) -> Message:
    """Give the reply its OPT record: the client's size and DO, and the options that are reflected."""
    if asked.edns is None:
        return reply
    if reply.edns is not None:
        options = reply.edns.options
    else:
        options = tuple(option for option in asked.edns.options if option[0] in REFLECTED_OPTIONS)
    reply.edns = Edns(asked.edns.udp_size, 0, asked.edns.do, options)
    return reply


def _limit(request: _Request) -> int:
    if request.transport != "udp":
        return wire.MAX_MESSAGE_BYTES
    return request.message.edns.udp_size if request.message.edns is not None else wire.MIN_UDP_BYTES


def _renamed(request: _Request, name: bytes, type_: int | None = None) -> _Request:
    """The same request for another name."""
    asked = request.type if type_ is None else type_
    message = replace(request.message, question=Question(name, asked))
    return replace(request, message=message, name=name, lower=name.lower(), type=asked)


def _with_alias(answer: list[Record], original: bytes) -> list[Record]:
    """The answer led by a CNAME from the name asked to the first other owner in it."""
    for record in answer:
        if record.name.lower() != original.lower():
            return [Record(original, wire.CNAME, record.ttl, record.name), *answer]
    return answer


def _obsolete_any(request: _Request) -> Message:
    data = wire.text_data([b"ANY obsoleted", b"See RFC 8482"])
    return replace(_reply(request), answer=[Record(request.name, wire.HINFO, ANY_TTL_SECONDS, data)])


def _upstream_reply(packet: bytes, asked: Message) -> Answered:
    """An upstream's message; FORMERR if it does not answer what was asked, SERVFAIL if it is none."""
    try:
        reply = wire.parse(packet)
    except wire.WireError:
        return wire.SERVFAIL
    question, came = asked.question, reply.question
    assert question is not None
    if came is None:
        return wire.FORMERR if reply.rcode == wire.NOERROR else reply
    if came.name.lower() != question.name.lower() or came.type != question.type or came.class_ != question.class_:
        return wire.FORMERR
    reply.response = True
    reply.question = question
    return reply


def _seen(at: float, peer: tuple[str, int], packet: bytes, rcode: int, transport: str) -> Seen | None:
    try:
        name, end = wire.read_name(packet, wire.HEADER_BYTES)
        type_ = int.from_bytes(packet[end : end + 2], "big")
    except (wire.WireError, IndexError):
        return None
    rcode_text = wire.RCODES.get(rcode, str(rcode))
    return Seen(at, peer, names.to_text(name), wire.type_text(type_), rcode_text, transport)
