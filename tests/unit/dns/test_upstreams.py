"""Upstreams: reading what the user wrote, order, health and backoff, no loop to ourselves."""

from __future__ import annotations

import pytest

from emulator.api.errors import ConfigError
from emulator.dns import names
from emulator.dns.upstreams import Upstream, Upstreams, nameservers, parse_server

NAME = names.to_wire("www.example.com.")


def first(stop: int) -> int:
    return stop - 1  # leaves the order as it is


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.1.1.1", Upstream("1.1.1.1", 53)),
        ("1.1.1.1:5353", Upstream("1.1.1.1", 5353)),
        ("2606:4700::1", Upstream("2606:4700::1", 53)),
        ("[2606:4700::1]:5353", Upstream("2606:4700::1", 5353)),
    ],
)
def test_server_texts(text: str, expected: Upstream) -> None:
    assert parse_server(text) == expected


@pytest.mark.parametrize("text", ["", "dns.example.com", "1.1.1.1:x", "1.1.1"])
def test_server_texts_that_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_server(text)


def test_nameserver_lines() -> None:
    text = "# local\nnameserver 192.168.1.1\nsearch lan\nnameserver 1.1.1.1 # second\noptions ndots:2\nnameserver\n"
    assert nameservers(text) == ["192.168.1.1", "1.1.1.1"]


def test_two_failures_put_a_server_last_for_a_growing_time() -> None:
    upstreams = Upstreams(["1.1.1.1", "8.8.8.8"], rng=first)
    bad, good = upstreams.order(NAME, 0.0)
    upstreams.failed(bad, 0.0)
    assert upstreams.order(NAME, 0.0) == [bad, good]
    upstreams.failed(bad, 0.0)
    assert upstreams.order(NAME, 0.1) == [good, bad]
    assert upstreams.order(NAME, 0.6) == [bad, good]
    upstreams.failed(bad, 1.0)
    assert upstreams.is_down(bad, 1.9)
    upstreams.succeeded(bad)
    assert not upstreams.is_down(bad, 1.9)


def test_stub_domains_have_servers_of_their_own() -> None:
    upstreams = Upstreams(["1.1.1.1"], rng=first, stub_domains={"Corp.example.": ["10.0.0.53"]})
    assert upstreams.order(names.to_wire("a.corp.EXAMPLE."), 0.0) == [Upstream("10.0.0.53")]
    assert upstreams.order(NAME, 0.0) == [Upstream("1.1.1.1")]


def test_our_own_listeners_are_never_asked() -> None:
    own = {("127.0.0.1", 53), ("10.152.183.10", 53)}
    assert Upstreams(["127.0.0.1", "10.152.183.10:53"], rng=first, own=own).order(NAME, 0.0) == []
