"""Cross-origin requests: whose origin is allowed, the headers that say so, and the answer to a preflight."""

from __future__ import annotations

import re
from functools import lru_cache

from emulator.ingress.model import Cors, Header, Request

ORIGIN = re.compile(r"[a-z]+://(?:\*\.)?[A-Za-z0-9.-]*(?::\d+)?|\*|null")
"""What an origin in cors-allow-origin looks like. Source: ingress-nginx internal/ingress/annotations/cors."""


def allowed_origin(cors: Cors, origin: str) -> str | None:
    """What Access-Control-Allow-Origin says; None when this origin is not allowed."""
    if "*" in cors.allow_origins:
        return "*"
    return origin if origin and any(_pattern(entry).fullmatch(origin) for entry in cors.allow_origins) else None


def cors_headers(cors: Cors, request: Request) -> tuple[Header, ...]:
    """The headers of any answer to this request; none for an origin that is not allowed."""
    allowed = allowed_origin(cors, request.headers.get("origin", ""))
    if allowed is None:
        return ()
    found = [("Access-Control-Allow-Origin", allowed)]
    if cors.allow_credentials:
        found.append(("Access-Control-Allow-Credentials", "true"))
    found.append(("Access-Control-Allow-Methods", cors.allow_methods))
    found.append(("Access-Control-Allow-Headers", cors.allow_headers))
    if cors.expose_headers:
        found.append(("Access-Control-Expose-Headers", cors.expose_headers))
    found.append(("Access-Control-Max-Age", str(cors.max_age_seconds)))
    return tuple(found)


def is_preflight(cors: Cors, request: Request) -> bool:
    """Whether the proxy itself answers: OPTIONS of an allowed origin."""
    return request.method == "OPTIONS" and allowed_origin(cors, request.headers.get("origin", "")) is not None


@lru_cache(maxsize=1024)
def _pattern(origin: str) -> re.Pattern[str]:
    """`https://*.example.com` covers one label, as nginx' pattern of it does."""
    return re.compile(re.escape(origin).replace(r"\*\.", r"[A-Za-z0-9-]+\."), re.IGNORECASE)
