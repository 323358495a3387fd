"""Streams of a SPDY connection: what they hold is bounded, and each ends with its client."""

from __future__ import annotations

import asyncio

import pytest

from emulator.apiserver import spdy
from emulator.apiserver.io.spdysession import MAX_STREAMS, MAX_UNREAD_BYTES, SpdySession, SpdyStream, StreamReset
from tests.unit.apiserver.test_spdy import HEADERS, Client, data, frame


class Pipe:
    """A tunnel whose client is the test."""

    def __init__(self) -> None:
        self.reads = 0
        self.sent = b""
        self._incoming: asyncio.Queue[bytes] = asyncio.Queue()

    @property
    def response(self) -> None:
        return None

    def give(self, raw: bytes) -> None:
        self._incoming.put_nowait(raw)

    async def read(self) -> bytes:
        self.reads += 1
        return await self._incoming.get()

    async def write(self, raw: bytes) -> None:
        self.sent += raw

    async def close(self) -> None:
        self.give(b"")


class Session:
    """A session under test, and the streams its client opened."""

    def __init__(self) -> None:
        self.pipe = Pipe()
        self.session = SpdySession(self.pipe)  # type: ignore[arg-type]  # it has no HTTP response
        self.streams: list[SpdyStream] = []

    def opened(self, stream: SpdyStream) -> bool:
        self.streams.append(stream)
        return stream.headers["streamtype"] != "refused"

    async def read(self) -> None:
        async with asyncio.timeout(10):
            await self.session.read_all(self.opened)


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_data_and_ends_reach_the_stream() -> None:
    client, under = Client(), Session()
    for raw in (client.open(1, HEADERS), data(1, b"one"), data(1, b"two", fin=True), b""):
        under.pipe.give(raw)
    await under.read()
    (stream,) = under.streams
    assert client.read_reply(under.pipe.sent)[0] == 1
    with pytest.raises(StreamReset):  # the client left before anybody read
        await stream.read()


async def test_a_stream_is_read_to_its_end_and_answered() -> None:
    client, under = Client(), Session()
    under.pipe.give(client.open(1, HEADERS) + data(1, b"one") + data(1, b"two", fin=True))
    async with asyncio.TaskGroup() as group:
        group.create_task(under.read())
        await turns()
        (stream,) = under.streams
        assert await stream.read() == b"onetwo"
        assert await stream.read() == b""
        under.pipe.sent = b""
        await stream.write(b"answer")
        await stream.finish()
        await stream.finish()
        assert under.pipe.sent == data(1, b"answer") + data(1, b"", fin=True)
        assert not under.session.streams
        with pytest.raises(StreamReset):
            await stream.write(b"more")
        under.pipe.give(b"")


async def test_a_tunnel_is_not_read_while_streams_hold_too_much() -> None:
    client, under = Client(), Session()
    piece = b"x" * (1024 * 1024)
    under.pipe.give(client.open(1, HEADERS))
    for _ in range(100):
        under.pipe.give(data(1, piece))
    async with asyncio.TaskGroup() as group:
        group.create_task(under.read())
        await turns(300)
        held = under.pipe.reads
        assert held * len(piece) <= MAX_UNREAD_BYTES + 2 * len(piece)
        size = 0
        while size < 100 * len(piece):
            size += len(await under.streams[0].read())
        under.pipe.give(b"")
    assert under.pipe.reads > held


async def test_a_stream_that_is_reset_frees_what_it_held() -> None:
    client, under = Client(), Session()
    under.pipe.give(client.open(1, HEADERS))
    for _ in range(10):
        under.pipe.give(data(1, b"x" * (1024 * 1024)))
    async with asyncio.TaskGroup() as group:
        group.create_task(under.read())
        await turns(100)
        await under.streams[0].reset()
        await turns(100)
        under.pipe.give(frame(spdy.PING, b"\0\0\0\7"))
        under.pipe.give(b"")
    assert under.pipe.sent.endswith(frame(spdy.PING, b"\0\0\0\7"))


async def test_refused_streams_and_too_many() -> None:
    client, under = Client(), Session()
    under.pipe.give(client.open(1, {**HEADERS, "streamtype": "refused"}))
    for number in range(MAX_STREAMS + 1):
        under.pipe.give(client.open(2 * number + 3, HEADERS))
    under.pipe.give(b"")
    await under.read()
    assert under.pipe.sent.startswith(frame(spdy.RST_STREAM, bytes.fromhex("00000001 00000003")))
    refused = (2 * MAX_STREAMS + 3).to_bytes(4, "big") + spdy.REFUSED_STREAM.to_bytes(4, "big")
    assert under.pipe.sent.endswith(frame(spdy.RST_STREAM, refused))
    assert len(under.streams) == MAX_STREAMS + 1
