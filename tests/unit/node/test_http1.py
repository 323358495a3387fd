from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.node.echoapp import EchoPod, answer, datagram_answer
from emulator.node.http1 import MAX_BODY_BYTES, BadHttp, Request, RequestParser, Response, sniff

THREE = (
    b"GET /hostname HTTP/1.1\r\nHost: a\r\n\r\n"
    b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\n"
    b"\r\nPUT /p?q=1&q=2&r HTTP/1.0\r\nContent-Length: 4\r\n\r\nwxyz"
)
POD = EchoPod("web-1", "default", "node-1", "10.1.0.3", "web-1", "c", {"B": "2", "A": "1"})


def ask(target: str, body: bytes = b"") -> Response:
    return answer(Request("GET", target, "1.1", (), body), POD, port=80, client="10.1.0.9:1").response


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_requests_come_out_however_the_bytes_are_cut(size: int) -> None:
    parser, found = RequestParser(), []
    for start in range(0, len(THREE), size):
        found += parser.feed(THREE[start : start + size])
    assert [(each.method, each.path, each.body) for each in found] == [
        ("GET", "/hostname", b""),
        ("POST", "/echo", b"abcde"),
        ("PUT", "/p", b"wxyz"),
    ]
    assert [each.keep_alive for each in found] == [True, True, False]
    assert found[2].query == {"q": "1", "r": ""}
    assert parser.idle


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno field\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1), 413),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", 413),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 413),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
    ],
)
def test_what_is_refused(sent: bytes, code: int) -> None:
    with pytest.raises(BadHttp) as caught:
        RequestParser().feed(sent)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"G", "unknown"),
        (b"GET /x HTTP/1.", "unknown"),
        (b"GET /x HTTP/1.1\r\n", "http"),
        (b"GET /x HTTP/1.1\n", "http"),
        (b"GET rich\r\n", "raw"),
        (b"hello", "raw"),
        (b"\x16\x03\x01", "raw"),
        (b"GET " + b"x" * 9000, "raw"),
    ],
)
def test_sniffing(start: bytes, kind: str) -> None:
    assert sniff(start) == kind


def test_paths() -> None:
    assert ask("/hostname").body == b"web-1"
    assert ask("/healthz").body == b"ok"
    assert ask("/echo?msg=hi%20there").body == b"hi there"
    assert ask("/echo", b"body").body == b"body"
    assert ask("/env").body == b"A=1\nB=2\n"
    assert json.loads(ask("/env?format=json").body) == {"A": "1", "B": "2"}
    assert ask("/delay?ms=x").code == 400
    described = json.loads(ask("/any/path?x=1").body)
    assert {key: described[key] for key in ("pod", "namespace", "node", "address")} == {
        "pod": "web-1",
        "namespace": "default",
        "node": "node-1",
        "address": "10.1.0.3",
    }
    assert described["request"]["path"] == "/any/path"


def test_delay_and_readiness() -> None:
    delayed = answer(Request("GET", "/delay?ms=250", "1.1", ()), POD, port=80, client="")
    assert delayed.delay_seconds == 0.25
    unready = EchoPod("p", "n", "node", "a", "p", is_ready=lambda: False)
    assert answer(Request("GET", "/readyz", "1.1", ()), unready, port=80, client="").response.code == 503


def test_datagrams() -> None:
    assert datagram_answer(b"hostname\n", POD) == b"web-1"
    assert datagram_answer(b"other", POD) == b"other"


def test_a_head_response_has_the_length_but_no_body() -> None:
    encoded = Response(b"abc").encode(head_only=True)
    assert encoded.endswith(b"\r\n\r\n")
    assert b"Content-Length: 3" in encoded


LINES = st.sampled_from(
    [
        b"GET ",
        b"POST ",
        b"/",
        b"//[",
        b"?a=%zz&b",
        b" HTTP/1.1",
        b"\r\n",
        b"\n",
        b"Content-Length: 3",
        b"abc",
        b"0",
        b"5;x",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue",
        b"\x00\xff",
        b": ",
    ]
)


@given(st.lists(LINES, max_size=30).map(b"".join))
def test_any_bytes_are_requests_or_refused(sent: bytes) -> None:
    try:
        requests = RequestParser().feed(sent)
    except BadHttp:
        return
    for request in requests:
        answer(request, POD, port=80, client="").response.encode()
