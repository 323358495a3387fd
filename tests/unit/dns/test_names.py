"""Names: wire form and text, the grammar below a cluster zone, reverse names."""

from __future__ import annotations

import pytest

from emulator.dns import names
from emulator.dns.names import Query


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([], Query()),
        (["svc"], Query()),
        (["pod"], Query()),
        (["bogus"], None),
        (["webapp", "default"], None),
        (["default", "svc"], Query("svc", "default")),
        (["webapp", "default", "svc"], Query("svc", "default", "webapp")),
        (["db-0", "db", "default", "svc"], Query("svc", "default", "db", endpoint="db-0")),
        (["_tcp", "db", "default", "svc"], Query("svc", "default", "db", endpoint="_tcp")),
        (["_http", "_tcp", "db", "default", "svc"], Query("svc", "default", "db", port="http", protocol="tcp")),
        (["http", "tcp", "db", "default", "svc"], Query("svc", "default", "db", port="http", protocol="tcp")),
        (["__http", "_", "db", "default", "svc"], Query("svc", "default", "db", port="_http", protocol="")),
        (["a", "b", "c", "db", "default", "svc"], None),
        (["x", "10-1-0-1", "default", "pod"], Query("pod", "default", "10-1-0-1", endpoint="x")),
        (["eu-1", "pin", "_zone", "db", "default", "svc"], None),
    ],
)
def test_name_reads_from_the_right(labels: list[str], expected: Query | None) -> None:
    assert names.parse(labels) == expected


def test_zone_scoped_names_need_the_setting_and_a_known_policy() -> None:
    labels = ["eu-1", "pin", "_zone", "db", "default", "svc"]
    expected = Query("svc", "default", "db", topology_zone="eu-1", zone_policy="pin")
    assert names.parse(labels, zonal=True) == expected
    assert names.parse(["eu-1", "near", "_zone", "db", "default", "svc"], zonal=True) is None
    assert names.parse(["eu-1", "pin", "_zone", "db", "default", "pod"], zonal=True) is None


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        (".", b"\x00"),
        ("webapp", b"\x06webapp\x00"),
        ("WebApp.default.", b"\x06WebApp\x07default\x00"),
        (r"a\.b.c.", b"\x03a.b\x01c\x00"),
        (r"a\032b.", b"\x03a b\x00"),
    ],
)
def test_text_and_wire_form(text: str, wire: bytes) -> None:
    assert names.to_wire(text) == wire
    assert names.to_wire(names.to_text(wire)) == wire


@pytest.mark.parametrize("text", ["a..b", ".a", "x" * 64, ".".join(["x" * 60] * 5)])
def test_illegal_names_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="octets"):
        names.to_wire(text)


def test_zone_matches_whole_labels_only_and_the_longest_wins() -> None:
    zones = {names.to_wire("cluster.local"), names.to_wire("local"), names.to_wire("svc.cluster.local")}
    assert names.longest_match(names.to_wire("a.svc.cluster.local"), zones) == names.to_wire("svc.cluster.local")
    assert names.longest_match(names.to_wire("xcluster.local"), zones) == names.to_wire("local")
    assert names.longest_match(names.to_wire("example.com"), zones) is None
    assert names.longest_match(names.to_wire("example.com"), {names.ROOT}) == names.ROOT
    assert names.is_below(names.to_wire("A.Example.com"), names.to_wire("example.COM"))


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("44.183.152.10.in-addr.arpa", "10.152.183.44"),
        ("183.152.10.in-addr.arpa", None),
        ("044.183.152.10.in-addr.arpa", None),
        ("in-addr.arpa", None),
        ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.c.b.a.4.3.2.1.ip6.arpa", "1234:abcd::1"),
        ("0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.c.b.a.4.3.2.ip6.arpa", None),
        ("webapp.default.svc.cluster.local", None),
    ],
)
def test_reverse_names_are_whole_addresses(name: str, address: str | None) -> None:
    assert names.reverse_address(names.to_wire(name)) == address
