"""The engine's stages: refusals by the header, compiled replies, forwarding, what each counts."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.kinds import NAMESPACE, SERVICE, Kind
from emulator.client.index import Change
from emulator.dns import names, wire
from emulator.dns.config import DnsConfig
from emulator.dns.engine import Drop, Engine, Forward, Outcome, Reply
from emulator.dns.records import Records
from emulator.dns.wire import Edns, Message, Question, Record

PEER = ("10.1.0.21", 4000)
WEBAPP = "webapp.default.svc.cluster.local."


def put(records: Records, kind: Kind, object: dict[str, Any]) -> None:
    records.apply(Change("ADDED", kind, object, None), at=1)


def service(name: str, address: str) -> dict[str, Any]:
    spec = {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80}]}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def external(name: str, target: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": "ExternalName", "externalName": target},
    }


def engine(**settings: Any) -> Engine:
    records = Records(pods=True)
    put(records, NAMESPACE, {"metadata": {"name": "default"}})
    put(records, SERVICE, service("webapp", "10.152.183.44"))
    put(records, SERVICE, external("foo", "www.example.com"))
    return Engine(records, DnsConfig(**settings), rng=lambda stop: 0)


def reply(outcome: Outcome) -> Message:
    assert isinstance(outcome, Reply)
    return wire.parse(outcome.payload)


def ask(server: Engine, name: str, type_: int = wire.A, **options: Any) -> Outcome:
    return server.handle(wire.query(name, type_, id_=0x1234, **options), PEER, 0.0)


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        ("109281000001000000000000", None),  # a reply
        ("1092", None),
        ("109229000001000000000000", "1092a9040000000000000000"),  # UPDATE: NOTIMP, opcode kept
        ("109201000000000000000000", "109281010000000000000000"),  # no question promised
        ("109201000002000000000000", "109281010000000000000000"),
        ("109201000001000000020000", "109281010000000000000000"),  # two authority records
        ("10920100000100000000000006776562", "109281010000000000000000"),  # a broken name
        ("109201000001000000000000", "109281020000000000000000"),  # only a header: SERVFAIL
    ],
)
def test_messages_refused_by_their_header(packet: str, expected: str | None) -> None:
    outcome = engine().handle(bytes.fromhex(packet), PEER, 0.0)
    if expected is None:
        assert isinstance(outcome, Drop)
    else:
        assert isinstance(outcome, Reply)
        assert outcome.payload.hex() == expected


def test_second_query_is_answered_from_the_compiled_reply() -> None:
    server = engine()
    first = ask(server, WEBAPP)
    assert len(server.compiled) == 1
    again = server.handle(wire.query(WEBAPP, wire.A, id_=0x4321), PEER, 1.0)
    assert isinstance(first, Reply)
    assert isinstance(again, Reply)
    assert again.payload == b"\x43\x21" + first.payload[2:]
    assert server.stats.by_rcode() == {"NOERROR": 2}
    assert server.stats.by_type() == {"A": 2}
    assert [seen.name for seen in server.recent_queries()] == [WEBAPP, WEBAPP]


def test_compiled_replies_are_forgotten_at_a_change_and_at_sync() -> None:
    server = engine(synced=False)
    ask(server, "absent.default.svc.cluster.local.")
    server.synced = True
    assert reply(ask(server, "absent.default.svc.cluster.local.")).rcode == wire.NXDOMAIN
    put(server.records, SERVICE, service("absent", "10.152.183.45"))
    assert reply(ask(server, "absent.default.svc.cluster.local.")).answer[0].data == bytes((10, 152, 183, 45))
    assert server.stats.by_rcode() == {"SERVFAIL": 1, "NXDOMAIN": 1, "NOERROR": 1}


def test_case_is_part_of_the_key() -> None:
    server = engine()
    ask(server, WEBAPP)
    mixed = reply(ask(server, "WebApp.Default.svc.cluster.local."))
    assert names.to_text(mixed.answer[0].name) == "WebApp.Default.svc.cluster.local."


def test_queries_with_options_are_not_kept() -> None:
    server = engine()
    ask(server, WEBAPP, edns=Edns(1232, options=((10, b"12345678"),)))
    assert server.compiled == {}


def test_reflected_and_dropped_options() -> None:
    options = ((3, b""), (8, b"\x00\x01\x18\x00\xc0\x00\x02"), (10, b"12345678"), (12, b"\x00"))
    edns = reply(ask(engine(), WEBAPP, edns=Edns(300, do=True, options=options))).edns
    assert edns == Edns(300, 0, True, (options[0], options[2], options[3]))


def upstream_reply(job: Outcome, *records: Record, rcode: int = 0) -> Message:
    assert isinstance(job, Forward)
    asked = wire.parse(job.query)
    packet = wire.render(Message(response=True, ra=True, rcode=rcode, question=asked.question, answer=list(records)))
    return reply(job.resume(packet, 1.0))


def test_other_names_are_forwarded_and_come_back_with_the_clients_id() -> None:
    job = ask(engine(), "WWW.example.com.")
    answer = Record(names.to_wire("www.example.com."), wire.A, 60, bytes((192, 0, 2, 53)))
    message = upstream_reply(job, answer)
    assert (message.id, message.aa, message.ra, message.answer) == (0x1234, False, True, [answer])
    assert message.question == Question(names.to_wire("WWW.example.com."), wire.A)


def test_nothing_from_the_upstream_is_servfail() -> None:
    job = ask(engine(), "www.example.com.")
    assert isinstance(job, Forward)
    message = reply(job.fail(wire.SERVFAIL, 1.0))
    assert (message.rcode, message.aa, message.authority) == (wire.SERVFAIL, False, [])


def test_a_reply_to_another_question_is_formerr() -> None:
    job = ask(engine(), "www.example.com.")
    assert isinstance(job, Forward)
    packet = wire.render(Message(response=True, question=Question(names.to_wire("evil.example."), wire.A)))
    assert reply(job.resume(packet, 1.0)).rcode == wire.FORMERR


@pytest.mark.parametrize("rcode", [wire.NXDOMAIN, wire.SERVFAIL, wire.REFUSED])
def test_external_name_drops_the_rcode_of_its_target(rcode: int) -> None:
    job = ask(engine(), "foo.default.svc.cluster.local.")
    message = upstream_reply(job, rcode=rcode)
    assert (message.rcode, message.aa) == (wire.NOERROR, True)
    assert [wire.data_text(record) for record in message.answer] == ["www.example.com."]


def test_external_name_chain_has_an_end() -> None:
    server = engine()
    for number in range(12):
        target = f"e{number + 1}.default.svc.cluster.local" if number < 11 else "webapp.default.svc.cluster.local"
        put(server.records, SERVICE, external(f"e{number}", target))
    assert reply(ask(server, "e0.default.svc.cluster.local.")).answer == []
    assert len(reply(ask(server, "e4.default.svc.cluster.local.")).answer) == 9


def test_two_zones_that_alias_each_other_end() -> None:
    server = engine(zones=("cluster.local.", "other.local."))
    put(server.records, SERVICE, external("a", "a.default.svc.other.local"))
    put(server.records, SERVICE, external("b", "b.default.svc.cluster.local"))
    message = reply(ask(server, "a.default.svc.cluster.local."))
    assert message.rcode == wire.NOERROR


def test_host_names_are_answered_before_the_zones() -> None:
    server = engine(hosts=(("host.kubemu.internal.", "127.0.0.1"),))
    message = reply(ask(server, "Host.kubemu.internal."))
    assert [wire.data_text(record) for record in message.answer] == ["127.0.0.1"]
    assert reply(ask(server, "host.kubemu.internal.", wire.AAAA)).answer == []


def test_large_udp_replies_are_compressed_by_family() -> None:
    server = engine()
    addresses = [f"10.9.{number}.1" for number in range(28)]
    put(
        server.records,
        SERVICE,
        {
            "metadata": {"name": "many", "namespace": "default"},
            "spec": {"clusterIPs": addresses, "ports": [{"port": 1}]},
        },
    )
    packet = wire.query("many.default.svc.cluster.local.", wire.A, edns=Edns(4096))
    over_v4 = server.handle(packet, PEER, 0.0)
    over_v6 = server.handle(packet, ("fd00::1", 4000), 0.0)
    assert isinstance(over_v4, Reply)
    assert isinstance(over_v6, Reply)
    assert len(reply(over_v4).answer) == len(reply(over_v6).answer) == 28
    assert 1220 < len(over_v4.payload) <= 1480
    assert len(over_v6.payload) < 1220
    assert server.compiled == {}


def test_stats_survive_forgetting() -> None:
    server = engine()
    for _ in range(3):
        ask(server, WEBAPP)
    server.forget_compiled()
    assert server.stats.queries[wire.A, wire.NOERROR] == 3
