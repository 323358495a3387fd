"""Paths as nginx compares them and writes them again."""

from __future__ import annotations

import pytest

from emulator.ingress.paths import escaped_path, normal_path, split_query

NORMAL: list[tuple[str, bytes | None]] = [
    ("/", b"/"),
    ("/foo", b"/foo"),
    ("/foo/", b"/foo/"),
    ("//foo//bar//", b"/foo/bar/"),
    ("/a/./b", b"/a/b"),
    ("/a/../b", b"/b"),
    ("/a/..", b"/"),
    ("/a/b/..", b"/a/"),
    ("/a/.", b"/a/"),
    ("/a/.hidden", b"/a/.hidden"),
    ("/a/..hidden", b"/a/..hidden"),
    ("/%41%62", b"/Ab"),
    ("/a%2Fb", b"/a/b"),
    ("/a/%2e%2E/b", b"/b"),
    ("/a%20b", b"/a b"),
    ("/a%3Fb", b"/a?b"),
    ("/a%25b", b"/a%b"),
    ("/ol%C3%A9", b"/ol\xc3\xa9"),
    ("/%ff", b"/\xff"),
    ("/..", None),
    ("/a/../../b", None),
    ("/%2e%2e/x", None),
    ("/a%", None),
    ("/a%4", None),
    ("/a%zz", None),
    ("/a%+1", None),
    ("/a%00", None),
    ("foo", None),
    ("", None),
    ("*", None),
]


@pytest.mark.parametrize(("raw", "wanted"), NORMAL)
def test_the_path_that_is_compared(raw: str, wanted: bytes | None) -> None:
    assert normal_path(raw) == wanted


@pytest.mark.parametrize(
    ("path", "wanted"),
    [(b"/a b", "/a%20b"), (b"/a?b#c%d", "/a%3Fb%23c%25d"), (b"/ol\xc3\xa9", "/ol%C3%A9"), (b"/a+b:c@d", "/a+b:c@d")],
)
def test_a_rewritten_path_is_escaped(path: bytes, wanted: str) -> None:
    assert escaped_path(path) == wanted
    assert normal_path(wanted) == path


def test_a_long_path_is_no_work() -> None:
    assert normal_path("/" + "a" * 100_000) is not None
    assert normal_path("/a" * 50_000 + "%41") is not None


def test_path_and_query() -> None:
    assert split_query("/a?b=c?d") == ("/a", "b=c?d")
    assert split_query("/a") == ("/a", "")
