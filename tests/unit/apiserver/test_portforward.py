"""Streams of a port-forward, joined to connections."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.apiserver.portforward import PAIR_SECONDS, Pair, Pairs, Rejected, failure_text


def headers(type: str, port: str = "80", request: str = "0") -> dict[str, str]:
    return {"streamtype": type, "port": port, **({"requestid": request} if request else {})}


def test_two_streams_of_one_request_are_a_connection() -> None:
    pairs = Pairs()
    assert pairs.opened(1, headers("error"), 0.0) is None
    assert pairs.opened(3, headers("error", request="1"), 0.0) is None
    assert pairs.opened(5, headers("data", request="1"), 0.0) == Pair("1", 80, 5, 3)
    assert pairs.opened(7, headers("data"), 0.0) == Pair("0", 80, 7, 1)


def test_clients_of_old_name_no_request() -> None:
    pairs = Pairs()
    assert pairs.opened(1, headers("error", request=""), 0.0) is None
    assert pairs.opened(3, headers("data", request=""), 0.0) == Pair("1", 80, 3, 1)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ({"streamtype": "data"}, '"port" header is required'),
        (headers("data", "http"), 'unable to parse "http" as a port'),
        (headers("data", "0"), 'unable to parse "0" as a port'),
        (headers("data", "65536"), 'unable to parse "65536" as a port'),
        (headers(""), '"streamType" header is required'),
        (headers("stdin"), 'invalid stream type "stdin"'),
    ],
)
def test_streams_that_are_refused(sent: dict[str, str], why: str) -> None:
    with pytest.raises(Rejected, match=why):
        Pairs().opened(1, sent, 0.0)


def test_a_stream_that_comes_twice_is_refused() -> None:
    pairs = Pairs()
    pairs.opened(1, headers("error"), 0.0)
    with pytest.raises(Rejected, match="already assigned"):
        pairs.opened(3, headers("error"), 0.0)


def test_streams_without_a_partner_are_given_up() -> None:
    pairs = Pairs()
    pairs.opened(1, headers("error"), 100.0)
    pairs.opened(3, headers("error", request="1"), 110.0)
    assert pairs.overdue(100.0 + PAIR_SECONDS) == [1]
    assert pairs.overdue(100.0 + PAIR_SECONDS) == []
    assert pairs.opened(5, headers("data", request="1"), 135.0) == Pair("1", 80, 5, 3)


def test_how_a_failure_is_told() -> None:
    assert failure_text(81, "web", "u1", "no") == "error forwarding port 81 to pod web, uid u1: no"


@given(
    st.lists(st.dictionaries(st.sampled_from(["port", "streamtype", "requestid"]), st.text(max_size=6)), max_size=20)
)
def test_headers_at_random_raise_nothing_else(streams: list[dict[str, str]]) -> None:
    pairs = Pairs()
    for number, sent in enumerate(streams):
        with contextlib.suppress(Rejected):
            pairs.opened(2 * number + 1, sent, 0.0)
