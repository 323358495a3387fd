"""Method and path -> what is asked for."""

from __future__ import annotations

import pytest

from emulator.api.errors import ApiError
from emulator.api.kinds import BINDING, ENDPOINT_SLICE, NAMESPACE, NODE, POD, SERVICE, Kind
from emulator.apiserver.requestinfo import CONNECT, DiscoveryRequest, OtherRequest, ResourceRequest, target_of

RESOURCES: list[tuple[str, str, str, Kind, str, str, str]] = [
    # method, path, verb, kind, namespace, name, subresource
    ("GET", "/api/v1/services", "list", SERVICE, "", "", ""),
    ("GET", "/api/v1/namespaces/shop/services", "list", SERVICE, "shop", "", ""),
    ("GET", "/api/v1/namespaces/shop/services/", "list", SERVICE, "shop", "", ""),
    ("POST", "/api/v1/namespaces/shop/services", "create", SERVICE, "shop", "", ""),
    ("DELETE", "/api/v1/namespaces/shop/services", "deletecollection", SERVICE, "shop", "", ""),
    ("GET", "/api/v1/namespaces/shop/services/web", "get", SERVICE, "shop", "web", ""),
    ("PUT", "/api/v1/namespaces/shop/services/web", "update", SERVICE, "shop", "web", ""),
    ("PATCH", "/api/v1/namespaces/shop/services/web", "patch", SERVICE, "shop", "web", ""),
    ("DELETE", "/api/v1/namespaces/shop/services/web", "delete", SERVICE, "shop", "web", ""),
    ("PATCH", "/api/v1/namespaces/shop/services/web/status", "patch", SERVICE, "shop", "web", "status"),
    ("GET", "/api/v1/namespaces", "list", NAMESPACE, "", "", ""),
    ("GET", "/api/v1/namespaces/shop", "get", NAMESPACE, "", "shop", ""),
    ("PUT", "/api/v1/namespaces/shop/finalize", "update", NAMESPACE, "", "shop", "finalize"),
    ("GET", "/api/v1/namespaces/shop/status", "get", NAMESPACE, "", "shop", "status"),
    ("GET", "/api/v1/nodes/node-1", "get", NODE, "", "node-1", ""),
    ("GET", "/apis/discovery.k8s.io/v1/namespaces/a/endpointslices/b", "get", ENDPOINT_SLICE, "a", "b", ""),
    ("GET", "/api/v1/namespaces/shop/services/we%62", "get", SERVICE, "shop", "web", ""),
    ("GET", "/api/v1/watch/services", "watch", SERVICE, "", "", ""),
    ("GET", "/api/v1/watch/namespaces/shop/services/web", "watch", SERVICE, "shop", "web", ""),
]


@pytest.mark.parametrize("case", RESOURCES, ids=lambda case: f"{case[0]} {case[1]}")
def test_a_resource_path_names_verb_kind_and_object(case: tuple[str, str, str, Kind, str, str, str]) -> None:
    method, path, verb, kind, namespace, name, subresource = case
    assert target_of(method, path) == ResourceRequest(verb, kind, namespace, name, subresource)


def test_the_watch_parameter_turns_a_read_into_a_watch() -> None:
    assert target_of("GET", "/api/v1/services", watch=True) == ResourceRequest("watch", SERVICE)
    assert target_of("GET", "/api/v1/namespaces/a/services/b", watch=True) == ResourceRequest(
        "watch", SERVICE, "a", "b"
    )
    assert target_of("POST", "/api/v1/namespaces/a/services", watch=True) == ResourceRequest("create", SERVICE, "a")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/api/v1/nope", 404),
        ("GET", "/api/v1/namespaces/shop/nope", 404),
        ("GET", "/api/v1/namespaces/shop/nodes", 404),
        ("GET", "/api/v1/services/web", 404),
        ("GET", "/api/v1/namespaces/shop/services/web/nope", 404),
        ("GET", "/api/v1/namespaces/shop/services/web/status/more", 404),
        ("GET", "/api/v1/namespaces//services", 404),
        ("POST", "/api/v1/namespaces/shop/services/web", 405),
        ("PUT", "/api/v1/namespaces/shop/services", 405),
        ("POST", "/api/v1/services", 405),
        ("DELETE", "/api/v1/services", 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("GET", "/api/v1/namespaces/shop/finalize", 405),
        ("HEAD", "/api/v1/services", 405),
        ("POST", "/api/v1/watch/namespaces/shop/services", 405),
    ],
)
def test_a_path_that_names_nothing_is_refused_as_upstream_does(method: str, path: str, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        target_of(method, path)
    assert caught.value.code == code
    assert caught.value.status()["details"] == {}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api", DiscoveryRequest(True)),
        ("/api/", DiscoveryRequest(True)),
        ("/api/v1", DiscoveryRequest(True, "", "v1")),
        ("/apis", DiscoveryRequest(False)),
        ("/apis/discovery.k8s.io", DiscoveryRequest(False, "discovery.k8s.io")),
        ("/apis/discovery.k8s.io/v1/", DiscoveryRequest(False, "discovery.k8s.io", "v1")),
        ("/version/", OtherRequest(("version",))),
        ("/", OtherRequest(("",))),
        ("/apis/nope.example.com", OtherRequest(("apis", "nope.example.com"))),
        ("/apis/nope.example.com/v1/foos", OtherRequest(("apis", "nope.example.com", "v1", "foos"))),
        ("/apis/discovery.k8s.io/v9", OtherRequest(("apis", "discovery.k8s.io", "v9"))),
        ("/api/v2", OtherRequest(("api", "v2"))),
    ],
)
def test_other_paths(path: str, expected: object) -> None:
    assert target_of("GET", path) == expected


PODS = "/api/v1/namespaces/shop/pods"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", f"{PODS}/p/exec", ResourceRequest(CONNECT, POD, "shop", "p", "exec")),
        ("POST", f"{PODS}/p/attach", ResourceRequest(CONNECT, POD, "shop", "p", "attach")),
        ("GET", f"{PODS}/p/portforward", ResourceRequest(CONNECT, POD, "shop", "p", "portforward")),
        ("GET", f"{PODS}/p/log", ResourceRequest("get", POD, "shop", "p", "log")),
        ("POST", f"{PODS}/p/eviction", ResourceRequest("create", POD, "shop", "p", "eviction")),
        ("POST", "/api/v1/namespaces/shop/bindings", ResourceRequest("create", BINDING, "shop")),
        ("GET", f"{PODS}/p/proxy", ResourceRequest(CONNECT, POD, "shop", "p", "proxy", "")),
        ("HEAD", f"{PODS}/p:80/proxy/", ResourceRequest(CONNECT, POD, "shop", "p:80", "proxy", "/")),
        ("GET", f"{PODS}/proxy/proxy/proxy", ResourceRequest(CONNECT, POD, "shop", "proxy", "proxy", "/proxy")),
        (
            "PUT",
            "/api/v1/namespaces/shop/services/https%3Aweb%3A443/proxy/a//b%2Fc/",
            ResourceRequest(CONNECT, SERVICE, "shop", "https:web:443", "proxy", "/a//b%2Fc/"),
        ),
        ("OPTIONS", "/api/v1/nodes/n/proxy/stats", ResourceRequest(CONNECT, NODE, "", "n", "proxy", "/stats")),
        ("GET", "/api/v1/namespaces/proxy/pods/proxy", ResourceRequest("get", POD, "proxy", "proxy")),
    ],
)
def test_paths_that_lead_to_pods_themselves(method: str, path: str, expected: ResourceRequest) -> None:
    assert target_of(method, path) == expected


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("DELETE", f"{PODS}/p/exec", 405),
        ("PUT", f"{PODS}/p/portforward", 405),
        ("POST", f"{PODS}/p/log", 405),
        ("GET", f"{PODS}/p/eviction", 405),
        ("TRACE", f"{PODS}/p/proxy/x", 405),
        ("GET", "/api/v1/namespaces/shop/bindings", 405),
        ("GET", "/api/v1/namespaces/shop/configmaps/c/proxy/x", 404),
        ("GET", "/api/v1/namespaces/shop/nodes/n/proxy/x", 404),
        ("GET", "/api/v1/pods/p/proxy/x", 404),
    ],
)
def test_paths_that_lead_to_no_pod(method: str, path: str, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        target_of(method, path)
    assert caught.value.code == code
