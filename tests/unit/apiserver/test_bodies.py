"""Bodies of requests: what the URL may leave out, what it may not contradict, and older forms that are still taken."""

from __future__ import annotations

import json

import pytest

from emulator.api.errors import BadRequest
from emulator.api.kinds import POD, SERVICE, Kind
from emulator.apiserver.bodies import decode_object

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
