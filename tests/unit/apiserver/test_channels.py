"""Channel messages, subprotocols, sizes of terminals, and how ends are told."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.apiserver import channels
from emulator.apiserver.channels import (
    COMMAND_PROTOCOLS,
    OLD,
    UNNAMED,
    V4,
    V4_BASE64,
    V5,
    ChannelError,
    Resizes,
    Subprotocol,
    chosen,
)

EVERY = (*COMMAND_PROTOCOLS, UNNAMED)


@pytest.mark.parametrize(
    ("offered", "wanted"),
    [
        (["v5.channel.k8s.io"], V5),
        (["v5.channel.k8s.io", "v4.channel.k8s.io"], V5),
        (["v9.channel.k8s.io", "v4.base64.channel.k8s.io"], V4_BASE64),
        (["channel.k8s.io"], OLD),
        ([], UNNAMED),
        ([""], UNNAMED),
        (["chat"], None),
    ],
)
def test_the_first_known_subprotocol_is_taken(offered: list[str], wanted: Subprotocol | None) -> None:
    assert chosen(offered, COMMAND_PROTOCOLS) is wanted


def test_messages() -> None:
    assert V5.encode(1, b"out") == b"\x01out"
    assert V4_BASE64.encode(1, b"out") == "1b3V0"
    assert V4.decode(b"\x00in") == (0, b"in")
    assert V4.decode("\x00in") == (0, b"in")
    assert V4.decode("\x00é") == (0, "é".encode())
    assert V4_BASE64.decode("0aW4=") == (0, b"in")
    assert V5.decode(b"\xff\x00") == (channels.CLOSE, b"\x00")
    assert V5.decode(b"\x00") == (0, b"")


@pytest.mark.parametrize(
    ("protocol", "message"),
    [(V4, b""), (V4, b"\xff\x00"), (V5, b"\xff"), (V5, b"\xff\x00\x01"), (V4_BASE64, "xaW4="), (V4_BASE64, "0 no ")],
)
def test_messages_that_mean_nothing(protocol: Subprotocol, message: bytes | str) -> None:
    with pytest.raises(ChannelError):
        protocol.decode(message)


@given(st.sampled_from(EVERY), st.integers(0, 9), st.binary(max_size=100))
def test_messages_round_trip(protocol: Subprotocol, channel: int, data: bytes) -> None:
    assert protocol.decode(protocol.encode(channel, data)) == (channel, data)


@given(st.sampled_from(EVERY), st.one_of(st.binary(max_size=100), st.text(max_size=100)))
def test_messages_at_random_raise_nothing_else(protocol: Subprotocol, message: bytes | str) -> None:
    with contextlib.suppress(ChannelError):
        protocol.decode(message)


@pytest.mark.parametrize("step", [1, 5, 1000])
def test_sizes_of_a_terminal_cut_anywhere(step: int) -> None:
    raw = b'{"Width":80,"Height":24}\n{"Width":0,"Height":0}{"Width":100,"Height":40}\n'
    resizes = Resizes()
    found = [size for at in range(0, len(raw), step) for size in resizes.receive(raw[at : at + step])]
    assert found == [(80, 24), (100, 40)]


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_sizes_at_random_raise_nothing_else(pieces: list[bytes]) -> None:
    resizes = Resizes()
    try:
        for piece in pieces:
            list(resizes.receive(piece))
    except ChannelError:
        pass


def test_sizes_without_end_are_refused() -> None:
    resizes = Resizes()
    with pytest.raises(ChannelError):
        list(resizes.receive(b'{"Width":' + b" " * 5000))


def test_how_a_command_ended() -> None:
    assert channels.end_text(channels.exit_status(0), 5) == b'{"metadata":{},"status":"Success"}'
    assert channels.end_text(channels.exit_status(0), 1) == b""
    status = json.loads(channels.end_text(channels.exit_status(7), 4))
    assert (status["reason"], status["details"]) == (
        "NonZeroExitCode",
        {"causes": [{"reason": "ExitCode", "message": "7"}]},
    )
    assert channels.end_text(channels.exit_status(7), 3) == b"command terminated with exit code 7"


def test_greeting_of_a_port() -> None:
    assert channels.port_greeting(8080) == b"\x90\x1f"
