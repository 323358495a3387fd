"""Bytes at the ingress' two sides: what clients send and backends answer on bare sockets, compared with nginx 1.22.

Tables are read top down on one cluster; a case that differs is told with the bytes that were sent. Where that nginx passes on
an answer that is no HTTP/1, or has two lengths, the client gets 502 here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re

import pytest
from hpack import Encoder

from tests.support.wire import (
    CHUNKED,
    CONTINUATION,
    END,
    ENDLESS_BYTES,
    ENDS,
    HEADERS,
    HELLO,
    HOST,
    LARGE_BYTES,
    OK,
    OLD,
    PING,
    READ,
    RESET,
    SHORT,
    SOON_SECONDS,
    SWITCHED,
    UPGRADE,
    WHOLE,
    WINDOW_UPDATE,
    Peer,
    Play,
    Step,
    answer,
    asks,
    deaf,
    echoes,
    endless,
    frame,
    head,
    insecure,
    late,
    listens,
    once,
    posts,
    pseudo,
    says,
    served,
    spoken,
    talk,
    whole,
)

STATUS_LINES = re.compile(rb"HTTP/1\.\d \d{3} ")
FDS = "/proc/self/fd"


# -- requests ----------------------------------------------------------------------------------------------------------

TAKEN: dict[str, tuple[bytes, bytes]] = {  # the bytes of a request; what the backend is sent among others
    "query": (asks("/x?a=b&c"), b"GET /x?a=b&c HTTP/1.1\r\nHost: app.test\r\n"),
    "empty lines first": (b"\r\n\r\n" + asks(), b"GET /x HTTP/1.1\r\n"),
    "the host in capitals": (asks(host="APP.Test"), b"Host: APP.Test\r\n"),
    "a host with a dot behind": (asks(host="app.test."), b"Host: app.test.\r\n"),
    "a port": (asks(host="app.test:8080"), b"\r\nX-Forwarded-Host: app.test:8080\r\n"),
    "an absolute URI": (asks("http://app.test/x?q"), b"GET /x?q HTTP/1.1\r\nHost: app.test\r\n"),
    "it goes before the Host": (asks("http://app.test/x", host="other.test"), b"Host: other.test\r\n"),
    "a length with zeros": (posts("Content-Length: 005", body=b"hello"), b"\r\nContent-Length: 005\r\n"),
    "two slashes": (asks("//x"), b"GET //x HTTP/1.1\r\n"),
    "dots": (asks("/a/../x"), b"GET /a/../x HTTP/1.1\r\n"),
    "escapes": (asks("/%78%0d%0aX:%20y"), b"GET /%78%0d%0aX:%20y HTTP/1.1\r\n"),
    "an empty header": (asks("/x", "X-A:"), b"X-A: \r\n"),
    "spaces around a value": (asks("/x", "X-A:   b  "), b"X-A: b\r\n"),
    "a header twice": (asks("/x", "X-A: 1", "X-A: 2"), b"X-A: 1\r\nX-A: 2\r\n"),
    "bytes that are no UTF-8": (asks("/x", "X-A: \xe9"), b"X-A: \xe9\r\n"),
    "8k of a line": (asks("/" + "a" * 8000), b"GET /aaaaaaaa"),
    "8k of a header": (asks("/x", "X-A: " + "a" * 8000), b"X-A: aaaaaaaa"),
    "five hundred headers": (asks("/x", *(f"X-{n}: a" for n in range(500))), b"X-499: a\r\n"),
    "two ports": (asks(host="app.test:80:90"), b"Host: app.test:80:90\r\n"),
    "28k of headers": (asks("/x", *(f"X-{n}: {'a' * 7000}" for n in range(4))), b"X-3: aaaaaaaa"),
    "the id is kept": (asks("/x", "X-Request-ID: mine"), b"X-Request-ID: mine\r\n"),
    "who asked is not believed": (asks("/x", "X-Forwarded-For: 1.2.3.4"), b"X-Original-Forwarded-For: 1.2.3.4\r\n"),
    "nor dropped on request": (asks("/x", "Connection: X-Real-IP, Host"), b"X-Real-IP: 127.0.0.1\r\n"),
    "a body": (posts("Content-Length: 5", body=b"hello"), b"Content-Length: 5\r\n\r\nhello"),
    "a body of a GET": (posts("Content-Length: 5", body=b"hello", method="GET"), b"\r\n\r\nhello"),
    "chunks with extensions": (posts(CHUNKED, body=b"5;a=b\r\nhello\r\n0;c\r\n\r\n"), b"hello"),
    "trailers": (posts(CHUNKED, body=b"5\r\nhello\r\n0\r\nX-T: v\r\n\r\n"), b"hello"),
    "zeros before a size": (posts(CHUNKED, body=b"0005\r\nhello\r\n000\r\n\r\n"), b"hello"),
    "a coding in capitals": (posts("Transfer-Encoding: CHUNKED", body=HELLO), b"hello"),
    "a megabyte": (posts("Content-Length: 1048576", body=bytes(1 << 20)), b"Content-Length: 1048576\r\n"),
    "an unknown expectation": (posts("Content-Length: 5", "Expect: x", body=b"hello"), b"hello"),
    "1.0 without a Host": (b"GET http://app.test/x HTTP/1.0\r\n\r\n", b"GET /x HTTP/1.1\r\n"),
}  # fmt: skip
NEVER_SENT = (b"Keep-Alive:", b"Proxy-Connection:", b"\r\nProxy:", b"X_A:", b"X.A:", b"\r\nTE:", b"Expect:")


async def test_requests_that_are_taken() -> None:
    wrong = []
    async with served() as (cluster, backend):
        marked = [
            re.sub(rb"(?<= HTTP/1\.\d\r\n)", b"X-Case: %d\r\n" % number, sent, count=1)
            for number, (sent, _) in enumerate(TAKEN.values())
        ]
        found = await asyncio.gather(*(talk(cluster, sent) for sent in marked))
        requests = re.split(rb"(?=(?:GET|POST) /\S* HTTP/1\.1\r\n)", backend.heard())
        for number, (name, (sent, wanted)) in enumerate(TAKEN.items()):
            [got] = [each for each in requests if b"\r\nX-Case: %d\r\n" % number in each] or [b""]
            heard = found[number]
            if heard.status != 200 or wanted not in got or heard.kept is not (b"HTTP/1.0" not in sent):
                wrong.append((name, sent[:200], heard, got[:400]))
        junk = asks(
            "/x", "Keep-Alive: 1", "Proxy-Connection: x", "Proxy: x", "X_A: b", "X.A: b", "TE: gzip", "Expect: y"
        )
        assert (await talk(cluster, junk)).status == 200
        got = backend.heard()
        wrong_names = [name for name in NEVER_SENT if name in got]
    assert not wrong
    assert not wrong_names


def refused(*lines: str, body: bytes = HELLO) -> bytes:
    return posts(*lines, body=body)


REFUSED: dict[str, bytes] = {
    "a small method": asks(method="get"),
    "a method that is none": asks(method="G@T"),
    "no Host": b"GET /x HTTP/1.1\r\n\r\n",
    "an empty Host": b"GET /x HTTP/1.1\r\nHost:\r\n\r\n",
    "a Host that is a port": asks(host=":80"),
    "a Host that is a dot": asks(host="."),
    "two Hosts": asks("/x", "Host: app.test"),
    "two different Hosts": asks("/x", "Host: other.test"),
    "NUL in a Host": asks(host="app\0.test"),
    "*": asks("*"),
    "no slash": asks("x"),
    "NUL in a path": asks("/\0x"),
    "a control in a path": asks("/\x01x"),
    "a tab in a path": asks("/a\tb"),
    "a space in a path": asks("/a b"),
    "a space first": b" " + asks(),
    "tabs between": b"GET\t/x\tHTTP/1.1\r\nHost: app.test\r\n\r\n",
    "CR alone": b"GET /x HTTP/1.1\rHost: app.test\r\n\r\n",
    "not HTTP": b"GET /x HTTQ/1.1\r\nHost: app.test\r\n\r\n",
    "HTTP/1": b"GET /x HTTP/1\r\nHost: app.test\r\n\r\n",
    "http/1.1": b"GET /x http/1.1\r\nHost: app.test\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a folded header": asks("/x", "X-A: one\r\n two"),
    "a folded first header": b"GET /x HTTP/1.1\r\n Host: app.test\r\n\r\n",
    "NUL in a header": asks("/x", "X-A: o\0n"),
    "CR in a header": asks("/x", "X-A: o\rX-B: n"),
    "a space before a colon": asks("/x", "X-A : b"),
    "a space in a name": asks("/x", "X A: b"),
    "no name": asks("/x", ": b"),
    "two lengths": refused("Content-Length: 5", "Content-Length: 5", body=b"hello"),
    "two different lengths": refused("Content-Length: 5", "Content-Length: 6", body=b"hello"),
    "a list of lengths": refused("Content-Length: 5, 5", body=b"hello"),
    **{
        f"length {text}": refused(f"Content-Length: {text}", body=b"helloworld")
        for text in ("-5", "+5", "5x", "0x5", "1_0", "\xb25", "", "9" * 20)
    },
    "length and chunks": refused("Content-Length: 5", CHUNKED),
    "chunks and length": refused(CHUNKED, "Content-Length: 5"),
    "chunked twice": refused(CHUNKED, CHUNKED),
    "a space before the coding's colon": refused("Transfer-Encoding : chunked"),
    **{
        f"chunk {text!r}": refused(CHUNKED, body=text + b"\r\nhello\r\n0\r\n\r\n")
        for text in (b"zz", b"-5", b"0x5", b" 5", b"", b"f" * 17, b"5;a\rb")
    },
    "a chunk that is longer": refused(CHUNKED, body=b"5\r\nhelloXX\r\n0\r\n\r\n"),
    "bytes": bytes(range(256)),
}


async def test_requests_that_are_refused() -> None:
    """400 with nginx' page, nothing reaches the backend, and no second request is read from the connection."""
    wrong = []
    async with served() as (cluster, backend):
        for name, sent in REFUSED.items():
            heard = await talk(cluster, sent)
            got = backend.heard()
            is_page = heard.data.startswith(b"HTTP/1.1 400 Bad Request\r\n") and b"<center>nginx</center>" in heard.body
            if not is_page or heard.kept or got or len(STATUS_LINES.findall(heard.data)) != 1:
                wrong.append((name, sent[:200], heard, got[:400]))
    assert not wrong


async def test_connections_kept_and_closed() -> None:
    cases: list[tuple[str, list[Step], int, bool]] = [
        ("1.1", [asks()], 1, True),
        ("Connection: close", [asks("/x", "Connection: Close")], 1, False),
        ("close among others", [asks("/x", "Connection: keep-alive, close")], 1, False),
        ("1.0", [asks(version="1.0")], 1, False),
        ("1.0 that asks for it", [asks("/x", "Connection: keep-alive", version="1.0") * 2], 2, True),
        ("1.0 and an answer without length", [asks("/pieces", "Connection: keep-alive", version="1.0")], 1, False),
        ("pipelined", [asks("/a") + asks("/b") + asks("/c")], 3, True),
        ("sixty", [b"".join(asks(f"/{n}") for n in range(60))], 60, True),
        ("behind a body", [posts("Content-Length: 5", body=b"hello") + asks()], 2, True),
        ("behind chunks", [posts(CHUNKED, body=HELLO) + asks()], 2, True),
        ("behind an empty line", [asks() + b"\r\n\r\n" + asks()], 2, True),
        ("behind 404", [posts("Content-Length: 5", body=b"hello", host="no.test") + asks()], 2, True),
        ("behind 404, the body late", [posts("Content-Length: 5", host="no.test"), 0.05, b"hello" + asks()], 2, True),
        ("byte by byte", [bytes((each,)) for each in posts("Content-Length: 3", body=b"abc")], 1, True),
        ("HEAD", [asks("/head", method="HEAD") + asks()], 2, True),
        ("204", [asks("/204") + asks()], 2, True),
        ("304", [asks("/304") + asks()], 2, True),
    ]
    plays = {
        "pieces": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO),
        "head": says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        "204": says(b"HTTP/1.1 204 No Content\r\n\r\n"),
        "304": says(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    }
    async with served(plays) as (cluster, _):
        found = await asyncio.gather(*(talk(cluster, *steps) for _, steps, _, _ in cases))
    wrong = [
        (name, heard)
        for heard, (name, _, answers, kept) in zip(found, cases, strict=True)
        if heard.kept is not kept or heard.data.count(b"HTTP/1.1 ") != answers
    ]
    assert not wrong


async def test_expectations() -> None:
    expect = "Expect: 100-continue"
    async with served() as (cluster, backend):
        heard = await talk(cluster, posts("Content-Length: 5", expect), READ, b"hello")
        assert heard.data.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
        heard = await talk(cluster, posts(CHUNKED, "Expect: 100-Continue"), READ, HELLO)
        assert heard.data.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
        backend.heard()
        heard = await talk(cluster, posts("Content-Length: 5000000", expect))
        assert (heard.status, backend.heard()) == (413, b"")
        assert b"\r\nConnection: close\r\n" in heard.data
        assert (await talk(cluster, posts("Content-Length: 5", expect, host="no.test"))).status == 404


async def test_a_body_too_large_does_not_hide_the_413() -> None:
    async with served() as (cluster, _):
        for line, framing in (("Content-Length: 9000000", b""), (CHUNKED, b"895440\r\n")):
            heard = await talk(cluster, posts(line) + framing + bytes(9_000_000))
            assert heard.status == 413
            assert b"\r\nConnection: close\r\n" in heard.data
            assert heard.body.endswith(b"</html>\r\n")


# -- answers -----------------------------------------------------------------------------------------------------------


CHUNKS = b"Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
ANSWERS: dict[str, tuple[Play, int, bytes, bool]] = {  # what the backend does; status; the end of what comes; kept
    "length": (says(OK), 200, b"\r\n\r\nok", True),
    "no body": (says(answer("Content-Length: 0")), 200, b"\r\n\r\n", True),
    "until it closes": (says(answer(body=b"hello"), closes=True), 200, CHUNKS, True),
    "HTTP/1.0": (says(b"HTTP/1.0 200 OK\r\n\r\nhello", closes=True), 200, CHUNKS, True),
    "chunks": (says(answer("Transfer-Encoding: chunked", body=HELLO)), 200, CHUNKS, True),
    "trailers": (says(answer("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nX-T: v\r\n\r\n")), 200, CHUNKS, True),
    "extensions": (says(answer("Transfer-Encoding: chunked", body=b"5;a=b\r\nhello\r\n0;c\r\n\r\n")), 200, CHUNKS, True),
    "line feeds": (says(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"), 200, b"\r\n\r\nok", True),
    "its own words": (says(answer("Content-Length: 2", body=b"ok", status="299 Fine")), 299, b"\r\n\r\nok", True),
    "hints first": (says(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK), 200, b"\r\n\r\nok", True),
    "100 unasked": (says(b"HTTP/1.1 100 Continue\r\n\r\n" + OK), 200, b"\r\n\r\nok", True),
    "more than it says": (says(OK + b"EXTRA"), 200, b"\r\n\r\nok", True),
    "204 with a body": (says(answer("Content-Length: 5", body=b"hello", status="204 No Content")), 204, b"\r\n\r\n", True),
    "304 with a body": (says(answer(body=b"hello", status="304 Not Modified")), 304, b"\r\n\r\n", True),
    "too short": (says(answer("Content-Length: 10", body=b"hello"), closes=True), 200, b"hello", False),
    "chunks without an end": (says(answer("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"), closes=True), 200, b"hello\r\n", False),
    "chunks that are none": (says(answer("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"), b"zz\r\n"), 200, b"", False),
    "nothing": (says(closes=True), 502, b"</html>\r\n", True),
    "half a head": (says(b"HTTP/1.1 200 OK\r\nContent-", closes=True), 502, b"</html>\r\n", True),
    "no HTTP": (says(b"hello world\r\n\r\n", closes=True), 502, b"</html>\r\n", True),
    "HTTP/2": (says(b"HTTP/2 200\r\nContent-Length: 2\r\n\r\nok"), 502, b"</html>\r\n", True),
    "a folded header": (says(answer("X-A: one", " two", "Content-Length: 2", body=b"ok")), 502, b"</html>\r\n", True),
    "a line without a colon": (says(answer("Garbage", "Content-Length: 2", body=b"ok")), 502, b"</html>\r\n", True),
    "a space before a colon": (says(answer("X-A : b", "Content-Length: 2", body=b"ok")), 502, b"</html>\r\n", True),
    "a space in a name": (says(answer("X A: b", "Content-Length: 2", body=b"ok")), 502, b"</html>\r\n", True),
    "a control in a name": (says(answer("X\x01: b", "Content-Length: 2", body=b"ok")), 502, b"</html>\r\n", True),
    "a length behind a vertical tab": (says(answer("Content-Length: \v2", body=b"ok")), 502, b"</html>\r\n", True),
    "a header without a name": (says(answer(": b", "Content-Length: 2", body=b"ok")), 502, b"</html>\r\n", True),
    "two lengths": (says(answer("Content-Length: 2", "Content-Length: 3", body=b"ok")), 502, b"</html>\r\n", True),
    "a length that is none": (says(answer("Content-Length: abc", body=b"ok")), 502, b"</html>\r\n", True),
    "length and chunks": (says(answer("Content-Length: 5", "Transfer-Encoding: chunked", body=HELLO)), 502, b"</html>\r\n", True),
    "another coding": (says(answer("Transfer-Encoding: gzip, chunked", body=HELLO)), 502, b"</html>\r\n", True),
    "a head without end": (says(answer("X-A: " + "a" * 200_000)[:-4], closes=True), 502, b"</html>\r\n", True),
    "101 that nobody asked for": (says(SWITCHED), 502, b"</html>\r\n", True),
}  # fmt: skip


async def test_answers() -> None:
    plays = {str(number): case[0] for number, case in enumerate(ANSWERS.values())}
    async with served(plays) as (cluster, _):
        found = await asyncio.gather(*(talk(cluster, asks(f"/{number}")) for number in plays))
    wrong = [
        (name, heard)
        for heard, (name, (_, status, end, kept)) in zip(found, ANSWERS.items(), strict=True)
        if (heard.status, heard.kept) != (status, kept) or not heard.data.endswith(end)
    ]
    assert not wrong


async def test_headers_of_answers() -> None:
    said = answer(
        "Date: Thu, 01 Jan 1970 00:00:00 GMT", "Server: mine", "Keep-Alive: 5", "Proxy-Connection: x", "X-Accel-Redirect: /ok",
        "X-Accel-Limit-Rate: 5", "X-Accel-Charset: x", "Set-Cookie: a=b", "Set-Cookie: c=d", "X_Low: 1", "X.Dot: 2",
        "X-Latin: \xe9", "Content-Length: 2", body=b"ok",
    )  # fmt: skip
    async with served({"said": says(said)}) as (cluster, _):
        head = (await talk(cluster, asks("/said"))).data.partition(b"\r\n\r\n")[0]
    for kept in (b"Set-Cookie: a=b", b"Set-Cookie: c=d", b"X_Low: 1", b"X.Dot: 2", b"X-Latin: \xe9"):
        assert kept in head
    for dropped in (b"1970", b"mine", b"Keep-Alive:", b"Proxy-Connection", b"X-Accel"):
        assert dropped not in head
    assert head.count(b"\r\nDate: ") == 1


async def test_kept_connections_that_the_backend_closes() -> None:
    """The request is sent again, once, where that is harmless."""
    empty = "Content-Length: 0"
    async with served({"once": once}) as (cluster, _):
        for method, line, status in (
            ("GET", "A: b", 200),
            ("PUT", empty, 200),
            ("POST", empty, 502),
            ("PATCH", empty, 502),
        ):
            assert (await talk(cluster, asks("/once"))).status == 200
            assert (await talk(cluster, asks("/once", line, method=method))).status == status, method


async def test_answers_before_the_request_is_complete() -> None:
    async def early(peer: Peer) -> bool:
        peer.writer.write(answer("Content-Length: 3", body=b"big", status="413 Mine"))
        await whole(peer)
        return True

    async def leaves(peer: Peer) -> bool:
        peer.writer.write(answer("Connection: close", "Content-Length: 3", body=b"big", status="413 Mine"))
        peer.writer.write_eof()
        return await listens(peer)  # a reset would take the answer along

    async with served({"early": early, "leaves": leaves}) as (cluster, _):
        uploads = [
            posts("Content-Length: 900000", path=path, body=bytes(size))
            for path in ("/early", "/leaves")
            for size in (1000, 900_000)
        ]
        for heard in await asyncio.gather(*(talk(cluster, upload, quiet=1) for upload in uploads)):
            assert (heard.status, heard.body) == (413, b"big")


async def test_a_backend_of_http_1_0() -> None:
    async with served({"lasts": says(b"HTTP/1.0 200 OK\r\n\r\nhello", closes=True)}) as (cluster, backend):
        heard = await talk(cluster, posts(CHUNKED, host=OLD, body=b"5\r\nhello\r\n"), 0.05, b"0\r\n\r\n")
        got = backend.heard()
        assert (heard.status, got[:16], got[-9:]) == (200, b"POST /x HTTP/1.0", b"\r\n\r\nhello"[-9:])
        assert b"Content-Length: 5\r\n" in got
        assert b"Transfer-Encoding" not in got
        assert (await talk(cluster, asks("/lasts", host=OLD))).data.endswith(CHUNKS)


# -- who goes away, who is slow ------------------------------------------------------------------------------------------


async def test_a_client_that_goes_away_takes_its_backend_along() -> None:
    upload = posts("Content-Length: 100", path="/listens", body=b"half")
    cases: dict[str, list[Step]] = {
        "closed": [asks("/listens"), 0.1],
        "half closed": [asks("/listens"), 0.1, END],
        "reset": [asks("/listens"), 0.1, RESET],
        "uploading": [upload, 0.1],
        "uploading, reset": [upload, 0.1, RESET],
        "uploading chunks": [posts(CHUNKED, path="/listens", body=b"4\r\nhalf\r\n"), 0.1],
        "uploading, half closed": [upload, 0.1, END],
        "downloading": [asks("/endless"), READ, RESET],
        "another protocol": [asks("/echoes", UPGRADE), READ, RESET],
    }
    async with served({"listens": listens, "endless": endless, "echoes": echoes}) as (cluster, backend):
        for name, steps in cases.items():
            backend.seen.clear()
            await talk(cluster, *steps, quiet=0.01)
            async with asyncio.timeout(SOON_SECONDS):
                await asyncio.gather(*(each.ended.wait() for each in backend.seen))
            assert len(backend.seen) == 1, name


async def test_a_client_that_does_not_read_makes_the_backend_wait() -> None:
    written = 0

    async def pours(peer: Peer) -> bool:
        nonlocal written
        peer.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % ENDLESS_BYTES)
        while written < ENDLESS_BYTES:
            peer.writer.write(bytes(65536))
            await peer.writer.drain()
            written += 65536
        return False

    async with served({"pours": pours}) as (cluster, _):
        await talk(cluster, asks("/pours"), 0.5, RESET)
        assert 65536 < written < ENDLESS_BYTES // 2  # the kernel's buffers, 4 of them up to 6 MB each, and ours


async def test_backends_that_are_silent() -> None:
    plays = {
        "listens": listens,
        "deaf": deaf,
        "stops": says(answer("Content-Length: 10", body=b"hello")),
        "echoes": echoes,
    }
    async with served(plays) as (cluster, _):
        deaf_upload = posts("Content-Length: 1048576", host=SHORT, path="/deaf", body=bytes(1 << 20))
        found = await asyncio.gather(
            talk(cluster, asks("/listens", host=SHORT)),
            talk(cluster, posts("Content-Length: 1", host=SHORT, path="/listens", body=b"a")),
            talk(cluster, deaf_upload),
            talk(cluster, asks("/stops", host=SHORT), quiet=1.8),
            talk(cluster, asks("/echoes", UPGRADE, host=SHORT), quiet=1.8),
        )
    assert [(each.status, each.kept) for each in found] == [
        (504, True),
        (504, True),
        (504, True),
        (200, False),
        (101, False),
    ]
    assert found[3].data.endswith(b"hello")


# -- other protocols -------------------------------------------------------------------------------------------------------


async def test_upgrades() -> None:
    async with served({"echoes": echoes, "refuses": says(OK)}) as (cluster, backend):
        heard = await talk(cluster, asks("/echoes", UPGRADE), READ, b"hi")
        assert heard.data.endswith(b"\r\n\r\necho:hi")
        assert b"\r\nServer:" not in heard.data
        sent = backend.heard()
        assert b"\r\nUpgrade: x\r\nConnection: upgrade\r\n" in sent
        heard = await talk(cluster, asks("/refuses", UPGRADE), READ, asks("/next"))  # 200: HTTP goes on
        assert (heard.data.count(b"HTTP/1.1 200"), heard.kept) == (2, True)
        backend.heard()
        await talk(cluster, asks("/echoes", UPGRADE), READ, b"last words", END)
        assert backend.heard().endswith(b"last words")
        heard = await talk(cluster, asks("/echoes", UPGRADE), READ, b"bye", quiet=1)
        assert (heard.data.endswith(b"zEND"), heard.data.count(b"z"), heard.kept) == (True, LARGE_BYTES, False)


# -- TLS and HTTP/2 -------------------------------------------------------------------------------------------------------


async def test_tls_handshakes() -> None:
    async with served(secure=True) as (cluster, _):
        assert cluster.ingress is not None
        port = cluster.ingress.https_port
        for name in (HOST, "unknown.test", None):
            for alpn in ("h2", "http/1.1", ""):
                context = insecure(alpn)
                _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name or "")
                chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
                assert chosen == (alpn or None)
                writer.transport.abort()
        for garbage in (bytes(100), b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00"):
            heard = await talk(cluster, garbage, END, port=port, quiet=1)
            assert not heard.kept
        async with spoken(cluster) as client:  # none of that harmed the others
            stream = client.ask(*pseudo())
            await client.hear(until=lambda: stream in client.over)
            assert client.statuses == {stream: "200"}


HARMFUL: dict[str, tuple[bytes, int]] = {  # frames behind the settings; the code of the GOAWAY
    "a stream of ours": (head(*pseudo(), stream=2), 1),
    "headers of no stream": (head(*pseudo(), stream=0), 1),
    "data of no stream": (frame(0, b"x", flags=ENDS), 1),
    "a push": (frame(5, b"\0\0\0\2", flags=WHOLE, stream=1), 1),
    "no window at all": (frame(WINDOW_UPDATE, bytes(4)), 1),
    "too large a window": (frame(WINDOW_UPDATE, b"\x7f\xff\xff\xff"), 3),
    "a short ping": (frame(PING, b"x"), 6),
    "settings of a byte": (frame(4, b"x"), 6),
    "a frame too large": (frame(0, bytes(20_000), stream=1), 6),
    "a continuation of nothing": (frame(CONTINUATION, flags=WHOLE, stream=1), 1),
    "another frame between": (frame(HEADERS, Encoder().encode(pseudo()), flags=ENDS, stream=1) + frame(PING, bytes(8)), 1),
    "a header without a name": (head(*pseudo(), ("", "x")), 1),
    "too many headers": (b"".join((
        frame(HEADERS, Encoder().encode(pseudo()), flags=ENDS, stream=1),
        *(frame(CONTINUATION, b"\x40\x01a\x7f\x81\x7f" + b"b" * 254, stream=1) for _ in range(2000)),
    )), 1),
    "70k of headers": (b"".join(
        frame(CONTINUATION if at else HEADERS, block, flags=(0 if at else ENDS) | (WHOLE if at == 9 else 0), stream=1)
        for at, block in enumerate(Encoder().encode([*(pseudo() if not at else ()), (f"x-{at}", "~" * 7000)]) for at in range(10))
    ), 11),
}  # fmt: skip


async def test_frames_that_are_none() -> None:
    """The connection ends with a reason; the backend hears nothing."""
    async with served(secure=True) as (cluster, backend):

        async def ends_with(data: bytes) -> int | None:
            async with spoken(cluster) as client:
                client.raw(data)
                await client.hear()
                return client.goaway if client.closed else None

        found = await asyncio.gather(*(ends_with(data) for data, _ in HARMFUL.values()))
        assert backend.heard() == b""
    assert dict(zip(HARMFUL, found, strict=True)) == {name: code for name, (_, code) in HARMFUL.items()}


async def test_headers_that_no_request_of_http_2_has() -> None:
    """Whether the stream or the connection ends for it, the backend hears nothing."""
    cases = {
        "capitals": [*pseudo(), ("X-Upper", "a")],
        "a line break": [*pseudo(), ("x-a", "b\r\nc: d")],
        "NUL": [*pseudo(), ("x-a", "b\0c")],
        "a name with a space": [*pseudo(), ("x a", "b")],
        "a name with a line break": [*pseudo(), ("x\r\nevil", "b")],
        "a name with a colon": [*pseudo(), ("x:y", "b")],
        "an unknown pseudo-header": [*pseudo(), (":foo", "y")],
        "two authorities": [*pseudo(), (":authority", "x")],
        "no authority": pseudo()[:3],
        "no path": [each for each in pseudo() if each[0] != ":path"],
        "an empty path": pseudo(""),
        "no slash": pseudo("x"),
        "*": pseudo("*", method="OPTIONS"),
        "a line break in the path": pseudo("/a HTTP/1.1\r\nX: y"),
        "a line break in the method": pseudo(method="GET / HTTP/1.1\r\nX: y"),
        "CONNECT": [(":method", "CONNECT"), (":authority", HOST)],
        "a Host that differs": [*pseudo(), ("host", "other.test")],
    }
    async with served(secure=True) as (cluster, backend):

        async def status(headers: list[tuple[str, str]]) -> str | None:
            async with spoken(cluster) as client:
                client.raw(head(*headers))
                await client.hear(until=lambda: bool(client.over or client.resets or client.goaway))
                ended = client.over or client.resets or client.goaway
                return client.statuses.get(1, "400") if ended else None

        found = await asyncio.gather(*(status(headers) for headers in cases.values()))
        assert backend.heard() == b""
    assert [name for name, each in zip(cases, found, strict=True) if each != "400"] == []


async def test_streams_of_http_2() -> None:
    plays = {
        "listens": listens,
        "short": says(answer("Content-Length: 10", body=b"hello"), closes=True),
        "late": late,
        "early": says(answer("Content-Length: 3", body=b"big", status="413 Mine"), body=False),
    }
    async with served(plays, secure=True) as (cluster, backend), spoken(cluster) as client:
        given_up, cut = client.ask(*pseudo("/listens")), client.ask(*pseudo("/short"))
        early = client.ask(*pseudo("/early", method="POST"), ends=False)
        too_large = client.ask(*pseudo("/x", method="POST"), ("content-length", "5000000"), ends=False)
        slow = client.ask(*pseudo("/late"))
        await client.hear(until=lambda: slow in client.over)
        assert client.statuses == {cut: "200", early: "413", too_large: "413", slow: "200"}
        assert client.resets == {cut: 2, early: 0, too_large: 0}  # INTERNAL_ERROR, and NO_ERROR: no more is wanted
        [left] = [each for each in backend.seen if b"/listens" in each.data]
        client.reset(given_up)
        async with asyncio.timeout(SOON_SECONDS):
            await left.ended.wait()
        again = client.ask(*pseudo())
        await client.hear(until=lambda: again in client.over)
        assert (client.statuses[again], client.goaway) == ("200", None)


async def test_a_client_of_http_2_that_does_not_read_makes_the_backend_wait() -> None:
    written = 0

    async def pours(peer: Peer) -> bool:
        nonlocal written
        peer.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % ENDLESS_BYTES)
        while written < ENDLESS_BYTES:
            peer.writer.write(bytes(65536))
            await peer.writer.drain()
            written += 65536
        return False

    async with served({"pours": pours}, secure=True) as (cluster, _), spoken(cluster) as client:
        stream = client.ask(*pseudo("/pours"))
        await client.hear(0.5)
        assert 0 < written < ENDLESS_BYTES // 2
        other = client.ask(*pseudo())  # the window of the stream is used up, so is the connection's: headers still pass
        await client.hear(until=lambda: other in client.statuses)
        assert client.statuses == {stream: "200", other: "200"}


async def test_streams_given_up_at_once() -> None:
    """More of them than any client has use for end the connection, and nothing is left behind."""
    async with served({"listens": listens}, secure=True) as (cluster, backend):
        async with spoken(cluster) as client:
            for _ in range(1200):
                client.reset(client.ask(*pseudo("/listens")))
            await client.hear()
            assert (client.goaway, client.closed) == (11, True)  # ENHANCE_YOUR_CALM
        async with asyncio.timeout(SOON_SECONDS):
            await asyncio.gather(*(each.ended.wait() for each in backend.seen))


# -- many at once, and the end ---------------------------------------------------------------------------------------------


def held() -> tuple[int, int]:
    """File descriptors, where Linux tells them, and tasks."""
    return len(os.listdir(FDS)) if os.path.isdir(FDS) else 0, len(asyncio.all_tasks())


async def test_nothing_is_left_of_many_connections() -> None:
    async with served({"listens": listens, "echoes": echoes}, secure=True) as (cluster, backend):
        assert cluster.ingress is not None
        port = cluster.ingress.http_port
        await talk(cluster, asks())
        before = held()
        upload = posts("Content-Length: 100", body=b"slow")
        kinds = (
            b"",
            asks(),
            upload,
            asks("/listens"),
            asks("/echoes", UPGRADE),
            b"GET /x HT",
            posts(CHUNKED, body=b"5\r\nhe"),
        )
        writers = []
        for number in range(20 * len(kinds)):  # both ends are here: an ordinary user has 1,024 files
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(kinds[number % len(kinds)])
            writers.append(writer)
        async with spoken(cluster) as client:
            for _ in range(50):
                client.ask(*pseudo("/listens"))
            await client.hear(0.3)
            assert (await talk(cluster, asks())).status == 200
        for writer in writers:
            writer.close()
        for seen in backend.seen:
            seen.data.clear()
        for _ in range(100):
            await asyncio.sleep(0.05)
            if all(
                now <= then + 4 for now, then in zip(held(), before, strict=True)
            ):  # kept connections to the backend
                break
        else:
            pytest.fail(f"{before} became {held()}")


async def test_stopping_lets_requests_end_and_closes_the_rest() -> None:
    async with contextlib.AsyncExitStack() as stack:
        cluster, backend = await stack.enter_async_context(served({"late": late}, secure=True))
        client = await stack.enter_async_context(spoken(cluster))
        stream = client.ask(*pseudo("/late"))
        slow = asyncio.create_task(talk(cluster, asks("/late"), quiet=3))
        kept = asyncio.create_task(talk(cluster, asks(), quiet=3))
        fresh = asyncio.create_task(talk(cluster, quiet=3))
        while sum(each.requests for each in backend.seen) < 3:
            await asyncio.sleep(0.01)
        heard = asyncio.create_task(client.hear(3))
        await cluster.__aexit__(None, None, None)
        await heard
        assert [(each.status, each.kept) for each in (await slow, await kept, await fresh)] == [
            (200, False),
            (200, False),
            (0, False),
        ]
        assert (client.statuses, client.over, client.goaway, client.closed) == ({stream: "200"}, {stream}, 0, True)
        stack.pop_all()
        await backend.stop()
