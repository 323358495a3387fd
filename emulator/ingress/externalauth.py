"""The request that asks another server whether a request may pass, and what its answer means. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from emulator.ingress.forwarding import Believed
from emulator.ingress.headers import merged
from emulator.ingress.model import ExternalAuth, Header, Redirect, Request, Respond
from emulator.ingress.variables import expand, http_host, request_uri

NOT_FORWARDED = frozenset(
    (
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "upgrade",
        "host",
        "expect",
        "te",
        "x-forwarded-proto",
    )
)

ADDED_STATUSES = frozenset((200, 201, 204, 206, 301, 302, 303, 304, 307, 308))  # nginx ngx_http_headers_module


@dataclass(frozen=True, slots=True)
class Question:
    """What the auth server is asked; it has no body."""

    method: str
    url: str
    headers: tuple[Header, ...]


@dataclass(frozen=True, slots=True)
class Passes:
    """The request may go on, with these headers for the backend and these cookies for the client."""

    request_headers: tuple[Header, ...] = ()
    response_cookies: tuple[str, ...] = ()


def question(auth: ExternalAuth, request: Request, request_id: str) -> Question:
    url = expand(auth.url, request)
    own = [
        ("X-Request-ID", request_id),
        ("Host", urlsplit(url).hostname or ""),  # without its port, as upstream has it
        ("X-Original-URL", f"{request.scheme}://{http_host(request)}{request_uri(request)}"),
        ("X-Original-Method", request.method),
        ("X-Sent-From", "nginx-ingress-controller"),
        ("X-Real-IP", request.client),
        ("X-Forwarded-For", request.chain if isinstance(request, Believed) else request.client),
        ("X-Auth-Request-Redirect", expand(auth.request_redirect, request) or request_uri(request)),
    ]
    if auth.method:
        scheme = request.seen_scheme if isinstance(request, Believed) else request.scheme
        own += (("X-Original-URI", request_uri(request)), ("X-Scheme", scheme))
    if auth.request_headers:
        own = list(merged(tuple(own), [(name, expand(value, request)) for name, value in auth.request_headers]))
    taken = {name.lower() for name, _ in own} | NOT_FORWARDED
    sent = [(name, value) for name, value in request.headers.items() if name not in taken]
    return Question(auth.method or "GET", url, (*(header for header in own if header[1]), *sent))


def sets_cookies(auth: ExternalAuth, status: int) -> bool:
    """Whether the auth server's cookies go with an answer of this status: nginx' add_header, with or without `always`."""
    return auth.always_set_cookie or status in ADDED_STATUSES


def verdict(
    auth: ExternalAuth, request: Request, status: int, headers: Mapping[str, str], cookies: Iterable[str] = ()
) -> Passes | Redirect | Respond:
    """headers: of the auth server's answer, names in lower case; cookies: its Set-Cookie values."""
    if 200 <= status < 300:
        kept = [(name, headers[name.lower()]) for name in auth.response_headers if headers.get(name.lower())]
        return Passes(tuple(kept), tuple(cookies))
    if status == 401 and auth.signin:
        return Redirect(302, signin_url(auth, request), headers=tuple(("Set-Cookie", cookie) for cookie in cookies))
    if status == 401:
        challenge = headers.get("www-authenticate")
        return Respond(401, "the auth server says no", headers=(("WWW-Authenticate", challenge),) if challenge else ())
    if status == 403:
        return Respond(403, "the auth server says no")
    return Respond(500, f"the auth server answered {status}, which is neither yes nor no")


def signin_url(auth: ExternalAuth, request: Request) -> str:
    """Where to sign in, with the way back unless the URL has one."""
    url = expand(auth.signin, request)
    query = urlsplit(url).query
    if f"{auth.signin_redirect_param}=" in query:
        return url
    scheme = request.seen_scheme if isinstance(request, Believed) else request.scheme
    back = f"{scheme}://{http_host(request)}{quote(request_uri(request), safe='')}"
    return f"{url}{'&' if query else '?'}{auth.signin_redirect_param}={back}"
