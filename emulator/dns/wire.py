"""The DNS message format: parse what came, render what goes, cut it to size as CoreDNS does.

Names in records stay uncompressed wire bytes; `data` is the uncompressed rdata. Never raises anything but WireError
on what it is given from the network. Source: RFC 1035, 6891; truncation: dns.md 9 [miekg/dns msg_truncate.go].
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address

from emulator.dns.names import MAX_NAME_BYTES, to_text, to_wire

A, NS, CNAME, SOA, PTR, HINFO, MX, TXT, AAAA, SRV, DS, OPT = 1, 2, 5, 6, 12, 13, 15, 16, 28, 33, 43, 41
IXFR, AXFR, ANY = 251, 252, 255
CLASS_IN = 1
QUERY, NOTIFY = 0, 4
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16

TYPES = {
    "A": 1, "NS": 2, "MD": 3, "MF": 4, "CNAME": 5, "SOA": 6, "MB": 7, "MG": 8, "MR": 9, "NULL": 10, "WKS": 11,
    "PTR": 12, "HINFO": 13, "MINFO": 14, "MX": 15, "TXT": 16, "RP": 17, "AFSDB": 18, "SIG": 24, "KEY": 25,
    "AAAA": 28, "LOC": 29, "SRV": 33, "NAPTR": 35, "KX": 36, "CERT": 37, "DNAME": 39, "OPT": 41, "APL": 42, "DS": 43,
    "SSHFP": 44, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "NSEC3": 50, "TLSA": 52, "CDS": 59, "CDNSKEY": 60,
    "OPENPGPKEY": 61, "SVCB": 64, "HTTPS": 65, "SPF": 99, "IXFR": 251, "AXFR": 252, "MAILB": 253, "MAILA": 254,
    "ANY": 255, "URI": 256, "CAA": 257,
}  # fmt: skip
TYPE_NAMES = {number: name for name, number in TYPES.items()}
CLASSES = {"IN": 1, "CS": 2, "CH": 3, "HS": 4, "NONE": 254, "ANY": 255}
RCODES = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 7: "YXRRSET",
    8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE", 16: "BADVERS",
}  # fmt: skip

HEADER_BYTES = 12
MIN_UDP_BYTES = 512  # RFC 1035 4.2.1; a smaller EDNS size counts as this (RFC 6891 6.2.5)
MAX_MESSAGE_BYTES = 65535
MAX_POINTER_OFFSET = 0x4000  # a compression pointer has 14 bits
MAX_POINTERS = 126  # (255 + 1) / 2 - 2: more cannot make a legal name
QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010

_HEADER = struct.Struct("!HHHHHH")
_FIXED = struct.Struct("!HHIH")  # type, class, ttl, rdlength
_TWO = struct.Struct("!HH")
_OPT = struct.Struct("!BHHIH")
_NAME_AT = {NS: 0, CNAME: 0, PTR: 0, MX: 2, SRV: 6, SOA: 0, 39: 0}  # where names stand in rdata, by type
_NAME_COUNT = {SOA: 2}
_NEVER_COMPRESSED = frozenset((SRV, 39))  # RFC 2782, 6672; their names may still be pointed to


class WireError(ValueError):
    """The octets are no DNS message."""


@dataclass(frozen=True, slots=True)
class Question:
    name: bytes
    type: int
    class_: int = CLASS_IN


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record; `data` is rdata with names uncompressed."""

    name: bytes
    type: int
    ttl: int
    data: bytes
    class_: int = CLASS_IN

    def with_ttl(self, ttl: int) -> Record:
        return Record(self.name, self.type, ttl, self.data, self.class_)


@dataclass(frozen=True, slots=True)
class Edns:
    """An OPT record: the sender's UDP size, version, DO, and (code, octets) options."""

    udp_size: int
    version: int = 0
    do: bool = False
    options: tuple[tuple[int, bytes], ...] = ()


@dataclass(slots=True)
class Message:
    """One message; the OPT record stands in `edns`, not in `additional`."""

    id: int = 0
    response: bool = False
    opcode: int = QUERY
    aa: bool = False
    tc: bool = False
    rd: bool = False
    ra: bool = False
    ad: bool = False
    cd: bool = False
    rcode: int = NOERROR
    question: Question | None = None
    answer: list[Record] = field(default_factory=list)
    authority: list[Record] = field(default_factory=list)
    additional: list[Record] = field(default_factory=list)
    edns: Edns | None = None


def parse(packet: bytes) -> Message:
    """The message in `packet`; octets after it are ignored. Raises WireError.

    Counts may promise more than there is: a message that ends between two records, or in a question between its
    fields, is taken as it stands (as miekg/dns takes it).
    """
    if len(packet) < HEADER_BYTES:
        raise WireError("shorter than a header")
    id_, bits, questions, answers, authorities, additional = _HEADER.unpack_from(packet)
    message = Message(
        id=id_,
        response=bool(bits & QR),
        opcode=bits >> 11 & 0xF,
        aa=bool(bits & AA),
        tc=bool(bits & TC),
        rd=bool(bits & RD),
        ra=bool(bits & RA),
        ad=bool(bits & AD),
        cd=bool(bits & CD),
        rcode=bits & 0xF,
    )
    at = HEADER_BYTES
    try:
        for _ in range(questions):
            if at == len(packet):
                break
            name, at = read_name(packet, at)
            type_, class_, at = _question_tail(packet, at)
            if message.question is None:
                message.question = Question(name, type_, class_)
        for section, count in (
            (message.answer, answers),
            (message.authority, authorities),
            (message.additional, additional),
        ):
            for _ in range(count):
                if at == len(packet):
                    break
                record, at = _read_record(packet, at)
                if record.type == OPT:
                    message.edns = _edns(record)
                    message.rcode |= record.ttl >> 24 << 4
                else:
                    section.append(record)
    except (struct.error, IndexError) as error:
        raise WireError("the message ends too early") from error
    return message


def read_name(packet: bytes, at: int) -> tuple[bytes, int]:
    """The uncompressed name at an offset, and the offset behind it. Raises WireError, IndexError."""
    parts: list[bytes] = []
    size, behind, pointers = 1, -1, 0
    while length := packet[at]:
        if length >= 0xC0:
            if behind < 0:
                behind = at + 2
            pointers += 1
            if pointers > MAX_POINTERS:
                raise WireError("too many compression pointers")
            at = (length & 0x3F) << 8 | packet[at + 1]
            continue
        if length > 63:
            raise WireError("reserved label type")
        label = packet[at : at + 1 + length]
        if len(label) != length + 1:
            raise WireError("a label ends too early")
        size += length + 1
        if size > MAX_NAME_BYTES:
            raise WireError("a name is too long")
        parts.append(label)
        at += length + 1
    parts.append(b"\x00")
    return b"".join(parts), behind if behind >= 0 else at + 1


def uncompressed_bytes(message: Message) -> int:
    """The length the message has without compression, OPT included."""
    total = HEADER_BYTES
    if message.question is not None:
        total += len(message.question.name) + 4
    for section in (message.answer, message.authority, message.additional):
        for record in section:
            total += len(record.name) + 10 + len(record.data)
    return total + len(_render_opt(message))


def truncate(message: Message, limit: int) -> bool:
    """Leave out what does not fit `limit` octets, setting TC; True if the message must go out compressed.

    Records are kept in order while they fit compressed, room for the OPT record reserved.
    """
    limit = max(limit, MIN_UDP_BYTES)
    if uncompressed_bytes(message) <= limit:
        return False
    limit -= len(_render_opt(message))
    writer = _Writer(True)
    if message.question is not None:
        writer.question(message.question)
    for section in (message.answer, message.authority, message.additional):
        kept = 0
        for record in section:
            if len(writer.out) >= limit:
                break
            before = len(writer.out)
            writer.record(record)
            if len(writer.out) > limit:
                del writer.out[before:]
                limit = before  # nothing smaller may slip in behind a record that was left out
                break
            kept += 1
        if kept < len(section):
            message.tc = True
            del section[kept:]
    return True


def render(message: Message, *, compress: bool = False) -> bytes:
    """The octets of the message, whatever their number."""
    writer = _Writer(compress)
    if message.question is not None:
        writer.question(message.question)
    for section in (message.answer, message.authority, message.additional):
        for record in section:
            writer.record(record)
    out = writer.out
    out += _render_opt(message)
    bits = message.opcode << 11 | message.rcode & 0xF
    for on, bit in (
        (message.response, QR),
        (message.aa, AA),
        (message.tc, TC),
        (message.rd, RD),
        (message.ra, RA),
        (message.ad, AD),
        (message.cd, CD),
    ):
        if on:
            bits |= bit
    _HEADER.pack_into(
        out,
        0,
        message.id,
        bits,
        0 if message.question is None else 1,
        len(message.answer),
        len(message.authority),
        len(message.additional) + (message.edns is not None),
    )
    return bytes(out)


def query(name: bytes | str, type_: int, *, id_: int = 0, rd: bool = True, edns: Edns | None = None) -> bytes:
    """A query as a stub resolver sends it."""
    wire = to_wire(name) if isinstance(name, str) else name
    return render(Message(id=id_, rd=rd, question=Question(wire, type_), edns=edns))


def address_record(name: bytes, address: bytes, ttl: int) -> Record:
    """An A or AAAA record, by the length of the address."""
    return Record(name, A if len(address) == 4 else AAAA, ttl, address)


def text_data(texts: Iterable[bytes]) -> bytes:
    """The rdata of TXT or HINFO."""
    return b"".join(bytes((len(text),)) + text for text in texts)


def srv_data(priority: int, weight: int, port: int, target: bytes) -> bytes:
    return struct.pack("!HHH", priority, weight, port & 0xFFFF) + target


def soa_data(mname: bytes, rname: bytes, serial: int, refresh: int, retry: int, expire: int, minimum: int) -> bytes:
    return mname + rname + struct.pack("!IIIII", serial & 0xFFFFFFFF, refresh, retry, expire, minimum)


def type_number(text: str) -> int:
    """The number of `SRV` or `TYPE65280`. Raises ValueError."""
    upper = text.upper()
    if upper in TYPES:
        return TYPES[upper]
    if upper.startswith("TYPE"):
        return int(upper[4:])
    raise ValueError(f"unknown record type {text!r}")


def type_text(number: int) -> str:
    return TYPE_NAMES.get(number, f"TYPE{number}")


def data_text(record: Record) -> str:
    """Rdata in zone-file text, of the types this server or its upstreams give."""
    data = record.data
    match record.type:
        case 1 | 28:
            return str(ip_address(data)) if len(data) in (4, 16) else data.hex()
        case 2 | 5 | 12 | 39:
            return to_text(data)
        case 15:
            return f"{int.from_bytes(data[:2], 'big')} {to_text(data[2:])}"
        case 33:
            return "{} {} {} ".format(*struct.unpack_from("!HHH", data)) + to_text(data[6:])
        case 6:
            mname, at = read_name(data, 0)
            rname, at = read_name(data, at)
            numbers = " ".join(str(number) for number in struct.unpack_from("!IIIII", data, at))
            return f"{to_text(mname)} {to_text(rname)} {numbers}"
        case 16 | 13:
            return " ".join('"' + text.decode("latin-1").replace('"', '\\"') + '"' for text in texts(data))
    return f"\\# {len(data)} {data.hex()}"


def texts(data: bytes) -> list[bytes]:
    """The character strings of TXT or HINFO rdata."""
    found, at = [], 0
    while at < len(data):
        found.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return found


def _question_tail(packet: bytes, at: int) -> tuple[int, int, int]:
    """Type, class and the offset behind them; a message that ends early has zeros."""
    fields = [0, 0]
    for number in range(2):
        if at == len(packet):
            break
        fields[number] = struct.unpack_from("!H", packet, at)[0]
        at += 2
    return fields[0], fields[1], at


def _read_record(packet: bytes, at: int) -> tuple[Record, int]:
    name, at = read_name(packet, at)
    type_, class_, ttl, size = _FIXED.unpack_from(packet, at)
    at += 10
    end = at + size
    if end > len(packet):
        raise WireError("rdata ends too early")
    if size and type_ in _NAME_AT:
        data = _expand(packet, at, end, type_)
    else:
        data = packet[at:end]
        if size and ((type_ == A and size != 4) or (type_ == AAAA and size != 16)):
            raise WireError("an address of the wrong length")
    return Record(name, type_, ttl, data, class_), end


def _expand(packet: bytes, at: int, end: int, type_: int) -> bytes:
    lead = _NAME_AT[type_]
    parts = [packet[at : at + lead]]
    at += lead
    for _ in range(_NAME_COUNT.get(type_, 1)):
        name, at = read_name(packet, at)
        parts.append(name)
    if at > end:
        raise WireError("a name runs over its rdata")
    parts.append(packet[at:end])
    if type_ == SOA and end - at != 20:
        raise WireError("SOA rdata of the wrong length")
    return b"".join(parts)


def _edns(record: Record) -> Edns:
    options, at, data = [], 0, record.data
    while at < len(data):
        if at + 4 > len(data):
            raise WireError("an EDNS option ends too early")
        code, size = _TWO.unpack_from(data, at)
        at += 4
        if at + size > len(data):
            raise WireError("an EDNS option ends too early")
        options.append((code, data[at : at + size]))
        at += size
    return Edns(record.class_, record.ttl >> 16 & 0xFF, bool(record.ttl & 0x8000), tuple(options))


def _render_opt(message: Message) -> bytes:
    edns = message.edns
    if edns is None:
        return b""
    data = b"".join(_TWO.pack(code, len(octets)) + octets for code, octets in edns.options)
    ttl = message.rcode >> 4 << 24 | edns.version << 16 | (0x8000 if edns.do else 0)
    return _OPT.pack(0, OPT, edns.udp_size, ttl, len(data)) + data


class _Writer:
    """Appends names and records; remembers where each name suffix stands once compression is on."""

    __slots__ = ("_offsets", "compress", "out")

    def __init__(self, compress: bool) -> None:
        self.compress = compress
        self.out = bytearray(HEADER_BYTES)
        self._offsets: dict[bytes, int] = {}

    def question(self, question: Question) -> None:
        self._name(question.name)
        self.out += _TWO.pack(question.type, question.class_)

    def record(self, record: Record) -> None:
        self._name(record.name)
        out, data, type_ = self.out, record.data, record.type
        start = len(out)
        out += _FIXED.pack(type_, record.class_, record.ttl & 0xFFFFFFFF, len(data))
        if not self.compress or type_ not in _NAME_AT or not data:
            out += data
            return
        at = _NAME_AT[type_]
        out += data[:at]
        for _ in range(_NAME_COUNT.get(type_, 1)):
            name, at = read_name(data, at)
            self._name(name, pointed=type_ not in _NEVER_COMPRESSED)
        out += data[at:]
        struct.pack_into("!H", out, start + 8, len(out) - start - 10)

    def _name(self, name: bytes, pointed: bool = True) -> None:
        out = self.out
        if not self.compress:
            out += name
            return
        at, start = 0, len(out)
        while size := name[at]:
            suffix = name[at:]
            known = self._offsets.get(suffix)
            if known is not None:
                if pointed:
                    out += name[:at]
                    out += (0xC000 | known).to_bytes(2, "big")
                    return
            elif start + at < MAX_POINTER_OFFSET:
                self._offsets[suffix] = start + at
            at += size + 1
        out += name
