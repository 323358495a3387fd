"""CORS, canaries, limits, backends, auth servers and headers, each by itself."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from emulator.api.meta import JsonObject, ObjectKey
from emulator.ingress.backends import Place, default_port, port_id, service_port, single_place
from emulator.ingress.canary import takes
from emulator.ingress.externalauth import Passes, question, sets_cookies, verdict
from emulator.ingress.headers import rewritten_cookie, rewritten_location
from emulator.ingress.model import BackendRef, Canary, ExternalAuth, Limits, Proxy, Redirect, Respond, Settings
from emulator.ingress.ratelimit import ConnectionLimiter, RateLimiter
from emulator.ingress.variables import expand
from emulator.routing.servicemap import PortId
from tests.unit.ingress.world import decide, ingress, request, router, rule

HOST = "web.example.com"
SHOP = ObjectKey("shop", "web")

ORIGINS = [
    ("*", "", "*"),
    ("*", "https://a.example.com", "*"),
    ("https://a.example.com", "https://a.example.com", "https://a.example.com"),
    ("https://a.example.com", "https://A.Example.com", "https://A.Example.com"),
    ("https://a.example.com", "http://a.example.com", None),
    ("https://a.example.com", "https://a.example.com.evil.org", None),
    ("https://a.example.com", "", None),
    ("https://*.example.com", "https://b.example.com", "https://b.example.com"),
    ("https://*.example.com", "https://c.b.example.com", None),
    ("https://*.example.com", "https://example.com", None),
    ("https://a.org, http://b.org:8080", "http://b.org:8080", "http://b.org:8080"),
    ("https://a.org, http://b.org:8080", "http://b.org", None),
]


@pytest.mark.parametrize(("allowed", "origin", "wanted"), ORIGINS)
def test_whose_origin_is_allowed(allowed: str, origin: str, wanted: str | None) -> None:
    made = router(ingress(rule(host=HOST), enable_cors="true", cors_allow_origin=allowed))
    decision = decide(made, origin=origin)
    assert isinstance(decision, Proxy)
    assert dict(decision.response_headers).get("Access-Control-Allow-Origin") == wanted
    preflight = decide(made, method="OPTIONS", origin=origin)
    assert isinstance(preflight, Respond) is (wanted is not None)


def test_a_preflight_is_answered_before_passwords_and_https() -> None:
    made = router(ingress(rule(host=HOST), enable_cors="true", force_ssl_redirect="true", cors_max_age="5"))
    decision = decide(made, method="OPTIONS", origin="https://a.example.com")
    assert isinstance(decision, Respond)
    assert decision.status == 204
    assert dict(decision.headers) == {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Methods": "GET, PUT, POST, DELETE, PATCH, OPTIONS",
        "Access-Control-Allow-Headers": "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,"
        "Content-Type,Range,Authorization",
        "Access-Control-Max-Age": "5",
    }, "nginx takes the Content-Type of a 204 away"


CANARIES: list[tuple[dict[str, Any], dict[str, str], int, bool]] = [
    ({"header": "X-C"}, {"x_c": "always"}, 99, True),
    ({"header": "X-C", "weight": 100}, {"x_c": "never"}, 0, False),
    ({"header": "X-C", "weight": 10}, {"x_c": "maybe"}, 9, True),
    ({"header": "X-C", "weight": 10}, {"x_c": "maybe"}, 10, False),
    ({"header": "X-C", "header_value": "blue"}, {"x_c": "blue"}, 99, True),
    ({"header": "X-C", "header_value": "blue"}, {"x_c": "always"}, 99, False),
    ({"header": "X-C", "header_pattern": re.compile("^b")}, {"x_c": "blue"}, 99, True),
    ({"header": "X-C", "header_pattern": re.compile("^b")}, {"x_c": "red"}, 99, False),
    ({"header": "X-C", "is_pattern_broken": True, "cookie": "c"}, {"x_c": "blue", "cookie": "c=always"}, 0, False),
    ({"header": "X-C", "is_pattern_broken": True, "cookie": "c"}, {"cookie": "c=always"}, 0, True),
    ({"cookie": "c"}, {"cookie": "c=always"}, 99, True),
    ({"cookie": "c", "weight": 100}, {"cookie": "c=never"}, 0, False),
    ({"cookie": "c", "weight": 100}, {"cookie": "c=other"}, 0, True),
    ({"header": "X-C", "cookie": "c"}, {"x_c": "never", "cookie": "c=always"}, 0, False),
    ({"weight": 0}, {}, 0, False),
    ({"weight": 150, "weight_total": 1000}, {}, 149, True),
    ({"weight": 150, "weight_total": 1000}, {}, 150, False),
]


@pytest.mark.parametrize(("fields", "headers", "drawn", "wanted"), CANARIES)
def test_who_goes_to_a_canary(fields: dict[str, Any], headers: dict[str, str], drawn: int, wanted: bool) -> None:
    assert takes(Canary(**fields), request(**headers), lambda limit: drawn)[0] is wanted


def test_requests_flow_back_with_time() -> None:
    limiter, limits = RateLimiter(), Limits(per_minute=60, burst_multiplier=1)
    assert sum(limiter.allows(SHOP, limits, "a", 0.0) for _ in range(100)) == 61
    assert [limiter.allows(SHOP, limits, "a", 2.0) for _ in range(3)] == [True, True, False]
    assert limiter.allows(ObjectKey("shop", "other"), limits, "a", 2.0), "each Ingress counts for itself"


def test_clients_are_bounded() -> None:
    limiter = RateLimiter(max_clients=2)
    for client in "abc":
        limiter.allows(SHOP, Limits(per_second=1), client, 0.0)
    assert len(limiter) == 2


def test_connections_are_counted() -> None:
    limiter, limits = ConnectionLimiter(), Limits(connections=2)
    assert [limiter.enter(SHOP, limits, "a") for _ in range(3)] == [True, True, False]
    assert limiter.enter(SHOP, limits, "b")
    limiter.leave(SHOP, "a")
    assert limiter.enter(SHOP, limits, "a")
    for client in "aab":
        limiter.leave(SHOP, client)
    assert not limiter._open


def service(**spec: Any) -> JsonObject:
    ports = [{"name": "web", "port": 80, "targetPort": "http"}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    whole = {"type": "ClusterIP", "clusterIP": "10.152.183.7", "ports": ports, **spec}
    return {"metadata": {"name": "web", "namespace": "shop"}, "spec": whole}


@pytest.mark.parametrize(("port", "name"), [(80, "web"), ("web", "web"), ("http", "web"), (53, "dns"), (81, None)])
def test_ports_by_number_name_and_target(port: int | str, name: str | None) -> None:
    found = service_port(service(), port)
    assert (found["name"] if found else None) == name


def test_what_a_backend_comes_to() -> None:
    ref = BackendRef("shop", "web", "http")
    assert port_id(service(), ref) == PortId(SHOP, "web", "TCP")
    assert port_id(service(), BackendRef("shop", "web", 53)) is None
    assert single_place(service(), ref, service_upstream=False) is None
    assert single_place(service(), ref, service_upstream=True) == Place("10.152.183.7", 80)
    assert single_place(service(clusterIP="None"), ref, service_upstream=True) is None
    named = service(type="ExternalName", externalName="db.example.com.", ports=[], clusterIP="")
    assert single_place(named, BackendRef("shop", "web", 8080), service_upstream=False) == Place("db.example.com", 8080)
    assert default_port(service()) == BackendRef("shop", "web", 80)
    assert default_port(service(ports=[])) is None


AUTH = ExternalAuth(
    "http://auth.example.com/check?host=$host",
    signin="https://login.example.com/start",
    response_headers=("X-User", "X-Groups"),
)


def test_what_an_auth_server_is_asked() -> None:
    sent = request("/a?b=c", method="POST", client="192.0.2.1", authorization="x", content_length="5", host=HOST)
    asked = question(AUTH, sent, "id")
    assert (asked.method, asked.url) == ("GET", "http://auth.example.com/check?host=web.example.com")
    assert dict(asked.headers) == {
        "Host": "auth.example.com",
        "X-Original-URL": "http://web.example.com/a?b=c",
        "X-Original-Method": "POST",
        "X-Sent-From": "nginx-ingress-controller",
        "X-Request-ID": "id",
        "X-Real-IP": "192.0.2.1",
        "X-Forwarded-For": "192.0.2.1",
        "X-Auth-Request-Redirect": "/a?b=c",
        "authorization": "x",
    }


def test_headers_and_the_method_of_an_auth_server() -> None:
    more = (("X-Uri", "$request_uri"), ("X-Real-IP", "10.0.0.9"), ("X-Nothing", ""))
    asked = question(replace(AUTH, method="HEAD", request_headers=more), request("/a?b=c", x_uri="no"), "id")
    headers = [header for header in asked.headers if header[0].lower() in ("x-uri", "x-real-ip", "x-nothing")]
    assert asked.method == "HEAD"
    assert headers == [("X-Uri", "/a?b=c"), ("X-Real-IP", "10.0.0.9")]


def test_a_method_of_its_own_has_the_auth_server_told_more() -> None:
    auth = ExternalAuth("http://auth.example.com:8080/", method="POST")
    asked = question(auth, request("/a?b=c", x_forwarded_proto="https"), "id")
    headers = dict(asked.headers)
    assert (asked.method, headers["Host"]) == ("POST", "auth.example.com")
    assert (headers["X-Original-URI"], headers["X-Scheme"]) == ("/a?b=c", "http")
    assert "x-forwarded-proto" not in headers


@pytest.mark.parametrize(("status", "always", "wanted"), [(200, False, True), (404, False, False), (404, True, True)])
def test_whose_answer_has_the_auth_servers_cookies(status: int, always: bool, wanted: bool) -> None:
    assert sets_cookies(ExternalAuth("http://a/", always_set_cookie=always), status) is wanted


def test_what_its_answer_means() -> None:
    sent = request("/a?b=c", host=HOST)
    assert verdict(AUTH, sent, 204, {"x-user": "ann", "x-other": "no"}, ["s=1"]) == Passes(
        (("X-User", "ann"),), ("s=1",)
    )
    back = "rd=http://web.example.com%2Fa%3Fb%3Dc"
    refused = verdict(AUTH, sent, 401, {})
    assert isinstance(refused, Redirect)
    assert (refused.status, refused.location) == (302, f"https://login.example.com/start?{back}")
    plain = ExternalAuth("http://a/")
    challenged = verdict(plain, sent, 401, {"www-authenticate": "Basic"})
    assert isinstance(challenged, Respond)
    assert (challenged.status, challenged.headers) == (401, (("WWW-Authenticate", "Basic"),))
    statuses = [verdict(plain, sent, status, {}) for status in (403, 302, 500)]
    assert [answer.status for answer in statuses if isinstance(answer, Respond)] == [403, 500, 500]


def test_cookies_and_locations_of_backends() -> None:
    settings = Settings(cookie_domain="inner.local web.example.com", cookie_path="/app /shop")
    assert rewritten_cookie("a=b; Domain=.inner.local; Path=/app/x; Secure", settings) == (
        "a=b; Domain=web.example.com; Path=/shop/x; Secure"
    )
    assert rewritten_cookie("a=b; Domain=other; Path=/", settings) == "a=b; Domain=other; Path=/"
    moved = Settings(redirect_from="http://inner/", redirect_to="https://$host/")
    assert rewritten_location("http://inner/x", request(), moved) == "https://web.example.com/x"
    assert rewritten_location("http://other/x", request(), moved) == "http://other/x"
    assert rewritten_location("http://inner/x", request(), Settings()) == "http://inner/x"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("$scheme://$http_host$request_uri", "http://web.example.com/p?a=1&b=2"),
        ("${host}x", "web.example.comx"),
        ("$arg_b$arg_none", "2"),
        ("$http_x_team/$cookie_c", "blue/v"),
        ("$nothing!", "!"),
        ("$1|$10", "|0"),
        ("no variables", "no variables"),
    ],
)
def test_variables(text: str, wanted: str) -> None:
    assert expand(text, request("/p?a=1&b=2", x_team="blue", cookie="c=v; d=w")) == wanted
