"""SPDY frames, fed whole, byte by byte, and as nonsense."""

from __future__ import annotations

import contextlib
import hashlib
import struct
import zlib
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.apiserver import spdy
from emulator.apiserver.spdy import Connection, Data, Event, GoneAway, Opened, Pinged, ProtocolError, Reset

# What kubectl 1.32 sends for the error stream of a port-forward, but for its port and request.
HEADERS = {"streamtype": "error", "port": "80", "requestid": "0"}


class Client:
    """The other side: makes what a client sends."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=spdy.DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=spdy.DICTIONARY)

    def block(self, headers: dict[str, str]) -> bytes:
        texts = [part.encode() for item in headers.items() for part in item]
        plain = struct.pack(">I", len(headers)) + b"".join(struct.pack(">I", len(text)) + text for text in texts)
        return self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def open(self, stream: int, headers: dict[str, str], *, fin: bool = False) -> bytes:
        return frame(spdy.SYN_STREAM, struct.pack(">IIBB", stream, 0, 0, 0) + self.block(headers), flags=int(fin))

    def read_reply(self, raw: bytes) -> tuple[int, bytes]:
        """The stream of a SYN_REPLY and its header block, plain."""
        assert raw[:4] == bytes.fromhex("80030002")
        assert int.from_bytes(raw[5:8], "big") == len(raw) - 8
        return int.from_bytes(raw[8:12], "big"), self._inflate.decompress(raw[12:])


def frame(type: int, payload: bytes, *, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8003, type, flags << 24 | len(payload)) + payload


def data(stream: int, text: bytes, *, fin: bool = False) -> bytes:
    return struct.pack(">II", stream, int(fin) << 24 | len(text)) + text


def joined(events: Sequence[Event]) -> list[Event]:
    """Pieces of data put together again."""
    found: list[Event] = []
    for event in events:
        last = found[-1] if found else None
        if isinstance(event, Data) and isinstance(last, Data) and last.stream == event.stream and not last.fin:
            found[-1] = Data(event.stream, last.data + event.data, event.fin)
        else:
            found.append(event)
    return found


def test_dictionary_is_the_drafts() -> None:
    assert len(spdy.DICTIONARY) == 1423
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2
    assert hashlib.sha256(spdy.DICTIONARY).hexdigest().startswith("51d27341")


DIALOGUE: list[tuple[Callable[[Client], bytes], Event | None]] = [
    (lambda client: client.open(1, HEADERS), Opened(1, HEADERS, False)),
    (lambda client: data(1, b"", fin=True), Data(1, b"", True)),
    (
        lambda client: client.open(3, {**HEADERS, "streamtype": "data"}),
        Opened(3, {**HEADERS, "streamtype": "data"}, False),
    ),
    (lambda client: data(3, b"x" * 1000), Data(3, b"x" * 1000, False)),
    (lambda client: frame(spdy.PING, struct.pack(">I", 1)), Pinged(1)),
    (lambda client: frame(spdy.SETTINGS, bytes(4)), None),
    (lambda client: frame(spdy.WINDOW_UPDATE, bytes(8)), None),
    (lambda client: frame(spdy.HEADERS, struct.pack(">I", 3) + client.block({"a": "b"})), None),
    (lambda client: client.open(5, {"streamtype": "stdin"}, fin=True), Opened(5, {"streamtype": "stdin"}, True)),
    (lambda client: frame(spdy.RST_STREAM, struct.pack(">II", 3, spdy.CANCEL)), Reset(3, spdy.CANCEL)),
    (lambda client: frame(spdy.GOAWAY, bytes(8)), GoneAway()),
]


@pytest.mark.parametrize("step", [1, 2, 7, 100_000])
def test_a_dialogue_cut_anywhere(step: int) -> None:
    client, server = Client(), Connection()
    raw = b"".join(make(client) for make, _ in DIALOGUE)
    events = [event for at in range(0, len(raw), step) for event in server.receive(raw[at : at + step])]
    assert joined(events) == [event for _, event in DIALOGUE if event is not None]


def test_replies_share_one_compression() -> None:
    client, server = Client(), Connection()
    assert client.read_reply(server.reply(1)) == (1, bytes(4))
    stream, block = client.read_reply(server.reply(3, {"A": "b"}))
    assert (stream, block) == (3, bytes.fromhex("00000001 00000001 61 00000001 62"))


def test_what_is_sent() -> None:
    server = Connection()
    assert server.data(3, b"abc") == bytes.fromhex("00000003 00000003") + b"abc"
    assert server.data(3, b"", fin=True) == bytes.fromhex("00000003 01000000")
    assert server.reset(3, spdy.CANCEL) == bytes.fromhex("80030003 00000008 00000003 00000005")
    assert server.ping(7) == bytes.fromhex("80030006 00000004 00000007")
    assert server.go_away() == bytes.fromhex("80030007 00000008 00000000 00000000")


@pytest.mark.parametrize(
    "raw",
    [
        bytes.fromhex("80020001 00000000"),  # SPDY/2
        bytes.fromhex("80030001 00ffffff"),  # a control frame of 16 MB
        frame(spdy.SYN_STREAM, bytes(3)),
        frame(spdy.SYN_STREAM, struct.pack(">IIBB", 1, 0, 0, 0) + b"no zlib"),
        frame(spdy.RST_STREAM, bytes(3)),
        frame(spdy.PING, bytes(5)),
        frame(99, b""),
        Client().open(2, HEADERS),
    ],
)
def test_nonsense_is_refused_for_good(raw: bytes) -> None:
    server = Connection()
    with pytest.raises(ProtocolError):
        server.receive(raw)
    with pytest.raises(ProtocolError):
        server.receive(frame(spdy.PING, bytes(4)))


def test_streams_are_opened_in_order() -> None:
    client, server = Client(), Connection()
    server.receive(client.open(5, HEADERS))
    with pytest.raises(ProtocolError):
        server.receive(client.open(3, HEADERS))


def test_a_header_block_does_not_explode() -> None:
    client, server = Client(), Connection()
    with pytest.raises(ProtocolError, match="more than"):
        server.receive(client.open(1, {"a": "x" * 10_000_000}))


@given(st.binary(max_size=300))
def test_bytes_at_random_raise_nothing_else(raw: bytes) -> None:
    server = Connection()
    try:
        server.receive(raw)
    except ProtocolError:
        return
    assert len(server._buffer) <= len(raw)


@given(st.data())
def test_a_dialogue_with_one_byte_wrong_raises_nothing_else(given_data: st.DataObject) -> None:
    client, server = Client(), Connection()
    raw = bytearray(b"".join(make(client) for make, _ in DIALOGUE))
    raw[given_data.draw(st.integers(0, len(raw) - 1))] ^= given_data.draw(st.integers(1, 255))
    with contextlib.suppress(ProtocolError):
        server.receive(bytes(raw))


@given(
    st.lists(st.tuples(st.dictionaries(st.text("abc-", min_size=1), st.text()), st.binary(max_size=200)), max_size=8),
    st.integers(1, 50),
)
def test_streams_round_trip(streams: list[tuple[dict[str, str], bytes]], step: int) -> None:
    client, server = Client(), Connection()
    raw, wanted = b"", list[Event]()
    for number, (headers, text) in enumerate(streams):
        id = 2 * number + 1
        raw += client.open(id, headers) + data(id, text, fin=True)
        wanted += [Opened(id, headers, False), Data(id, text, True)]
    events = [event for at in range(0, len(raw), step) for event in server.receive(raw[at : at + step])]
    assert joined(events) == wanted
