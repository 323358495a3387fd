"""docs/ingress.md names every annotation that is known, on the right side."""

from __future__ import annotations

import re
from pathlib import Path

from emulator.ingress.catalogue import HONOURED, NOT_HONOURED, SNIPPETS
from emulator.ingress.configkeys import DEFAULTS_OF_ANNOTATIONS, GLOBAL_AUTH, GLOBALS_READ

TEXT = (Path(__file__).parents[3] / "docs" / "ingress.md").read_text(encoding="utf-8")


def named(start: str, end: str) -> set[str]:
    """The words in backticks between two texts."""
    part = TEXT[TEXT.index(start) : TEXT.index(end)]
    return set(re.findall(r"`([a-z*-]+)`", part))


def test_each_honoured_annotation_and_no_other() -> None:
    assert named("| honoured |", "| not honoured,") == set(HONOURED)


def test_each_that_is_not_honoured() -> None:
    assert {*SNIPPETS, *NOT_HONOURED} <= named("| not honoured,", "Annotations about nginx'")


def test_each_key_of_the_config_map_and_no_other() -> None:
    honoured = {*DEFAULTS_OF_ANNOTATIONS, *GLOBALS_READ, *GLOBAL_AUTH}
    assert named("| keys |", "Keys about nginx' processes") == honoured
