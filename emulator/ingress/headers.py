"""What a backend sees of a request besides its path, and what a client sees besides the backend's answer."""

from __future__ import annotations

from collections.abc import Callable

from emulator.ingress.model import Header, HeaderChanges, Request, Settings
from emulator.ingress.variables import expand, http_host, request_uri

HSTS = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "http2-settings")
)
ALWAYS_DROPPED = HOP_BY_HOP | {
    "expect", "proxy", "host", "x-original-forwarded-for", "x-request-id", "x-real-ip", "x-forwarded-for",
    "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-forwarded-scheme", "x-scheme",
}  # fmt: skip
"""Of a client's headers: those that end here, and those that are set anew for every backend."""


def forwarded_headers(
    request: Request, settings: Settings, rng: Callable[[int], int], groups: Callable[[str], str | None] | None = None
) -> HeaderChanges:
    """The headers a backend gets on top of the client's. What a client says of itself as a proxy is not believed."""
    host = http_host(request)
    found: list[Header] = [
        ("X-Request-ID", request.headers.get("x-request-id") or f"{rng(1 << 128):032x}"),
        ("X-Real-IP", request.client),
        ("X-Forwarded-For", request.client),
        ("X-Forwarded-Host", host),
        ("X-Forwarded-Port", str(request.port)),
        ("X-Forwarded-Proto", request.scheme),
        ("X-Forwarded-Scheme", request.scheme),
        ("X-Scheme", request.scheme),
    ]
    if request.headers.get("x-forwarded-for"):
        found.append(("X-Original-Forwarded-For", request.headers["x-forwarded-for"]))
    if settings.rewrite_target and settings.x_forwarded_prefix:
        found.append(("X-Forwarded-Prefix", expand(settings.x_forwarded_prefix, request, groups)))
    upgrade = request.headers.get("upgrade")
    if upgrade:
        found.append(("Upgrade", upgrade))
        found.append(("Connection", settings.connection_header or "upgrade"))
    elif settings.connection_header:
        found.append(("Connection", settings.connection_header))
    return HeaderChanges(tuple(found), _dropped(request, settings))


def _dropped(request: Request, settings: Settings) -> frozenset[str]:
    """Hop-by-hop ones, the ones set anew, `Proxy`, names with an underscore; a checked password goes no further."""
    dropped = ALWAYS_DROPPED
    if settings.auth is not None:
        dropped |= {"authorization"}
    if settings.rewrite_target and settings.x_forwarded_prefix:
        dropped |= {"x-forwarded-prefix"}
    if "connection" in request.headers:
        dropped |= {name.strip().lower() for name in request.headers["connection"].split(",")}
    if "_" in "".join(request.headers):
        dropped |= {name for name in request.headers if "_" in name}
    return dropped


def error_headers(
    code: int, request: Request, *, namespace: str, ingress: str, service: str, port: str, request_id: str
) -> tuple[Header, ...]:
    """What a default backend is told about the error it answers for."""
    return (
        ("X-Code", str(code)),
        ("X-Format", request.headers.get("accept", "")),
        ("X-Original-URI", request_uri(request)),
        ("X-Namespace", namespace),
        ("X-Ingress-Name", ingress),
        ("X-Service-Name", service),
        ("X-Service-Port", port),
        ("X-Request-ID", request_id),
    )


def rewritten_cookie(value: str, settings: Settings) -> str:
    """A Set-Cookie value with proxy-cookie-domain and proxy-cookie-path applied."""
    parts = value.split(";")
    for name, setting in (("domain", settings.cookie_domain), ("path", settings.cookie_path)):
        old, _, new = setting.strip().partition(" ")
        if not new:
            continue
        for at, part in enumerate(parts[1:], 1):
            key, _, held = part.strip().partition("=")
            if key.lower() != name:
                continue
            if name == "domain" and held.lstrip(".").lower() == old.lstrip(".").lower():
                parts[at] = f" {key}={new.strip()}"
            elif name == "path" and held.startswith(old):
                parts[at] = f" {key}={new.strip()}{held[len(old) :]}"
    return ";".join(parts)


def rewritten_location(value: str, request: Request, settings: Settings, backend_url: str = "") -> str:
    """A Location header with proxy-redirect-from and -to applied; as it stands without them."""
    old, new = settings.redirect_from, settings.redirect_to
    if old in ("", "off", "default") or new in ("", "off"):
        return value
    wanted = expand(old, request)
    return expand(new, request) + value[len(wanted) :] if wanted and value.startswith(wanted) else value
