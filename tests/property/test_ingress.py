"""The router finds what a naive reading of nginx' configuration finds, for any rules and any path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from emulator.ingress.model import Proxy, Redirect
from emulator.ingress.paths import escaped_path, normal_path
from tests.unit.ingress.world import decide, ingress, router, rule

HOSTS = ("a.example.com", "b.example.com", "*.example.com", "")
ASKED = ("a.example.com", "b.example.com", "c.example.com", "x.c.example.com", "else.org")
SEGMENTS = ("a", "b", "A", "ab", "a.b", "")
plain_paths = st.lists(st.sampled_from(SEGMENTS), max_size=3).map(
    lambda parts: re.sub("//+", "/", "/" + "/".join(parts))
)
patterns = st.sampled_from(("/a", "/a/[ab]+", "/a(/|$)(.*)", "/[a-z]b?", "/ab*", "/a|/b", "/(a|b)/c?", "/A/b"))


@dataclass(frozen=True)
class Rule:
    host: str
    path: str
    kind: str
    service: str
    is_regex: bool


@st.composite
def rule_sets(draw: st.DrawFn, *, with_regex: bool) -> list[Rule]:
    rules = []
    for number in range(draw(st.integers(1, 8))):
        is_regex = with_regex and draw(st.booleans())
        path = draw(patterns if is_regex else plain_paths)
        kind = "ImplementationSpecific" if is_regex else draw(st.sampled_from(("Exact", "Prefix")))
        rules.append(Rule(draw(st.sampled_from(HOSTS)), path, kind, f"s{number}", is_regex))
    return rules


def reference(rules: list[Rule], host: str, path: str) -> str | None:
    """By the words of the documentation, one rule after the other; `301` when a slash is missing."""
    candidates = [rule for rule in rules if rule.host == host]
    if not candidates:
        candidates = [rule for rule in rules if rule.host.startswith("*.") and host.partition(".")[2] == rule.host[2:]]
    if not candidates:
        candidates = [rule for rule in rules if not rule.host]
    first: dict[tuple[str, bool], Rule] = {}
    for candidate in candidates:
        first.setdefault((candidate.path, candidate.kind == "Exact"), candidate)
    # A server has a Prefix location / from the start, which a rule takes over: among equals it is the first.
    order = {
        id(rule): (len(rule.path), rule.path, rule.path == "/" and rule.kind != "Exact") for rule in first.values()
    }
    held = sorted(first.values(), key=lambda rule: order[id(rule)], reverse=True)
    if any(rule.is_regex for rule in held):
        return by_regex(held, path)
    exact = {rule.path: rule for rule in held if rule.kind != "Exact"} | {r.path: r for r in held if r.kind == "Exact"}
    if path in exact:
        return exact[path].service
    below: dict[str, Rule] = {}
    for entry in held:
        if entry.kind != "Exact":
            below.setdefault(entry.path.rstrip("/") + "/", entry)
    if path + "/" in below:
        return "301"
    found = [prefix for prefix in below if path.startswith(prefix)]
    return below[max(found, key=len)].service if found else None


def by_regex(held: list[Rule], path: str) -> str | None:
    exact = {rule.path for rule in held if rule.kind == "Exact"}
    for entry in held:
        wanted = [entry.path]
        if entry.kind == "Prefix" and entry.path != "/":
            slash = entry.path if entry.path.endswith("/") else entry.path + "/"
            wanted = [slash] if entry.path in exact else [slash, entry.path]
        if any(re.search("^" + text, path, re.IGNORECASE) for text in wanted):
            return entry.service
    return None


def options(entry: Rule) -> dict[str, Any]:
    return {"use_regex": "true"} if entry.is_regex else {}


def found_by_router(rules: list[Rule], host: str, path: str) -> str | None:
    made = router(
        *(
            ingress(
                rule(entry.path, entry.service, entry.host, kind=entry.kind),
                name=f"i{number}",
                age=number,
                **options(entry),
            )
            for number, entry in enumerate(rules)
        )
    )
    decision = decide(made, path, host=host)
    if isinstance(decision, Redirect):
        return str(decision.status)
    return decision.backend.service if isinstance(decision, Proxy) else None


@given(rule_sets(with_regex=False), st.sampled_from(ASKED), plain_paths)
def test_plain_rules(rules: list[Rule], host: str, path: str) -> None:
    assert found_by_router(rules, host, path) == reference(rules, host, path)


@given(rule_sets(with_regex=True), st.sampled_from(ASKED), plain_paths)
def test_regular_expressions(rules: list[Rule], host: str, path: str) -> None:
    assert found_by_router(rules, host, path) == reference(rules, host, path)


@given(st.text(max_size=40).map(lambda text: "/" + text))
def test_a_path_is_normal_once(raw: str) -> None:
    once = normal_path(raw)
    if once is not None:
        assert once.startswith(b"/")
        again = normal_path(escaped_path(once))
        assert again == once or b"//" in once or b"/." in once


@given(st.binary(max_size=40))
def test_escaping_is_undone_by_reading(path: bytes) -> None:
    kept = b"/" + path.replace(b"\0", b"").replace(b"/", b"").replace(b".", b"")
    assert normal_path(escaped_path(kept)) == kept
