"""`images:` of kubemu.yaml: what is taken, what matches, and where a mistake is said to be."""

from __future__ import annotations

import pytest

from emulator.api.errors import ConfigError
from emulator.config.images import ImageRule, rule_for
from emulator.config.sources import parse_file

HEAD = "apiVersion: kubemu.dev/v1alpha1\nkind: ClusterConfig\n"


def images(text: str) -> tuple[ImageRule, ...]:
    return parse_file(f"{HEAD}{text}", "kubemu.yaml", "/home/me/app").images


def test_an_entry_with_everything() -> None:
    (rule,) = images(
        'images:\n- match: "example/webapp:*"\n  command: [python, app.py, 8080]\n  env: {MODE: test, N: 1}\n'
        '  cwd: src\n  mounts: {"/app/bin": "./bin", "/data": "/srv/data"}\n'
    )
    assert rule.command == ("python", "app.py", "8080")
    assert rule.env == {"MODE": "test", "N": "1"}
    assert rule.cwd == "/home/me/app/src"
    assert rule.mounts == {"/app/bin": "/home/me/app/bin", "/data": "/srv/data"}


def test_the_folder_of_the_file_is_where_a_program_starts() -> None:
    assert images("images: [{match: a}]")[0].cwd == "/home/me/app"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("images: {match: a}", "kubemu.yaml:3: images must be a list"),
        ("images:\n- example", "kubemu.yaml:4: images: an entry with match and command is expected"),
        ("images:\n- command: [a]", "kubemu.yaml:4: images: match is missing"),
        ("images:\n- match: a\n  cmd: [b]", "kubemu.yaml:5: images: unknown key 'cmd'; known are match, command"),
        ("images:\n- match: a\n  command: python app.py", "kubemu.yaml:5: images.command: a list of words is expected"),
        ("images:\n- match: a\n  command: [[a]]", "kubemu.yaml:5: images.command: a text is expected"),
        ("images:\n- match: a\n  env: [A]", "kubemu.yaml:5: images.env: a mapping of texts is expected"),
        ("images:\n- match: a\n  mounts: {data: ./x}", "kubemu.yaml:5: images.mounts: 'data' is not a path inside"),
        ("images:\n- match: a\n  mounts: {/: ./x}", "kubemu.yaml:5: images.mounts: '/' is not a path inside"),
    ],
)
def test_mistakes_name_their_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        images(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("image", "match", "fits"),
    [
        ("example/webapp:1.0", "example/webapp:*", True),
        ("example/webapp", "example/webapp:*", True),
        ("example/webapp", "example/webapp", True),
        ("example/webapp", "example/webapp:latest", True),
        ("localhost:5000/webapp", "localhost:5000/webapp:*", True),
        ("example/webapp@sha256:00", "example/webapp@*", True),
        ("example/webapp:1.0", "example/webapp", False),
        ("example/other:1.0", "example/webapp:*", False),
        ("Example/webapp:1", "example/*", False),
    ],
)
def test_globs_over_references(image: str, match: str, fits: bool) -> None:
    assert (rule_for([ImageRule(match)], image) is not None) is fits


def test_the_first_match_wins() -> None:
    first, second = ImageRule("example/*", ("a",)), ImageRule("*", ("b",))
    assert rule_for([first, second], "example/x") is first
    assert rule_for([first, second], "other") is second
