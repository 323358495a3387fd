"""What becomes of a request at its location: rewrites, redirects, refusals, and what goes on to the backend."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from emulator.ingress.balance import backend_mark
from emulator.ingress.model import Proxy, Redirect, Respond
from emulator.ingress.ratelimit import RateLimiter
from tests.unit.ingress.world import backend, decide, ingress, last, messages, request, router, rule, secret, service_of

HOST = "web.example.com"
IMPLEMENTATION = "ImplementationSpecific"

REWRITES = [
    ("/something(/|$)(.*)", "/$2", "/something", "/", ""),
    ("/something(/|$)(.*)", "/$2", "/something/new", "/new", ""),
    ("/something(/|$)(.*)", "/$2", "/SOMETHING/New?a=b", "/New", "a=b"),
    ("/testpath", "/", "/testpath", "/", ""),
    ("/testpath", "/", "/testpath/deep?q=1", "/", "q=1"),
    ("/testpath", "/", "/testpathology", "/", ""),
    ("/a/(.+)", "/new/backend/$1", "/a/b/c", "/new/backend/b/c", ""),
    ("/a/(?<rest>.+)", "/x/$rest", "/a/b", "/x/b", ""),
    ("/a/(.+)", "/x?id=$1", "/a/b?c=d", "/x", "id=b&c=d"),
    ("/a/(.+)", "/x/$1?", "/a/b?c=d", "/x/b", ""),
    ("/a/(.+)", "/$1", "/a/b%20c", "/b%20c", ""),
    ("/a/(.+)", "/$1", "/a/%C3%A9", "/%C3%A9", ""),
    ("/a/(b)?(.*)", "/$1-$2-$3", "/a/x", "/-x-", ""),
    ("/a", "/$host$request_uri", "/a", "/web.example.com/a", ""),
]


@pytest.mark.parametrize(("path", "target", "url", "wanted", "query"), REWRITES)
def test_rewrites(path: str, target: str, url: str, wanted: str, query: str) -> None:
    made = router(ingress(rule(path, host=HOST, kind=IMPLEMENTATION), use_regex="true", rewrite_target=target))
    decision = decide(made, url)
    assert isinstance(decision, Proxy)
    assert (decision.path, decision.query) == (wanted, query)


def test_a_rewrite_to_its_own_path_changes_nothing() -> None:
    made = router(ingress(rule("/foo", host=HOST), rewrite_target="/foo"))
    for path in ("/foo", "/foo/bar", "/foo/%41"):
        decision = decide(made, path)
        assert isinstance(decision, Proxy)
        assert decision.path == path


def tls(**more: Any) -> dict[str, Any]:
    return {"tls": [{"hosts": [HOST], "secretName": "cert"}], **more}


REDIRECTS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], str, int, str]] = [
    ({"app_root": "/app1"}, {}, {}, "/", 302, "http://web.example.com/app1"),
    ({"app_root": "/app1"}, {}, {"host": "web.example.com:81"}, "/?a", 302, "http://web.example.com:81/app1"),
    ({}, tls(), {}, "/x?y=z", 308, "https://web.example.com/x?y=z"),
    ({}, tls(), {}, "/x/", 308, "https://web.example.com/x"),
    ({"preserve_trailing_slash": "true"}, tls(), {}, "/x/", 308, "https://web.example.com/x/"),
    ({}, tls(), {"https_port": 10443}, "/", 308, "https://web.example.com:10443"),
    ({"use_port_in_redirects": "true"}, tls(), {}, "/x", 308, "https://web.example.com:443/x"),
    ({"force_ssl_redirect": "true"}, {}, {}, "/x", 308, "https://web.example.com/x"),
    ({"permanent_redirect": "https://new.example.com"}, {}, {}, "/x", 301, "https://new.example.com"),
    ({"permanent_redirect": "/new"}, {}, {}, "/x", 301, f"http://{HOST}/new"),
    ({"permanent_redirect": "/new", "relative_redirects": "true"}, {}, {}, "/x", 301, "/new"),
    (
        {"permanent_redirect": "https://new.example.com$request_uri", "permanent_redirect_code": "308"},
        tls(), {}, "/x?a", 308, "https://new.example.com/x?a",
    ),
    ({"temporal_redirect": "https://now.example.com/"}, {}, {}, "/x", 302, "https://now.example.com/"),
    ({"from_to_www_redirect": "true"}, {}, {"host": "www.web.example.com"}, "/a?b", 308, "http://web.example.com/a?b"),
    ({"rewrite_target": "https://else.example.com/$1", "use_regex": "true"}, {}, {}, "/q", 302, "https://else.example.com/"),
]  # fmt: skip


@pytest.mark.parametrize(("annotations", "spec", "sent", "url", "status", "location"), REDIRECTS)
def test_redirects(
    annotations: dict[str, Any], spec: dict[str, Any], sent: dict[str, Any], url: str, status: int, location: str
) -> None:
    decision = decide(router(ingress(rule(host=HOST), spec=spec, **annotations)), url, **sent)
    assert isinstance(decision, Redirect)
    assert (decision.status, decision.location) == (status, location)


@pytest.mark.parametrize(
    ("annotations", "spec", "sent"),
    [
        ({"ssl_redirect": "false"}, tls(), {}),
        ({}, tls(), {"scheme": "https"}),
        ({}, {}, {}),
        ({"force_ssl_redirect": "true"}, {}, {"scheme": "https"}),
        ({"app_root": "/a"}, {}, {}),
    ],
)
def test_no_redirect(annotations: dict[str, Any], spec: dict[str, Any], sent: dict[str, Any]) -> None:
    assert service_of(decide(router(ingress(rule(host=HOST), spec=spec, **annotations)), "/x", **sent)) == "web"


def test_www_that_has_a_server_of_its_own_is_not_redirected() -> None:
    made = router(
        ingress(rule(host=HOST), from_to_www_redirect="true"), ingress(rule(service="w", host="www." + HOST), name="w")
    )
    assert service_of(decide(made, host="www." + HOST)) == "w"


REFUSALS: list[tuple[dict[str, Any], dict[str, Any], int]] = [
    ({"proxy_body_size": "1k"}, {"method": "POST", "content_length": "1025"}, 413),
    ({"proxy_body_size": "1k"}, {"method": "POST", "content_length": "1024"}, 0),
    ({"proxy_body_size": "0"}, {"method": "POST", "content_length": "99999999999"}, 0),
    ({}, {"method": "POST", "content_length": str((1 << 20) + 1)}, 413),
    ({"whitelist_source_range": "10.0.0.0/8, 192.0.2.1"}, {"client": "10.1.2.3"}, 0),
    ({"whitelist_source_range": "10.0.0.0/8, 192.0.2.1"}, {"client": "192.0.2.1"}, 0),
    ({"allowlist_source_range": "10.0.0.0/8"}, {"client": "192.0.2.1"}, 403),
    ({"allowlist_source_range": "10.0.0.0/8"}, {"client": "::1"}, 403),
    ({"denylist_source_range": "192.0.2.0/24"}, {"client": "192.0.2.1"}, 403),
    ({"denylist_source_range": "192.0.2.0/24"}, {"client": "10.0.0.1"}, 0),
]


@pytest.mark.parametrize(("annotations", "sent", "status"), REFUSALS)
def test_refusals(annotations: dict[str, Any], sent: dict[str, Any], status: int) -> None:
    decision = decide(router(ingress(rule(host=HOST), **annotations)), "/", **sent)
    assert (decision.status if isinstance(decision, Respond) else 0) == status


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def sha(password: str) -> str:
    return "{SHA}" + base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()


def test_basic_authentication() -> None:
    annotations: dict[str, Any] = {"auth_type": "basic", "auth_secret": "users", "auth_realm": 'The "shop"'}
    made = router(ingress(rule(host=HOST), **annotations), secrets=(secret("users", auth=f"ann:{sha('pw')}\n"),))
    refused = decide(made)
    assert isinstance(refused, Respond)
    assert (refused.status, refused.headers) == (401, (("WWW-Authenticate", 'Basic realm="The \\"shop\\""'),))
    for wrong in (basic("ann", "no"), basic("bob", "pw"), "Bearer x", "Basic !", "Basic"):
        assert isinstance(decide(made, authorization=wrong), Respond)
    passed = decide(made, authorization=basic("ann", "pw"))
    assert isinstance(passed, Proxy)
    assert "authorization" in passed.request_headers.drop, "the password stays here"


@pytest.mark.parametrize(
    ("annotations", "told"),
    [
        ({"auth_type": "basic", "auth_secret": "gone"}, "secret shop/gone does not exist"),
        ({"auth_type": "basic", "auth_secret": "empty"}, 'secret shop/empty has no key "auth"'),
        ({"auth_type": "basic"}, "annotation nginx.ingress.kubernetes.io/auth-secret is missing"),
        (
            {"auth_type": "basic", "auth_secret": "else/users"},
            "secret else/users is in another namespace, which is not allowed",
        ),
    ],
)
def test_without_its_secret_every_request_is_refused(annotations: dict[str, Any], told: str) -> None:
    made = router(ingress(rule(host=HOST), **annotations), secrets=(secret("empty", other="x"),))
    refused = decide(made)
    assert isinstance(refused, Respond)
    assert (refused.status, refused.reason) == (503, told)
    text = f"basic authentication: {told}; every request is answered with 503"
    assert messages(made) == [("MissingSecret", text)]


def test_an_auth_map() -> None:
    annotations: dict[str, Any] = {"auth_type": "basic", "auth_secret": "users", "auth_secret_type": "auth-map"}
    made = router(ingress(rule(host=HOST), **annotations), secrets=(secret("users", ann=sha("pw")),))
    assert service_of(decide(made, authorization=basic("ann", "pw"))) == "web"


def test_any_of_address_and_password_is_enough() -> None:
    annotations: dict[str, Any] = {"auth_type": "basic", "auth_secret": "users", "allowlist_source_range": "10.0.0.0/8"}
    users = (secret("users", auth=f"ann:{sha('pw')}"),)
    every = router(ingress(rule(host=HOST), **annotations), secrets=users)
    some = router(ingress(rule(host=HOST), satisfy="any", **annotations), secrets=users)
    ann = basic("ann", "pw")
    answers = [
        getattr(decide(made, client=client, authorization=password), "status", 200)
        for made in (every, some)
        for client in ("10.0.0.1", "192.0.2.1")
        for password in (ann, "")
    ]
    assert answers == [200, 401, 403, 403, 200, 200, 200, 401]


ANY: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"allowlist_source_range": "10.0.0.0/8"}, {"client": "10.0.0.1"}, "passes"),
    ({"allowlist_source_range": "10.0.0.0/8"}, {"client": "192.0.2.1"}, "asks"),
    ({"denylist_source_range": "10.0.0.0/8"}, {"client": "192.0.2.1"}, "asks"),
    ({"denylist_source_range": "10.0.0.0/8"}, {"client": "10.0.0.1"}, "asks"),
    ({"auth_type": "basic", "auth_secret": "users"}, {"authorization": "ann"}, "passes"),
    ({"auth_type": "basic", "auth_secret": "users"}, {}, "asks"),
]


@pytest.mark.parametrize(("annotations", "sent", "wanted"), ANY)
def test_an_auth_server_need_not_be_asked_when_any_is_enough(
    annotations: dict[str, Any], sent: dict[str, Any], wanted: str
) -> None:
    users = (secret("users", auth=f"ann:{sha('pw')}"),)
    made = router(ingress(rule(host=HOST), satisfy="any", auth_url="http://a/", **annotations), secrets=users)
    if "authorization" in sent:
        sent = {"authorization": basic("ann", "pw")}
    decision = decide(made, **sent)
    assert isinstance(decision, Proxy)
    assert (decision.settings.external_auth is None) is (wanted == "passes")


def test_limits_per_client() -> None:
    made = router(ingress(rule(host=HOST), limit_rps="2", limit_burst_multiplier="1", limit_whitelist="10.0.0.0/8"))
    limiter = RateLimiter()

    def ask(client: str, now: float) -> int:
        decision = made.decide(request(client=client), rng=last, now=now, limiter=limiter)
        return decision.status if isinstance(decision, Respond) else 200

    assert [ask("192.0.2.1", 0.0) for _ in range(4)] == [200, 200, 200, 503]
    assert ask("192.0.2.2", 0.0) == 200
    assert ask("192.0.2.1", 0.5) == 200
    assert ask("192.0.2.1", 0.5) == 503
    assert [ask("10.0.0.1", 0.0) for _ in range(9)] == [200] * 9


def test_what_the_backend_gets() -> None:
    decision = decide(
        router(ingress(rule(host=HOST))),
        host="web.example.com:10080",
        client="192.0.2.7",
        port=10080,
        x_forwarded_for="203.0.113.1",
        x_request_id="abc",
        connection="close, X-Secret",
        proxy="evil",
    )
    assert isinstance(decision, Proxy)
    assert decision.vhost == "web.example.com:10080"
    assert dict(decision.request_headers.set) == {
        "X-Request-ID": "abc",
        "X-Real-IP": "192.0.2.7",
        "X-Forwarded-For": "192.0.2.7",
        "X-Forwarded-Host": "web.example.com:10080",
        "X-Forwarded-Port": "10080",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Scheme": "http",
        "X-Scheme": "http",
        "X-Original-Forwarded-For": "203.0.113.1",
    }
    assert {"connection", "x-secret", "proxy", "host", "transfer-encoding"} <= decision.request_headers.drop


def test_headers_that_annotations_change() -> None:
    annotations: dict[str, Any] = {
        "upstream_vhost": "inner.example.com",
        "x_forwarded_prefix": "/$1",
        "rewrite_target": "/$2",
    }
    made = router(ingress(rule("/(a)/(.*)", host=HOST, kind=IMPLEMENTATION), **annotations))
    decision = decide(made, "/a/b", upgrade="websocket")
    assert isinstance(decision, Proxy)
    headers = dict(decision.request_headers.set)
    assert (decision.vhost, headers["X-Forwarded-Prefix"]) == ("inner.example.com", "/a")
    assert (headers["Upgrade"], headers["Connection"]) == ("websocket", "upgrade")
    assert len(headers["X-Request-ID"]) == 32


def test_strict_transport_security_on_https_whoever_the_certificate_is_for() -> None:
    for spec in ({}, tls()):
        made = router(ingress(rule(host=HOST), spec=spec, denylist_source_range="10.0.0.0/8"))
        passed, refused = decide(made, scheme="https"), decide(made, scheme="https", client="10.0.0.1")
        assert isinstance(passed, Proxy)
        assert isinstance(refused, Respond)
        wanted = (("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),)
        assert passed.response_headers == refused.headers == wanted
    plain = decide(router(ingress(rule(host=HOST))))
    assert isinstance(plain, Proxy)
    assert plain.response_headers == ()


def test_a_canary_needs_a_main_ingress_with_the_same_rule() -> None:
    main = ingress(rule("/a", "main", HOST), name="main")
    canary: dict[str, Any] = {"canary": "true", "canary_by_header": "X-Canary"}
    other = ingress(rule("/a", "new", HOST), name="other", age=1, **canary)
    made = router(main, other)
    assert service_of(decide(made, "/a")) == "main"
    assert service_of(decide(made, "/a", x_canary="always")) == "new"
    assert service_of(decide(made, "/a/b", x_canary="always")) == "new"
    alone = router(other)
    assert service_of(decide(alone, "/a", x_canary="always")) is None
    text = 'no Ingress that is not a canary has host "web.example.com", path "/a" and pathType Prefix'
    assert messages(alone) == [("CanaryWithoutMain", f"{text}; the canary gets no request")]
    third = ingress(rule("/a", "third", HOST), name="third", age=2, canary="true", canary_weight="100")
    text = "ingress shop/other is the canary of this rule already; only one is used"
    assert messages(router(main, other, third)) == [("ConflictingRule", text)]


@pytest.mark.parametrize("behavior", ["sticky", "legacy"])
def test_the_canary_says_whether_the_affinity_of_its_main_ingress_holds_there(behavior: str) -> None:
    main = ingress(rule("/", "main", HOST), name="main", affinity="cookie", session_cookie_name="aff")
    notes: dict[str, Any] = {"canary": "true", "canary_by_header": "X-Canary", "affinity_canary_behavior": behavior}
    made = router(main, ingress(rule("/", "new", HOST), name="new", age=1, **notes))
    forced = decide(made, "/", x_canary="always")
    assert isinstance(forced, Proxy)
    assert (forced.backend.service, forced.settings.affinity is not None) == ("new", behavior == "sticky")
    bound = f"aff=x|{backend_mark(forced.backend)}"
    assert service_of(decide(made, "/", cookie=bound)) == {"sticky": "new", "legacy": "main"}[behavior]


def test_a_canary_of_the_catch_all() -> None:
    main = ingress(name="main", spec={"defaultBackend": backend("main")})
    new = ingress(name="new", age=1, spec={"defaultBackend": backend("new")}, canary="true", canary_weight="100")
    assert service_of(decide(router(main, new))) == "new"


def test_the_trace_names_what_was_applied() -> None:
    made = router(ingress(rule("/a", host=HOST), force_ssl_redirect="true"))
    steps = [(step.subject, step.outcome) for step in decide(made, "/a").trace]
    assert steps == [("force-ssl-redirect", "applied")]
    explained = made.decide(request("/a/b"), rng=last, explain=True)
    assert [(step.outcome, step.reason) for step in explained.trace] == [
        ("won", "the host is the same"),
        ("lost", "/a/b is another path"),
        ("won", "the longest path of those that the request's begins with"),
        ("lost", "a longer or exact path wins"),
        ("applied", "for every request: 308 to https"),
    ]


def test_a_trace_is_bounded() -> None:
    made = router(ingress(*(rule(f"/p{number}", host=HOST) for number in range(100))))
    steps = made.decide(request("/p5"), rng=last, explain=True).trace
    assert len(steps) == 53
    assert (steps[-1].subject, steps[-1].reason) == ("150 more locations", "they lose likewise")
