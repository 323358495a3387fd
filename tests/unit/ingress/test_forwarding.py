"""use-forwarded-headers: what is believed of a request that proxies sent on."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from emulator.ingress.forwarding import real_client
from emulator.ingress.model import Proxy, Redirect, Respond
from tests.unit.ingress.world import controller, decide, ingress, router, rule

HOST = "web.example.com"
ALL = (ip_network("0.0.0.0/0"),)
TENS = (ip_network("10.0.0.0/8"),)
CLIENTS = [
    ("10.0.0.1", "", ALL, "10.0.0.1"),
    ("10.0.0.1", "192.0.2.7", ALL, "192.0.2.7"),
    ("10.0.0.1", "192.0.2.7, 198.51.100.2, 10.0.0.2", ALL, "192.0.2.7"),
    ("10.0.0.1", "192.0.2.7, 198.51.100.2, 10.0.0.2", TENS, "198.51.100.2"),
    ("192.0.2.1", "6.6.6.6", TENS, "192.0.2.1"),
    ("10.0.0.1", "nobody, 10.0.0.2", ALL, "10.0.0.2"),
    ("::1", "192.0.2.7", ALL, "::1"),
    ("", "192.0.2.7", ALL, ""),
]


@pytest.mark.parametrize(("peer", "said", "proxies", "client"), CLIENTS)
def test_who_asked(peer: str, said: str, proxies: Any, client: str) -> None:
    assert real_client(peer, said, proxies) == client


def sent(decision: Any) -> dict[str, str]:
    assert isinstance(decision, Proxy)
    return dict(decision.request_headers.set)


HEADERS: dict[str, Any] = {
    "x_forwarded_for": "192.0.2.7", "x_forwarded_proto": "https", "x_forwarded_port": "8443",
    "x_forwarded_host": "shop.example.com, inner", "client": "10.0.0.1",
}  # fmt: skip


def test_what_backends_are_told() -> None:
    made = router(ingress(rule(host=HOST)), config_maps=(controller(use_forwarded_headers="true"),))
    decision: Any = decide(made, **HEADERS)
    found = sent(decision)
    assert decision.vhost == found["X-Forwarded-Host"] == "shop.example.com"
    assert (found["X-Real-IP"], found["X-Forwarded-For"], found["X-Forwarded-Port"]) == (
        "192.0.2.7",
        "192.0.2.7",
        "8443",
    )
    assert found["X-Forwarded-Proto"] == found["X-Forwarded-Scheme"] == found["X-Scheme"] == "https"
    assert found["X-Original-Forwarded-For"] == "192.0.2.7"
    plain = sent(decide(router(ingress(rule(host=HOST))), **HEADERS))
    assert (plain["X-Forwarded-For"], plain["X-Forwarded-Proto"], plain["X-Forwarded-Host"]) == (
        "10.0.0.1",
        "http",
        HOST,
    )


def test_the_whole_chain() -> None:
    maps = (controller(use_forwarded_headers="true", compute_full_forwarded_for="true"),)
    made = router(ingress(rule(host=HOST)), config_maps=maps)
    assert sent(decide(made, **HEADERS))["X-Forwarded-For"] == "192.0.2.7, 10.0.0.1"
    assert sent(decide(made, client="10.0.0.1"))["X-Forwarded-For"] == "10.0.0.1"


def test_https_that_a_proxy_speaks_needs_no_redirect() -> None:
    made = router(
        ingress(rule(host=HOST), force_ssl_redirect="true"), config_maps=(controller(use_forwarded_headers="true"),)
    )
    assert isinstance(decide(made, **HEADERS), Proxy)
    redirect = decide(made, "/x", x_forwarded_proto="http", x_forwarded_host="shop.example.com:80", scheme="https")
    assert isinstance(redirect, Redirect)
    assert redirect.location == "https://shop.example.com/x"


def test_ranges_are_for_the_client_and_not_for_the_proxy() -> None:
    made = router(
        ingress(rule(host=HOST), denylist_source_range="192.0.2.0/24"),
        config_maps=(controller(use_forwarded_headers="true"),),
    )
    assert isinstance(decide(made, **HEADERS), Respond)
    assert isinstance(decide(made, client="10.0.0.1"), Proxy)
