"""Messages of HTTP/1 as they are read and written: heads, ends of chunked bodies, trailers; nginx' pages."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.ingress.bodies import LAST_CHUNK, MAX_TRAILERS, ChunkedBody, last_chunk
from emulator.ingress.headers import NOT_IN_TRAILERS, passed_trailers, wants_trailers
from emulator.ingress.io import pages
from emulator.ingress.messages import BadMessage, answer_head, parse_fields, parse_response, request_head
from emulator.ingress.model import Header
from tests.unit.ingress.world import request

VALUES = st.text(st.characters(max_codepoint=0xFF))

# -- heads -----------------------------------------------------------------------------------------------------------------


def test_the_head_of_a_request() -> None:
    assert request_head("GET", "/a?b", [("Host", "a"), ("X", "")]) == b"GET /a?b HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n"
    assert request_head("GET", "/", [], minor=0) == b"GET / HTTP/1.0\r\n\r\n"
    assert request_head("GET", "/é\udce9", [("X", "\udce9 b")]) == b"GET /\xc3\xa9\xe9 HTTP/1.1\r\nX: \xe9 b\r\n\r\n"


HEADS: list[tuple[str, str, Sequence[Header]]] = [
    ("GET ", "/", ()),
    ("GET /x HTTP/1.1", "/", ()),
    ("GET", "/a b", ()),
    ("GET", "/ HTTP/1.1", ()),
    ("GET", "/a\r\nX:y", ()),
    ("GET", "/\n", ()),
    ("GET", "/\0", ()),
    ("G\rT", "/", ()),
    ("GET", "/", [("X", "a\r\nY: b")]),
    ("GET", "/", [("X", "a\nY: b")]),
    ("GET", "/", [("X", "a\r")]),
    ("GET", "/", [("X", "a\0")]),
    ("GET", "/", [("X\r\nY", "a")]),
]


@pytest.mark.parametrize(("method", "target", "headers"), HEADS)
def test_heads_that_would_be_more_than_one(method: str, target: str, headers: Sequence[Header]) -> None:
    with pytest.raises(BadMessage):
        request_head(method, target, headers)


@given(VALUES, VALUES, st.lists(st.tuples(VALUES, VALUES), max_size=3))
def test_what_is_written_is_as_many_lines_as_headers(method: str, target: str, headers: list[Header]) -> None:
    try:
        head = request_head(method, target, headers)
    except BadMessage:
        return
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert len(lines) == 1 + len(headers)
    assert head.count(b"\n") == head.count(b"\r") == len(lines) + 1
    assert lines[0].count(b" ") == 2
    assert b"\0" not in head


@given(VALUES, st.lists(st.tuples(VALUES, VALUES), max_size=3))
def test_answers_are_as_many_lines_as_headers(reason: str, headers: list[Header]) -> None:
    try:
        head = answer_head(200, reason, headers)
    except BadMessage:
        return
    assert head.count(b"\n") == head.count(b"\r") == len(headers) + 2


# -- fields ----------------------------------------------------------------------------------------------------------------


def test_fields() -> None:
    headers, fields = parse_fields(["first line", "X-A: 1\r", "x-a:2", "Y:\t\r", "Z: a:b "], 1)
    assert headers == [("X-A", "1"), ("x-a", "2"), ("Y", ""), ("Z", "a:b")]
    assert fields == {"x-a": "1, 2", "y": "", "z": "a:b"}
    assert parse_fields([]) == ([], {})


def test_spaces_of_other_kinds_belong_to_a_value() -> None:
    """As bytes they are anything, and trimming them could make a length or a coding of what is none."""
    for space in "\x0b\x0c\x1c\x1f\x85\xa0\u2003":
        assert parse_fields([f"Content-Length:{space}2{space}\r"])[0] == [("Content-Length", f"{space}2{space}")]
        with pytest.raises(BadMessage):
            parse_response(f"HTTP/1.1 200 OK\r\nContent-Length: {space}2\r\n\r\n".encode(), "GET")
        with pytest.raises(BadMessage):
            parse_response(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked{space}\r\n\r\n".encode(), "GET")


BAD_FIELDS = ["", "\r", "x", ": v", " : v", "x : v", " x: v", "\tx: v", "x\t: v", "x: a\0b", "x\0: a", "x: a\rb", "x: a\r\r", "\rx: a", "x\ry: a", "x y: a", "x\ty: a", "x\x01: a", "x\x7f: a", "x\x1c: a"]  # fmt: skip


@pytest.mark.parametrize("line", BAD_FIELDS)
@pytest.mark.parametrize("padding", ["", "a" * 300], ids=["short", "long"])
def test_fields_that_are_none(line: str, padding: str) -> None:
    """Also where they are too long to be remembered, and the second time."""
    for _ in range(2):
        with pytest.raises(BadMessage):
            parse_fields(["ok: 1", padding + line if ":" not in line else line.replace("a", padding or "a")])


@given(st.text(st.sampled_from("aX:- \t\r\0\x0b\xa0é"), max_size=10))
def test_a_field_is_read_or_refused(line: str) -> None:
    try:
        [(name, value)], fields = parse_fields([line])
    except BadMessage:
        return
    assert fields == {name.lower(): value}
    assert ":" not in name
    assert not set(name + value) & set("\r\n\0")
    assert name == name.strip(" \t")
    assert value == value.strip(" \t")


# -- trailers --------------------------------------------------------------------------------------------------------------


def test_the_end_of_a_chunked_body() -> None:
    assert last_chunk() == last_chunk([]) == LAST_CHUNK
    assert last_chunk([("X-A", "1"), ("X-B", "")]) == b"0\r\nX-A: 1\r\nX-B: \r\n\r\n"
    assert last_chunk([("X-A", "\udce9é")]) == b"0\r\nX-A: \xe9\xc3\xa9\r\n\r\n"


@pytest.mark.parametrize("bad", ["a\r\nY: b", "a\r", "a\n", "\0"])
def test_trailers_that_would_be_more_than_one_are_left_out(bad: str) -> None:
    assert last_chunk([("X-A", bad), ("X-B", "1"), (bad, "2")]) == b"0\r\nX-B: 1\r\n\r\n"


@given(st.lists(st.tuples(VALUES, VALUES), max_size=4))
def test_the_end_is_always_one(trailers: list[Header]) -> None:
    end = last_chunk(trailers)
    assert end.startswith(b"0\r\n")
    assert end.endswith(b"\r\n")
    assert b"\r\n\r\n" not in end[:-4]
    assert end.count(b"\r") == end.count(b"\n")


@given(st.integers(min_value=0, max_value=5), st.binary(max_size=20), st.integers(min_value=1, max_value=9))
def test_trailers_are_read_in_any_pieces(count: int, data: bytes, size: int) -> None:
    trailers = [(f"X-{n}", str(n)) for n in range(count)]
    sent = (b"%x\r\n%b\r\n" % (len(data), data) if data else b"") + last_chunk(trailers)
    body = ChunkedBody()
    assert b"".join(body.feed(sent[at : at + size]) for at in range(0, len(sent), size)) == data
    assert (body.ended, body.excess, body.trailers) == (True, False, trailers)


def test_too_many_trailers() -> None:
    body = ChunkedBody()
    body.feed(b"0\r\n" + b"X: y\r\n" * MAX_TRAILERS)
    assert len(body.trailers) == MAX_TRAILERS
    with pytest.raises(BadMessage):
        body.feed(b"X: y\r\n")


def test_trailers_that_are_passed_on() -> None:
    sent = [("X-A", "1"), ("grpc-status", "0"), ("x-a", "2")]
    meant_for_the_message = [(name.title(), "x") for name in sorted(NOT_IN_TRAILERS)]
    assert passed_trailers([*meant_for_the_message, *sent]) == sent
    assert {"content-length", "transfer-encoding", "connection", "host", "trailer", "set-cookie"} <= NOT_IN_TRAILERS


@pytest.mark.parametrize(
    ("te", "wanted"),
    [(None, False), ("", False), ("gzip", False), ("trailers", True), ("Trailers", True), ("gzip, trailers;q=1", True)],
)
def test_who_wants_trailers(te: str | None, wanted: bool) -> None:
    assert wants_trailers(request("/") if te is None else request("/", te=te)) is wanted


# -- pages -----------------------------------------------------------------------------------------------------------------


def test_a_page() -> None:
    assert pages.page(404) == (
        "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n"
        "<center><h1>404 Not Found</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )


def test_the_page_of_a_status_that_clients_do_not_see() -> None:
    assert (pages.status_of(494), pages.status_of(400), pages.status_of(599)) == (400, 400, 599)
    assert pages.page(494) == (
        "<html>\r\n<head><title>400 Request Header Or Cookie Too Large</title></head>\r\n<body>\r\n"
        "<center><h1>400 Bad Request</h1></center>\r\n<center>Request Header Or Cookie Too Large</center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )


@pytest.mark.parametrize(
    ("status", "reason"),
    [(302, "Found"), (405, "Not Allowed"), (408, "Request Time-out"), (413, "Request Entity Too Large"), (414, "Request-URI Too Large"), (501, "Not Implemented"), (502, "Bad Gateway"), (503, "Service Temporarily Unavailable"), (504, "Gateway Time-out"), (505, "HTTP Version Not Supported"), (599, "")],
)  # fmt: skip
def test_the_words_of_nginx(status: int, reason: str) -> None:
    assert pages.reason_of(status) == reason
    assert f"<title>{status} {reason}</title>" in pages.page(status)
