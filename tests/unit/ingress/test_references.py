"""Secrets and ConfigMaps that annotations name: what is taken from them, and when nobody is let in."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.meta import JsonObject
from emulator.ingress.model import BackendTls, Header, Proxy, Redirect, Respond, Route
from tests.unit.ingress.world import config_map, controller, decide, ingress, messages, router, rule, secret

HOST = "web.example.com"
PLACE = "ingress-nginx/ingress-nginx-controller"


def headers_map(**data: str) -> JsonObject:
    return config_map("extra", **data)


ALLOWED = controller(global_allowed_response_headers="X-Frame-Options, X-Cost")


def test_custom_headers_are_on_every_answer_of_the_location() -> None:
    held = headers_map(X_Frame_Options="DENY", X_Cost="$5")
    wanted: tuple[Header, ...] = (("X-Cost", "$5"), ("X-Frame-Options", "DENY"))
    annotations: dict[str, Any] = {
        "custom_headers": "shop/extra", "denylist_source_range": "10.0.0.0/8", "proxy_body_size": "1",
    }  # fmt: skip
    made = router(ingress(rule(host=HOST), rule("/dir/", host=HOST), **annotations), config_maps=(held, ALLOWED))
    assert messages(made) == []
    passed, denied = decide(made), decide(made, client="10.0.0.1")
    large, slash = decide(made, content_length="2"), decide(made, "/dir")
    assert isinstance(passed, Proxy)
    assert isinstance(denied, Respond)
    assert isinstance(large, Respond)
    assert isinstance(slash, Redirect)
    assert (denied.status, large.status, slash.status) == (403, 413, 301)
    assert passed.response_headers == denied.headers == large.headers == slash.headers == wanted


def not_allowed(name: str, wanted: str) -> str:
    mend = f"set global-allowed-response-headers of configmap {PLACE} to {wanted}"
    return f"configmap shop/extra: {name} is not among the allowed headers; {mend}"


REFUSED: list[tuple[str, JsonObject | None, str]] = [
    ("shop/gone", None, "configmap shop/gone does not exist"),
    ("extra", headers_map(X_Cost="1"), "configmap extra is not found: write NAMESPACE/NAME"),
    (
        "shop/extra",
        headers_map(X_Other="1"),
        not_allowed("X-Other", "X-Cost,X-Frame-Options,X-Other"),
    ),
    (
        "shop/extra",
        headers_map(x_cost="1"),
        not_allowed("x-cost", "X-Cost,X-Frame-Options,x-cost"),
    ),
    (
        "shop/extra",
        headers_map(X_Cost=""),
        "configmap shop/extra: the value of X-Cost is empty or holds a character that is not allowed",
    ),
    ("shop/extra", {**headers_map(), "data": {"X Cost": "1"}}, 'configmap shop/extra: "X Cost" is no name of a header'),
]


@pytest.mark.parametrize(("named", "held", "why"), REFUSED)
def test_headers_that_are_refused_close_the_location(named: str, held: JsonObject | None, why: str) -> None:
    maps = (ALLOWED, *((held,) if held is not None else ()))
    made = router(ingress(rule(host=HOST), custom_headers=named), config_maps=maps)
    refused = decide(made)
    assert isinstance(refused, Respond)
    assert (refused.status, refused.headers) == (503, ())
    text = f"annotation nginx.ingress.kubernetes.io/custom-headers: {why}; every request is answered with 503"
    assert messages(made) == [("HeadersRefused", text)]


def test_without_a_list_no_header_is_allowed() -> None:
    made = router(ingress(rule(host=HOST), custom_headers="shop/extra"), config_maps=(headers_map(X_Cost="1"),))
    assert isinstance(decide(made), Respond)
    assert f"set global-allowed-response-headers of configmap {PLACE} to X-Cost;" in messages(made)[0][1]


# -- TLS to backends ---------------------------------------------------------------------------------------------


def backend_tls(held: JsonObject, **annotations: Any) -> tuple[BackendTls | None, str, list[tuple[str, str]]]:
    made = router(ingress(rule(host=HOST), backend_protocol="HTTPS", **annotations), secrets=(held,))
    route: Route = next(route for route in made.routes if route.host == HOST)
    return route.settings.backend_tls, route.settings.denied, messages(made)


PAIR, WHOLE = secret("tls", tls_crt="C", tls_key="K"), secret("tls", tls_crt="C", tls_key="K", ca_crt="A")
TLS: list[tuple[JsonObject, dict[str, str], BackendTls]] = [
    (PAIR, {}, BackendTls(b"C", b"K")),
    (secret("tls", ca_crt="A"), {}, BackendTls(authority=b"A")),
    (
        WHOLE,
        {"proxy_ssl_verify": "on", "proxy_ssl_name": "in.example.com"},
        BackendTls(b"C", b"K", b"A", "in.example.com"),
    ),
    (WHOLE, {"proxy_ssl_server_name": "on", "proxy_ssl_name": "a"}, BackendTls(b"C", b"K", b"A", server_name="a")),
    (WHOLE, {"proxy_ssl_server_name": "on"}, BackendTls(b"C", b"K", b"A", server_name="upstream_balancer")),
    (
        WHOLE,
        {"proxy_ssl_ciphers": "HIGH:!MD5", "proxy_ssl_protocols": "TLSv1.3 TLSv1.2"},
        BackendTls(b"C", b"K", b"A", ciphers="HIGH:!MD5", protocols=("TLSv1.2", "TLSv1.3")),
    ),
    (PAIR, {"proxy_ssl_protocols": "TLSv1.3"}, BackendTls(b"C", b"K")),
]


@pytest.mark.parametrize(("held", "annotations", "wanted"), TLS)
def test_how_https_backends_are_asked(held: JsonObject, annotations: dict[str, str], wanted: BackendTls) -> None:
    assert backend_tls(held, proxy_ssl_secret="shop/tls", **annotations) == (wanted, "", [])


TLS_REFUSED = [
    ("shop/gone", PAIR, "secret shop/gone does not exist"),
    ("else/tls", PAIR, "secret else/tls is in another namespace, which is not allowed"),
    ("shop/tls", secret("tls", tls_crt="C"), "secret shop/tls has neither tls.crt with tls.key nor ca.crt"),
]


@pytest.mark.parametrize(("named", "held", "why"), TLS_REFUSED)
def test_without_its_secret_no_backend_is_asked(named: str, held: JsonObject, why: str) -> None:
    found, denied, told = backend_tls(held, proxy_ssl_secret=named)
    assert (found, denied) == (None, why)
    assert told == [("MissingSecret", f"TLS to the backend: {why}; every request is answered with 503")]


def test_what_cannot_verify_anything_is_told() -> None:
    prefix = "nginx.ingress.kubernetes.io/proxy-ssl"
    _, _, alone = backend_tls(PAIR, proxy_ssl_verify="on")
    assert alone == [("InvalidAnnotation", f"{prefix}-verify: no effect without {prefix}-secret")]
    found, _, told = backend_tls(PAIR, proxy_ssl_secret="tls", proxy_ssl_verify="on")
    assert found is not None
    assert not found.verified_name
    assert "has no ca.crt" in told[0][1]
    _, _, told = backend_tls(WHOLE, proxy_ssl_secret="tls", proxy_ssl_verify="on")
    assert "no certificate is for upstream_balancer" in told[0][1]


# -- headers for an auth server -------------------------------------------------------------------------------------


def test_headers_for_the_auth_server() -> None:
    annotations: dict[str, Any] = {"auth_url": "http://a/", "auth_proxy_set_headers": "shop/extra"}
    made = router(ingress(rule(host=HOST), **annotations), config_maps=(headers_map(X_Path="$request_uri"),))
    decision = decide(made)
    assert isinstance(decision, Proxy)
    assert decision.settings.external_auth is not None
    assert decision.settings.external_auth.request_headers == (("X-Path", "$request_uri"),)
    missing = router(ingress(rule(host=HOST), **annotations))
    assert isinstance(decide(missing), Respond)
    assert messages(missing)[0][0] == "MissingConfigMap"
