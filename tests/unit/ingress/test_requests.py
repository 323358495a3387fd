"""Requests as nginx takes or refuses them, whoever read them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.ingress.model import Request, Respond
from emulator.ingress.requests import (
    BAD_REQUEST,
    MAX_HEADERS_BYTES,
    NOT_ALLOWED,
    TOO_LARGE,
    Door,
    by_name,
    host_of,
    peer_address,
    read_request,
)

HTTP = Door("http", 80, 443)
HTTPS = Door("https", 10443, 10443)


def read(
    target: str = "/",
    *,
    method: str = "GET",
    host: str = "web.example.com",
    door: Door = HTTP,
    peer: str = "10.0.0.1",
    **headers: str,
) -> Request | Respond:
    """headers: by their names with _ for -."""
    return read_request(door, method, target, host, {k.replace("_", "-"): v for k, v in headers.items()}, peer)


def test_what_the_router_gets() -> None:
    found = read("/a%20b?c=d", method="POST", host="Web.Example.com:8080", door=HTTPS, content_length="5")
    assert isinstance(found, Request)
    assert (found.method, found.scheme, found.host, found.port) == ("POST", "https", "web.example.com", 10443)
    assert (found.path, found.query, found.client, found.https_port) == ("/a%20b", "c=d", "10.0.0.1", 10443)
    assert found.headers == {"content-length": "5"}


METHODS = [
    *((method, None) for method in ("GET", "HEAD", "POST", "OPTIONS", "PROPFIND", "FOO", "FOO-BAR", "FOO_BAR", "-", "A" * 300)),
    ("TRACE", NOT_ALLOWED),
    ("CONNECT", NOT_ALLOWED),
    *((method, BAD_REQUEST) for method in ("", "get", "Get", "trace", "G@T", "G3T", "GET ", " GET", "GET\t", "GET\n", "G\0T", "GÉT", "GET /x HTTP/1.1\r\nX:")),
]  # fmt: skip


@pytest.mark.parametrize(("method", "refusal"), METHODS)
def test_methods(method: str, refusal: Respond | None) -> None:
    found = read(method=method)
    assert found is refusal if refusal is not None else isinstance(found, Request) and found.method == method


TARGETS = [
    ("/", "/", ""),
    ("/a/b", "/a/b", ""),
    ("//a", "//a", ""),
    ("/a/../b", "/a/../b", ""),
    ("/%00%zz%20", "/%00%zz%20", ""),
    ("/é\udce9", "/é\udce9", ""),
    ("/a?", "/a", ""),
    ("/a?b", "/a", "b"),
    ("/a?b?c", "/a", "b?c"),
    ("/?/../b", "/", "/../b"),
    ("/a;b=c?d;e", "/a;b=c", "d;e"),
    ("/a#b", "/a", ""),
    ("/a?b#c", "/a", "b#c"),
    ("/#", "/", ""),
    ("/\\a|{}<>\"'`^", "/\\a|{}<>\"'`^", ""),
]


@pytest.mark.parametrize(("target", "path", "query"), TARGETS)
def test_targets_that_are_taken(target: str, path: str, query: str) -> None:
    found = read(target)
    assert isinstance(found, Request)
    assert (found.path, found.query) == (path, query)


BAD_TARGETS = ["", "*", "a", "?a", "#", "http://a/", " /", "/a b", "/a ", "/?a b", "/#a b", "/\t", "/\n", "/a\r\nX: y", "/\0", "/\x1f", "/\x7f"]  # fmt: skip


@pytest.mark.parametrize("target", BAD_TARGETS)
def test_targets_that_are_refused(target: str) -> None:
    assert read(target) is BAD_REQUEST


HOSTS = [
    ("", ""),
    ("web.example.com", "web.example.com"),
    ("WEB.Example.COM", "web.example.com"),
    ("web.example.com.", "web.example.com"),
    ("web.example.com:80", "web.example.com"),
    ("web.example.com.:80", "web.example.com"),
    ("web.example.com:", "web.example.com"),
    ("web.example.com:x", "web.example.com"),
    ("web.example.com:80:90", "web.example.com"),
    ("web.example.com:80.", "web.example.com"),
    ("1.2.3.4:80", "1.2.3.4"),
    ("[::1]", "[::1]"),
    ("[::1]:80", "[::1]"),
    ("[FE80::A]:80", "[fe80::a]"),
    (".a", ".a"),
    ("*.a", "*.a"),
    ("a_b", "a_b"),
    ("user@a", "user@a"),
    ("a\\b", "a\\b"),
    ("bücher.example", "bücher.example"),
    *((text, None) for text in (".", ":", ":80", ".:80", "a..b", "a..", "..", "a/b", "/", "a b", " a", "a ", "a, b", "a\tb", "a\0b", "a\r\nb", "a\x7f", "[::1]/x", "a:/b", "a:8 0")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "host"), HOSTS)
def test_hosts(text: str, host: str | None) -> None:
    assert host_of(text) == host
    found = read(host=text)
    assert found is BAD_REQUEST if host is None else isinstance(found, Request) and found.host == host


LENGTHS = [
    *((text, True) for text in ("0", "5", "007", "9" * 18)),
    *((text, False) for text in ("9" * 30, "9" * 5000, "", " ", "-5", "+5", "5 ", " 5", "5x", "0x5", "1_0", "5.0", "1e3", "5, 5", "5,6", "²5", "\u0665")),
]  # fmt: skip


@pytest.mark.parametrize(("length", "is_taken"), LENGTHS)
def test_lengths(length: str, is_taken: bool) -> None:
    found = read(method="POST", content_length=length)
    assert isinstance(found, Request) if is_taken else found is BAD_REQUEST


def test_the_size_of_headers() -> None:
    """All of them together, once they are more than a few: of a few, none is longer than its reader allows."""

    def sized(headers: dict[str, str]) -> Request | Respond:
        return read_request(HTTP, "GET", "/", "a", headers, "10.0.0.1")

    few = {f"x{n}": "a" * (MAX_HEADERS_BYTES // 4) for n in range(4)}
    assert isinstance(sized(few), Request)
    assert sized({**few, "more": ""}) is TOO_LARGE
    many = {f"x{n:04}": "a" * 27 for n in range(MAX_HEADERS_BYTES // 32)}
    assert isinstance(sized(many), Request)
    assert sized({**many, "y": ""}) is TOO_LARGE


def test_an_invalid_request_is_called_so_before_one_that_is_not_allowed() -> None:
    assert read(method="TRACE", host="a b") is BAD_REQUEST
    assert read(" ", method="CONNECT") is BAD_REQUEST
    assert read(method="TRACE", content_length="x") is NOT_ALLOWED


def test_headers_by_name() -> None:
    sent = [
        ("Host", "a"),
        ("X-A", "1"),
        ("x-a", "2"),
        ("Cookie", "a=b"),
        ("COOKIE", "c=d"),
        ("X-Empty", ""),
        ("X-A", ""),
    ]
    assert by_name(sent) == {"host": "a", "x-a": "1, 2, ", "cookie": "a=b, c=d", "x-empty": ""}
    assert by_name(sent, cookies_between="; ")["cookie"] == "a=b; c=d"
    assert by_name([]) == {}


def test_names_that_come_twice_and_may_not() -> None:
    """Joined they are what no host and no length is, also when they agree."""
    twice = by_name([("Host", "a"), ("host", "a"), ("Content-Length", "5"), ("content-length", "5")])
    assert host_of(twice["host"]) is None
    assert read(content_length=twice["content-length"]) is BAD_REQUEST


PEERS = [
    ("10.0.0.1", "10.0.0.1"),
    ("::1", "::1"),
    ("2001:DB8:0::1", "2001:db8::1"),
    ("fe80::1%eth0", "fe80::1"),
    *((text, "127.0.0.1") for text in ("", "x", "10.0.0.1:80", "[::1]", "/run/socket", "10.0.0.256", "%", "\0")),
]


@pytest.mark.parametrize(("text", "address"), PEERS)
def test_the_address_of_a_client(text: str, address: str) -> None:
    assert peer_address(text) == address
    found = read(peer=text)
    assert isinstance(found, Request)
    assert found.client == address


# -- whatever is sent ------------------------------------------------------------------------------------------------------

ANYTHING = st.text(st.characters(max_codepoint=0x2FF) | st.integers(0xDC80, 0xDCFF).map(chr))
NEAR = st.text(st.sampled_from("aA1.:/[]?#% \t\r\n\0\x7f,-_"), max_size=12)


@given(ANYTHING | NEAR, ANYTHING | NEAR, ANYTHING | NEAR, st.dictionaries(NEAR, ANYTHING | NEAR), ANYTHING)
def test_any_text_is_taken_or_refused(method: str, target: str, host: str, headers: dict[str, str], peer: str) -> None:
    assert isinstance(read_request(HTTP, method, target, host, headers, peer), Request | Respond)


@given(st.sampled_from(["GET", "POST", "FOO-BAR"]), NEAR.map("/{}".format) | NEAR, NEAR | ANYTHING)
def test_what_is_taken_is_one_line(method: str, target: str, host: str) -> None:
    """No part of it could begin another header or another request."""
    found = read(target, method=method, host=host)
    if isinstance(found, Request):
        assert not re.search(r"[\x00-\x20\x7f]", found.method + found.path + found.query + found.host)
        assert found.path.startswith("/")
        assert "?" not in found.path
    else:
        assert found is BAD_REQUEST


@given(NEAR)
def test_a_host_is_the_same_with_a_port_and_a_dot(text: str) -> None:
    host = host_of(text)
    if host and ":" not in text and not text.startswith("["):
        assert host_of(f"{text}:8080") == host
        assert host_of(text.upper()) == host
        assert host.endswith(".") or host_of(f"{host}.") == host
