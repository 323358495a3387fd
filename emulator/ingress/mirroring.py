"""The copy of a request that goes to mirror-target. No I/O.

Source: ingress-nginx internal/ingress/annotations/mirror; nginx ngx_http_mirror_module.c.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from emulator.ingress.headers import HOP_BY_HOP
from emulator.ingress.model import Header, Mirror, Request
from emulator.ingress.variables import expand

MAX_BODY_BYTES = 1 << 20  # a copy is held until it is sent
NOT_COPIED = HOP_BY_HOP | {"host", "content-length", "expect"}


class Copy(NamedTuple):
    """A request for another server."""

    method: str
    url: str
    headers: tuple[Header, ...]
    body: bytes


def copy_of(mirror: Mirror, request: Request, headers: Iterable[Header], body: bytes | None) -> Copy:
    """headers: the client's, as they came. body: None when it comes in pieces; the copy then has none."""
    sent = [header for header in headers if header[0].lower() not in NOT_COPIED]
    if mirror.host:
        sent.insert(0, ("Host", mirror.host))
    kept = body if mirror.with_body and body and len(body) <= MAX_BODY_BYTES else b""
    return Copy(request.method, expand(mirror.target, request), tuple(sent), kept)
