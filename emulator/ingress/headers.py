"""What a backend sees of a request besides its path, and what a client sees besides the backend's answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from emulator.ingress.forwarding import Believed
from emulator.ingress.model import GLOBALS, Globals, Header, HeaderChanges, Proxy, Request, Settings
from emulator.ingress.variables import expand, http_host, request_uri

HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "http2-settings")
)
ALWAYS_DROPPED = HOP_BY_HOP | {
    "expect", "proxy", "host", "x-original-forwarded-for", "x-request-id", "x-real-ip", "x-forwarded-for",
    "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-forwarded-scheme", "x-scheme",
}  # fmt: skip
"""Of a client's headers: those that end here, and those that are set anew for every backend."""
NOT_IN_TRAILERS = HOP_BY_HOP | {"content-length", "content-type", "content-encoding", "host", "trailer", "set-cookie"}
_IGNORED = re.compile(r"[^a-z0-9-]")  # of names in lower case: nginx ignore_invalid_headers, underscores_in_headers off


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
    elif wants_trailers(request):
        found += (("TE", "trailers"), ("Connection", "TE"))
    dropped = _dropped(request, settings)
    if settings.controller is GLOBALS:
        return HeaderChanges(tuple(found), dropped)
    return _configured(tuple(found), dropped, request, settings.controller)


def _configured(
    headers: tuple[Header, ...], dropped: frozenset[str], request: Request, controller: Globals
) -> HeaderChanges:
    """With what the controller's ConfigMap says; a header that is set to nothing is not sent."""
    more: list[Header] = []
    if isinstance(request, Believed):
        more += (
            ("X-Forwarded-For", request.chain),
            ("X-Forwarded-Host", request.seen_host),
            ("X-Forwarded-Port", request.seen_port),
            ("X-Forwarded-Proto", request.seen_scheme),
            ("X-Forwarded-Scheme", request.seen_scheme),
            ("X-Scheme", request.seen_scheme),
        )
    if controller.forwarding is not None:
        more.append(("X-Original-Forwarded-For", request.headers.get(controller.forwarding.header, "")))
    if not controller.generates_request_id:
        more.append(("X-Request-ID", request.headers.get("x-request-id", "")))
    if controller.adds_original_uri:
        more.append(("X-Original-URI", request_uri(request)))
    more += ((name, expand(value, request)) for name, value in controller.request_headers)
    found = merged(headers, more)
    dropped |= {name.lower() for name, _ in more}
    return HeaderChanges(tuple(header for header in found if header[1]), dropped)


def response_headers(request: Request, settings: Settings) -> tuple[Header, ...]:
    """What is added to every answer of a location, whoever gives it; HSTS with the default certificate too, as upstream."""
    controller = settings.controller
    found: tuple[Header, ...] = ()
    if request.scheme == "https" and controller.hsts is not None:
        found = (controller.hsts,)
    if controller.response_headers:
        found = merged(found, [(name, expand(value, request)) for name, value in controller.response_headers])
    if settings.response_headers:
        found = merged(found, settings.response_headers)
    return found


def merged(headers: tuple[Header, ...], more: Sequence[Header]) -> tuple[Header, ...]:
    """The headers with others, which take the place of those with their names."""
    if not headers:
        return tuple(more)
    names = {name.lower() for name, _ in more}
    return (*(header for header in headers if header[0].lower() not in names), *more)


def wants_trailers(request: Request) -> bool:
    """Whether the client has said that it reads trailers; others get none, as from nginx."""
    return "trailers" in request.headers.get("te", "").lower()


def passed_trailers(trailers: Sequence[Header]) -> list[Header]:
    """Without those that would mean something for the message itself. Source: RFC 9110 6.5.1."""
    return [trailer for trailer in trailers if trailer[0].lower() not in NOT_IN_TRAILERS]


def _dropped(request: Request, settings: Settings) -> frozenset[str]:
    """Hop-by-hop ones, the ones set anew, `Proxy`, names that nginx ignores; a checked password goes no further."""
    dropped = ALWAYS_DROPPED
    if settings.auth is not None:
        dropped |= {"authorization"}
    if settings.rewrite_target and settings.x_forwarded_prefix:
        dropped |= {"x-forwarded-prefix"}
    if "connection" in request.headers:
        dropped |= {name.strip().lower() for name in request.headers["connection"].split(",")}
    if _IGNORED.search("".join(request.headers)):
        dropped |= {name for name in request.headers if _IGNORED.search(name)}
    return dropped


def error_headers(code: int, request: Request, proxy: Proxy) -> tuple[Header, ...]:
    """What a default backend is told about the error it answers for."""
    owner, backend = proxy.route.ingress, proxy.backend
    return (
        ("X-Code", str(int(code))),
        ("X-Format", request.headers.get("accept", "")),
        ("X-Namespace", backend.namespace),
        ("X-Ingress-Name", owner.name if owner is not None else ""),
        ("X-Service-Name", backend.service),
        ("X-Service-Port", str(backend.port)),
    )


def error_page_headers(code: int, request: Request, proxy: Proxy) -> tuple[Header, ...]:
    """All that it is sent when it is asked for a page, which is not the client's request any more."""
    return (
        ("Host", proxy.vhost),
        *error_headers(code, request, proxy),
        ("X-Original-URI", request_uri(request)),
        ("X-Request-ID", dict(proxy.request_headers.set).get("X-Request-ID", "")),
        ("X-Forwarded-For", request.client),
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
