"""The words of ingress: a request as it came, a compiled location, and what is decided. No rule stands here.

Everything is compared by value, and frozen but for what is made anew for each request (`Request`, `Proxy`): to make a
frozen object costs some microseconds, and nobody changes these either. Times are seconds, sizes bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Literal, NamedTuple

from emulator.api.meta import ObjectKey

Network = IPv4Network | IPv6Network
LocationKind = Literal["exact", "prefix", "regex"]
BackendProtocol = Literal["HTTP", "HTTPS", "AUTO_HTTP", "GRPC", "GRPCS", "FCGI"]
Header = tuple[str, str]

DEFAULT_SERVER = "_"  # the server that takes every host nobody else has


@dataclass(slots=True)
class Request:
    """One request as the client sent it.

    host: of the Host header, without its port; port: where the client connected to. path: raw, before `?`, as it stood in
    the request line, bytes beyond ASCII read as UTF-8 with surrogateescape; query: after `?`, "" for none. headers: names in lower case. client: the peer's address.
    https_port: where https is served to clients that came in by `port`; redirects name it unless it is 443.
    """

    method: str
    scheme: Literal["http", "https"]
    host: str
    port: int
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    client: str = "127.0.0.1"
    https_port: int = 443


class BackendRef(NamedTuple):
    """A port of a Service, by number or name."""

    namespace: str
    service: str
    port: int | str

    @property
    def key(self) -> ObjectKey:
        return ObjectKey(self.namespace, self.service)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}:{self.port}"


# -- settings of one Ingress: its annotations, checked ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cors:
    """allow_origins: as written, `*` or origins whose host may begin with `*.`."""

    allow_origins: tuple[str, ...] = ("*",)
    allow_methods: str = "GET, PUT, POST, DELETE, PATCH, OPTIONS"
    allow_headers: str = (
        "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization"
    )
    expose_headers: str = ""
    allow_credentials: bool = True
    max_age_seconds: int = 1728000


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """users: name -> hash as it stands in an htpasswd file."""

    realm: str
    users: Mapping[str, str]
    secret: ObjectKey


@dataclass(frozen=True, slots=True)
class ExternalAuth:
    """A request to `url` decides: 2xx passes, 401 goes to `signin` if there is one, anything else is passed on.

    request_headers: more for it, variables and all. cache_key "": every request asks; cache_seconds: by status.
    """

    url: str
    method: str = ""
    signin: str = ""
    signin_redirect_param: str = "rd"
    response_headers: tuple[str, ...] = ()
    request_redirect: str = ""
    always_set_cookie: bool = False
    request_headers: tuple[Header, ...] = ()
    cache_key: str = ""
    cache_seconds: tuple[tuple[int, float], ...] = ((200, 300.0), (202, 300.0), (401, 300.0))


@dataclass(frozen=True, slots=True)
class BackendTls:
    """How HTTPS backends are asked; PEM, empty for none. Without verified_name they are not verified; server_name is SNI."""

    certificate: bytes = b""
    key: bytes = b""
    authority: bytes = b""
    verified_name: str = ""
    server_name: str = ""
    ciphers: str = "DEFAULT"
    protocols: tuple[str, ...] = ("TLSv1.2",)


class Mirror(NamedTuple):
    """Where a copy of each request goes, variables and all. with_body: with the body, if that is short."""

    target: str
    host: str
    with_body: bool = True


@dataclass(frozen=True, slots=True)
class Forwarding:
    """use-forwarded-headers: clients are proxies. adds: backends are told of the proxies too."""

    header: str = "x-forwarded-for"  # who asked them, in lower case
    proxies: tuple[Network, ...] = (IPv4Network("0.0.0.0/0"),)
    adds: bool = False


@dataclass(frozen=True, slots=True)
class Globals:
    """What the controller's ConfigMap says once for all Ingresses; the defaults are those without one.

    request_headers, response_headers: for backends and clients, variables and all. hidden_headers: in lower case.
    """

    redirect_code: int = 308
    hsts: Header | None = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
    requests_status: int = 503
    connections_status: int = 503
    generates_request_id: bool = True
    adds_original_uri: bool = False
    forwarding: Forwarding | None = None
    request_headers: tuple[Header, ...] = ()
    response_headers: tuple[Header, ...] = ()
    hidden_headers: frozenset[str] = frozenset()


GLOBALS = Globals()


@dataclass(frozen=True, slots=True)
class Limits:
    """Per client address; 0 is no limit. A burst of so many times the rate is let through at once."""

    connections: int = 0
    per_second: int = 0
    per_minute: int = 0
    burst_multiplier: int = 5
    allow: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class CookieAffinity:
    """A cookie that names an endpoint."""

    name: str = "INGRESSCOOKIE"
    path: str = ""
    domain: str = ""
    expires_seconds: int | None = None
    max_age_seconds: int | None = None
    same_site: str = ""
    conditional_same_site_none: bool = False
    secure: bool | None = None
    change_on_failure: bool = False
    mode: Literal["balanced", "persistent"] = "balanced"


@dataclass(frozen=True, slots=True)
class Canary:
    """Who goes to a canary: by header, then by cookie, then by weight.

    is_pattern_broken: the header's pattern cannot be read, and who sends the header stays at the main backend.
    affinity_behavior: sticky takes over the main Ingress' affinity, so that its cookie keeps clients at the canary too.
    """

    header: str = ""
    header_value: str = ""
    header_pattern: re.Pattern[str] | None = None
    is_pattern_broken: bool = False
    cookie: str = ""
    weight: int = 0
    weight_total: int = 100
    affinity_behavior: Literal["sticky", "legacy"] = "sticky"


@dataclass(frozen=True, slots=True)
class Settings:
    """Every annotation of one Ingress that is honoured, checked and with its default.

    denied: why every request is answered 503 (a missing auth secret, say); "" if it is not.
    body_size_bytes 0: no limit. next_upstream: the words of proxy_next_upstream; next_statuses: those of
    them that are answers of backends. hash_subset_size 0: the hash goes over
    all endpoints. response_headers: of custom-headers, as they are sent.
    """

    rewrite_target: str = ""
    use_regex: bool = False
    app_root: str = ""
    x_forwarded_prefix: str = ""
    ssl_redirect: bool = True
    force_ssl_redirect: bool = False
    preserve_trailing_slash: bool = False
    use_port_in_redirects: bool = False
    permanent_redirect: str = ""
    permanent_redirect_code: int = 301
    temporal_redirect: str = ""
    temporal_redirect_code: int = 302
    relative_redirects: bool = False
    from_to_www_redirect: bool = False
    server_alias: tuple[str, ...] = ()
    backend_protocol: BackendProtocol = "HTTP"
    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 60.0
    send_timeout_seconds: float = 60.0
    body_size_bytes: int = 1 << 20
    buffering: bool = False
    request_buffering: bool = True
    next_upstream: tuple[str, ...] = ("error", "timeout")
    next_upstream_tries: int = 3
    next_statuses: frozenset[int] = frozenset()
    next_upstream_timeout_seconds: float = 0.0
    http_version: Literal["1.0", "1.1"] = "1.1"
    cors: Cors | None = None
    auth: BasicAuth | None = None
    external_auth: ExternalAuth | None = None
    satisfy_any: bool = False
    limits: Limits | None = None
    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()
    affinity: CookieAffinity | None = None
    canary: Canary | None = None
    upstream_vhost: str = ""
    upstream_hash_by: str = ""
    hash_subset_size: int = 0
    service_upstream: bool = False
    default_backend: str = ""
    custom_http_errors: tuple[int, ...] = ()
    connection_header: str = ""
    cookie_domain: str = ""
    cookie_path: str = ""
    redirect_from: str = ""
    redirect_to: str = ""
    response_headers: tuple[Header, ...] = ()
    backend_tls: BackendTls | None = None
    mirror: Mirror | None = None
    controller: Globals = GLOBALS
    denied: str = ""

    @property
    def rewrites_answers(self) -> bool:
        """Whether some header of the backend's answer is another one for the client."""
        return bool(self.cookie_domain or self.cookie_path or self.redirect_from)


# -- what is compiled from Ingresses ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CanaryRoute:
    """Another backend for some requests of a location."""

    ingress: ObjectKey
    backend: BackendRef
    rule: Canary


@dataclass(frozen=True, slots=True)
class Route:
    """One location of one server. `ingress` None: made by the controller itself, not by an Ingress.

    path: as the Ingress has it; path_type: "" when no rule has the path but a default backend; match: what is
    compared, the path with or without its final slash, or the regex.
    backend None: the controller's own default backend, which answers 404.
    """

    ingress: ObjectKey | None
    host: str
    path: str
    path_type: str
    kind: LocationKind
    match: str
    backend: BackendRef | None
    settings: Settings
    canaries: tuple[CanaryRoute, ...] = ()

    @property
    def title(self) -> str:
        """How it is called in explanations and messages."""
        owner = str(self.ingress) if self.ingress is not None else "controller"
        host = "*" if self.host == DEFAULT_SERVER else self.host
        return f"{owner} {host}{self.path} ({self.path_type or 'default backend'})"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server shows to clients that ask for `host` (exact or `*.example.com`); `ingress` asked for it.

    certificate and key are PEM; empty when the default certificate stands in, then `missing` says why.
    """

    host: str
    ingress: ObjectKey
    secret: ObjectKey | None
    certificate: bytes = b""
    key: bytes = b""
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to tell a user about an Ingress or a ConfigMap, as a Warning Event on it."""

    about: ObjectKey
    reason: str
    message: str
    kind: Literal["Ingress", "ConfigMap"] = "Ingress"


# -- what is decided -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was considered: a server, a location, a setting."""

    subject: str
    outcome: Literal["won", "lost", "applied"]
    reason: str


class HeaderChanges(NamedTuple):
    """set replaces or adds; drop is taken away first. Names in drop are in lower case."""

    set: tuple[Header, ...] = ()
    drop: frozenset[str] = frozenset()


@dataclass(slots=True)
class Proxy:
    """Send the request on to an endpoint of `backend`.

    path: percent-encoded, ready for the request line; query: without `?`; vhost: the Host header to send.
    request_headers: on top of the client's; response_headers: added to whatever the backend answers.
    With settings.external_auth the caller asks that server first (see `externalauth`).
    """

    route: Route
    backend: BackendRef
    path: str
    query: str
    vhost: str
    request_headers: HeaderChanges
    response_headers: tuple[Header, ...]
    settings: Settings
    is_canary: bool = False
    trace: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Redirect:
    """Answer with a Location."""

    status: int
    location: str
    route: Route | None = None
    headers: tuple[Header, ...] = ()
    trace: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer without asking a backend. body "": the caller's own page for `status`."""

    status: int
    reason: str
    body: str = ""
    headers: tuple[Header, ...] = ()
    route: Route | None = None
    trace: tuple[Step, ...] = ()


Decision = Proxy | Redirect | Respond
