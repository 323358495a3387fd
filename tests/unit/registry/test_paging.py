"""Continue tokens."""

from __future__ import annotations

import base64

import pytest

from emulator.api.errors import BadRequest
from emulator.registry.paging import ContinueExpired, decode_token, encode_token


def token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_a_token_leads_behind_the_last_key() -> None:
    start, revision = decode_token(encode_token("n/c2", "n/", 7), "n/")
    assert ("n/c2" < start < "n/c20", revision) == (True, 7)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("garbage", r"invalid character '\u0081' looking for beginning of value"),
        ("!", "illegal base64 data at input byte 0"),
        ("ab!d", "illegal base64 data at input byte 2"),
        ("abcde", "illegal base64 data at input byte 5"),
        (token('{"v":"v2","rv":1,"start":"a"}'), 'server does not recognize this encoded version "v2"'),
        (
            token('{"v":"meta.k8s.io/v1","rv":0,"start":"a"}'),
            "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
        ),
        (token('{"v":"meta.k8s.io/v1","rv":1}'), "encoded start key empty (version meta.k8s.io/v1)"),
        (token("[]"), "json: cannot unmarshal array into Go value of type storage.continueToken"),
        (token("{"), "unexpected end of JSON input"),
    ],
)
def test_what_is_no_token(text: str, why: str) -> None:
    with pytest.raises(BadRequest) as raised:
        decode_token(text, "")
    assert raised.value.message == f"invalid continue token: continue key is not valid: {why}"


@pytest.mark.parametrize("start", ["/etc", "../x", "a/../b"])
def test_a_token_cannot_leave_its_list(start: str) -> None:
    with pytest.raises(BadRequest):
        decode_token(token('{"v":"meta.k8s.io/v1","rv":1,"start":"' + start + '"}'), "n/")


def test_an_expired_token_comes_back_with_one_that_goes_on() -> None:
    status = ContinueExpired("next").status()
    assert (status["code"], status["reason"], status["metadata"]) == (410, "Expired", {"continue": "next"})
