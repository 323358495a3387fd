"""The message format: what is refused, how messages are cut, what compression may touch."""

from __future__ import annotations

import struct

import dnslib
import pytest

from emulator.dns import names, wire
from emulator.dns.wire import Edns, Message, Question, Record

NAME = names.to_wire("big.default.svc.cluster.local.")


def addresses(count: int, *, edns: Edns | None = None) -> Message:
    records = [Record(NAME, wire.A, 5, bytes((10, 9, 0, number))) for number in range(count)]
    return Message(id=7, response=True, aa=True, question=Question(NAME, wire.A), answer=records, edns=edns)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x00" * 11,
        struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\x06web",
        struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\x00\x00",
        struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c\x00\x01\x00\x01",  # a pointer to itself
        struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\x80\x00\x00\x01\x00\x01",
        struct.pack("!6H", 1, 0, 1, 0, 0, 0) + (b"\x3f" + b"x" * 63) * 4 + b"\x00\x00\x01\x00\x01",
        struct.pack("!6H", 1, 0, 0, 1, 0, 0) + b"\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x03abc",
        struct.pack("!6H", 1, 0, 0, 0, 0, 1) + b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x08",
    ],
)
def test_broken_messages_are_refused(packet: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.parse(packet)


def test_octets_behind_the_message_are_ignored() -> None:
    packet = wire.query("webapp.", wire.A, id_=3)
    assert wire.parse(packet + b"trailing") == wire.parse(packet)


def test_counts_may_promise_more_than_there_is() -> None:
    packet = bytearray(wire.query("webapp.", wire.A, id_=3))
    packet[11] = 1  # one additional record that is not there
    assert wire.parse(bytes(packet)).question == Question(names.to_wire("webapp."), wire.A)
    assert wire.parse(bytes(packet[:-2])).question == Question(names.to_wire("webapp."), wire.A, 0)
    assert wire.parse(bytes(packet[:12])).question is None


def test_a_message_that_fits_goes_out_uncompressed() -> None:
    message = addresses(3)
    assert wire.truncate(message, 512) is False
    assert len(wire.render(message)) == wire.uncompressed_bytes(message) == 12 + 35 + 3 * (31 + 14)


@pytest.mark.parametrize(("edns", "kept"), [(None, 29), (Edns(300), 28), (Edns(512), 28)])
def test_cut_to_512_octets_with_room_for_the_opt_record(edns: Edns | None, kept: int) -> None:
    message = addresses(40, edns=edns)
    assert wire.truncate(message, edns.udp_size if edns else 512) is True
    packet = wire.render(message, compress=True)
    assert (len(message.answer), message.tc) == (kept, True)
    assert len(packet) <= 512
    parsed = wire.parse(packet)
    assert [record.data for record in parsed.answer] == [record.data for record in message.answer]


def test_a_record_left_out_keeps_later_ones_out() -> None:
    message = addresses(0)
    text = wire.text_data([b"x" * 250, b"x" * 250])
    message.answer = [Record(NAME, wire.TXT, 5, text)]
    message.additional = [Record(NAME, wire.A, 5, b"\x0a\x00\x00\x01")]
    wire.truncate(message, 512)
    assert (message.answer, message.additional, message.tc) == ([], [], True)


def test_srv_targets_are_not_compressed_but_may_be_pointed_to() -> None:
    target = names.to_wire("db-0.db.default.svc.cluster.local.")
    message = Message(response=True, question=Question(NAME, wire.SRV))
    message.answer = [Record(NAME, wire.SRV, 5, wire.srv_data(0, 100, 80, target))]
    message.additional = [Record(target, wire.A, 5, b"\x0a\x00\x00\x01")]
    packet = wire.render(message, compress=True)
    assert packet.count(target) == 1
    assert len(packet) == 12 + 35 + (2 + 10 + 6 + len(target)) + (2 + 10 + 4)


def test_names_of_another_case_are_no_compression_target() -> None:
    upper = names.to_wire("WWW.EXAMPLE.COM.")
    message = Message(response=True, question=Question(upper, wire.CNAME))
    message.answer = [Record(upper, wire.CNAME, 5, names.to_wire("edge.example.com."))]
    parsed = wire.parse(wire.render(message, compress=True))
    assert parsed.answer == message.answer


def test_extended_rcode_and_do_stand_in_the_opt_record() -> None:
    message = Message(response=True, rcode=wire.BADVERS, question=Question(NAME, wire.A), edns=Edns(0, do=True))
    parsed = wire.parse(wire.render(message))
    assert (parsed.rcode, parsed.edns) == (wire.BADVERS, Edns(0, do=True))


def test_another_library_reads_the_same_records() -> None:
    zone = names.to_wire("cluster.local.")
    soa = wire.soa_data(names.to_wire("ns.dns.cluster.local."), zone, 1, 7200, 1800, 86400, 5)
    message = addresses(2, edns=Edns(1232, options=((10, b"12345678"),)))
    message.answer.append(Record(NAME, wire.TXT, 5, wire.text_data([b"1.1.0"])))
    message.authority = [Record(zone, wire.SOA, 5, soa)]
    message.additional = [Record(zone, wire.SRV, 5, wire.srv_data(0, 50, 80, NAME))]
    for compress in (False, True):
        read = dnslib.DNSRecord.parse(wire.render(message, compress=compress))
        assert [str(record.rdata) for record in read.rr] == ["10.9.0.0", "10.9.0.1", '"1.1.0"']
        assert str(read.auth[0].rdata) == "ns.dns.cluster.local. cluster.local. 1 7200 1800 86400 5"
        assert str(read.ar[0].rdata) == "0 50 80 big.default.svc.cluster.local."
        assert read.ar[1].rclass == 1232
