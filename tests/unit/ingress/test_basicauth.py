"""htpasswd files: every format against hashes that other programs made."""

from __future__ import annotations

import pytest

from emulator.ingress.basicauth import can_check, credentials, matches, parse_htpasswd, proves

HASHES = [  # made by `openssl passwd`, by libxcrypt, and by hand after the format's description
    ("secret", "$apr1$salt1234$G61s9lpZAELkzUFCbj/53/"),
    ("", "$apr1$ab$S8K6Sgp3W8c9Jb6LxgywZ."),
    ("a longer password than sixteen bytes", "$apr1$saltsalt$fQOsGdVFkAc33miSw81BR1"),
    ("secret", "$1$salt1234$GexpiwjB8qThXlxv/yIG6."),
    ("secret", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="),
    ("secret", "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0"),
    ("secret", "{PLAIN}secret"),
]
BY_THE_LIBRARY = [  # checked where the C library's crypt knows them: glibc systems do
    ("secret", "$5$salt1234$JR6dBKbsnBZUberntG.C1thHq3lbqZS1ZQECPMdkD3/"),
    (
        "secret",
        "$6$salt1234$XlM3TAPQpzPux1K5SXljYTSlmwnoAbsunXwwWMLH2USuV84oQBkDPWUDYWZltiv6PdqNfuqoMB4aXKHtDfWeo/",
    ),
    ("secret", "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"),
    ("secret", "abNANd1rDfiNc"),
]


@pytest.mark.parametrize(("password", "hashed"), HASHES)
def test_hashes(password: str, hashed: str) -> None:
    assert can_check(hashed)
    assert matches(password, hashed)
    assert not matches(password + "x", hashed)


@pytest.mark.parametrize(("password", "hashed"), BY_THE_LIBRARY)
def test_hashes_of_the_library(password: str, hashed: str) -> None:
    """Where the library does not know the format, nobody gets in and the format is told to be unknown."""
    assert matches(password, hashed) is can_check(hashed)
    assert not matches("wrong", hashed)


@pytest.mark.parametrize("hashed", ["", "*", "$9$x$y", "{SSHA}!", "\u00e9"])
def test_what_is_no_hash_lets_nobody_in(hashed: str) -> None:
    assert not matches("", hashed)
    assert not matches("x", hashed)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("Basic YW5uOnB3", ("ann", "pw")),
        ("basic YW5uOnA6dw==", ("ann", "p:w")),
        ("Basic YW5u", None),
        ("Basic !!!", None),
        ("Basic /w==", None),
        ("Bearer YW5uOnB3", None),
        ("", None),
    ],
)
def test_credentials(header: str, wanted: tuple[str, str] | None) -> None:
    assert credentials(header) == wanted


def test_only_a_user_of_the_file_with_the_password() -> None:
    users = {"ann": "{PLAIN}pw"}
    assert proves(users, "Basic YW5uOnB3")
    assert not proves(users, "Basic Ym9iOnB3")
    assert not proves({"ann": "{PLAIN}other"}, "Basic YW5uOnB3")


def test_reading_a_file() -> None:
    text = "# users\nann:{PLAIN}pw\n\nbob:{PLAIN}x:a comment\nann:{PLAIN}second\nno colon\n:nobody\n"
    assert parse_htpasswd(text) == {"ann": "{PLAIN}pw", "bob": "{PLAIN}x"}
