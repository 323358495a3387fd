"""Bodies of requests: what the URL may leave out, what it may not contradict, and older forms that are still taken."""

from __future__ import annotations

import json

import pytest

from emulator.api.errors import ApiError, BadRequest
from emulator.api.kinds import POD, SERVICE, Kind
from emulator.apiserver.bodies import decode_delete_options, decode_object, summary
from emulator.apiserver.negotiation import JSON, YAML

UNRECOGNIZED = "the object provided is unrecognized (must be of type Service): "
EVICTION = Kind("policy", "v1", "Eviction", "evictions")


def decoded(kind: Kind, body: object) -> object:
    return decode_object(kind, "application/json", json.dumps(body).encode()).object


def test_the_url_says_what_the_body_leaves_out() -> None:
    assert decoded(POD, {"metadata": {"name": "a"}}) == {"metadata": {"name": "a"}}


def test_an_eviction_of_old_clients_is_one_of_today() -> None:
    sent = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "a"}}
    assert decoded(EVICTION, sent) == {**sent, "apiVersion": "policy/v1"}


@pytest.mark.parametrize(
    ("kind", "api_version", "sent", "wanted"),
    [
        (POD, "policy/v1beta1", "Eviction", 'no kind "Eviction" is registered for version "policy/v1beta1"'),
        (POD, "v1", "Service", 'Service in version "v1" cannot be handled as a Pod: converting (v1.Service) to'),
        (SERVICE, "v2", "Service", 'no kind "Service" is registered for version "v2"'),
    ],
)
def test_another_kind_is_refused(kind: Kind, api_version: str, sent: str, wanted: str) -> None:
    with pytest.raises(BadRequest) as refused:
        decoded(kind, {"apiVersion": api_version, "kind": sent})
    assert wanted in refused.value.message


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"),
        (
            b"kind: Service",
            (
                "couldn't get version/kind; json parse error: invalid character 'k' looking for beginning of value "
                "(6b696e643a2053657276696365)"
            ),
        ),
        (
            b'{"kind": x}',
            (
                "couldn't get version/kind; json parse error: invalid character 'x' looking for beginning of value "
                '({"kind": x})'
            ),
        ),
    ],
)
def test_json_is_not_yaml_and_nothing_is_no_object(raw: bytes, why: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_object(SERVICE, JSON, raw)
    assert caught.value.message == UNRECOGNIZED + why


def test_yaml_may_be_yaml_or_json() -> None:
    for raw in (b"kind: Service\nmetadata: {name: a}", b'{"kind": "Service", "metadata": {"name": "a"}}'):
        assert decode_object(SERVICE, YAML, raw).object == {"kind": "Service", "metadata": {"name": "a"}}
    assert decode_object(SERVICE, YAML, b"").object == {}


def test_delete_options_that_cannot_be_read_are_the_servers_own_error() -> None:
    with pytest.raises(ApiError) as caught:
        decode_delete_options(JSON, b"{bad")
    assert (caught.value.code, caught.value.reason) == (500, "")
    assert caught.value.message.startswith("couldn't get version/kind; json parse error: invalid character 'b'")


def test_a_long_body_is_shown_by_its_beginning() -> None:
    assert summary(b"{" + b"x" * 40) == "{" + "x" * 29 + " ..."
