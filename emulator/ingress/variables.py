"""nginx' variables in annotations: `$host`, `$request_uri`, `$arg_x`, `$http_x`, `$cookie_x` and the groups `$1`...

A name nobody knows stands for the empty text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

from emulator.ingress.model import Request

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)


def request_uri(request: Request) -> str:
    """Path and query as the client sent them."""
    return f"{request.path}?{request.query}" if request.query else request.path


def http_host(request: Request) -> str:
    """The Host header with its port; the name alone if there was none."""
    return request.headers.get("host") or request.host


def cookies(request: Request) -> Mapping[str, str]:
    """The request's cookies, the first of a name."""
    found: dict[str, str] = {}
    for part in request.headers.get("cookie", "").split(";"):
        name, sign, value = part.strip().partition("=")
        if sign:
            found.setdefault(name, value)
    return found


def argument(request: Request, name: str) -> str:
    """The first query argument of this name, not decoded, in whatever case."""
    for part in request.query.split("&"):
        key, _, value = part.partition("=")
        if key.lower() == name.lower():
            return value
    return ""


_NAMES: Mapping[str, Callable[[Request], str]] = {
    "host": lambda request: request.host,
    "http_host": http_host,
    "best_http_host": http_host,
    "hostname": lambda request: request.host,
    "request_uri": request_uri,
    "escaped_request_uri": lambda request: quote(request_uri(request), safe=""),
    "uri": lambda request: request.path,
    "document_uri": lambda request: request.path,
    "args": lambda request: request.query,
    "query_string": lambda request: request.query,
    "is_args": lambda request: "?" if request.query else "",
    "scheme": lambda request: request.scheme,
    "pass_access_scheme": lambda request: request.scheme,
    "request_method": lambda request: request.method,
    "remote_addr": lambda request: request.client,
    "binary_remote_addr": lambda request: request.client,
    "the_real_ip": lambda request: request.client,
    "server_name": lambda request: request.host,
    "server_port": lambda request: str(request.port),
    "pass_port": lambda request: str(request.port),
}


def value_of(name: str, request: Request) -> str:
    """A variable's value for this request."""
    if name in _NAMES:
        return _NAMES[name](request)
    kind, _, rest = name.partition("_")
    if kind == "arg":
        return argument(request, rest)
    if kind == "http":
        return request.headers.get(rest.lower().replace("_", "-"), "")
    if kind == "cookie":
        return cookies(request).get(rest, "")
    return ""


def expand(text: str, request: Request, groups: Callable[[str], str | None] | None = None) -> str:
    """The text with its variables replaced. groups: what the groups of a pattern matched, None for no such group."""
    if "$" not in text:
        return text

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name[0].isdigit() and not match[1]:  # $10 is group 1 and a zero: nginx knows nine groups
            return (groups(name[0]) or "" if groups else "") + name[1:]
        found = groups(name) if groups else None
        return value_of(name, request) if found is None else found

    return _VARIABLE.sub(value, text)
