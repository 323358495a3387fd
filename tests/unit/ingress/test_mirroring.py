"""The copy of a request for mirror-target."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.ingress.mirroring import MAX_BODY_BYTES, Copy, copy_of
from emulator.ingress.model import Mirror, Proxy
from tests.unit.ingress.world import decide, ingress, messages, request, router, rule

RULES: list[tuple[dict[str, Any], Mirror | None]] = [
    ({}, None),
    (
        {"mirror_target": "https://t.example.com$request_uri"},
        Mirror("https://t.example.com$request_uri", "t.example.com"),
    ),
    ({"mirror_target": "http://a:8080/x", "mirror_host": "b"}, Mirror("http://a:8080/x", "b")),
    ({"mirror_target": "http://a/", "mirror_request_body": "off"}, Mirror("http://a/", "a", with_body=False)),
    ({"mirror_host": "b"}, None),
]


@pytest.mark.parametrize(("annotations", "wanted"), RULES)
def test_where_copies_go(annotations: dict[str, Any], wanted: Mirror | None) -> None:
    made = router(ingress(rule(host="web.example.com"), **annotations))
    decision = decide(made)
    assert isinstance(decision, Proxy)
    assert decision.settings.mirror == wanted
    assert messages(made) == []


def test_what_is_copied() -> None:
    mirror = Mirror("http://t.example.com$request_uri", "t.example.com")
    headers = [("Host", "web.example.com"), ("Content-Length", "2"), ("Connection", "close"), ("X-A", "b")]
    asked = request("/a?b=c", method="POST")
    wanted = Copy("POST", "http://t.example.com/a?b=c", (("Host", "t.example.com"), ("X-A", "b")), b"hi")
    assert copy_of(mirror, asked, headers, b"hi") == wanted
    for body in (None, b"x" * (MAX_BODY_BYTES + 1)):
        assert copy_of(mirror, asked, headers, body).body == b""
    assert copy_of(mirror._replace(with_body=False), asked, headers, b"hi").body == b""
    assert copy_of(mirror._replace(host=""), asked, headers, b"hi").headers == (("X-A", "b"),)
