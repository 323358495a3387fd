"""What is remembered of auth servers, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.ingress.authcache import Answer, AuthCache, kept_seconds
from emulator.ingress.model import ExternalAuth, Proxy, Route
from emulator.ingress.values import cache_durations
from tests.unit.ingress.world import decide, ingress, request, router, rule

AUTH = ExternalAuth("http://a/", cache_key="$cookie_user")
KEPT: list[tuple[dict[str, str], tuple[str, ...], int, float]] = [
    ({}, (), 200, 300.0),
    ({}, (), 401, 300.0),
    ({}, (), 403, 0.0),
    ({}, ("a=b",), 200, 0.0),
    ({"cache-control": "no-store"}, (), 200, 0.0),
    ({"cache-control": "Private, max-age=9"}, (), 200, 0.0),
    ({"cache-control": "public, max-age=9"}, (), 403, 9.0),
    ({"cache-control": "max-age=0"}, (), 200, 0.0),
]


@pytest.mark.parametrize(("headers", "cookies", "status", "seconds"), KEPT)
def test_for_how_long(headers: dict[str, str], cookies: tuple[str, ...], status: int, seconds: float) -> None:
    assert kept_seconds(AUTH, Answer(status, headers, cookies)) == seconds


DURATIONS: list[tuple[str, Any]] = [
    ("200 202 401 5m", ((200, 300.0), (202, 300.0), (401, 300.0))),
    ("200 1h 30m, 401 10s", ((200, 5400.0), (401, 10.0))),
    ("500ms", ((200, 0.5), (301, 0.5), (302, 0.5))),
    ("200", None),
    ("5m 200", None),
    ("200 5", None),
    (",", None),
]


@pytest.mark.parametrize(("text", "wanted"), DURATIONS)
def test_durations(text: str, wanted: Any) -> None:
    if wanted is not None:
        assert cache_durations(text) == wanted
        return
    with pytest.raises(ValueError, match="must be codes with a time"):
        cache_durations(text)


def route() -> Route:
    decision = decide(router(ingress(rule(host="web.example.com"))))
    assert isinstance(decision, Proxy)
    return decision.route


def test_an_answer_counts_for_its_key_until_its_time_is_over() -> None:
    cache, here, answer = AuthCache(), route(), Answer(200, {})
    ann, bob = request(cookie="user=ann"), request(cookie="user=bob")
    assert cache.find(AUTH, here, ann, 0.0) is None
    cache.keep(AUTH, here, ann, answer, 0.0)
    assert cache.find(AUTH, here, ann, 299.0) == answer
    assert cache.find(AUTH, here, bob, 299.0) is None
    assert cache.find(AUTH, here, ann, 300.0) is None


def test_nothing_is_kept_without_a_key_or_of_other_methods() -> None:
    cache, here, answer = AuthCache(), route(), Answer(200, {})
    for auth in (ExternalAuth("http://a/"), ExternalAuth("http://a/", method="POST", cache_key="x")):
        cache.keep(auth, here, request(), answer, 0.0)
        assert cache.find(auth, here, request(), 0.0) is None


def test_answers_are_bounded() -> None:
    cache, here = AuthCache(max_answers=2), route()
    for name in "abc":
        cache.keep(AUTH, here, request(cookie=f"user={name}"), Answer(200, {}), 0.0)
    assert cache.find(AUTH, here, request(cookie="user=a"), 0.0) is None
    assert cache.find(AUTH, here, request(cookie="user=c"), 0.0) is not None
