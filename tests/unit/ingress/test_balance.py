"""Which endpoint takes a request, and the cookie that keeps a client there."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from emulator.ingress.balance import Balancer, Choice, cookie_time
from emulator.ingress.model import Proxy
from emulator.routing.servicemap import Endpoint
from tests.unit.ingress.world import decide, ingress, last, request, router, rule

THREE = tuple(Endpoint(f"10.1.0.{number}", 8080) for number in (1, 2, 3))
FOUR = (*THREE, Endpoint("10.1.0.4", 8080))


def proxy(path: str = "/", **annotations: Any) -> Proxy:
    decision = decide(router(ingress(rule(path, host="web.example.com"), **annotations)), path)
    assert isinstance(decision, Proxy)
    return decision


def counting() -> Any:
    numbers = itertools.count(12345)
    return lambda limit: next(numbers) * 7919 % limit


def cookie_of(choice: Choice | None) -> str:
    assert choice is not None
    return choice.set_cookie.partition(";")[0]


def test_endpoints_take_turns() -> None:
    balancer, made = Balancer(), proxy()
    chosen = [balancer.choose(made, request(), THREE, last) for _ in range(6)]
    assert Counter(choice.endpoint for choice in chosen if choice) == dict.fromkeys(THREE, 2)
    assert all(choice and not choice.set_cookie for choice in chosen)


def test_a_failed_endpoint_is_left_out() -> None:
    balancer, made = Balancer(), proxy()
    first = balancer.choose(made, request(), THREE, last)
    assert first
    second = balancer.choose(made, request(), THREE, last, failed=[first.endpoint])
    assert second
    assert second.endpoint != first.endpoint
    assert balancer.choose(made, request(), THREE, last, failed=THREE) is None
    assert balancer.choose(made, request(), (), last) is None


def test_turns_are_bounded() -> None:
    balancer = Balancer(max_backends=1)
    for service in "ab":
        made = decide(router(ingress(rule(service=service, host="web.example.com"))))
        assert isinstance(made, Proxy)
        balancer.choose(made, request(), THREE, last)
    assert len(balancer._turns) == 1


def test_a_hash_keeps_what_is_alike_together() -> None:
    balancer, made = Balancer(), proxy(upstream_hash_by="$request_uri")
    keys = [f"/{number}" for number in range(200)]
    before = {key: balancer.choose(made, request(key), THREE, last) for key in keys}
    assert before == {key: balancer.choose(made, request(key), THREE, last) for key in keys}
    assert len({choice.endpoint for choice in before.values() if choice}) == 3
    after = {key: balancer.choose(made, request(key), FOUR, last) for key in keys}
    moved = [after[key] for key in keys if after[key] != before[key]]
    assert moved
    assert {choice.endpoint for choice in moved if choice} == {FOUR[3]}, "only the newcomer takes any"


def test_a_cookie_keeps_a_client_at_its_endpoint() -> None:
    balancer, rng = Balancer(), counting()
    for mode in ("balanced", "persistent"):
        made = proxy(affinity="cookie", affinity_mode=mode, session_cookie_name="route")
        first = balancer.choose(made, request(), THREE, rng)
        assert first
        assert first.set_cookie.startswith("route=")
        assert first.set_cookie.endswith("; Path=/; HttpOnly")
        for _ in range(5):
            again = balancer.choose(made, request(cookie=f"a=b; {cookie_of(first)}"), THREE, rng)
            assert again == Choice(first.endpoint)


def test_a_cookie_of_an_endpoint_that_is_gone_is_given_anew() -> None:
    balancer, rng = Balancer(), counting()
    made = proxy(affinity="cookie", affinity_mode="persistent")
    first = balancer.choose(made, request(), THREE, rng)
    assert first
    left = tuple(endpoint for endpoint in THREE if endpoint != first.endpoint)
    second = balancer.choose(made, request(cookie=cookie_of(first)), left, rng)
    assert second
    assert second.endpoint in left
    assert second.set_cookie.startswith("INGRESSCOOKIE=")


def test_a_cookie_changes_on_failure_when_asked_to() -> None:
    rng = counting()
    for change, wanted in (("true", True), ("false", False)):
        made = proxy(affinity="cookie", session_cookie_change_on_failure=change)
        balancer = Balancer()
        first = balancer.choose(made, request(), THREE, rng)
        assert first
        retry = balancer.choose(made, request(cookie=cookie_of(first)), THREE, rng, failed=[first.endpoint])
        assert retry
        assert bool(retry.set_cookie) is wanted


OLD_CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/51.0.2704.103 Safari/537.36"
COOKIES: list[tuple[dict[str, str], dict[str, str], str]] = [
    ({}, {}, "Path=/shop; HttpOnly"),
    ({}, {"scheme": "https"}, "Path=/shop; Secure; HttpOnly"),
    ({"secure": "true"}, {}, "Path=/shop; Secure; HttpOnly"),
    ({"path": "/", "domain": "example.com"}, {}, "Domain=example.com; Path=/; HttpOnly"),
    ({"max_age": "10"}, {}, "Max-Age=10; Path=/shop; HttpOnly"),
    ({"expires": "10"}, {}, "Expires=Thu, 01-Jan-26 00:00:10 GMT; Path=/shop; HttpOnly"),
    ({"expires": "-1"}, {}, "Expires=Wed, 31-Dec-25 23:59:59 GMT; Path=/shop; HttpOnly"),
    ({"expires": "10", "max_age": "9"}, {}, "Expires=Thu, 01-Jan-26 00:00:10 GMT; Max-Age=9; Path=/shop; HttpOnly"),
    ({"samesite": "None"}, {"user_agent": OLD_CHROME}, "Path=/shop; HttpOnly; SameSite=None"),
    ({"samesite": "None", "conditional_samesite_none": "true"}, {"user_agent": OLD_CHROME}, "Path=/shop; HttpOnly"),
    ({"samesite": "None", "conditional_samesite_none": "true"}, {}, "Path=/shop; HttpOnly; SameSite=None"),
    (
        {"samesite": "Lax", "conditional_samesite_none": "true"},
        {"user_agent": OLD_CHROME},
        "Path=/shop; HttpOnly; SameSite=Lax",
    ),
]


@pytest.mark.parametrize(("annotations", "sent", "wanted"), COOKIES)
def test_what_the_cookie_says(annotations: dict[str, str], sent: dict[str, str], wanted: str) -> None:
    given: dict[str, Any] = {f"session_cookie_{name}": value for name, value in annotations.items()}
    made = proxy("/shop", affinity="cookie", **given)
    balancer = Balancer(at=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    choice = balancer.choose(made, request("/shop", **sent), THREE, last)
    assert choice
    assert choice.set_cookie.partition("; ")[2] == wanted


def test_years_that_two_digits_do_not_tell() -> None:
    assert cookie_time(datetime(2038, 1, 2, 3, 4, 5, tzinfo=UTC)) == "Sat, 02-Jan-2038 03:04:05 GMT"


def test_a_subset_of_endpoints_takes_what_is_alike() -> None:
    balancer, rng = Balancer(), counting()
    made = proxy(upstream_hash_by="$request_uri", upstream_hash_by_subset="true", upstream_hash_by_subset_size="2")
    five = (*FOUR, Endpoint("10.1.0.5", 8080))
    subsets = set()
    for number in range(50):
        chosen = {balancer.choose(made, request(f"/{number}"), five, rng) for _ in range(20)}
        subsets.add(frozenset(choice.endpoint for choice in chosen if choice))
    assert subsets == {frozenset(five[:2]), frozenset(five[2:4]), frozenset((five[4], five[0]))}


def test_a_cookie_keeps_a_client_at_the_canary_or_away_from_it() -> None:
    main = ingress(rule(host="web.example.com", service="main"), name="main", affinity="cookie")
    canary = ingress(
        rule(host="web.example.com", service="new"), name="new", age=1, canary="true", canary_by_header="X-Canary"
    )
    made, balancer, rng = router(main, canary), Balancer(), counting()
    for header, service in (("always", "new"), ("never", "main")):
        first = made.decide(request(x_canary=header), rng=rng)
        assert isinstance(first, Proxy)
        cookie = cookie_of(balancer.choose(first, request(), THREE, rng))
        other = {"always": "never", "never": "always"}[header]
        again = made.decide(request(cookie=cookie, x_canary=other), rng=rng)
        assert isinstance(again, Proxy)
        assert again.backend.service == service
