"""Search walks by resolver, and what `--explain` says about each step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from emulator.dns import names, wire
from emulator.dns.config import DnsConfig
from emulator.dns.engine import Engine
from emulator.dns.explain import explain, summary
from emulator.dns.walk import Step, candidates, walk
from emulator.dns.wire import Message
from tests.conformance.dns_runner import FakeUpstream, engine_exchange, fixture_records

CASES = Path(__file__).parents[2] / "conformance" / "cases" / "dns.yaml"
SEARCH = ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"]


@pytest.mark.parametrize(
    ("name", "ndots", "resolver", "expected"),
    [
        ("web", 5, "glibc", ["web.default.svc.cluster.local.", "web.svc.cluster.local.", "web.cluster.local.", "web."]),
        ("web.", 5, "glibc", ["web."]),
        ("a.b", 1, "glibc", ["a.b.", "a.b.default.svc.cluster.local.", "a.b.svc.cluster.local.", "a.b.cluster.local."]),
        ("a.b", 1, "musl", ["a.b."]),
        ("a", 1, "musl", ["a.default.svc.cluster.local.", "a.svc.cluster.local.", "a.cluster.local.", "a."]),
    ],
)
def test_names_in_the_order_they_are_asked(name: str, ndots: int, resolver: Any, expected: list[str]) -> None:
    asked = candidates(name, search=SEARCH, ndots=ndots, resolver=resolver)
    assert [names.to_text(wire_name) for wire_name, _ in asked] == expected


def test_names_that_grow_too_long_are_left_out() -> None:
    long = ".".join(["x" * 60] * 4)
    assert [suffix for _, suffix in candidates(long, search=SEARCH, ndots=5)] == [None]


def test_musl_ends_at_nodata_where_glibc_goes_on() -> None:
    def ask(name: bytes, type_: int) -> Message:
        return Message(rcode=wire.NOERROR if name.startswith(b"\x03web\x03svc") else wire.NXDOMAIN)

    assert len(walk("web", wire.A, ask, search=SEARCH, ndots=5, resolver="musl")) == 2
    assert len(walk("web", wire.A, ask, search=SEARCH, ndots=5)) == 4


class Asker:
    """The fixture of the recorded cases behind an engine."""

    def __init__(self, **settings: Any) -> None:
        document = yaml.safe_load(CASES.read_text(encoding="utf-8"))
        self.config = DnsConfig.from_mapping({**document["server"], **settings})
        self.records = fixture_records(document["fixture"])
        engine = Engine(self.records, self.config, rng=lambda stop: 0)
        self._exchange = engine_exchange(engine, FakeUpstream(document["upstream"]))

    def ask(self, name: bytes, type_: int) -> Message:
        return wire.parse(self._exchange(wire.query(name, type_), {})[0])

    def steps(self, name: str, type_: str) -> list[Step]:
        return walk(name, wire.type_number(type_), self.ask, search=SEARCH, ndots=5)

    def why(self, name: str, type_: str) -> str:
        return explain(self.steps(name, type_)[-1], self.records, self.config)


@pytest.fixture(scope="module")
def asker() -> Asker:
    return Asker()


@pytest.mark.parametrize(
    ("name", "type_", "said"),
    [
        ("webapp", "A", "Service default/webapp has cluster IP 10.152.183.44"),
        ("webapp.default.svc.cluster.local.", "AAAA", "no IPv6 address (NODATA)"),
        (
            "webapp.kube-system.svc.cluster.local.",
            "A",
            "no Service 'webapp' in namespace 'kube-system'; there is one in default",
        ),
        ("webapp.nowhere.svc.cluster.local.", "A", "there is no namespace 'nowhere'"),
        ("webapp.svc.cluster.local.", "A", "('webapp' is a Service in default)"),
        ("default.svc.cluster.local.", "A", "musl (Alpine) ends its search here"),
        ("webapp.default.cluster.local.", "A", "'default' is neither 'svc' nor 'pod'"),
        ("hdls-empty.default.svc.cluster.local.", "A", "headless and has no ready endpoint"),
        ("hdls-noslice.default.svc.cluster.local.", "A", "no EndpointSlice names it"),
        ("db-2.db.default.svc.cluster.local.", "A", "it has db-0, db-1"),
        ("_tcp.db.default.svc.cluster.local.", "SRV", "a port needs two"),
        ("_web._tcp.db.default.svc.cluster.local.", "SRV", "no port _web._tcp; it has _metrics._tcp, _postgres._tcp"),
        ("_http._tcp.unnamed.default.svc.cluster.local.", "SRV", "its ports have no names"),
        ("hdlsprtls.testns.svc.cluster.local.", "SRV", "they list no ports"),
        ("a.b.c.webapp.default.svc.cluster.local.", "A", "3 labels left of the Service are too many"),
        ("ext-ip.default.svc.cluster.local.", "A", "an ExternalName with an address"),
        ("ext-dangling.default.svc.cluster.local.", "A", "leads back here"),
        ("ext-nx.default.svc.cluster.local.", "A", "which gave no record"),
        ("x.foo.default.svc.cluster.local.", "A", "no name exists below it"),
        ("10-1-0-1.default.pod.cluster.local.", "A", "pod names are off"),
        ("44.183.152.10.in-addr.arpa.", "A", "only have PTR records"),
        ("9.9.9.192.in-addr.arpa.", "PTR", "no cluster IP and no ready endpoint"),
        ("www.example.com.", "A", "an upstream was asked: it answered"),
        ("gone.example.com.", "A", "it said NXDOMAIN"),
    ],
)
def test_reasons(asker: Asker, name: str, type_: str, said: str) -> None:
    assert said in asker.why(name, type_)


def test_every_recorded_question_has_a_reason(asker: Asker) -> None:
    document = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    for case in document["cases"]:
        if "raw" not in (case.get("query") or {}):
            assert asker.why(case["qname"], case["qtype"])


def test_unsynced_and_unforwarded() -> None:
    assert "not complete yet" in Asker(synced=False).why("absent.default.svc.cluster.local.", "A")
    assert "nobody here knows it (REFUSED)" in Asker(forward=False, server_zones=("cluster.local.",)).why(
        "a.example.", "A"
    )


def test_summary_counts_what_was_wasted(asker: Asker) -> None:
    name = "webapp.default.svc.cluster.local"
    text = summary(name, asker.steps(name, "A"), ndots=5)
    assert text.startswith("found after 4 queries; 4 dots are fewer than ndots:5")
    assert "3 without result: ask for 'webapp.default.svc.cluster.local.'" in text
    assert "not found after 4 queries" in summary("absent", asker.steps("absent", "A"), ndots=5)
