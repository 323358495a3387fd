"""The controller's ConfigMap: defaults that annotations override, what holds for everybody, and what is told."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from emulator.ingress.catalogue import FIELDS
from emulator.ingress.configkeys import DEFAULTS_OF_ANNOTATIONS, GLOBAL_AUTH, GLOBALS_READ, NOT_HONOURED, WITHOUT_EFFECT
from emulator.ingress.controllerconfig import PLACES, WITHOUT_CONFIG, ControllerConfig, read_config
from emulator.ingress.model import ExternalAuth, Forwarding, Proxy, Redirect, Respond, Settings
from tests.unit.ingress.world import config_map, controller, decide, ingress, messages, router, rule

HOST = "web.example.com"


def read(*more: Any, **data: str) -> ControllerConfig:
    held = {PLACES[0]: controller(**data), **dict(more)}
    return read_config(held.get)


def told(**data: str) -> list[tuple[str, str]]:
    return [(problem.reason, problem.message) for problem in read(**data).problems]


def test_without_a_config_map_everything_is_the_default() -> None:
    assert read_config() is WITHOUT_CONFIG
    assert read().defaults == Settings()
    assert not read().problems


DEFAULTS: list[tuple[str, str, str, Any]] = [
    ("ssl_redirect", "false", "ssl_redirect", False),
    ("force_ssl_redirect", "true", "force_ssl_redirect", True),
    ("proxy_body_size", "8m", "body_size_bytes", 8 << 20),
    ("proxy_connect_timeout", "1", "connect_timeout_seconds", 1.0),
    ("proxy_read_timeout", "2", "read_timeout_seconds", 2.0),
    ("proxy_send_timeout", "3", "send_timeout_seconds", 3.0),
    ("proxy_next_upstream", "error http_502", "next_statuses", frozenset({502})),
    ("proxy_next_upstream_tries", "1", "next_upstream_tries", 1),
    ("custom_http_errors", "404,503", "custom_http_errors", (404, 503)),
    ("whitelist_source_range", "10.0.0.0/8", "allow", (ip_network("10.0.0.0/8"),)),
    ("denylist_source_range", "10.0.0.0/8", "deny", (ip_network("10.0.0.0/8"),)),
    ("use_port_in_redirects", "true", "use_port_in_redirects", True),
    ("preserve_trailing_slash", "true", "preserve_trailing_slash", True),
    ("relative_redirects", "true", "relative_redirects", True),
    ("proxy_http_version", "1.0", "http_version", "1.0"),
    ("proxy_redirect_from", "http://a/", "redirect_from", "http://a/"),
]


@pytest.mark.parametrize(("key", "text", "field", "value"), DEFAULTS)
def test_defaults_of_annotations(key: str, text: str, field: str, value: Any) -> None:
    assert getattr(read(**{key: text}).defaults, field) == value
    made = router(ingress(rule(host=HOST)), config_maps=(controller(**{key: text}),))
    route = next(route for route in made.routes if route.host == HOST)
    assert getattr(route.settings, field) == value


def test_an_annotation_overrides_them() -> None:
    maps = (controller(ssl_redirect="false", proxy_body_size="8m", proxy_next_upstream="http_502"),)
    made = router(ingress(rule(host=HOST), proxy_body_size="1k", proxy_next_upstream="error"), config_maps=maps)
    settings = next(route for route in made.routes if route.host == HOST).settings
    assert (settings.ssl_redirect, settings.body_size_bytes, settings.next_statuses) == (False, 1024, frozenset())


HSTS: list[tuple[dict[str, str], str | None]] = [
    ({}, "max-age=31536000; includeSubDomains"),
    ({"hsts": "false"}, None),
    ({"hsts_max_age": "10"}, "max-age=10; includeSubDomains"),
    ({"hsts_include_subdomains": "false"}, "max-age=31536000"),
    ({"hsts_preload": "true"}, "max-age=31536000; includeSubDomains; preload"),
]


@pytest.mark.parametrize(("data", "value"), HSTS)
def test_strict_transport_security(data: dict[str, str], value: str | None) -> None:
    wanted = ("Strict-Transport-Security", value) if value is not None else None
    assert read(**data).defaults.controller.hsts == wanted


def test_statuses() -> None:
    maps = (controller(http_redirect_code="301", limit_req_status_code="429", limit_conn_status_code="429"),)
    secure = decide(router(ingress(rule(host=HOST), force_ssl_redirect="true"), config_maps=maps), "/x")
    assert isinstance(secure, Redirect)
    assert secure.status == 301
    www = decide(router(ingress(rule(host=HOST), from_to_www_redirect="true"), config_maps=maps), host=f"www.{HOST}")
    assert isinstance(www, Redirect)
    assert www.status == 301
    assert read(limit_req_status_code="429").defaults.controller.requests_status == 429
    assert read(limit_conn_status_code="429").defaults.controller.connections_status == 429


def test_paths_may_be_anything_when_they_are_not_validated_strictly() -> None:
    odd = ingress(rule("/a(b)", host=HOST))
    assert [reason for reason, _ in messages(router(odd))] == ["InvalidPath"]
    assert messages(router(odd, config_maps=(controller(strict_validate_path_type="false"),))) == []


def test_challenges_are_neither_redirected_nor_asked_for_a_password() -> None:
    annotations: dict[str, Any] = {"force_ssl_redirect": "true", "auth_url": "http://auth.example.com/"}
    rules = (rule("/.well-known/acme-challenge/token", host=HOST), rule("/", host=HOST))
    made = router(ingress(*rules, **annotations))
    challenge = decide(made, "/.well-known/acme-challenge/token")
    assert isinstance(challenge, Proxy)
    assert challenge.settings.external_auth is None
    assert isinstance(decide(made, "/other"), Redirect)
    strict = controller(no_tls_redirect_locations="/open, /free", no_auth_locations="")
    made = router(ingress(*rules, **annotations), config_maps=(strict,))
    assert isinstance(decide(made, "/.well-known/acme-challenge/token"), Redirect)


def test_headers_for_backends() -> None:
    named = config_map("sent", "ops", X_Zone="eu", X_Uri="$request_uri", X_Real_IP="")
    maps = (named, controller(proxy_set_headers="ops/sent", proxy_add_original_uri_header="true"))
    decision = decide(router(ingress(rule(host=HOST)), config_maps=maps), "/a?b=c", x_zone="us", x_real_ip="6.6.6.6")
    assert isinstance(decision, Proxy)
    sent = dict(decision.request_headers.set)
    assert (sent["X-Zone"], sent["X-Uri"], sent["X-Original-URI"]) == ("eu", "/a?b=c", "/a?b=c")
    assert "X-Real-IP" not in sent
    assert {"x-zone", "x-real-ip", "x-original-uri"} <= decision.request_headers.drop


def test_a_request_id_is_made_unless_told_not_to() -> None:
    made = router(ingress(rule(host=HOST)), config_maps=(controller(generate_request_id="false"),))
    for sent, wanted in (({}, None), ({"x_request_id": "abc"}, "abc")):
        decision = decide(made, **sent)
        assert isinstance(decision, Proxy)
        assert dict(decision.request_headers.set).get("X-Request-ID") == wanted


def test_headers_for_clients() -> None:
    maps = (
        config_map("added", "ops", X_Served_By="$host"),
        controller(add_headers="ops/added", hide_headers="X-Powered-By"),
    )
    made = router(ingress(rule(host=HOST), allowlist_source_range="10.0.0.0/8"), config_maps=maps)
    refused, passed = decide(made), decide(made, client="10.0.0.1")
    assert isinstance(refused, Respond)
    assert isinstance(passed, Proxy)
    assert refused.headers == passed.response_headers == (("X-Served-By", HOST),)
    assert passed.settings.controller.hidden_headers == {"x-powered-by"}


def test_forwarding() -> None:
    assert read().defaults.controller.forwarding is None
    found = read(
        use_forwarded_headers="true", compute_full_forwarded_for="true", forwarded_for_header="CF-Connecting-IP"
    )
    assert found.defaults.controller.forwarding == Forwarding("cf-connecting-ip", adds=True)
    ranges = read(use_forwarded_headers="true", proxy_real_ip_cidr="10.0.0.0/8").defaults.controller.forwarding
    assert ranges == Forwarding(proxies=(ip_network("10.0.0.0/8"),))


def test_one_auth_server_for_all() -> None:
    maps = (controller(global_auth_url="http://auth.example.com/check", global_auth_signin="https://in.example.com/"),)
    wanted = ExternalAuth("http://auth.example.com/check", signin="https://in.example.com/")
    found = {}
    cases: dict[str, dict[str, Any]] = {
        "plain": {},
        "other": {"proxy_body_size": "1k"},
        "own": {"auth_url": "http://own.example.com/"},
        "without": {"enable_global_auth": "false"},
    }
    for name, given in cases.items():
        decision = decide(router(ingress(rule(host=HOST), **given), config_maps=maps))
        assert isinstance(decision, Proxy)
        found[name] = decision.settings.external_auth
    assert found == {
        "plain": wanted,
        "other": wanted,
        "own": ExternalAuth("http://own.example.com/"),
        "without": None,
    }


TOLD = [
    ("ssl_redirect", "yes", "InvalidKey", 'key ssl-redirect: "yes" must be "true" or "false"; it is ignored'),
    ("http_redirect_code", "303", "InvalidKey", 'key http-redirect-code: "303" must be one of 301, 302, 307, 308; it is ignored'),
    ("no_such_key", "x", "UnknownKey", "key no-such-key is none of ingress-nginx; it is ignored"),
    ("use_gzip", "true", "KeyNotHonoured", "key use-gzip is not honoured here; nothing is compressed"),
    ("plugins", "x", "KeyNotHonoured", "key plugins is not honoured here"),
    ("allow_snippet_annotations", "true", "KeyNotHonoured", "key allow-snippet-annotations: snippets are nginx' own language, which is not spoken here"),
    ("load_balance", "ewma", "KeyNotHonoured", "key load-balance: ewma is not honoured here; endpoints take turns"),
    ("add_headers", "ops/gone", "MissingConfigMap", "key add-headers: configmap ops/gone does not exist; it is ignored"),
    ("proxy_set_headers", "sent", "MissingConfigMap", "key proxy-set-headers: configmap sent is not found: write NAMESPACE/NAME; it is ignored"),
    ("global_auth_signin", "https://a/", "KeyNotHonoured", "key global-auth-signin has no effect without global-auth-url"),
    ("forwarded_for_header", "X-Real-IP", "KeyNotHonoured", 'key forwarded-for-header has no effect without use-forwarded-headers: "true"'),
]  # fmt: skip


@pytest.mark.parametrize(("key", "text", "reason", "message"), TOLD)
def test_what_is_told(key: str, text: str, reason: str, message: str) -> None:
    assert told(**{key: text}) == [(reason, message)]


def test_what_nobody_could_see_is_not_told() -> None:
    for key in WITHOUT_EFFECT:
        assert told(**{key: "x"}) == []
    assert told(allow_snippet_annotations="false", load_balance="round_robin") == []


def test_the_first_config_map_wins_and_the_other_is_told() -> None:
    other = config_map(PLACES[1].name, PLACES[1].namespace, ssl_redirect="false")
    alone = read_config({PLACES[1]: other}.get)
    assert (alone.key, alone.defaults.ssl_redirect) == (PLACES[1], False)
    both = read((PLACES[1], other), hsts="false")
    assert (both.key, both.defaults.ssl_redirect) == (PLACES[0], True)
    (problem,) = both.problems
    assert (problem.kind, problem.about) == ("ConfigMap", PLACES[1])
    assert problem.message == f"it is not read: configmap {PLACES[0]} is; put all keys there"


def test_the_problems_are_about_the_config_map() -> None:
    (problem,) = router(config_maps=(controller(no_such_key="x"),)).problems
    assert (problem.kind, problem.about) == ("ConfigMap", PLACES[0])


def test_the_tables_do_not_overlap() -> None:
    tables = [set(DEFAULTS_OF_ANNOTATIONS), set(GLOBALS_READ), set(GLOBAL_AUTH), set(WITHOUT_EFFECT), set(NOT_HONOURED)]
    assert sum(map(len, tables)) == len(set().union(*tables))
    aliases = {"whitelist-source-range"}
    assert set(DEFAULTS_OF_ANNOTATIONS) - aliases <= set(FIELDS)
