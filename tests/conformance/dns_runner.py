"""Runs recorded DNS cases against the engine, or with --live against a real server on loopback sockets.

    python -m tests.conformance.dns_runner FILE [--category X] [--live] [-v]

Prints equal/total per category; exit status 1 if a case differs. The file's header describes the form of the cases.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from emulator.api.kinds import kind_by_name
from emulator.client.index import Change
from emulator.dns import names, wire
from emulator.dns.config import DnsConfig
from emulator.dns.engine import Drop, Engine, Forward, Outcome, Reply
from emulator.dns.records import Records
from emulator.dns.walk import walk
from emulator.dns.wire import Edns, Message, Question, Record
from emulator.node.resolvconf import run_resolv_conf_case

OPTIONS = {"nsid": 3, "subnet": 8, "ecs": 8, "client-subnet": 8, "expire": 9, "cookie": 10, "keepalive": 11,
           "tcp-keepalive": 11, "padding": 12}  # fmt: skip
CLIENT = ("192.0.2.200", 40000)
SERIAL = 1499347823

Exchange = Callable[[bytes, Mapping[str, Any]], list[bytes]]
"""Sends one query and gives the replies; none if nothing was sent back."""


@dataclass
class Result:
    """One case: what differs, or why it was not run."""

    id: str
    category: str
    differences: list[str] = field(default_factory=list)
    skipped: str = ""


class FakeUpstream:
    """Knows zone-file lines; NXDOMAIN for any other name; RA set, AA clear."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.records = [zone_line(line) for line in lines]

    def answer(self, packet: bytes) -> bytes:
        query = wire.parse(packet)
        question = query.question
        assert question is not None
        name = question.name.lower()
        known = {record.name.lower() for record in self.records}
        answer: list[Record] = []
        rcode = wire.NOERROR if name in known else wire.NXDOMAIN
        while len(answer) < 16:
            here = [record for record in self.records if record.name.lower() == name]
            wanted = [record for record in here if record.type == question.type]
            aliases = [record for record in here if record.type == wire.CNAME]
            answer += wanted or aliases
            if wanted or not aliases:
                break
            name = aliases[0].data.lower()
        reply = Message(id=query.id, response=True, rd=query.rd, ra=True, rcode=rcode, question=question, answer=answer)
        reply.edns = query.edns and Edns(1232, 0, query.edns.do)
        return wire.render(reply)


def zone_line(line: str) -> Record:
    owner, ttl, _, type_text, data = line.split(None, 4)
    type_ = wire.type_number(type_text)
    return Record(names.to_wire(owner), type_, int(ttl), rdata(type_, data))


def rdata(type_: int, text: str) -> bytes:
    """The wire form of zone-file rdata, for the types an upstream of the cases has."""
    from ipaddress import ip_address

    if type_ in (wire.A, wire.AAAA):
        return ip_address(text).packed
    if type_ in (wire.CNAME, wire.NS, wire.PTR):
        return names.to_wire(text)
    if type_ == wire.MX:
        preference, host = text.split()
        return int(preference).to_bytes(2, "big") + names.to_wire(host)
    if type_ == wire.SRV:
        priority, weight, port, host = text.split()
        return wire.srv_data(int(priority), int(weight), int(port), names.to_wire(host))
    if type_ == wire.TXT:
        return wire.text_data(part.encode() for part in text.strip('"').split('" "'))
    raise ValueError(f"no rdata form for type {type_}")


def fixture_records(fixture: Iterable[dict[str, Any]]) -> Records:
    """The index of the fixture's objects; pods are always read, the engine asks for them only where it may."""
    records = Records(pods=True)
    for object_ in fixture:
        kind = kind_by_name(object_["apiVersion"], object_["kind"])
        if kind is not None:
            records.apply(Change("ADDED", kind, object_, None), at=SERIAL)
    return records


def engine_exchange(engine: Engine, upstream: FakeUpstream) -> Exchange:
    def exchange(packet: bytes, query: Mapping[str, Any]) -> list[bytes]:
        peer = (query.get("client", CLIENT[0]), CLIENT[1])
        outcome: Outcome = engine.handle(packet, peer, 0.0, query.get("transport", "udp"))
        while isinstance(outcome, Forward):
            outcome = outcome.resume(upstream.answer(outcome.query), 0.0)
        if isinstance(outcome, Drop):
            return []
        assert isinstance(outcome, Reply)
        return [outcome.payload, *outcome.more]

    return exchange


def query_packet(case: Mapping[str, Any], serial: int = SERIAL) -> bytes:
    query = case.get("query") or {}
    if "raw" in query:
        return bytes.fromhex(query["raw"])
    class_text = query.get("class", "IN")
    class_ = wire.CLASSES.get(class_text) or int(str(class_text).removeprefix("CLASS"))
    type_ = wire.type_number(case["qtype"])
    message = Message(
        id=0x1092,
        opcode=query.get("opcode", 0),
        rd=query.get("rd", True),
        cd=query.get("cd", False),
        ad=query.get("ad", False),
        question=Question(names.to_wire(case["qname"]), type_, class_),
    )
    if type_ == wire.IXFR:  # the client says which serial it has: the current one
        data = wire.soa_data(names.ROOT, names.ROOT, query.get("serial", serial), 0, 0, 0, 0)
        message.authority = [Record(names.to_wire(case["qname"]), wire.SOA, 0, data)]
    if (edns := query.get("edns")) is not None:
        options = tuple(option(entry) for entry in edns.get("options") or ())
        size, version, do = edns.get("udp_size", 512), edns.get("version", 0), edns.get("do", False)
        message.edns = Edns(size, version, do, options)
    return wire.render(message)


def option(entry: Any) -> tuple[int, bytes]:
    if isinstance(entry, Mapping):
        return int(entry["code"]), bytes.fromhex(entry.get("data", ""))
    code = entry if isinstance(entry, int) else OPTIONS[str(entry).lower()]
    data = {8: bytes.fromhex("00011800c00002"), 10: bytes.fromhex("24a5ac1122334455"), 11: b"", 12: bytes(8)}
    return code, data.get(code, b"")


def compare(case: Mapping[str, Any], replies: list[bytes]) -> list[str]:
    """What differs between the reply and what the case expects."""
    if case.get("no_reply"):
        return ["a reply came"] if replies else []
    if not replies:
        return ["no reply"]
    reply = wire.parse(replies[0])
    for further in replies[1:]:
        reply.answer += wire.parse(further).answer
    found: list[str] = []

    def check(what: str, expected: Any, actual: Any) -> None:
        if expected != actual:
            found.append(f"{what}: expected {expected}, got {actual}")

    sent = query_packet(case)
    check("id", sent[:2], replies[0][:2])
    check("rcode", case["rcode"], wire.RCODES.get(reply.rcode, str(reply.rcode)))
    check("tc", case.get("tc", False), reply.tc)
    for flag in ("aa", "rd", "ra", "ad", "cd", "opcode"):
        if flag in case:
            check(flag, case[flag], getattr(reply, flag))
    check("question", expected_question(case), actual_question(reply))
    if "opt" in case:
        check("opt", case["opt"], opt_of(reply))
    for section in ("answer", "authority", "additional"):
        records = getattr(reply, section)
        if section in case:
            expected = sorted(record_text(record) for record in case[section])
            check(section, expected, sorted(record_text(shown(record)) for record in records))
        if f"{section}_count" in case:
            check(f"{section}_count", case[f"{section}_count"], len(records))
        for part in {str(shown_part(shown(r), case[f"{section}_each"])) for r in records if f"{section}_each" in case}:
            check(f"{section}_each", str(dict(case[f"{section}_each"])), part)
    if case.get("axfr"):
        check("first and last", ["SOA", "SOA"], [shown(reply.answer[0])["type"], shown(reply.answer[-1])["type"]])
    elif not aliases_lead(reply.answer):
        found.append("a CNAME stands behind the records of its target")
    if "max_size" in case and len(replies[0]) > case["max_size"]:
        found.append(f"size: {len(replies[0])} octets, at most {case['max_size']} allowed")
    return found


def expected_question(case: Mapping[str, Any]) -> list[dict[str, str]]:
    if "question" in case:
        return [dict(question) for question in case["question"]]
    class_text = (case.get("query") or {}).get("class", "IN")
    return [{"name": case["qname"], "class": class_text, "type": case["qtype"]}]


def actual_question(reply: Message) -> list[dict[str, str]]:
    if reply.question is None:
        return []
    question = reply.question
    class_text = next((text for text, number in wire.CLASSES.items() if number == question.class_), "?")
    return [{"name": names.to_text(question.name), "class": class_text, "type": wire.type_text(question.type)}]


def opt_of(reply: Message) -> dict[str, Any] | None:
    edns = reply.edns
    if edns is None:
        return None
    codes = [code for code, _ in edns.options]
    return {"udp_size": edns.udp_size, "version": edns.version, "do": edns.do, "options": codes}


def shown(record: Record) -> dict[str, Any]:
    data = wire.data_text(record)
    return {"name": names.to_text(record.name), "type": wire.type_text(record.type), "ttl": record.ttl, "data": data}


def shown_part(record: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, Any]:
    return {key: record[key] for key in like}


def record_text(record: Mapping[str, Any]) -> str:
    data = str(record["data"])
    if record["type"] == "SOA":  # any serial
        fields = data.split()
        data = " ".join([*fields[:2], "*", *fields[3:]])
    if record["type"] == "TXT":
        data = data.strip('"')
    return f"{record['name']} {record['ttl']} {record['type']} {data}"


def aliases_lead(records: list[Record]) -> bool:
    """True if no CNAME stands behind a record of its target."""
    for at, record in enumerate(records):
        if record.type == wire.CNAME and any(other.name.lower() == record.data.lower() for other in records[:at]):
            return False
    return True


def run_case(case: Mapping[str, Any], exchange: Exchange, serial: int = SERIAL) -> Result:
    result = Result(case["id"], case["category"])
    for before in case.get("before") or ():
        exchange(query_packet(before), before.get("query") or {})
    try:
        result.differences = compare(case, exchange(query_packet(case, serial), case.get("query") or {}))
    except (ValueError, KeyError, IndexError) as error:
        result.differences = [f"{type(error).__name__}: {error}"]
    return result


def run_walk(case: Mapping[str, Any], exchange: Exchange, serial: int = SERIAL) -> Result:
    """A search walk; the resolver of these cases goes on after NODATA, as glibc does."""

    def ask(name: bytes, type_: int) -> Message:
        return wire.parse(exchange(wire.query(name, type_), {})[0])

    result = Result(case["id"], case["category"])
    steps = walk(case["name"], wire.type_number(case["qtype"]), ask, search=case["search"], ndots=case["ndots"])
    got = [names.to_text(step.name) for step in steps]
    wanted = [step["qname"] for step in case["steps"]]
    if got != wanted:
        result.differences.append(f"asked {got}, expected {wanted}")
        return result
    for expected, step in zip(case["steps"], steps, strict=True):
        actual: dict[str, Any] = {"rcode": wire.RCODES[step.reply.rcode], "aa": step.reply.aa}
        wished: dict[str, Any] = {"rcode": expected["rcode"], "aa": expected["aa"]}
        if "answer" in expected:
            wished["answer"] = sorted(record_text(record) for record in expected["answer"])
            actual["answer"] = sorted(record_text(shown(record)) for record in step.reply.answer)
        if "nodata" in expected:
            wished["nodata"], actual["nodata"] = expected["nodata"], step.is_nodata
        if wished != actual:
            result.differences.append(f"{expected['qname']}: expected {wished}, got {actual}")
    found = bool(steps) and steps[-1].is_answer
    if case.get("found", found) != found:
        result.differences.append(f"found: {found}")
    return result


def run_document(document: Mapping[str, Any], category: str = "") -> list[Result]:
    """As `run_engine`, for callers without an event loop."""
    return asyncio.run(run_engine(document, category))


async def run_engine(document: Mapping[str, Any], category: str = "") -> list[Result]:
    """Every case of a case file against a fresh engine each."""
    upstream = FakeUpstream(document.get("upstream") or ())
    defaults = document.get("server") or {}
    records = fixture_records(await complete_fixture(document))

    def exchange(case: Mapping[str, Any]) -> Exchange:
        config = DnsConfig.from_mapping({**defaults, **(case.get("config") or {})})
        return engine_exchange(Engine(records, config, rng=lambda stop: stop // 2), upstream)

    def wanted(section: str) -> Iterable[Mapping[str, Any]]:
        return (case for case in document.get(section) or () if not category or case["category"] == category)

    results = []
    for case in wanted("cases"):
        why = unmet(case)
        results.append(Result(case["id"], case["category"], skipped=why) if why else run_case(case, exchange(case)))
    results += [run_walk(case, exchange(case)) for case in wanted("search_walks")]
    results += [run_resolv_conf(case) for case in wanted("resolv_conf")]
    return results


def run_resolv_conf(case: Mapping[str, Any]) -> Result:
    """What kubelet writes; the rule belongs to the node part."""
    return Result(case["id"], case["category"], run_resolv_conf_case(case))


def unmet(case: Mapping[str, Any]) -> str:
    """What a case requires and this tree does not have, or ""."""
    from tests.conformance.dns_derive import controllers_exist

    requires = case.get("requires")
    return f"requires {requires}" if requires and not controllers_exist() else ""


async def complete_fixture(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fixture, with the slices that cases with `requires` leave to the controllers."""
    from tests.conformance.dns_derive import controllers_exist, derive_slices

    fixture = list(document.get("fixture") or ())
    if controllers_exist() and any(case.get("requires") for case in document.get("cases") or ()):
        fixture += await derive_slices(fixture)
    return fixture


async def run_live(document: Mapping[str, Any], category: str = "") -> list[Result]:
    """Every case against a DnsServer on real sockets, a fresh one each; client addresses cannot be taken there."""
    from tests.conformance.dns_live import UpstreamService, can_run_live, serving, socket_exchange

    defaults = document.get("server") or {}
    objects = await complete_fixture(document)
    results = []
    for section, run in (("cases", run_case), ("search_walks", run_walk)):
        for case in document.get(section) or ():
            if category and case["category"] != category:
                continue
            why = unmet(case) or ("" if can_run_live(case) else "client address")
            if why:
                results.append(Result(case["id"], case["category"], skipped=why))
                continue
            config = DnsConfig.from_mapping({**defaults, **(case.get("config") or {})})
            async with serving(objects, config, upstream=UpstreamService(document.get("upstream") or ())) as (
                server,
                _,
            ):
                exchange = socket_exchange(server.address)
                serial = server.records.serial
                results.append(await asyncio.to_thread(run, case, exchange, serial))
    return results


def report(results: list[Result], verbose: bool) -> int:
    """Print the table; the exit status."""
    total = Counter(result.category for result in results if not result.skipped)
    equal = Counter(result.category for result in results if not result.skipped and not result.differences)
    for result in results:
        if result.differences and verbose:
            print(f"{result.id}: " + "; ".join(result.differences))
    for name in total:
        print(f"{name:20} {equal[name]:4}/{total[name]}")
    skipped = sum(bool(result.skipped) for result in results)
    print(f"{'all':20} {equal.total():4}/{total.total()}" + (f"  ({skipped} not run)" if skipped else ""))
    return 0 if equal == total else 1


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run recorded DNS cases.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--category", default="")
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("--live", action="store_true", help="ask a real server over loopback sockets")
    options = parser.parse_args(arguments)
    document = yaml.safe_load(options.file.read_text(encoding="utf-8"))
    if options.live:
        return report(asyncio.run(run_live(document, options.category)), options.verbose)
    return report(run_document(document, options.category), options.verbose)


if __name__ == "__main__":
    sys.exit(main())
