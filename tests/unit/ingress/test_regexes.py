"""Patterns of paths: nginx' spellings, and what a pattern surely begins with."""

from __future__ import annotations

import pytest

from emulator.ingress.regexes import InvalidPattern, compile_header, compile_path, is_plain_path, literal_prefix

MATCHES = [
    ("/foo", "/foo", True),
    ("/foo", "/FOObar", True),
    ("/foo", "/a/foo", False),
    ("/id/[0-9]+$", "/id/12", True),
    ("/id/[0-9]+$", "/id/12/x", False),
    ("/a|/b", "/x/b", True),  # the anchor belongs to the first alternative only
    ("/(a|b)/c", "/B/C", True),
    ("/(?<name>x+)", "/xx", True),
    ("/(?'name'x+)", "/xx", True),
    ("/(?i)abc", "/ABC", True),
    (r"/v[[:digit:]]+\z", "/v12", True),
    (r"/v[[:digit:]]+\z", "/v12x", False),
    ("/x++y", "/xxy", True),
]


@pytest.mark.parametrize(("path", "uri", "wanted"), MATCHES)
def test_what_a_path_matches(path: str, uri: str, wanted: bool) -> None:
    assert bool(compile_path(path).search(uri.encode())) is wanted


@pytest.mark.parametrize("path", ["/(", "/[a", "/a{2,1}", "/*+?", "/(?P<x"])
def test_what_is_no_pattern(path: str) -> None:
    with pytest.raises(InvalidPattern):
        compile_path(path)


def test_case_matters_in_headers() -> None:
    assert compile_header("^v[0-9]").search("v1")
    assert not compile_header("^v[0-9]").search("V1")
    with pytest.raises(InvalidPattern):
        compile_header("(")


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/foo", ("/foo", True)),
        ("/foo(/|$)(.*)", ("/foo", False)),
        ("/foo*", ("/fo", False)),
        ("/foo?x", ("/fo", False)),
        ("/foo{2}", ("/fo", False)),
        ("/foo+", ("/foo", False)),
        ("/v1.0", ("/v1", False)),
        ("/a|/b", ("", False)),
        ("/a(b|c)", ("/a", False)),
        ("/a[|]b", ("/a", False)),
        (r"/a\|b", ("/a", False)),
        (".*", ("", False)),
    ],
)
def test_what_every_match_begins_with(path: str, wanted: tuple[str, bool]) -> None:
    assert literal_prefix(path) == wanted


def test_strict_paths() -> None:
    assert is_plain_path("/a-b_c.d/e1")
    assert not is_plain_path("/x(/|$)(.*)")
