"""Who has a host and a path: tables against what ingress-nginx does."""

from __future__ import annotations

import pytest

from emulator.api.meta import JsonObject
from emulator.ingress.model import Proxy, Redirect, Respond
from emulator.routing.ingressclasses import ingress_class, is_ours, oldest_first, our_classes
from tests.unit.ingress.world import backend, decide, ingress, messages, router, rule, service_of

HOST = "web.example.com"

HOSTS = [
    ("web.example.com", "exact"),
    ("WEB.Example.COM", "exact"),
    ("web.example.com.", "exact"),
    ("web.example.com:8080", "exact"),
    ("other.example.com", "wild"),
    ("a.b.example.com", "any"),
    ("example.com", "any"),
    ("deep.alias.example.org", "aliased"),
    ("alias.example.net", "aliased"),
    ("_", "any"),
    ("", "any"),
]


@pytest.mark.parametrize(("host", "wanted"), HOSTS)
def test_which_server_has_a_host(host: str, wanted: str) -> None:
    aliases = "alias.example.net, *.alias.example.org, web.example.com"
    made = router(
        ingress(rule(service="exact", host="web.example.com"), name="a"),
        ingress(rule(service="wild", host="*.example.com"), name="b"),
        ingress(rule(service="any"), name="c"),
        ingress(rule(service="aliased", host="main.example.net"), name="d", server_alias=aliases),
    )
    assert service_of(decide(made, host=host)) == wanted


PLAIN = [
    ("/", "root"),
    ("/x", "root"),
    ("/foo", "exact-foo"),
    ("/foo/", "foo"),
    ("/foo/x", "foo"),
    ("/foobar", "root"),
    ("/FOO", "root"),
    ("/foo/bar", "foo-bar"),
    ("/foo/bar/x", "foo-bar"),
    ("/foo//bar", "foo-bar"),
    ("/foo/./bar", "foo-bar"),
    ("/foo/x/../bar", "foo-bar"),
    ("/f%6Fo", "exact-foo"),
    ("/only", "only"),
    ("/only/", "root"),
    ("/only/x", "root"),
]


@pytest.mark.parametrize(("path", "wanted"), PLAIN)
def test_plain_paths(path: str, wanted: str) -> None:
    made = router(
        ingress(
            rule("/", "root", HOST),
            rule("/foo", "foo", HOST),
            rule("/foo", "exact-foo", HOST, kind="Exact"),
            rule("/foo/bar", "foo-bar", HOST, kind="ImplementationSpecific"),
            rule("/only", "only", HOST, kind="Exact"),
        )
    )
    decision = decide(made, path)
    assert service_of(decision) == wanted
    assert isinstance(decision, Proxy)
    assert decision.path == path, "what is not rewritten goes on as it came"


SLASHES = [
    (rule("/foo/", host=HOST), "/foo", "http://web.example.com/foo/"),
    (rule("/foo/", host=HOST), "/foo?a=b", "http://web.example.com/foo/?a=b"),
    (rule("/foo/", host=HOST), "/foo/", None),
    (rule("/foo/", host=HOST), "/foo/x", None),
    (rule("/foo", host=HOST), "/foo", None),
]


@pytest.mark.parametrize(("only", "url", "location"), SLASHES)
def test_a_prefix_that_ends_in_a_slash(only: JsonObject, url: str, location: str | None) -> None:
    decision = decide(router(ingress(only)), url)
    assert (decision.status, decision.location) == (301, location) if isinstance(decision, Redirect) else not location


def test_the_redirect_leads_back_to_the_port_it_came_from() -> None:
    decision = decide(router(ingress(rule("/foo/", host=HOST))), "/foo", host="web.example.com:10080")
    assert isinstance(decision, Redirect)
    assert decision.location == "http://web.example.com:10080/foo/"
    relative = decide(router(ingress(rule("/foo/", host=HOST), relative_redirects="true")), "/foo")
    assert isinstance(relative, Redirect)
    assert relative.location == "/foo/"


def test_an_exact_path_with_a_slash_is_only_itself() -> None:
    made = router(ingress(rule("/foo/", host=HOST, kind="Exact")))
    assert service_of(decide(made, "/foo/")) == "web"
    assert service_of(decide(made, "/foo")) is None
    assert not isinstance(decide(made, "/foo"), Redirect)


REGEX = [
    ("/foo", "foo"),
    ("/foobar", "foo"),
    ("/FOO/x", "foo"),
    ("/foo/bar/1", "numbers"),
    ("/foo/bar/x", "foo"),
    ("/exact", "exact"),
    ("/exactly", "exact"),
    ("/x", None),
    ("/", None),
]


@pytest.mark.parametrize(("path", "wanted"), REGEX)
def test_one_regular_expression_makes_all_paths_of_its_host_some(path: str, wanted: str | None) -> None:
    made = router(
        ingress(rule("/foo", "foo", HOST), rule("/exact", "exact", HOST, kind="Exact"), name="plain"),
        ingress(rule("/foo/bar/[0-9]+", "numbers", HOST, kind="ImplementationSpecific"), name="rx", use_regex="true"),
        ingress(rule("/foo", "elsewhere", "other.example.com"), name="other"),
    )
    assert service_of(decide(made, path)) == wanted
    assert service_of(decide(made, "/FOO", host="other.example.com")) is None, "other hosts stay as they are"


def test_a_rewrite_that_changes_something_makes_regular_expressions_too() -> None:
    made = router(ingress(rule("/foo", host=HOST), rewrite_target="/foo"))
    assert service_of(decide(made, "/FOO")) is None
    made = router(ingress(rule("/foo", host=HOST), rewrite_target="/other"))
    assert service_of(decide(made, "/FOO")) == "web"


def test_the_longest_path_string_is_tried_first() -> None:
    made = router(
        ingress(rule("/[a-z]+", "long", HOST), rule("/abc", "short", HOST), rule("/ab.", "tie", HOST), use_regex="true")
    )
    assert service_of(decide(made, "/abc")) == "long"
    made = router(ingress(rule("/abc", "letters", HOST), rule("/ab.", "dot", HOST), use_regex="true"))
    assert service_of(decide(made, "/abc")) == "letters", "of equally long ones the greater text"


def test_the_oldest_keeps_a_path_and_the_younger_is_told() -> None:
    made = router(
        ingress(rule("/a", "young", HOST), rule("/b", "young", HOST), name="young", age=2),
        ingress(rule("/a", "old", HOST), name="old", age=1),
    )
    assert service_of(decide(made, "/a")) == "old"
    assert service_of(decide(made, "/b")) == "young"
    told = 'host "web.example.com" and path "/a" is already defined in ingress shop/old'
    assert [(p.about.name, p.reason, p.message) for p in made.problems] == [("young", "ConflictingRule", told)]


def test_of_one_second_the_greater_name_is_the_older() -> None:
    made = router(ingress(rule("/", "a"), name="a"), ingress(rule("/", "b"), name="b"))
    assert service_of(decide(made)) == "b"
    names = [entry["metadata"]["name"] for entry in oldest_first([ingress(name="a"), ingress(name="b", age=1)])]
    assert names == ["a", "b"]


def test_default_backends() -> None:
    catch_all = ingress(name="all", spec={"defaultBackend": backend("all")})
    own = ingress(rule("/a", "a", HOST), name="own", age=1, spec={"defaultBackend": backend("own")})
    made = router(catch_all, own, ingress(rule("/b", "b", "b.example.com"), name="b", age=2))
    assert service_of(decide(made, "/x", host="nowhere.example.com")) == "all"
    assert service_of(decide(made, "/x")) == "own"
    assert service_of(decide(made, "/a")) == "a"
    assert service_of(decide(made, "/x", host="b.example.com")) is None
    assert messages(made) == []
    second = ingress(name="second", age=3, spec={"defaultBackend": backend("second")})
    assert messages(router(catch_all, second)) == [
        ("ConflictingRule", "another Ingress (shop/all) is the default backend already")
    ]


def test_without_any_ingress() -> None:
    answers = [decide(router(), path) for path in ("/", "/healthz", "/..")]
    assert [answer.status for answer in answers if isinstance(answer, Respond)] == [404, 200, 400]


def test_health_is_answered_on_the_default_server_only() -> None:
    made = router(ingress(rule("/", "any"), rule("/", "web", HOST)))
    assert service_of(decide(made, "/healthz", host="x")) is None
    assert service_of(decide(made, "/healthz")) == "web"


def test_what_is_told_about_paths() -> None:
    made = router(
        ingress(rule("/x(/|$)(.*)", host=HOST), name="strict"),
        ingress(rule("/(", host=HOST, kind="ImplementationSpecific"), name="rx", age=1, use_regex="true"),
        ingress(
            {"http": {"paths": [{"path": "/r", "pathType": "Prefix", "backend": {"resource": {"kind": "Bucket"}}}]}},
            name="resource",
            age=2,
        ),
    )
    assert messages(made) == [
        ("InvalidPath", "ingress contains invalid paths: path /x(/|$)(.*) cannot be used with pathType Prefix"),
        (
            "InvalidRegex",
            'path "/(" is no regular expression: missing ), unterminated subpattern at position 2; it is left out',
        ),
        (
            "ResourceBackend",
            "spec.rules[0].http.paths[0].backend: resource backends (Bucket) are not served; only services are",
        ),
    ]


@pytest.mark.parametrize(
    ("named", "annotation", "wanted"),
    [
        ("nginx", None, True),
        ("public", None, True),
        ("inner", None, True),
        ("traefik", None, False),
        ("absent", None, False),
        ("traefik", "nginx", False),
        ("nginx", "traefik", True),
        (None, "nginx", True),
        (None, "public", True),
        (None, "traefik", False),
        (None, "", True),
        (None, None, True),
    ],
)
def test_whose_an_ingress_is(named: str | None, annotation: str | None, wanted: bool) -> None:
    foreign = {**ingress_class("traefik"), "spec": {"controller": "traefik.io/ingress-controller"}}
    classes = our_classes([ingress_class("nginx"), ingress_class("public"), ingress_class("inner"), foreign])
    made = ingress(rule())
    made["spec"]["ingressClassName"] = named
    if annotation is not None:
        made["metadata"]["annotations"] = {"kubernetes.io/ingress.class": annotation}
    assert is_ours(made, classes) is wanted
