"""Where proxied requests go, and what becomes of headers and links."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.api.errors import BadRequest, ServiceUnavailable
from emulator.api.meta import JsonObject
from emulator.apiserver import proxying
from emulator.apiserver.proxying import Links, Location, Wanted

PREFIX = "/api/v1/namespaces/n/services/web/proxy"
LINKS = Links(PREFIX, "127.0.0.1:16443", "/a/")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("web", Wanted("", "web", "")),
        ("web:80", Wanted("", "web", "80")),
        ("https:web:", Wanted("https", "web", "")),
        ("http:web:http", Wanted("http", "web", "http")),
    ],
)
def test_names(text: str, wanted: Wanted) -> None:
    assert proxying.parse_name(text, "service") == wanted


@pytest.mark.parametrize("text", ["a:b:c", "http::80", ":80", "a:b:c:d"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(BadRequest, match=f'^invalid pod request "{text}"$'):
        proxying.parse_name(text, "pod")


def test_pods() -> None:
    pod: JsonObject = {"spec": {"containers": [{"name": "a"}, {"name": "b", "ports": [{"containerPort": 8080}]}]}}
    with pytest.raises(BadRequest, match=r"^address not allowed$"):
        proxying.pod_location(Wanted("", "p", ""), pod)
    pod["status"] = {"podIP": "10.1.0.5"}
    assert proxying.pod_location(Wanted("", "p", ""), pod) == Location("http", "10.1.0.5", "8080")
    assert proxying.pod_location(Wanted("https", "p", "1"), pod).address == "10.1.0.5:1"


def test_services() -> None:
    service = {"spec": {"ports": [{"name": "http", "port": 80}, {"port": 443}]}}
    assert proxying.service_port(Wanted("", "web", "80"), service) == "http"
    assert proxying.service_port(Wanted("", "web", "443"), service) == ""
    with pytest.raises(ServiceUnavailable, match=r'^no service port 81 found for service "web"$'):
        proxying.service_port(Wanted("", "web", "81"), service)
    reference = {"namespace": "n", "name": "p"}
    endpoints = {
        "subsets": [
            {
                "addresses": [{"ip": "1.1.1.1"}, {"ip": "2.2.2.2", "targetRef": reference}],
                "ports": [{"port": 8080, "name": "http"}],
            },
            {"notReadyAddresses": [{"ip": "3.3.3.3"}], "ports": [{"port": 8080, "name": "http"}]},
        ]
    }
    found = list(proxying.service_candidates(Wanted("", "web", "80"), "http", endpoints, lambda stop: stop - 1))
    assert [location.address for _, location in found] == ["2.2.2.2:8080", "1.1.1.1:8080"]
    pod = {"status": {"podIP": "2.2.2.2"}}
    assert proxying.is_pods_address(found[0][0], pod, "n")
    assert not proxying.is_pods_address(found[0][0], pod, "other")
    assert not proxying.is_pods_address(found[1][0], pod, "n")
    assert not proxying.is_pods_address(found[0][0], {"status": {"podIP": "9.9.9.9"}}, "n")


def test_headers() -> None:
    sent = [
        ("Host", "h"), ("Authorization", "Bearer x"), ("Connection", "keep-alive, X-Own"), ("X-Own", "1"), ("Te", "trailers"),
        ("Transfer-Encoding", "chunked"), ("X-Forwarded-For", "1.1.1.1"), ("Accept", "a"),
    ]  # fmt: skip
    assert proxying.request_headers(sent, forwarded_uri="/u", peer="2.2.2.2") == [
        ("Host", "h"), ("Accept", "a"), ("Te", "trailers"), ("X-Forwarded-For", "1.1.1.1, 2.2.2.2"), ("X-Forwarded-Uri", "/u"),
    ]  # fmt: skip
    kept = proxying.request_headers(sent, forwarded_uri="", peer="", upgrade=True)
    assert ("Connection", "keep-alive, X-Own") in kept
    assert "Authorization" not in dict(kept)
    answer = [("Content-Length", "1"), ("Connection", "close"), ("Access-Control-Allow-Origin", "*"), ("X", "y")]
    assert proxying.response_headers(answer) == [("Content-Length", "1"), ("X", "y")]


def test_types_of_bodies_without_one() -> None:
    assert proxying.sniffed_type(b" <!DOCTYPE HTML><p>") == "text/html; charset=utf-8"
    assert proxying.sniffed_type("grüße".encode()) == "text/plain; charset=utf-8"
    assert proxying.sniffed_type(b"\0\1") == "application/octet-stream"


@pytest.mark.parametrize(
    ("link", "wanted"),
    [
        ("/top", f"{PREFIX}/top"),
        ("/top/", f"{PREFIX}/top/"),
        ("/top?a=b#c", f"{PREFIX}/top?a=b#c"),
        ("http://10.1.0.5:8080/top", f"{PREFIX}/top"),
        (f"{PREFIX}/top", f"{PREFIX}/top"),
        ("https://127.0.0.1:16443/x", f"https://127.0.0.1:16443{PREFIX}/x"),
        ("rel", "rel"),
        ("http://other/x", "http://other/x"),
        ("#here", "#here"),
        ("mailto:a@b", "mailto:a@b"),
        ("http://[broken/", "http://[broken/"),
    ],
)
def test_links(link: str, wanted: str) -> None:
    assert LINKS.rewritten(link, "10.1.0.5:8080") == wanted


def test_forwarded_uri() -> None:
    assert LINKS.forwarded_uri() == f"{PREFIX}/a/"
    assert Links(PREFIX, "", "/a//b").forwarded_uri() == f"{PREFIX}/a/b"


def test_links_of_a_page() -> None:
    page = b'<!-- <a href="/no"> --><A HREF=/x CLASS="y">t</a> 1 < 2 <img alt="a>b" src="/i"/><p data="/no"><form action=\'/f\'>'
    wanted = page.replace(b"=/x ", f'="{PREFIX}/x" '.encode()).replace(b'"/i"', f'"{PREFIX}/i"'.encode())
    wanted = wanted.replace(b"'/f'", f"'{PREFIX}/f'".encode())
    assert proxying.rewritten_html(page, LINKS, "b") == wanted


@given(st.binary(max_size=400))
def test_pages_at_random_without_links_stay(page: bytes) -> None:
    if b"/" not in page:
        assert proxying.rewritten_html(page, LINKS, "b") == page
    else:
        proxying.rewritten_html(page, LINKS, "b")


@given(st.text(max_size=60))
def test_links_at_random_raise_nothing(link: str) -> None:
    LINKS.rewritten(link, "b")


@pytest.mark.parametrize("piece", [b'<a "', b"<!--", b"<a href=", b"<a '", b'<a b="'])
def test_no_page_takes_long(piece: bytes) -> None:
    proxying.rewritten_html(piece * 200_000, LINKS, "b")
