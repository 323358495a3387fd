"""Annotations: what is read, what is refused with which words, and that the documentation names each."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from emulator.ingress.annotations import read_settings
from emulator.ingress.catalogue import ALIASES, HONOURED, NOT_HONOURED, PREFIX, SNIPPETS, WITHOUT_EFFECT
from emulator.ingress.model import CookieAffinity, Cors, ExternalAuth, Limits, Settings
from tests.unit.ingress.world import ingress


def settings(**annotations: Any) -> Settings:
    found, problems = read_settings(ingress(**annotations), secret=lambda key: None)
    assert problems == ()
    return found


METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, CONNECT, OPTIONS, TRACE"


def told(**annotations: Any) -> list[tuple[str, str]]:
    found, problems = read_settings(ingress(**annotations), secret=lambda key: None)
    assert found == Settings(), "what cannot be read changes nothing"
    return [(problem.reason, problem.message.removeprefix("annotation " + PREFIX)) for problem in problems]


def test_nothing_set_is_the_defaults() -> None:
    assert settings() == Settings()


READ: list[tuple[str, str, str, Any]] = [
    ("proxy_body_size", "8m", "body_size_bytes", 8 << 20),
    ("proxy_body_size", "512k", "body_size_bytes", 512 << 10),
    ("proxy_body_size", "0", "body_size_bytes", 0),
    ("proxy_read_timeout", "5", "read_timeout_seconds", 5.0),
    ("proxy_send_timeout", "6", "send_timeout_seconds", 6.0),
    ("proxy_connect_timeout", "7", "connect_timeout_seconds", 7.0),
    ("backend_protocol", "https", "backend_protocol", "HTTPS"),
    ("backend_protocol", "GRPC", "backend_protocol", "GRPC"),
    ("ssl_redirect", "false", "ssl_redirect", False),
    ("ssl_redirect", "0", "ssl_redirect", False),
    ("use_regex", "true", "use_regex", True),
    ("default_backend", "errors", "default_backend", "errors"),
    ("proxy_next_upstream", "error http_502", "next_upstream", ("error", "http_502")),
    ("server_alias", "A.example.com,*.b.example.com", "server_alias", ("a.example.com", "*.b.example.com")),
    ("whitelist_source_range", "10.0.0.1/8, ::1", "allow", (ip_network("10.0.0.0/8"), ip_network("::1"))),
    ("upstream_hash_by", "$request_uri", "upstream_hash_by", "$request_uri"),
    ("service_upstream", "true", "service_upstream", True),
    ("proxy_buffering", "on", "buffering", True),
]


@pytest.mark.parametrize(("name", "text", "field", "value"), READ)
def test_what_is_read(name: str, text: str, field: str, value: Any) -> None:
    assert getattr(settings(**{name: text}), field) == value


def test_groups() -> None:
    assert settings(enable_cors="true").cors == Cors()
    assert settings(cors_allow_origin="https://a.example.com").cors is None
    assert settings(limit_rps="5", limit_connections="2").limits == Limits(connections=2, per_second=5)
    assert settings(affinity="cookie", session_cookie_name="route").affinity == CookieAffinity(name="route")
    assert settings(auth_url="http://auth.example.com/check").external_auth == ExternalAuth(
        "http://auth.example.com/check"
    )


REFUSED = [
    ("ssl_redirect", "yes", 'ssl-redirect: "yes" must be "true" or "false"; it is ignored'),
    ("proxy_read_timeout", "60s", 'proxy-read-timeout: "60s" must be a number of seconds without a unit, such as "60"; it is ignored'),
    ("proxy_body_size", "8MB", 'proxy-body-size: "8MB" must be a size such as "8m", "512k" or "0" for no limit; it is ignored'),
    ("backend_protocol", "TCP", 'backend-protocol: "TCP" must be one of HTTP, HTTPS, AUTO_HTTP, GRPC, GRPCS, FCGI; it is ignored'),
    ("limit_rps", "-1", 'limit-rps: "-1" must be a whole number from 0 to 2147483647; it is ignored'),
    ("limit_rps", "many", 'limit-rps: "many" must be a whole number from 0 to 2147483647; it is ignored'),
    ("affinity", "ip", 'affinity: "ip" must be one of cookie; it is ignored'),
    ("app_root", "app", 'app-root: "app" must be a path such as "/app"; it is ignored'),
    ("permanent_redirect", "else", 'permanent-redirect: "else" must be a URL such as https://example.com/path; it is ignored'),
    ("custom_http_errors", "4xx", 'custom-http-errors: "4xx" must be HTTP status codes separated by commas, such as "404,503"; it is ignored'),
    ("cors_allow_origin", "https://a.example.com/", 'cors-allow-origin: "https://a.example.com/" must be "*" or origins such as "https://app.example.com" separated by commas; it is ignored'),
    ("cors_allow_methods", "GET, 7", 'cors-allow-methods: "GET, 7" must be methods separated by commas; it is ignored'),
    ("cors_allow_headers", "X-A; X-B", 'cors-allow-headers: "X-A; X-B" must be names of headers separated by commas; it is ignored'),
    ("rewrite_target", "/a\nb", 'rewrite-target: "/a\nb" must be one line; it is ignored'),
    ("canary_weight", "5", 'nginx.ingress.kubernetes.io/canary-weight: no effect without nginx.ingress.kubernetes.io/canary: "true"'),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "message"), REFUSED)
def test_what_cannot_be_read_is_told_and_ignored(name: str, text: str, message: str) -> None:
    assert told(**{name: text}) == [("InvalidAnnotation", message)]


DENIED = [
    (
        {"whitelist_source_range": "10.0.0.0/8,nowhere"},
        "must be addresses or CIDR ranges separated by commas ('nowhere'",
    ),
    ({"allowlist_source_range": ""}, "must be addresses or CIDR ranges separated by commas"),
    ({"denylist_source_range": "x"}, "must be addresses or CIDR ranges separated by commas"),
    ({"auth_type": "digest"}, '"digest" must be one of basic'),
    ({"auth_type": "basic", "auth_secret": "a/b/c"}, "must be a name, or a namespace and a name separated by a slash"),
    ({"auth_url": "nowhere"}, '"nowhere" must be a URL such as https://example.com/path'),
    ({"auth_url": "http://a/", "auth_method": "FETCH"}, '"FETCH" must be one of GET,'),
    (
        {"auth_url": "http://a/", "auth_response_headers": "X-User, X Mail"},
        "must be names of headers separated by commas",
    ),
    ({"auth_url": "http://a/", "auth_cache_duration": "200"}, '"200" must be codes with a time'),
    ({"proxy_ssl_secret": "a b"}, "must be a name, or a namespace and a name separated by a slash"),
]


@pytest.mark.parametrize(("annotations", "why"), DENIED)
def test_what_must_not_be_ignored_closes_the_location(annotations: dict[str, Any], why: str) -> None:
    found, problems = read_settings(ingress(**annotations), secret=lambda key: None)
    assert why in found.denied
    assert [problem.reason for problem in problems] == ["InvalidAnnotation"]
    assert problems[0].message.endswith(f"{found.denied}; every request is answered with 503")


def test_alone_it_is_ignored() -> None:
    assert told(auth_method="FETCH") == [
        ("InvalidAnnotation", f'auth-method: "FETCH" must be one of {METHODS}; it is ignored')
    ]


NEXT = [("error timeout", set()), ("error http_502 http_503", {502, 503}), ("off", set())]


@pytest.mark.parametrize(("text", "statuses"), NEXT)
def test_answers_after_which_another_endpoint_is_asked(text: str, statuses: set[int]) -> None:
    assert settings(proxy_next_upstream=text).next_statuses == statuses


def test_an_origin_without_a_scheme_allows_nobody() -> None:
    annotations = {"enable_cors": "true", "cors_allow_origin": "example.com, https://a.example.com"}
    given: dict[str, Any] = annotations
    found, problems = read_settings(ingress(**given), secret=lambda key: None)
    assert found.cors == Cors(("https://a.example.com",))
    assert [problem.message.partition(": ")[2] for problem in problems] == [
        "example.com lacks a scheme such as https:// and allows nobody"
    ]


VALIDATED_UPSTREAM = [
    ("rewrite_target", "/$1?q=$2", "=?"),
    ("permanent_redirect", "https://new.example.com$request_uri", "$"),
    ("temporal_redirect", "https://new.example.com/#top", "#"),
    ("rewrite_target", "/$1/a-b_c~d", ""),
    ("auth_url", "http://a/?host=$host", ""),
    ("permanent_redirect", "https://new.example.com/?a=b&c", ""),
]


@pytest.mark.parametrize(("name", "text", "odd"), VALIDATED_UPSTREAM)
def test_what_upstream_would_refuse_is_honoured_and_told(name: str, text: str, odd: str) -> None:
    given: dict[str, Any] = {name: text}
    found, problems = read_settings(ingress(**given), secret=lambda key: None)
    assert found != Settings()
    refused = f"but ingress-nginx refuses {odd} in it when it validates annotations, as its chart does"
    assert [problem.message.partition(", ")[2] for problem in problems] == ([refused] if odd else [])


def test_what_is_read_and_not_honoured_is_told() -> None:
    _, problems = read_settings(ingress(load_balance="ewma", backend_protocol="FCGI"), secret=lambda key: None)
    assert [problem.message.partition("; ")[2] for problem in problems] == ["the answer is 502", "endpoints take turns"]
    assert settings(load_balance="round_robin") == Settings()


def test_errors_that_have_a_page_and_those_that_have_none() -> None:
    assert settings(custom_http_errors="404, 503", default_backend="pages").custom_http_errors == (404, 503)
    _, problems = read_settings(ingress(custom_http_errors="404"), secret=lambda key: None)
    assert [problem.message.partition(": ")[2] for problem in problems] == [
        f"without {PREFIX}default-backend these errors become 404"
    ]


def test_a_cookie_of_an_expression_needs_a_path() -> None:
    _, problems = read_settings(ingress(affinity="cookie", use_regex="true"), secret=lambda key: None)
    assert [problem.message.partition("; ")[2] for problem in problems] == [f"set {PREFIX}session-cookie-path"]


@pytest.mark.parametrize("name", SNIPPETS)
def test_snippets_are_refused(name: str) -> None:
    text = f"{name} is ignored: snippet annotations are disabled, as they are by default"
    assert told(**{name: "deny all;"}) == [("SnippetRefused", text)]


def test_what_is_not_honoured_is_told() -> None:
    for name, instead in NOT_HONOURED.items():
        assert told(**{name: "x"}) == [("AnnotationNotHonoured", f"{name} is not honoured here; {instead}")]
    assert told(no_such_thing="x") == [("AnnotationNotHonoured", "no-such-thing is not honoured here")]
    misspelt = "rewrite-targt is not honoured here; did you mean rewrite-target?"
    assert told(rewrite_targt="/") == [("AnnotationNotHonoured", misspelt)]


def test_what_nobody_could_see_is_not_told() -> None:
    for name in WITHOUT_EFFECT:
        assert told(**{name: "x"}) == []


def test_the_tables_do_not_overlap() -> None:
    tables = [set(HONOURED), set(NOT_HONOURED), set(WITHOUT_EFFECT), set(SNIPPETS)]
    assert sum(map(len, tables)) == len(set().union(*tables))
    assert set(ALIASES) | set(ALIASES.values()) <= set(HONOURED)


def test_every_honoured_annotation_changes_the_settings_or_belongs_to_a_group() -> None:
    """No name stands in the table without being used: each value is read back from the settings."""
    held_elsewhere = (  # where there are Secrets, ConfigMaps and a configuration of the controller
        "auth-type", "auth-secret", "auth-secret-type", "auth-realm", "auth-proxy-set-headers", "custom-headers",
        "enable-global-auth", "load-balance", "proxy-ssl-ciphers", "proxy-ssl-name", "proxy-ssl-protocols",
        "proxy-ssl-secret", "proxy-ssl-server-name", "proxy-ssl-verify",
    )  # fmt: skip
    samples = {name: sample_of(name) for name in HONOURED}
    base: dict[str, Any] = {
        "enable_cors": "true", "affinity": "cookie", "canary": "true", "canary_by_header": "X", "limit_rps": "1",
        "auth_url": "http://a/", "upstream_hash_by": "$uri", "upstream_hash_by_subset": "true",
        "session_cookie_path": "/", "default_backend": "pages", "mirror_target": "http://m/",
    }  # fmt: skip
    for name, text in samples.items():
        if name in held_elsewhere:
            continue
        key = name.replace("-", "_")
        without: dict[str, Any] = {other: value for other, value in base.items() if other != key}
        before, _ = read_settings(ingress(**without), secret=lambda key: None)
        after, problems = read_settings(ingress(**{**without, key: text}), secret=lambda key: None)
        assert problems == (), name
        assert before != after, f"{name} changes nothing"


def sample_of(name: str) -> str:
    """A value that is not the default."""
    special = {
        "affinity": "cookie", "affinity-canary-behavior": "legacy", "affinity-mode": "persistent", "app-root": "/x",
        "auth-cache-duration": "200 1m", "auth-method": "POST", "auth-url": "http://b/", "backend-protocol": "HTTPS", "canary-by-header-pattern": "x.",
        "canary-weight-total": "200", "cors-allow-credentials": "false", "cors-allow-methods": "GET", "cors-allow-origin": "https://a.example.com",
        "custom-http-errors": "404", "permanent-redirect": "https://a/", "permanent-redirect-code": "308",
        "temporal-redirect": "https://a/", "temporal-redirect-code": "307", "proxy-body-size": "9m",
        "proxy-buffering": "on", "proxy-request-buffering": "off", "proxy-http-version": "1.0",
        "proxy-next-upstream": "off", "satisfy": "any", "session-cookie-samesite": "Lax", "session-cookie-path": "/p",
        "ssl-redirect": "false", "mirror-request-body": "off", "mirror-target": "http://m/$request_uri",
    }  # fmt: skip
    if name in special:
        return special[name]
    if name.endswith(("range", "whitelist", "allowlist")):
        return "10.0.0.0/8"
    reader = HONOURED[name].__name__
    return {"boolean": "true", "read": "7", "seconds": "7"}.get(reader, "sample")
