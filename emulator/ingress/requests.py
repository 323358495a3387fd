"""A client's request as the router sees it, or the answer of nginx to one that it does not take. No I/O.

Source: nginx ngx_http_parse.c (request lines), ngx_http_request.c (ngx_http_validate_host, ngx_http_process_request_header).
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from emulator.ingress.model import Header, Request, Respond

_METHOD = re.compile(r"[A-Z_-]+")
_LENGTH = re.compile(r"[0-9]{1,18}")  # what 64 bits hold
_NOT_IN_TARGETS = re.compile(r"[\x00-\x20\x7f]")
_NOT_IN_HOSTS = re.compile(r"[\x00-\x20\x7f/]|\.\.")
MAX_FIELD_BYTES = 8 * 1024  # of a header or a target: large-client-header-buffers 4 8k; their reader sees to it
FEW_HEADERS = 4
MAX_HEADERS_BYTES = FEW_HEADERS * MAX_FIELD_BYTES  # of all of them

BAD_REQUEST = Respond(400, "the request is not valid")
HEADERS_TOO_LARGE = 494  # nginx' own number; clients see 400 and a page that says why
TOO_LARGE = Respond(HEADERS_TOO_LARGE, f"the headers are longer than {MAX_HEADERS_BYTES} bytes")
NOT_ALLOWED = Respond(405, "nginx does not pass this method on")
UNKNOWN_CODING = Respond(501, "the Transfer-Encoding is not chunked")
UNKNOWN_VERSION = Respond(505, "the version of HTTP is not known")


@dataclass(frozen=True, slots=True)
class Door:
    """How clients of one listener came in. https_port: where https is served beside it."""

    scheme: Literal["http", "https"]
    port: int
    https_port: int


def by_name(headers: Iterable[Header], *, cookies_between: str = ", ") -> dict[str, str]:
    """Values by lower-case name; those of a name that comes twice joined as its meaning allows."""
    found: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in found:
            between = cookies_between if lower == "cookie" else ", "
            found[lower] = f"{found[lower]}{between}{value}"
        else:
            found[lower] = value
    return found


def read_request(
    door: Door, method: str, target: str, host: str, headers: dict[str, str], peer: str
) -> Request | Respond:
    """target: path and query; host: as the Host header or :authority has it; headers: by lower-case name."""
    name = host_of(host)
    if name is None or not target.startswith("/") or _NOT_IN_TARGETS.search(target) or not _METHOD.fullmatch(method):
        return BAD_REQUEST
    if method in ("TRACE", "CONNECT"):
        return NOT_ALLOWED
    length = headers.get("content-length")
    if length is not None and not _LENGTH.fullmatch(length):
        return BAD_REQUEST
    if len(headers) > FEW_HEADERS and sum(map(len, headers.values())) + sum(map(len, headers)) > MAX_HEADERS_BYTES:
        return TOO_LARGE
    path, _, query = target.partition("?")
    return Request(
        method,
        door.scheme,
        name,
        door.port,
        path.partition("#")[0],
        query,
        headers,
        peer_address(peer),
        door.https_port,
    )


@functools.lru_cache(maxsize=1024)
def host_of(text: str) -> str | None:
    """The host in lower case, without its port; None for what is no host."""
    if _NOT_IN_HOSTS.search(text):
        return None
    name = text.partition("]")[0] + "]" if text.startswith("[") else text.partition(":")[0].removesuffix(".")
    return name.lower() if name or not text else None


@functools.lru_cache(maxsize=1024)
def peer_address(text: str) -> str:
    """A socket's other side as an address; the loopback one for what is none."""
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return "127.0.0.1"
