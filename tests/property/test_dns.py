"""DNS over random input: nothing raises, what is rendered parses back, caches and incremental indexes change nothing."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.api.kinds import ENDPOINT_SLICE, NAMESPACE, POD, SERVICE, Kind
from emulator.client.index import Change, Index
from emulator.dns import names, wire
from emulator.dns.config import DnsConfig
from emulator.dns.engine import Drop, Engine, Forward, Outcome, Reply
from emulator.dns.records import Records
from emulator.dns.wire import Edns, Message, Question, Record

PEER = ("10.1.0.21", 4000)
TYPES = [
    wire.A,
    wire.AAAA,
    wire.SRV,
    wire.PTR,
    wire.TXT,
    wire.CNAME,
    wire.SOA,
    wire.NS,
    wire.MX,
    wire.ANY,
    wire.AXFR,
    65280,
]
NAMESPACES = ["default", "other"]
SERVICES = ["web", "db"]
ADDRESSES = ["10.0.0.1", "10.0.0.2", "fd00::1", "2001:db8::"]

unhurried = settings(deadline=None)  # a busy machine is no failure

label = st.binary(min_size=1, max_size=20)
wire_names = st.lists(label, max_size=8).map(names.join)
known_labels = st.sampled_from(["web", "db", "default", "other", "svc", "pod", "_http", "_tcp", "x", "10-0-0-1", "Web"])
cluster_names = st.lists(known_labels, max_size=5).map(
    lambda labels: names.join(labels, names.to_wire("cluster.local"))
)
reverse_names = st.sampled_from(
    ["1.0.0.10.in-addr.arpa", "0.0.10.in-addr.arpa", "in-addr.arpa", "NS.dns.cluster.local"]
)
all_names = st.one_of(wire_names, cluster_names, reverse_names.map(names.to_wire))
edns = st.none() | st.builds(
    Edns,
    st.integers(0, 65535),
    st.sampled_from([0, 0, 0, 1]),
    st.booleans(),
    st.lists(st.tuples(st.sampled_from([3, 8, 10, 12]), st.binary(max_size=12)), max_size=3).map(tuple),
)
queries = st.builds(
    Message,
    id=st.integers(0, 65535),
    opcode=st.sampled_from([0, 0, 0, 4]),
    rd=st.booleans(),
    ad=st.booleans(),
    cd=st.booleans(),
    question=st.builds(Question, all_names, st.sampled_from(TYPES), st.sampled_from([1, 1, 3])),
    edns=edns,
)


def records_of(type_: int) -> st.SearchStrategy[Record]:
    data: st.SearchStrategy[bytes]
    match type_:
        case 1:
            data = st.binary(min_size=4, max_size=4)
        case 28:
            data = st.binary(min_size=16, max_size=16)
        case 5 | 12 | 2:
            data = wire_names
        case 33:
            data = st.builds(wire.srv_data, st.just(0), st.integers(1, 100), st.integers(0, 65535), wire_names)
        case 6:
            data = st.builds(wire.soa_data, wire_names, wire_names, *[st.integers(0, 2**32 - 1)] * 5)
        case _:
            data = st.binary(max_size=300)
    return st.builds(Record, wire_names, st.just(type_), st.integers(0, 2**31 - 1), data)


sections = st.lists(st.sampled_from([1, 28, 5, 12, 2, 33, 6, 16, 65280]).flatmap(records_of), max_size=12)
messages = st.builds(
    Message,
    id=st.integers(0, 65535),
    response=st.booleans(),
    aa=st.booleans(),
    tc=st.booleans(),
    ra=st.booleans(),
    rcode=st.integers(0, 15),
    question=st.none() | st.builds(Question, wire_names, st.integers(1, 65535)),
    answer=sections,
    authority=sections,
    additional=sections,
    edns=edns,
)


@unhurried
@given(messages, st.booleans())
def test_what_is_rendered_parses_back(message: Message, compress: bool) -> None:
    if message.question is None:
        message.answer, message.authority, message.additional, message.edns = [], [], [], None
    packet = wire.render(message, compress=compress)
    assert wire.parse(packet) == message
    if not compress:
        assert len(packet) == wire.uncompressed_bytes(message)


@unhurried
@given(messages, st.integers(0, 4096))
def test_a_cut_message_fits_and_keeps_the_front(message: Message, limit: int) -> None:
    message.question = Question(names.ROOT, 1)
    before = [list(message.answer), list(message.authority), list(message.additional)]
    compress = wire.truncate(message, limit)
    packet = wire.render(message, compress=compress)
    after = [message.answer, message.authority, message.additional]
    opt = 11 + sum(4 + len(data) for _, data in message.edns.options) if message.edns else 0
    assert len(packet) <= max(limit, 512, 17 + opt)
    assert all(was[: len(now)] == now for was, now in zip(before, after, strict=True))
    if after != before:
        assert message.tc


@unhurried
@given(st.binary(max_size=600))
def test_random_octets_never_raise(packet: bytes) -> None:
    engine = Engine(full_index(), DnsConfig(pods="insecure"), rng=lambda stop: 0)
    outcome = engine.handle(packet, PEER, 0.0)
    assert isinstance(outcome, (Reply, Forward, Drop))
    assert engine.recent_queries() is not None


@unhurried
@given(queries, st.data())
def test_damaged_queries_never_raise(query: Message, data: st.DataObject) -> None:
    packet = bytearray(wire.render(query))
    for _ in range(data.draw(st.integers(0, 4))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    engine = Engine(
        full_index(), DnsConfig(pods="verified", zonal=True, autopath=True, cache_seconds=30), rng=lambda stop: 0
    )
    for transport in ("udp", "tcp"):
        outcome = engine.handle(bytes(packet), PEER, 0.0, transport)
        for _ in range(20):
            if not isinstance(outcome, Forward):
                break
            outcome = outcome.resume(bytes(packet), 1.0)


@unhurried
@given(st.lists(queries, min_size=1, max_size=6), st.sampled_from(["udp", "tcp"]), st.booleans())
def test_a_compiled_reply_equals_a_fresh_one(asked: list[Message], transport: str, loadbalance: bool) -> None:
    config = DnsConfig(pods="insecure", forward=False, loadbalance=loadbalance)
    records = full_index()
    kept = Engine(records, config, rng=lambda stop: 0)
    for query in [*asked, *asked]:
        packet = wire.render(query)
        fresh = Engine(records, config, rng=lambda stop: 0)
        assert payload(kept.handle(packet, PEER, 0.0, transport)) == payload(fresh.handle(packet, PEER, 0.0, transport))


@unhurried
@given(queries)
def test_replies_repeat_the_question_and_the_id(query: Message) -> None:
    engine = Engine(full_index(), DnsConfig(pods="insecure", forward=False), rng=lambda stop: 0)
    outcome = engine.handle(wire.render(query), PEER, 0.0)
    assert isinstance(outcome, Reply)
    reply = wire.parse(outcome.payload)
    assert (reply.id, reply.question, reply.response) == (query.id, query.question, True)


def payload(outcome: Outcome) -> Any:
    return (outcome.payload, outcome.more) if isinstance(outcome, Reply) else type(outcome)


# -- the index


def some_object(draw: random.Random, version: int) -> tuple[Kind, dict[str, Any]]:
    kind = draw.choice([NAMESPACE, SERVICE, ENDPOINT_SLICE, POD])
    metadata: dict[str, Any] = {"name": draw.choice(SERVICES), "namespace": draw.choice(NAMESPACES)}
    metadata |= {"resourceVersion": str(version), "uid": "u"}
    ports = draw.choice([[], [{"name": "http", "port": 80, "protocol": "TCP"}], [{"port": 53, "protocol": "UDP"}]])
    match kind.kind:
        case "Namespace":
            metadata = {**metadata, "name": draw.choice(NAMESPACES)}
            del metadata["namespace"]
            return kind, {"metadata": metadata}
        case "Service":
            spec: dict[str, Any] = draw.choice(
                [
                    {"clusterIPs": ["None"]},
                    {"clusterIPs": draw.sample(ADDRESSES, 2)},
                    {"type": "ExternalName", "externalName": "web.other.svc.cluster.local"},
                ]
            )
            return kind, {"metadata": metadata, "spec": {**spec, "ports": ports}}
        case "Pod":
            status = {"phase": draw.choice(["Running", "Failed"]), "podIP": draw.choice(ADDRESSES)}
            return kind, {"metadata": metadata, "status": status}
    metadata["labels"] = {"kubernetes.io/service-name": draw.choice(SERVICES)}
    endpoints = [
        {
            "addresses": [address],
            "hostname": draw.choice(["", "h"]),
            "conditions": {"ready": draw.choice([True, False, None])},
        }
        for address in draw.sample(ADDRESSES, draw.randrange(3))
    ]
    return kind, {"metadata": metadata, "ports": ports, "endpoints": endpoints}


def full_index() -> Records:
    draw, records = random.Random(1), Records(pods=True)
    for version in range(60):
        kind, object_ = some_object(draw, version)
        records.apply(Change("ADDED", kind, object_, None), at=version)
    return records


def contents(records: Records) -> dict[str, Any]:
    return {name: value for name, value in vars(records).items() if name not in ("serial", "_listeners")}


@unhurried
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_incremental_index_equals_one_built_from_scratch(seed: int, changes: int) -> None:
    draw = random.Random(seed)
    indexes = {kind.kind: Index(kind) for kind in (NAMESPACE, SERVICE, ENDPOINT_SLICE, POD)}
    incremental = Records(pods=True)
    for version in range(changes):
        kind, object_ = some_object(draw, version)
        index = indexes[kind.kind]
        change = index.remove(object_) if draw.random() < 0.3 else index.put(object_)
        if change is not None:
            incremental.apply(change)
    scratch = Records(pods=True)
    for index in indexes.values():
        for object_ in index:
            scratch.apply(Change("ADDED", index.kind, object_, None))
    assert contents(incremental) == contents(scratch)
