"""The cache plugin: keys, the TTL a client sees, what is not stored."""

from __future__ import annotations

from emulator.dns import names, wire
from emulator.dns.cache import Cache
from emulator.dns.wire import Edns, Message, Question, Record

NAME = names.to_wire("www.example.com.")


def request(name: bytes = NAME, *, do: bool = False) -> Message:
    return Message(question=Question(name, wire.A), edns=Edns(1232, do=True) if do else None)


def answer(*ttls: int, tc: bool = False) -> Message:
    message = Message(response=True, ra=True, tc=tc, question=Question(NAME, wire.A))
    message.answer = [Record(NAME, wire.A, ttl, bytes((192, 0, 2, at))) for at, ttl in enumerate(ttls)]
    return message


def test_all_records_get_the_smallest_ttl_within_bounds() -> None:
    cache = Cache(30)
    assert [record.ttl for record in cache.put(request(), answer(300, 20), 0.0).answer] == [20, 20]
    assert [record.ttl for record in cache.put(request(), answer(300), 0.0).answer] == [30]
    assert [record.ttl for record in cache.put(request(), answer(0), 0.0).answer] == [5]


def test_hits_count_down_and_set_aa() -> None:
    cache = Cache(30)
    cache.put(request(), answer(20), 100.0)
    held = cache.get(request(NAME.upper()), 107.5)
    assert held is not None
    assert (held.aa, held.answer[0].ttl) == (True, 13)
    assert cache.get(request(do=True), 107.5) is None
    assert cache.get(request(), 120.0) is None


def test_truncated_replies_are_not_stored() -> None:
    cache = Cache(30)
    cache.put(request(), answer(20, tc=True), 0.0)
    assert cache.get(request(), 1.0) is None


def test_the_oldest_entry_goes_when_it_is_full() -> None:
    cache = Cache(30, capacity=2)
    for label in (b"\x01a\x00", b"\x01b\x00", b"\x01c\x00"):
        cache.put(request(label), answer(20), 0.0)
    assert [cache.get(request(label), 1.0) is not None for label in (b"\x01a\x00", b"\x01b\x00", b"\x01c\x00")] == [
        False,
        True,
        True,
    ]
