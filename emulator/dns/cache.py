"""The cache plugin: replies kept by lower-case name, type, class, DO and CD until their smallest TTL has run out.

Time is passed in. Never holds more than its capacity. Source: dns.md 10 [coredns plugin/cache].
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from emulator.dns import wire
from emulator.dns.wire import Message, Record

CAPACITY = 9984  # entries; coredns plugin/cache defaultCap
MIN_TTL_SECONDS = 5
MAX_DENIAL_SECONDS = 1800
ERROR_TTL_SECONDS = 5

Key = tuple[bytes, int, int, bool, bool]


def key_of(request: Message) -> Key:
    """Raises AttributeError for a request without question, which never comes this far."""
    question = request.question
    assert question is not None
    do = request.edns is not None and request.edns.do
    return question.name.lower(), question.type, question.class_, do, request.cd


@dataclass(frozen=True, slots=True)
class _Entry:
    reply: Message
    stored_at: float
    ttl: int


class Cache:
    def __init__(self, ttl_seconds: int, capacity: int = CAPACITY) -> None:
        self._ttl = ttl_seconds
        self._capacity = capacity
        self._entries: dict[Key, _Entry] = {}

    def get(self, request: Message, now: float) -> Message | None:
        """A copy of the stored reply with its TTLs counted down and AA set, or None."""
        key = key_of(request)
        entry = self._entries.get(key)
        if entry is None:
            return None
        left = entry.ttl - int(now - entry.stored_at)
        if left <= 0:
            del self._entries[key]
            return None
        reply = _with_ttl(entry.reply, left)
        reply.aa = True
        reply.ad = False
        return reply

    def put(self, request: Message, reply: Message, now: float) -> Message:
        """Store the reply if it may be; what comes back has the TTLs a client is to see."""
        kind = _kind(reply)
        ttl = _seconds(reply, kind, self._ttl)
        capped = _with_ttl(reply, ttl)
        if kind != "other" and not reply.tc and ttl > 0:
            if len(self._entries) >= self._capacity:
                self._entries.pop(next(iter(self._entries)))
            self._entries[key_of(request)] = _Entry(capped, now, ttl)
        return _with_ttl(reply, ttl)


def _kind(reply: Message) -> str:
    has_soa = any(record.type == wire.SOA for record in reply.authority)
    if reply.rcode == wire.NOERROR and reply.answer:
        return "positive"
    if has_soa and reply.rcode in (wire.NOERROR, wire.NXDOMAIN):
        return "denial"
    if reply.rcode == wire.SERVFAIL:
        return "error"
    if reply.rcode == wire.NOERROR and not any(record.type == wire.NS for record in reply.authority):
        return "positive"
    return "other"


def _seconds(reply: Message, kind: str, limit: int) -> int:
    if kind in ("error", "other"):
        return ERROR_TTL_SECONDS
    records = [*reply.answer, *reply.authority, *reply.additional]
    smallest = min((record.ttl for record in records), default=MIN_TTL_SECONDS)
    if kind == "denial":
        limit = min(limit, MAX_DENIAL_SECONDS)
    return min(max(smallest, MIN_TTL_SECONDS), limit)


def _with_ttl(reply: Message, ttl: int) -> Message:
    def capped(section: list[Record]) -> list[Record]:
        return [record.with_ttl(ttl) for record in section]

    return replace(
        reply,
        answer=capped(reply.answer),
        authority=capped(reply.authority),
        additional=capped(reply.additional),
    )
