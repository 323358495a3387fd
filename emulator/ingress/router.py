"""What becomes of a request: the order of nginx' phases stands here, once.

Server (www, app-root), location (too large a body, a missing slash), rewrite (denied, preflight, redirects, https),
limits, access (addresses, passwords), and then on to a backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from emulator.api.meta import JsonObject
from emulator.ingress import basicauth, canary, cors
from emulator.ingress.balance import is_bound
from emulator.ingress.controllerconfig import read_config
from emulator.ingress.explanations import location_title, shown, why_lost, why_server, why_won
from emulator.ingress.forwarding import Believed, believed, best_host
from emulator.ingress.headers import forwarded_headers, merged, response_headers
from emulator.ingress.matching import Found, Hosts, Locations
from emulator.ingress.model import (
    DEFAULT_SERVER,
    GLOBALS,
    BackendRef,
    CanaryRoute,
    Certificate,
    Decision,
    Globals,
    Header,
    HeaderChanges,
    Problem,
    Proxy,
    Redirect,
    Request,
    Respond,
    Route,
    Settings,
    Step,
)
from emulator.ingress.paths import escaped_path, normal_path
from emulator.ingress.ranges import is_in
from emulator.ingress.ratelimit import RateLimiter
from emulator.ingress.references import Lookup, nothing
from emulator.ingress.regexes import compile_rewrite
from emulator.ingress.rules import Server, compile_rules
from emulator.ingress.variables import expand, http_host, request_uri

Rng = Callable[[int], int]
Groups = Callable[[str], str | None]
MAX_LOST_SHOWN = 50  # of the locations that lost, in a trace
TRUSTED_SCHEMES = ("http://", "https://", "$scheme")


def build(
    ingresses: Iterable[JsonObject], classes: Iterable[JsonObject], *, secret: Lookup, config_map: Lookup = nothing
) -> Router:
    """The router of these objects. secret, config_map: the Secret or ConfigMap of a key, None when there is none."""
    config = read_config(config_map)
    compiled = compile_rules(ingresses, classes, secret=secret, config_map=config_map, config=config)
    return Router(compiled.servers, config.problems + compiled.problems, config.defaults.controller)


@dataclass(slots=True)
class _Trace:
    steps: list[Step] = field(default_factory=list)

    def won(self, subject: str, reason: str) -> None:
        self.steps.append(Step(subject, "won", reason))

    def lost(self, subject: str, reason: str) -> None:
        self.steps.append(Step(subject, "lost", reason))

    def applied(self, subject: str, reason: str) -> None:
        self.steps.append(Step(subject, "applied", reason))


@dataclass(slots=True)
class _Case:
    """One request at its location."""

    request: Request
    path: bytes
    server: Server
    route: Route
    settings: Settings
    trace: _Trace


class Router:
    """Every server of one moment; never changed, a change of the objects makes a new one."""

    def __init__(
        self, servers: Iterable[Server], problems: tuple[Problem, ...] = (), controller: Globals = GLOBALS
    ) -> None:
        servers = tuple(servers)
        self.problems = problems
        self._redirect_code = controller.redirect_code
        self.forwarding = controller.forwarding
        self._hosts = Hosts(servers)
        self._servers = servers
        self._locations = {server.host: Locations(server) for server in servers}

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host that has a server; `_` is the default one."""
        return tuple(self._locations)

    @property
    def routes(self) -> tuple[Route, ...]:
        """Every location, server by server."""
        return tuple(route for server in self._servers for route in server.locations)

    def certificate(self, server_name: str | None) -> Certificate | None:
        """What is shown to a client that asks for this name; None for the default certificate."""
        server = self._hosts.certificate_server(server_name or DEFAULT_SERVER)
        return server.certificate if server is not None and server.certificate and server.certificate.key else None

    def decide(
        self,
        request: Request,
        *,
        rng: Rng,
        now: float = 0.0,
        limiter: RateLimiter | None = None,
        explain: bool = False,
    ) -> Decision:
        """What to do with one request. explain: the trace also says why each other location lost."""
        trace = _Trace()
        if self.forwarding is not None and not isinstance(request, Believed):
            request = believed(request, self.forwarding)
        decision = self._decide(request, rng, now, limiter, trace, explain=explain)
        return replace(decision, trace=tuple(trace.steps)) if trace.steps else decision

    def _decide(
        self, request: Request, rng: Rng, now: float, limiter: RateLimiter | None, trace: _Trace, *, explain: bool
    ) -> Decision:
        path = normal_path(request.path)
        if path is None:
            trace.lost("path", f"{request.path} is no path that nginx takes")
            return Respond(400, "the path is not valid")
        server = self._hosts.find(request.host)
        target = self._hosts.www_target(request.host)
        if target is not None:
            return _to_www(request, target, trace, self._redirect_code)
        if explain:
            trace.won(f"server {shown(server.host)}", why_server(request.host, server))
        if server.app_root and path == b"/":
            trace.applied("app-root", f"/ is redirected to {server.app_root}")
            location = f"{request.scheme}://{http_host(request)}{expand(server.app_root, request)}"
            return Redirect(302, location)
        found = self._locations[server.host].find(path)
        if server.host == DEFAULT_SERVER and _is_health(path, found):
            return Respond(200, "health check of the controller")
        if explain:
            self._explain(server, path, found, trace)
        if found is None:  # only in regex mode, when even / does not match: never, as every path begins so
            return Respond(404, "no location has this path")
        case = _Case(request, path, server, found.route, found.route.settings, trace)
        headers = response_headers(request, case.settings)
        early = _too_large(case, headers) or _with_slash(case, found, headers)
        return early or _at_location(case, rng, now, limiter, headers)

    def _explain(self, server: Server, path: bytes, found: Found | None, trace: _Trace) -> None:
        """Why each location lost, up to the one that won and after it."""
        lost, winner, seen = 0, found.route if found else None, False
        for route in self._locations[server.host].order():
            if route is winner:
                seen = True
                trace.won(location_title(route, server), why_won(route, adds_slash=bool(found and found.adds_slash)))
                continue
            lost += 1
            if lost <= MAX_LOST_SHOWN:
                trace.lost(location_title(route, server), why_lost(route, path, winner, after=seen))
        if lost > MAX_LOST_SHOWN:
            trace.lost(f"{lost - MAX_LOST_SHOWN} more locations", "they lose likewise")


# -- the phases ------------------------------------------------------------------------------------------------


def _to_www(request: Request, target: Server, trace: _Trace, code: int) -> Redirect:
    trace.applied("from-to-www-redirect", f"{request.host} is redirected to {target.host}")
    uri = request_uri(request).removesuffix("/")
    scheme = request.seen_scheme if isinstance(request, Believed) else request.scheme
    return Redirect(code, f"{scheme}://{target.host}{_port_suffix(request)}{uri}")


def _port_suffix(request: Request) -> str:
    """The port the client named, so that a redirect leads back to where it came from."""
    named = http_host(request).rpartition("]")[2].rpartition(":")
    return f":{named[2]}" if named[1] and named[2] not in ("80", "443") else ""


def _is_health(path: bytes, found: Found | None) -> bool:
    return (
        path.startswith(b"/healthz") and found is not None and found.route.kind != "regex" and found.route.match == "/"
    )


def _too_large(case: _Case, headers: tuple[Header, ...]) -> Decision | None:
    limit, sent = case.settings.body_size_bytes, case.request.headers.get("content-length", "")
    if not limit or not sent.isdigit() or int(sent) <= limit:
        return None
    case.trace.applied("proxy-body-size", f"{sent} bytes are more than {limit}")
    return Respond(413, f"the body of {sent} bytes is larger than {limit}", headers=headers, route=case.route)


def _with_slash(case: _Case, found: Found, headers: tuple[Header, ...]) -> Decision | None:
    if not found.adds_slash:
        return None
    request = case.request
    case.trace.applied(case.route.title, "only the path with a slash belongs to it: 301")
    path = escaped_path(case.path) + "/" + (f"?{request.query}" if request.query else "")
    return Redirect(301, _absolute(case, path), case.route, headers)


def _absolute(case: _Case, location: str) -> str:
    """A path as nginx' absolute_redirect makes a URL of it; relative-redirects leaves it as it is."""
    settings, request = case.settings, case.request
    if settings.relative_redirects or not location.startswith("/"):
        return location
    port = f":{request.port}" if settings.use_port_in_redirects else _port_suffix(request)
    return f"{request.scheme}://{request.host}{port}{location}"


def _at_location(
    case: _Case, rng: Rng, now: float, limiter: RateLimiter | None, headers: tuple[Header, ...]
) -> Decision:
    settings, request, route = case.settings, case.request, case.route
    if settings.denied:
        case.trace.applied("denied", settings.denied)
        return Respond(503, settings.denied, headers=headers, route=route)
    if settings.cors is not None:
        headers = merged(headers, cors.cors_headers(settings.cors, request))
        if cors.is_preflight(settings.cors, request):
            case.trace.applied("enable-cors", "the preflight is answered here")
            return Respond(204, "CORS preflight", headers=headers, route=route)
    redirect = _redirect(case, headers)
    if redirect is not None:
        return redirect
    refused = _limited(case, now, limiter, headers) or _access(case, headers)
    return refused or _proxy(case, rng, headers)


def _redirect(case: _Case, headers: tuple[Header, ...]) -> Decision | None:
    settings, request = case.settings, case.request
    if settings.permanent_redirect or settings.temporal_redirect:
        temporal = bool(settings.temporal_redirect)
        url = settings.temporal_redirect or settings.permanent_redirect
        code = settings.temporal_redirect_code if temporal else settings.permanent_redirect_code
        case.trace.applied("temporal-redirect" if temporal else "permanent-redirect", f"{code} to {url}")
        return Redirect(code, _absolute(case, expand(url, request)), case.route, headers)
    if not settings.force_ssl_redirect and (case.server.certificate is None or not settings.ssl_redirect):
        return None
    if (request.seen_scheme if isinstance(request, Believed) else request.scheme) != "http":
        return None
    name = "force-ssl-redirect" if settings.force_ssl_redirect else "ssl-redirect"
    code = settings.controller.redirect_code
    why = "for every request" if settings.force_ssl_redirect else f"{shown(case.server.host)} has TLS"
    case.trace.applied(name, f"{why}: {code} to https")
    uri = request_uri(request)
    uri = uri if settings.preserve_trailing_slash else uri.removesuffix("/")
    shows_port = settings.use_port_in_redirects or request.https_port != 443
    port = f":{request.https_port}" if shows_port else ""
    host = request.seen_host.partition(":")[0] if isinstance(request, Believed) else request.host
    return Redirect(code, f"https://{host}{port}{uri}", case.route, headers)


def _limited(case: _Case, now: float, limiter: RateLimiter | None, headers: tuple[Header, ...]) -> Decision | None:
    limits, ingress = case.settings.limits, case.route.ingress
    if limits is None or limiter is None or ingress is None or is_in(case.request.client, limits.allow):
        return None
    if limiter.allows(ingress, limits, case.request.client, now):
        return None
    case.trace.applied("limit-rps" if limits.per_second else "limit-rpm", "too many requests")
    return Respond(case.settings.controller.requests_status, "too many requests", headers=headers, route=case.route)


def _access(case: _Case, headers: tuple[Header, ...]) -> Decision | None:
    """Addresses and passwords: both must agree, or with `satisfy: any` one of them."""
    settings, request = case.settings, case.request
    by_address = _address_refusal(case)
    auth, proven = settings.auth, False
    if auth is not None:
        proven = basicauth.proves(auth.users, request.headers.get("authorization", ""))
    if settings.satisfy_any and (auth is not None or settings.external_auth is not None):
        if proven or (settings.allow and not by_address):
            case.settings = replace(settings, external_auth=None)
            return None
        if settings.external_auth is not None:  # it has the last word
            return None
        by_address = ""
    if by_address:
        case.trace.applied("source ranges", by_address)
        return Respond(403, by_address, headers=headers, route=case.route)
    if auth is None or proven:
        return None
    case.trace.applied("auth-type", f"no user of secret {auth.secret} with this password")
    realm = auth.realm.replace("\\", "\\\\").replace('"', '\\"')
    challenge = ("WWW-Authenticate", f'Basic realm="{realm}"')
    return Respond(401, "user and password are needed", headers=(*headers, challenge), route=case.route)


def asked_in_vain(route: Route, request: Request, headers: tuple[Header, ...]) -> Proxy:
    """A request that no backend got, for the default backend that answers for its error."""
    sent = (("X-Request-ID", request.headers.get("x-request-id", "")),)
    backend = route.backend or BackendRef("", "", 0)
    host = best_host(request)
    return Proxy(route, backend, request.path, request.query, host, HeaderChanges(sent), headers, route.settings)


def _address_refusal(case: _Case) -> str:
    settings, client = case.settings, case.request.client
    if settings.deny and is_in(client, settings.deny):
        return f"{client} is in denylist-source-range"
    if settings.allow and not is_in(client, settings.allow):
        return f"{client} is not in allowlist-source-range"
    return ""


def _proxy(case: _Case, rng: Rng, headers: tuple[Header, ...]) -> Decision:
    route, request, settings = case.route, case.request, case.settings
    if route.backend is None:
        case.trace.applied("default backend", "the controller's own: 404")
        return Respond(404, "default backend - 404", headers=headers, route=route)
    path, query, groups = request.path, request.query, None
    if settings.rewrite_target and settings.rewrite_target != route.path:
        match = compile_rewrite(route.match).search(case.path)
        if match is not None:
            groups = _groups_of(match)
            target = expand(settings.rewrite_target, request, groups)
            if settings.rewrite_target.startswith(TRUSTED_SCHEMES):
                case.trace.applied("rewrite-target", f"302 to {target}")
                return Redirect(302, target, route, headers)
            path, query = _rewritten(target, query)
            case.trace.applied("rewrite-target", f"{request.path} becomes {path}")
    backend, taker = _backend(case, route.backend, rng)
    if taker is not None and taker.rule.affinity_behavior == "legacy":
        settings = replace(settings, affinity=None)
    vhost = (settings.upstream_vhost and expand(settings.upstream_vhost, request, groups)) or best_host(request)
    changes = forwarded_headers(request, settings, rng, groups)
    return Proxy(route, backend, path, query, vhost, changes, headers, settings, taker is not None)


def _groups_of(match: Any) -> Groups:
    def group(name: str) -> str | None:
        try:
            found = match[int(name)] if name.isdigit() else match[name]
        except IndexError:
            return "" if name.isdigit() else None
        return (found or b"").decode("utf-8", "surrogateescape")

    return group


def _rewritten(target: str, query: str) -> tuple[str, str]:
    """Path and query of a rewritten URI: a query of the target comes first, and one that ends in `?` stands alone."""
    path, mark, own = target.partition("?")
    if mark and not own:
        query = ""
    elif own:
        query = f"{own}&{query}" if query else own
    return escaped_path(path.encode("utf-8", "surrogateescape")), query


def _backend(case: _Case, main: BackendRef, rng: Rng) -> tuple[BackendRef, CanaryRoute | None]:
    """The main backend, or a canary's and the canary; a cookie that was given for one of them keeps its client there."""
    affinity = case.settings.affinity
    for other in case.route.canaries:
        sticky = other.rule.affinity_behavior == "sticky"
        if affinity is not None and is_bound(affinity, main, case.request):
            took, why = False, "the affinity cookie is of the main backend"
        elif affinity is not None and sticky and is_bound(affinity, other.backend, case.request):
            took, why = True, "the affinity cookie is of the canary"
        else:
            took, why = canary.takes(other.rule, case.request, rng)
        case.trace.steps.append(Step(f"canary {other.ingress} -> {other.backend}", "won" if took else "lost", why))
        if took:
            return other.backend, other
    return main, None
