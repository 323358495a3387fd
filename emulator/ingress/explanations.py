"""The words of a trace: why a server or a location won or lost. No rule stands here."""

from __future__ import annotations

from emulator.ingress.model import DEFAULT_SERVER, Route
from emulator.ingress.rules import Server


def shown(host: str) -> str:
    return "* (default)" if host == DEFAULT_SERVER else host


def why_server(host: str, server: Server) -> str:
    if server.host == DEFAULT_SERVER:
        return f"no rule has the host {host}"
    if server.host.startswith("*."):
        return f"its wildcard covers {host}, and no rule has exactly that host"
    return "the host is the same" if server.host.lower() == host.lower().removesuffix(".") else f"{host} is its alias"


def location_title(route: Route, server: Server) -> str:
    mark = {"exact": "= ", "prefix": "", "regex": "~* ^"}[route.kind]
    owner = f"ingress {route.ingress}" if route.ingress is not None else "controller"
    return f"{mark}{route.match} ({owner}, {route.path_type or 'default backend'})"


def why_won(route: Route, *, adds_slash: bool) -> str:
    if adds_slash:
        return "the path with a slash is its own"
    return {
        "exact": "the path is the same",
        "prefix": "the longest path of those that the request's begins with",
        "regex": "the first, longest first, that matches the beginning of the path, whatever its case",
    }[route.kind]


def why_lost(route: Route, path: bytes, winner: Route | None, *, after: bool) -> str:
    shown = path.decode("utf-8", "replace")
    if route.kind == "exact":
        return f"{shown} is another path"
    if route.kind == "prefix":
        covers = path.startswith(route.match.encode())
        return "a longer or exact path wins" if covers and winner is not None else f"{shown} does not begin with it"
    return "a location before it matches" if after else f"{shown} does not match"
