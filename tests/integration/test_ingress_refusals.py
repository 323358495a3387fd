"""What the ingress refuses as nginx does, whom it waits for and for how long, and what is left of those who broke off.

Bare sockets at both sides, as in test_ingress_wire; seconds of nginx' defaults are made tenths.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import operator
import socket
import struct
import time
from functools import partial

import pytest

from emulator.ingress.io import controller, http1, http1_clients, http2, http2_clients
from tests.support.wire import (
    CHUNKED,
    DATA,
    END,
    ENDS,
    HELLO,
    OK,
    OLD,
    READ,
    RESET,
    SHORT,
    SOON_SECONDS,
    UPGRADE,
    Backend,
    Peer,
    Play,
    Step,
    answer,
    asks,
    echoes,
    endless,
    frame,
    head,
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

NGINX = b"<hr><center>nginx</center>"


# -- requests of HTTP/1 --------------------------------------------------------------------------------------------------

REFUSALS: dict[str, tuple[bytes, int, bytes]] = {  # the bytes of a request; the status; what the page says
    "TRACE": (asks(method="TRACE"), 405, b"405 Not Allowed"),
    "CONNECT": (asks(method="CONNECT"), 405, b"405 Not Allowed"),
    **{
        f"host {host!r}": (asks(host=host), 400, b"400 Bad Request")
        for host in ("app.test/x", "app test", "app..test", "a, b", "a\tb")
    },
    **{f"path {path}": (asks(path), 400, b"400 Bad Request") for path in ("/../x", "/%zz", "/%00", "/%7")},
    "a long line": (asks("/" + "a" * 8300), 414, b"414 Request-URI Too Large"),
    "a long header": (asks("/x", "X-A: " + "a" * 8300), 400, b"Request Header Or Cookie Too Large"),
    "35k of headers": (asks("/x", *(f"X-{n}: {'a' * 7000}" for n in range(5))), 400, b"Request Header Or Cookie Too Large"),
    "HTTP/2.0": (asks(version="2.0"), 505, b"505 HTTP Version Not Supported"),
    "HTTP/0.9": (asks(version="0.9"), 400, b"400 Bad Request"),
    "chunks by HTTP/1.0": (asks("/x", CHUNKED, method="POST", version="1.0", body=HELLO), 400, b"400 Bad Request"),
    "gzip, chunked": (posts("Transfer-Encoding: gzip, chunked", body=HELLO), 501, b"501 Not Implemented"),
    "an empty coding": (posts("Transfer-Encoding:", "Content-Length: 3", body=b"abc"), 501, b"501 Not Implemented"),
}  # fmt: skip


async def refused_all(cases: dict[str, tuple[bytes, int, bytes]]) -> list[object]:
    """Those that were not answered once with nginx' page of that status and closed; and what the backend heard of any."""
    async with served() as (cluster, backend):
        heard = await asyncio.gather(*(talk(cluster, sent) for sent, _, _ in cases.values()))
        got = backend.heard()
    wrong: list[object] = [got] if got else []
    for (name, (_, status, words)), each in zip(cases.items(), heard, strict=True):
        is_page = NGINX in each.body and words in each.body and each.data.count(b"HTTP/1.") == 1
        if each.status != status or each.kept or not is_page or b"\r\nConnection: close\r\n" not in each.data:
            wrong.append((name, each))
    return wrong


async def test_requests_that_nginx_refuses() -> None:
    """In its words; the connection ends and the backend hears nothing."""
    assert not await refused_all(REFUSALS)


async def test_codings_that_are_not_read() -> None:
    """nginx says 501; whatever is said, the connection ends and the backend hears nothing."""
    bodies = {"\tchunked,": HELLO, "identity": b"abc", "gzip": b"abc", "chunked;q=1": HELLO, "xchunked": HELLO}
    async with served() as (cluster, backend):
        for coding, body in bodies.items():
            heard = await talk(cluster, posts(f"Transfer-Encoding: {coding}", body=body))
            assert heard.status in (400, 501), coding
            assert (heard.kept, heard.data.count(b"HTTP/1."), backend.heard()) == (False, 1, b""), coding


async def test_what_is_refused_although_nginx_takes_it() -> None:
    """The reader of requests is stricter than nginx in places; then it is an orderly refusal."""
    cases = {
        "a method that nobody has registered": asks(method="FOO"),
        "one with a dash": asks(method="FOO-BAR"),
        "bytes beyond ASCII in a path": asks("/\xe9"),
        "and in a query": asks("/x?\xe9"),
        "line feeds alone": b"GET /x HTTP/1.1\nHost: app.test\n\n",
        "and in chunks": posts(CHUNKED, body=b"5\nhello\n0\n\n"),
        "a space behind a size": posts(CHUNKED, body=b"5 \r\nhello\r\n0\r\n\r\n"),
        "@ in a name": asks("/x", "X@A: b"),
        "brackets in a name": asks("/x", "X(A): b"),
        "no colon": asks("/x", "Garbage"),
        "a space behind the version": b"GET /x HTTP/1.1 \r\nHost: app.test\r\n\r\n",
        "HTTP/1.2": asks(version="1.2"),
        "behind Connection: close": asks("/a", "Connection: close") + asks("/b"),
    }
    assert not await refused_all({name: (sent, 400, b"400 Bad Request") for name, sent in cases.items()})


async def test_refused_requests_and_clients_that_leave_are_no_errors(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing about them on the terminal."""
    async with served({"listens": listens}) as (cluster, _):
        await talk(cluster, b"hello\r\n\r\n")
        await talk(cluster, asks(host="no.test"), END)
        await talk(cluster, asks("/listens"), 0.05, RESET)
        await talk(cluster, posts("Content-Length: 9", path="/listens", body=b"half"), 0.05, RESET)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_100_is_not_for_http_1_0() -> None:
    request = asks("/x", "Content-Length: 5", "Expect: 100-continue", method="POST", version="1.0")
    async with served() as (cluster, _):
        heard = await talk(cluster, request, 0.1, b"hello")
    assert heard.data.startswith(b"HTTP/1.1 200")


# -- what backends are sent, and what of their answers ---------------------------------------------------------------------


async def test_an_empty_chunked_body_has_a_length() -> None:
    """Some backends answer 411 to a POST with neither length nor coding."""
    async with served() as (cluster, backend):
        await talk(cluster, posts(CHUNKED, body=b"0\r\n\r\n"))
        assert b"\r\nContent-Length: 0\r\n" in backend.heard()


async def test_a_backend_of_http_1_0_gets_no_connection_header() -> None:
    async with served() as (cluster, backend):
        await talk(cluster, asks(host=OLD))
        assert b"\r\nConnection:" not in backend.heard()


async def test_requests_that_are_sent_again_when_a_kept_connection_has_ended() -> None:
    """All methods but POST, LOCK and PATCH; a body that comes in pieces is never trusted to a kept connection."""
    async with served({"once": once}) as (cluster, _):
        for method, status in (("PROPFIND", 200), ("DELETE", 200), ("OPTIONS", 200), ("LOCK", 502)):
            assert (await talk(cluster, asks("/once"))).status == 200
            assert (await talk(cluster, asks("/once", method=method))).status == status, method
        assert (await talk(cluster, asks("/once"))).status == 200
        heard = await talk(cluster, posts(CHUNKED, path="/once", method="PUT"), 0.1, HELLO)
        assert heard.status == 200


async def test_an_answer_without_length_that_is_reset_is_not_whole() -> None:
    async def resets(peer: Peer) -> bool:
        peer.writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await peer.writer.drain()
        await asyncio.sleep(0.1)
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    async with served({"resets": resets}, secure=True) as (cluster, _), spoken(cluster) as client:
        heard = await talk(cluster, asks("/resets"), quiet=0.5)
        assert (heard.status, heard.data.endswith(b"0\r\n\r\n"), heard.kept) == (200, False, False)
        stream = client.ask(*pseudo("/resets"))
        await client.hear(until=lambda: bool(client.over or client.resets))
        assert (client.statuses, client.resets, client.over) == ({stream: "200"}, {stream: 2}, set())


async def test_an_answer_that_cannot_be_passed_on() -> None:
    lines = ("X-A: o\0ne", "X-A: o\rX-B: ne")
    plays = {str(at): says(answer(line, "Content-Length: 2", body=b"ok")) for at, line in enumerate(lines)}
    async with served(plays, secure=True) as (cluster, _), spoken(cluster) as client:
        for path in plays:
            assert (await talk(cluster, asks(f"/{path}"))).status == 502
            stream = client.ask(*pseudo(f"/{path}"))
            await client.hear(until=partial(operator.contains, client.over, stream))
            assert client.statuses[stream] == "502"
        assert (client.resets, client.goaway) == ({}, None)


# -- requests of HTTP/2 ----------------------------------------------------------------------------------------------------


async def hasty(peer: Peer) -> bool:
    """Answers before it has read the body, as a 404 may."""
    peer.writer.write(answer("Content-Length: 2", body=b"no", status="404 Not Found"))
    await whole(peer)
    return True


THREE = ("content-length", "3")
HTTP2_REFUSALS: dict[str, bytes] = {
    **{
        f"method {method!r}": head(*pseudo(method=method))
        for method in ("GET /admin HTTP/1.1", "get", "G@T", "GET\t", "")
    },
    **{f"path {path!r}": head(*pseudo(path)) for path in ("/a b", "/a\tb", "/a\x01", "/a\x7f")},
    **{f"host {host!r}": head(*pseudo(host=host)) for host in ("app.test/x", "a b", "app..test", "a, b")},
    "two lengths": head(*pseudo(method="POST"), THREE, THREE, ends=False) + frame(DATA, b"abc", flags=ENDS, stream=1),
    "no body of its length": head(*pseudo(method="POST"), THREE),
    "a shorter body": head(*pseudo(method="POST"), THREE, ends=False) + frame(DATA, b"ab", flags=ENDS, stream=1),
    "a longer body": head(*pseudo(method="POST"), THREE, ends=False) + frame(DATA, b"abcd", flags=ENDS, stream=1),
    **{
        f"length {text!r}": head(*pseudo(method="POST"), ("content-length", text), ends=False)
        + frame(DATA, b"abc", flags=ENDS, stream=1)
        for text in ("+3", "3,3", "0x3", "-3", "3 ", "")
    },
}


async def test_requests_of_http_2_that_nginx_refuses() -> None:
    """400, or the stream or the connection ends; the backend hears nothing of any."""
    wrong: list[object] = []
    async with served(secure=True) as (cluster, backend):

        async def one(name: str, data: bytes) -> None:
            async with spoken(cluster) as client:
                client.raw(data)
                await client.hear(until=lambda: bool(client.over or client.resets or client.goaway is not None))
                ended = client.over or client.resets or client.goaway is not None
                if not ended or client.statuses.get(1, "400") != "400":
                    wrong.append((name, client.statuses))

        await asyncio.gather(*(one(name, data) for name, data in HTTP2_REFUSALS.items()))
        if got := backend.heard():
            wrong.append(got)
    assert not wrong


async def test_heads_of_http_2_that_are_too_large() -> None:
    """A field or a target beyond 8 KB."""
    async with served(secure=True) as (cluster, backend), spoken(cluster) as client:
        large = [
            client.ask(*pseudo("/" + "a" * 9_000)),
            client.ask(*pseudo(), ("x-a", "a" * 9_000)),
        ]
        fine = client.ask(*pseudo(), ("x-a", "a" * 8_000))
        await client.hear(until=lambda: len(client.over) == 3)
        assert client.statuses == {**dict.fromkeys(large, "400"), fine: "200"}
        assert backend.heard().count(b" HTTP/1.1\r\n") == 1


async def test_a_length_without_its_body_does_not_take_another_clients_request() -> None:
    async with served({"hasty": hasty}, secure=True) as (cluster, backend), spoken(cluster) as client:
        client.raw(head(*pseudo("/hasty", method="POST"), ("content-length", "300")))
        await client.hear(until=lambda: bool(client.over or client.resets))
        assert (client.statuses, backend.heard()) == ({1: "400"}, b"")
        assert (await talk(cluster, asks())).status == 200


async def test_methods_of_http_2_that_nginx_does_not_pass_on() -> None:
    async with served(secure=True) as (cluster, backend), spoken(cluster) as client:
        trace = client.ask(*pseudo(method="TRACE"))
        late = client.ask(*pseudo("/x", method="FOO"))
        await client.hear(until=lambda: len(client.over) == 2)
        assert client.statuses == {trace: "405", late: "200"}
        assert backend.heard().count(b" HTTP/1.1\r\n") == 1


async def test_streams_beyond_the_limit_are_refused_alone() -> None:
    async with served({"late": late}, secure=True) as (cluster, _), spoken(cluster) as client:
        for _ in range(130):
            client.ask(*pseudo("/late"))
        await client.hear(until=lambda: len(client.over) + len(client.resets) >= 130)
        assert (client.goaway, set(client.resets.values()), len(client.over)) == (None, {7}, 128)  # REFUSED_STREAM


# -- clients that are waited for -------------------------------------------------------------------------------------------


async def test_an_upload_slower_than_the_read_timeout() -> None:
    """The backend's silence counts from the end of the request."""
    async with served() as (cluster, _):
        steps: list[Step] = [posts("Content-Length: 3", host=SHORT), 0.4, b"a", 0.4, b"b", 0.4, b"c"]
        heard = await talk(cluster, *steps)
    assert (heard.status, heard.body) == (200, b"3")


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tenths of a second for what a client sends and takes next, and for what nobody reads any more of its body."""
    for module in (http1, http2_clients):
        monkeypatch.setattr(module, "BODY_SECONDS", 0.3)
        monkeypatch.setattr(module, "SEND_SECONDS", 0.3)
    monkeypatch.setitem(http1_clients.OPTIONS, "lingering_time", 0.05)


async def left(backend: Backend) -> None:
    """Every connection of the backend was ended by the other side."""
    async with asyncio.timeout(SOON_SECONDS):
        await asyncio.gather(*(each.ended.wait() for each in backend.seen))


PAGE_408 = {b"Connection: close", b"<center><h1>408 Request Time-out</h1></center>", NGINX}


async def test_a_body_that_stalls(short_waits: None) -> None:
    """408, closed, and the backend is left."""
    cases: dict[str, tuple[bytes, int]] = {  # how many connections the backend sees
        "nothing of it": (posts("Content-Length: 9", path="/listens"), 1),
        "half of it": (posts("Content-Length: 9", path="/listens", body=b"half"), 1),
        "half a chunk": (posts(CHUNKED, path="/listens", body=b"5\r\nhe"), 1),
        "no last chunk": (posts(CHUNKED, path="/listens", body=b"5\r\nhello\r\n"), 1),
        "one to be gathered": (posts(CHUNKED, path="/listens", host=OLD, body=b"5\r\nhello\r\n"), 0),
    }
    async with served({"listens": listens}) as (cluster, backend):
        heard = await asyncio.gather(*(talk(cluster, sent) for sent, _ in cases.values()))
        await left(backend)
    wrong = [
        (name, each)
        for name, each in zip(cases, heard, strict=True)
        if (each.status, each.kept) != (408, False) or not PAGE_408.issubset(each.data.split(b"\r\n"))
    ]
    assert not wrong
    assert len(backend.seen) == sum(number for _, number in cases.values())


async def test_a_body_of_http_2_that_stalls(short_waits: None) -> None:
    """408 on its stream; the backend is left and the others go on."""
    async with served({"listens": listens}, secure=True) as (cluster, backend), spoken(cluster) as client:
        stalled = client.ask(*pseudo("/listens", method="POST"), ("content-length", "9"), ends=False)
        client.raw(frame(DATA, b"half", stream=stalled))
        await client.hear(until=lambda: stalled in client.resets)
        await left(backend)
        again = client.ask(*pseudo())
        await client.hear(until=lambda: again in client.over)
        assert client.statuses == {stalled: "408", again: "200"}
        assert (client.resets, client.goaway) == ({stalled: 0}, None)  # NO_ERROR: no more is wanted


async def test_chunks_that_go_wrong_on_their_way(short_waits: None) -> None:
    """Refused and closed, at the latest when nothing more of the body has come for that long; the backend is left."""
    upload = posts(CHUNKED, path="/listens", body=b"5\r\nhello\r\n")
    async with served({"listens": listens}) as (cluster, backend):
        heard = await talk(cluster, upload, 0.1, b"zz\r\n")
        await left(backend)
    assert (heard.status in (400, 408), heard.kept, heard.data.count(b"HTTP/1.")) == (True, False, 1)


async def test_a_client_that_does_not_read_is_cut(short_waits: None) -> None:
    async with served({"endless": endless}, secure=True) as (cluster, backend):
        assert cluster.ingress is not None
        _, writer = await asyncio.open_connection("127.0.0.1", cluster.ingress.http_port, limit=1024)
        writer.write(asks("/endless"))
        while not backend.seen:
            await asyncio.sleep(0.01)
        await left(backend)
        writer.transport.abort()
        async with spoken(cluster) as client:
            stream = client.ask(*pseudo("/endless"))  # its window is 64k
            await client.hear(until=lambda: stream in client.resets)
            assert client.resets == {stream: 2}  # INTERNAL_ERROR
            await left(backend)
            again = client.ask(*pseudo("/x", method="HEAD"))
            await client.hear(until=lambda: again in client.over)
            assert client.statuses == {stream: "200", again: "200"}
        assert sum(b"/endless" in each.data for each in backend.seen) == 2


async def test_http_2_connections_without_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """They end with GOAWAY after the time of a kept connection; one with a request under way does not."""
    monkeypatch.setattr(http2, "IDLE_SECONDS", 0.6)

    async def slow(peer: Peer) -> bool:
        await asyncio.sleep(1)
        peer.writer.write(OK)
        return True

    async with served({"slow": slow}, secure=True) as (cluster, backend):

        async def one(before: bytes, statuses: dict[int, str], last: int) -> None:
            async with spoken(cluster) as client:
                client.raw(before)
                await client.hear()
                assert (client.closed, client.goaway, client.last) == (True, 0, last), before
                assert client.statuses == statuses

        await asyncio.gather(
            one(b"", {}, 0),
            one(head(*pseudo())[:-3], {}, 0),
            one(head(*pseudo()), {1: "200"}, 1),
            one(head(*pseudo("/slow")), {1: "200"}, 1),
        )
    assert sum(each.requests for each in backend.seen) == 2


async def test_streams_given_up_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of an earlier while do not count."""
    monkeypatch.setattr(http2, "RESETS_SECONDS", 0.2)
    monkeypatch.setattr(http2, "MAX_RESETS", 20)
    async with served({"listens": listens}, secure=True) as (cluster, backend), spoken(cluster) as client:
        for _ in range(2):
            for _ in range(15):
                client.reset(client.ask(*pseudo("/listens")))
            await client.hear(0.3)
            assert (client.goaway, client.closed) == (None, False)
        for _ in range(25):
            client.reset(client.ask(*pseudo("/listens")))
        await client.hear()
        assert (client.goaway, client.closed) == (11, True)  # ENHANCE_YOUR_CALM
        await left(backend)


# -- bodies that go wrong behind an answer ---------------------------------------------------------------------------------


async def begins(peer: Peer) -> bool:
    """Answers at once with a part of a body, and goes on reading."""
    peer.writer.write(answer("Content-Length: 100", body=b"begun"))
    return await listens(peer)


async def test_a_body_that_goes_wrong_when_the_answer_has_begun(short_waits: None) -> None:
    """The client is cut, and gets no second answer; the backend is left."""
    upload = posts(CHUNKED, path="/begins", body=b"5\r\nhello\r\n")
    cases: dict[str, list[Step]] = {
        "too large": [upload, READ, b"800\r\n" + bytes(2048) + b"\r\n"],
        "no chunks": [upload, READ, b"zz\r\n"],
        "stalled": [upload, READ],
    }
    async with served({"begins": begins}, secure=True, proxy_body_size="1k") as (cluster, backend):
        heard = await asyncio.gather(*(talk(cluster, *steps) for steps in cases.values()))
        async with spoken(cluster) as client:
            large, stalled = (client.ask(*pseudo("/begins", method="POST"), ends=False) for _ in range(2))
            await client.hear(until=lambda: len(client.bodies) == 2)
            client.raw(frame(DATA, bytes(2048), stream=large))
            await client.hear(until=lambda: len(client.resets) == 2)
            assert client.resets == {large: 2, stalled: 2}  # INTERNAL_ERROR
            assert (client.statuses, client.over) == ({large: "200", stalled: "200"}, set())
            assert client.heads == {large: 1, stalled: 1}
        await left(backend)
    wrong = [
        (name, each)
        for name, each in zip(cases, heard, strict=True)
        if each.kept or each.status != 200 or each.data.count(b"HTTP/1.") != 1 or not each.data.endswith(b"begun")
    ]
    assert not wrong
    assert len(backend.seen) == 5


async def test_a_body_that_is_too_large_before_the_answer_has_begun(short_waits: None) -> None:
    """413, closed, and the backend is left."""
    upload = posts(CHUNKED, path="/listens", body=b"5\r\nhello\r\n")
    async with served({"listens": listens}, secure=True, proxy_body_size="1k") as (cluster, backend):
        heard = await talk(cluster, upload, 0.05, b"800\r\n" + bytes(2048) + b"\r\n")
        assert (heard.status, heard.kept, heard.data.count(b"HTTP/1.")) == (413, False, 1)
        assert b"\r\nConnection: close\r\n" in heard.data
        async with spoken(cluster) as client:
            stream = client.ask(*pseudo("/listens", method="POST"), ends=False)
            client.raw(frame(DATA, bytes(2048), stream=stream))
            await client.hear(until=lambda: bool(client.resets))
            assert (client.statuses, client.resets) == ({stream: "413"}, {stream: 0})
        await left(backend)


# -- trailers --------------------------------------------------------------------------------------------------------------

TE = "TE: trailers"
TRAILED_HEAD = answer("Trailer: X-T", "Transfer-Encoding: chunked")
TRAILED_END = (
    b"0\r\nX-T: v\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\nHost: evil\r\nSet-Cookie: a\r\nx-u: w\r\n\r\n"
)


async def in_pieces(peer: Peer) -> bool:
    for piece in (TRAILED_HEAD, b"5\r\nhello\r\n", TRAILED_END[:9], TRAILED_END[9:]):
        peer.writer.write(piece)
        await peer.writer.drain()
        await asyncio.sleep(0.01)
    return True


TRAILING = {"pieces": in_pieces, "one": says(TRAILED_HEAD + b"5\r\nhello\r\n" + TRAILED_END), "bare": says(TRAILED_HEAD + TRAILED_END)}  # fmt: skip


async def test_trailers_for_clients_that_read_them() -> None:
    """But for those that would say something of the message itself; the backend is told that they are read."""
    async with served(TRAILING, secure=True) as (cluster, backend), spoken(cluster) as client:
        for path in TRAILING:
            body = b"" if path == "bare" else b"5\r\nhello\r\n"
            heard = await talk(cluster, asks(f"/{path}", TE))
            assert heard.kept
            assert heard.body == body + b"0\r\nX-T: v\r\nx-u: w\r\n\r\n"
            got = backend.heard()
            assert b"\r\nTE: trailers\r\n" in got
            assert b"\r\nConnection: TE\r\n" in got
            heard = await talk(cluster, asks(f"/{path}"))
            assert (heard.body, heard.kept) == (body + b"0\r\n\r\n", True)
            assert b"\r\nTE:" not in backend.heard()
            heard = await talk(cluster, asks(f"/{path}", TE, version="1.0"))
            assert (heard.body, heard.kept) == (body[3:-2], False)
            backend.heard()
            told, silent = client.ask(*pseudo(f"/{path}"), ("te", "trailers")), client.ask(*pseudo(f"/{path}"))
            await client.hear(until=partial(operator.ge, client.over, {told, silent}))
            assert client.trailers.pop(told) == {"x-t": "v", "x-u": "w"}
            assert client.trailers == {}
            assert client.bodies.get(told, b"") == client.bodies.get(silent, b"") == body[3:-2]
            assert backend.heard().count(b"\r\nTE: trailers\r\n") == 1


async def test_trailers_that_are_none_cut_the_client() -> None:
    """As any other end of the chunks that is none."""
    bad = (b"X-T v\r\n", b"X-T : v\r\n", b": v\r\n", b"X-T: a\0b\r\n", b"X-T: a\rX-U: b\r\n")
    plays = {str(at): says(TRAILED_HEAD + b"5\r\nhello\r\n", b"0\r\n" + line + b"\r\n") for at, line in enumerate(bad)}
    async with served(plays) as (cluster, _):
        heard = await asyncio.gather(*(talk(cluster, asks(f"/{path}", TE)) for path in plays))
    assert [(each.kept, each.data.endswith(b"0\r\n\r\n"), b"X-T" in each.body) for each in heard] == [(False,) * 3] * 5


# -- the end ---------------------------------------------------------------------------------------------------------------


async def test_stopping_with_requests_that_never_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are cut when the time to drain is over, once; their backends are left."""
    drain_seconds = 1.0
    monkeypatch.setattr(controller, "DRAIN_SECONDS", drain_seconds)
    stuck = (
        asks("/listens"),
        posts("Content-Length: 9", path="/listens", body=b"half"),
        asks("/echoes", UPGRADE),
        asks("/endless"),
    )
    async with contextlib.AsyncExitStack() as stack:
        plays: dict[str, Play] = {"listens": listens, "echoes": echoes, "endless": endless}
        cluster, backend = await stack.enter_async_context(served(plays, secure=True))
        assert cluster.ingress is not None
        writers = []
        for request in stuck:
            _, writer = await asyncio.open_connection("127.0.0.1", cluster.ingress.http_port, limit=1024)
            writer.write(request)
            writers.append(writer)
        client = await stack.enter_async_context(spoken(cluster))
        client.ask(*pseudo("/listens"))
        client.ask(*pseudo("/listens", method="POST"), ends=False)
        await client.hear(0.1)
        while len(backend.seen) < 6:
            await asyncio.sleep(0.01)
        heard = asyncio.create_task(client.hear())
        began = time.monotonic()
        await cluster.__aexit__(None, None, None)
        took = time.monotonic() - began
        await left(backend)
        await heard
        for writer in writers:
            writer.transport.abort()
        assert client.closed
        assert took < 1.8 * drain_seconds
        stack.pop_all()
        await backend.stop()
