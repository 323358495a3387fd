"""Which server has a host and which location of it a path; the cost does not grow with the number of rules.

Hosts are looked up by name. Plain locations by path and then by each of its parents; regular expressions by what they
surely begin with, so that only those are tried which could match, longest first as nginx does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from emulator.ingress.model import DEFAULT_SERVER, Route
from emulator.ingress.regexes import InvalidPattern, compile_path, literal_prefix
from emulator.ingress.rules import Server

_LABEL = re.compile(r"[\w-]+", re.ASCII)


class Found(NamedTuple):
    """A location; with `adds_slash` it is only reached after a redirect to the path with a slash."""

    route: Route
    adds_slash: bool = False


class Hosts:
    """Servers by host: the exact name, else a wildcard over its first label, else the default server."""

    def __init__(self, servers: Iterable[Server]) -> None:
        self._exact: dict[str, Server] = {}
        self._wild: dict[str, Server] = {}
        self._deep: dict[str, Server] = {}  # wildcards of server-alias: nginx' own, any number of labels
        self._patterns: list[tuple[re.Pattern[str], Server]] = []
        servers = tuple(servers)
        for server in servers:
            place = self._wild if server.host.startswith("*.") else self._exact
            place[server.host.removeprefix("*.").lower()] = server
        for server in servers:
            for alias in server.aliases:
                self._add_alias(alias, server)
        self.default = self._exact[DEFAULT_SERVER]
        self._www = {_www_twin(server.host): server for server in servers if server.redirects_www}

    def _add_alias(self, alias: str, server: Server) -> None:
        if alias.startswith("~"):
            try:
                self._patterns.append((re.compile(alias.lstrip("~*"), re.IGNORECASE), server))
            except re.error:
                return
        elif alias.startswith("*."):
            self._deep.setdefault(alias[2:], server)
        else:
            self._exact.setdefault(alias, server)

    def find(self, host: str) -> Server:
        """host: without port, in whatever case."""
        name = host.lower().removesuffix(".")
        found = self._exact.get(name) if name != DEFAULT_SERVER else None
        if found is not None:
            return found
        first, _, rest = name.partition(".")
        above = rest
        while above and self._deep:
            if above in self._deep:
                return self._deep[above]
            above = above.partition(".")[2]
        if rest in self._wild and _LABEL.fullmatch(first):
            return self._wild[rest]
        return next((server for pattern, server in self._patterns if pattern.search(name)), self.default)

    def certificate_server(self, server_name: str) -> Server | None:
        """The server whose certificate is shown for a TLS server name; None for the default certificate."""
        found = self.find(server_name)
        return found if found.certificate is not None else None

    def www_target(self, host: str) -> Server | None:
        """The server that a host of from-to-www-redirect stands for; None when the host has a server of its own."""
        name = host.lower().removesuffix(".")
        return self._www.get(name) if name not in self._exact else None


def _www_twin(host: str) -> str:
    return host.removeprefix("www.") if host.startswith("www.") else f"www.{host}"


class Locations:
    """The locations of one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._table: _PlainTable | _RegexTable
        self._table = _RegexTable(server.locations) if server.is_regex else _PlainTable(server.locations)

    def find(self, path: bytes) -> Found | None:
        """path: as `paths.normal_path` gives it."""
        return self._table.find(path)

    def order(self) -> Iterator[Route]:
        """All locations in the order in which they would have their turn."""
        return iter(self._table.order)


class _PlainTable:
    """Exact paths first, then the longest prefix that ends where the path or one of its segments ends."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[bytes, Route] = {}
        self._below: dict[bytes, Route] = {}
        for route in routes:
            place = self._exact if route.kind == "exact" else self._below
            place.setdefault(route.match.encode(), route)
        self.order = (*self._exact.values(), *self._below.values())

    def find(self, path: bytes) -> Found | None:
        exact = self._exact.get(path)
        if exact is not None:
            return Found(exact)
        with_slash = self._below.get(path + b"/")
        if with_slash is not None:
            return Found(with_slash, adds_slash=True)
        end = len(path)
        while end > 0:
            end = path.rfind(b"/", 0, end) + 1
            below = self._below.get(path[:end])
            if below is not None:
                return Found(below)
            end -= 1
        return None


@dataclass(frozen=True, slots=True)
class _Candidate:
    place: int
    route: Route
    pattern: re.Pattern[bytes] | None  # None: the literal prefix is all there is to match


class _RegexTable:
    """Every location is a regular expression; the first in order that matches wins."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.order = tuple(routes)
        self._by_prefix: dict[bytes, list[_Candidate]] = {}
        for place, route in enumerate(self.order):
            prefix, is_literal = literal_prefix(route.match)
            try:
                pattern = None if is_literal else compile_path(route.match)
            except InvalidPattern:  # a plain path of another Ingress that only regex mode makes a pattern
                prefix, pattern = route.match, None
            candidates = self._by_prefix.setdefault(prefix.encode().lower(), [])
            candidates.append(_Candidate(place, route, pattern))
        self._lengths = sorted({len(prefix) for prefix in self._by_prefix})

    def find(self, path: bytes) -> Found | None:
        folded = path.lower()
        found: list[_Candidate] = []
        for length in self._lengths:
            if length > len(folded):
                break
            found += self._by_prefix.get(folded[:length], ())
        found.sort(key=lambda candidate: candidate.place)
        for candidate in found:
            if candidate.pattern is None or candidate.pattern.search(path):
                return Found(candidate.route)
        return None
