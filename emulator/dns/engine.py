"""The DNS server without its sockets: a packet comes in; a Reply, a Forward or a Drop goes out.

`Engine.handle` is the door, with the refusals that need no zone; behind it stand the stages of stages.py, in their one
order. A stage that needs an upstream makes a Forward of it; the caller resumes it with what came. Never blocks, never
raises on any packet.

Replies that depend on nothing but the octets asked and the records are kept whole ("compiled"), keyed by the query
behind its id, and dropped at the next change: the usual path is one slice, one look-up, one concatenation.
"""

from __future__ import annotations

import logging
import struct
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from emulator.dns import names, wire
from emulator.dns.config import DnsConfig
from emulator.dns.records import Records
from emulator.dns.request import Request, limit_of, reply_to, sized
from emulator.dns.stages import Answered, Stages, Steps
from emulator.dns.wire import Edns, Message, Question

log = logging.getLogger(__name__)

MAX_COMPILED = 8192  # replies; the table is emptied when it is full
MAX_RECENT = 1000  # queries remembered for those who look later
MAX_TRANSFER_RECORDS = 200  # per message of a zone transfer
FRAGMENT_FREE_BYTES = {4: 1480, 6: 1220}  # Ethernet or minimum MTU less the IP header


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

    def __str__(self) -> str:
        return f"{self.name} {self.type} from {self.peer[0]}: {self.rcode}"


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
        self._stages = Stages(records, config, rng=rng)
        self.compiled: dict[bytes, Compiled] = {}
        self.compiled_tcp: dict[bytes, Compiled] = {}
        self.recent: deque[tuple[float, tuple[str, int], bytes, int, str]] = deque(maxlen=MAX_RECENT)
        self._stats = Stats()
        self._may_compile = config.cache_seconds is None and not config.autopath
        records.listen(self.forget_compiled)

    @property
    def synced(self) -> bool:
        return self._stages.synced

    @synced.setter
    def synced(self, synced: bool) -> None:
        if synced != self._stages.synced:
            self._stages.synced = synced
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

    # -- the door

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
        request = Request(message, name, name.lower(), message.question.type, peer, now, transport)
        return self._drive(request, packet, self._stages.serve(request), None)

    # -- running the stages

    def _drive(self, request: Request, packet: bytes, steps: Steps, sent: Answered | None) -> Outcome:
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

    def _finish(self, request: Request, packet: bytes, answered: Answered) -> Outcome:
        reply = replace(reply_to(request), rcode=answered) if isinstance(answered, int) else answered
        reply.id = request.message.id
        reply.question = request.message.question
        if request.type == wire.AXFR and len(reply.answer) > MAX_TRANSFER_RECORDS:
            return self._transfer_messages(request, packet, reply)
        sized(reply, request.message)
        compress = wire.truncate(reply, limit_of(request))
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

    def _compile(self, request: Request, packet: bytes, payload: bytes, rcode: int) -> None:
        table = self.compiled if request.transport == "udp" else self.compiled_tcp
        if len(table) >= MAX_COMPILED:
            self.forget_compiled()
        table[packet[2:]] = Compiled(payload[2:], request.type, rcode)

    def _transfer_messages(self, request: Request, packet: bytes, reply: Message) -> Outcome:
        self._count(packet, request.type, reply.rcode, request.peer, request.now, request.transport)
        payloads = []
        for at in range(0, len(reply.answer), MAX_TRANSFER_RECORDS):
            part = replace(reply, answer=reply.answer[at : at + MAX_TRANSFER_RECORDS])
            payloads.append(wire.render(part, compress=True))
        return Reply(payloads[0], tuple(payloads[1:]))

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
        request = Request(message, question.name, question.name.lower(), question.type, peer, now, transport)
        request.forwarded = True  # not worth keeping
        return self._finish(request, packet, rcode)

    def _bad_version(
        self, message: Message, packet: bytes, peer: tuple[str, int], now: float, transport: str
    ) -> Outcome:
        question = message.question
        assert question is not None
        request = Request(message, question.name, question.name, question.type, peer, now, transport)
        reply = replace(reply_to(request), id=message.id, question=question, rcode=wire.BADVERS, edns=Edns(0))
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
    questions, answers, authorities, additional = struct.unpack_from("!HHHH", packet, 4)
    if questions != 1 or answers > 1 or authorities > 1 or additional > 2:
        return wire.FORMERR
    return None


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
