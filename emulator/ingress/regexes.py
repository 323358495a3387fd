"""Regular expressions of paths: nginx' PCRE in Python's words, and what a pattern surely begins with.

Patterns are matched without regard to ASCII case, on bytes, as nginx does for `~*`.
"""

from __future__ import annotations

import re
from functools import lru_cache

MAX_PATTERNS = 32_768  # kept compiled: three times the rules of the largest cluster this is measured with
META = set("\\.^$*+?{}[]|()")
CLASSES = {
    "alpha": "a-zA-Z", "digit": "0-9", "alnum": "a-zA-Z0-9", "upper": "A-Z", "lower": "a-z", "xdigit": "0-9A-Fa-f",
    "space": r"\s", "word": r"\w", "blank": r" \t", "punct": r"!-/:-@\[-`{-~",
}  # fmt: skip
_NAMED = re.compile(r"\(\?<(?=[A-Za-z_])|\(\?'([A-Za-z_]\w*)'")
_FLAGS = re.compile(r"\(\?[im]+\)")
_POSIX = re.compile(r"\[:(\w+):\]")


class InvalidPattern(ValueError):
    """The text is no regular expression; the message says where."""


@lru_cache(maxsize=MAX_PATTERNS)
def compile_path(path: str) -> re.Pattern[bytes]:
    """The pattern of a location in regex mode: the path, anchored at its start only. Raises InvalidPattern."""
    return _compiled("^" + path)


@lru_cache(maxsize=MAX_PATTERNS)
def compile_rewrite(path: str) -> re.Pattern[bytes]:
    """The pattern whose groups a rewrite-target names. Raises InvalidPattern."""
    return _compiled(path)


@lru_cache(maxsize=256)
def compile_header(pattern: str) -> re.Pattern[str]:
    """A pattern for a header's value; case matters. Raises InvalidPattern."""
    try:
        return re.compile(_translated(pattern), re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise InvalidPattern(str(error)) from error


def _compiled(pattern: str) -> re.Pattern[bytes]:
    try:
        return re.compile(_translated(pattern).encode(), re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise InvalidPattern(str(error)) from error


def _translated(pattern: str) -> str:
    """PCRE's spellings that Python has otherwise: named groups, POSIX classes, flags in the middle, \\z, \\h."""
    named = _NAMED.sub(lambda match: f"(?P<{match[1]}>" if match[1] else "(?P<", pattern)
    plain = _POSIX.sub(lambda match: CLASSES.get(match[1], match[0]), _FLAGS.sub("", named))
    return plain.replace(r"\z", r"\Z").replace(r"\h", r"[ \t]")


def literal_prefix(path: str) -> tuple[str, bool]:
    """What every match of the anchored path begins with, and whether the path is nothing but that."""
    if _has_top_alternative(path):
        return "", False
    for at, char in enumerate(path):
        if char in META:
            cut = at - 1 if char in "*?{" and at else at
            return path[:cut], False
    return path, True


def _has_top_alternative(path: str) -> bool:
    depth, in_class, skip = 0, False, False
    for char in path:
        if skip:
            skip = False
        elif char == "\\":
            skip = True
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
        elif char in "()":
            depth += 1 if char == "(" else -1
        elif char == "|" and depth == 0:
            return True
    return False


def is_plain_path(path: str) -> bool:
    """Whether strict path validation takes the path for Exact and Prefix."""
    return re.fullmatch(r"/[A-Za-z0-9._\-/]*", path, re.ASCII) is not None
