"""The annotations `nginx.ingress.kubernetes.io/*` as Settings: one table says how each is read, another why it is not.

A value that cannot be read counts as not given, and is told; so is every annotation that changes nothing here.
Source: ingress-nginx docs/user-guide/nginx-configuration/annotations.md.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.api.meta import JsonObject, ObjectKey, annotations_of, key_of
from emulator.ingress import values
from emulator.ingress.basicauth import can_check, parse_htpasswd
from emulator.ingress.model import BasicAuth, Canary, CookieAffinity, Cors, ExternalAuth, Limits, Problem, Settings

PREFIX = "nginx.ingress.kubernetes.io/"
Lookup = Callable[[ObjectKey], JsonObject | None]

HONOURED: Mapping[str, values.Reader] = {
    "affinity": values.one_of("cookie"),
    "affinity-canary-behavior": values.one_of("sticky", "legacy"),
    "affinity-mode": values.one_of("balanced", "persistent"),
    "allowlist-source-range": values.networks,
    "app-root": values.path,
    "auth-always-set-cookie": values.boolean,
    "auth-method": values.one_of("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"),
    "auth-realm": values.plain,
    "auth-request-redirect": values.plain,
    "auth-response-headers": values.words,
    "auth-secret": values.reference,
    "auth-secret-type": values.one_of("auth-file", "auth-map"),
    "auth-signin": values.plain,
    "auth-signin-redirect-param": values.word,
    "auth-type": values.one_of("basic"),
    "auth-url": values.url,
    "backend-protocol": values.protocol,
    "canary": values.boolean,
    "canary-by-cookie": values.word,
    "canary-by-header": values.word,
    "canary-by-header-pattern": values.pattern,
    "canary-by-header-value": values.plain,
    "canary-weight": values.number(),
    "canary-weight-total": values.number(1),
    "connection-proxy-header": values.plain,
    "cors-allow-credentials": values.boolean,
    "cors-allow-headers": values.plain,
    "cors-allow-methods": values.plain,
    "cors-allow-origin": values.origins,
    "cors-expose-headers": values.plain,
    "cors-max-age": values.number(),
    "custom-http-errors": values.codes,
    "default-backend": values.reference,
    "denylist-source-range": values.networks,
    "enable-cors": values.boolean,
    "force-ssl-redirect": values.boolean,
    "from-to-www-redirect": values.boolean,
    "limit-allowlist": values.networks,
    "limit-burst-multiplier": values.number(1),
    "limit-connections": values.number(),
    "limit-rpm": values.number(),
    "limit-rps": values.number(),
    "limit-whitelist": values.networks,
    "permanent-redirect": values.url_or_path,
    "permanent-redirect-code": values.number(300, 308),
    "preserve-trailing-slash": values.boolean,
    "proxy-body-size": values.size,
    "proxy-buffering": values.on_off,
    "proxy-connect-timeout": values.seconds,
    "proxy-cookie-domain": values.plain,
    "proxy-cookie-path": values.plain,
    "proxy-http-version": values.one_of("1.0", "1.1"),
    "proxy-next-upstream": values.next_upstream,
    "proxy-next-upstream-timeout": values.seconds,
    "proxy-next-upstream-tries": values.number(),
    "proxy-read-timeout": values.seconds,
    "proxy-redirect-from": values.plain,
    "proxy-redirect-to": values.plain,
    "proxy-request-buffering": values.on_off,
    "proxy-send-timeout": values.seconds,
    "relative-redirects": values.boolean,
    "rewrite-target": values.plain,
    "satisfy": values.one_of("any", "all"),
    "server-alias": values.aliases,
    "service-upstream": values.boolean,
    "session-cookie-change-on-failure": values.boolean,
    "session-cookie-conditional-samesite-none": values.boolean,
    "session-cookie-domain": values.plain,
    "session-cookie-expires": values.number(),
    "session-cookie-max-age": values.number(),
    "session-cookie-name": values.word,
    "session-cookie-path": values.path,
    "session-cookie-samesite": values.one_of("None", "Lax", "Strict"),
    "session-cookie-secure": values.boolean,
    "ssl-redirect": values.boolean,
    "temporal-redirect": values.url,
    "temporal-redirect-code": values.number(300, 308),
    "upstream-hash-by": values.plain,
    "upstream-vhost": values.plain,
    "use-port-in-redirects": values.boolean,
    "use-regex": values.boolean,
    "whitelist-source-range": values.networks,
    "x-forwarded-prefix": values.plain,
}
ALIASES = {"whitelist-source-range": "allowlist-source-range", "limit-whitelist": "limit-allowlist"}
SNIPPETS = ("auth-snippet", "configuration-snippet", "modsecurity-snippet", "server-snippet", "stream-snippet")
WITHOUT_EFFECT = (  # how nginx uses its memory and logs: nothing a client or a backend could see
    "client-body-buffer-size", "enable-access-log", "enable-rewrite-log", "http2-push-preload", "proxy-buffer-size",
    "proxy-buffers-number", "proxy-busy-buffers-size", "proxy-max-temp-file-size", "enable-opentelemetry",
    "enable-opentracing", "opentelemetry-trust-incoming-span", "opentelemetry-operation-name", "ssl-ciphers",
    "ssl-prefer-server-ciphers", "auth-keepalive", "auth-keepalive-requests", "auth-keepalive-share-vars",
    "auth-keepalive-timeout", "enable-global-auth", "auth-cache-key", "auth-cache-duration",
)  # fmt: skip
NOT_HONOURED = {  # and what takes its place
    "ssl-passthrough": "TLS ends at the ingress, and the backend gets plain HTTP",
    "load-balance": "endpoints take turns",
    "mirror-target": "no request is mirrored",
    "upstream-hash-by-subset": "the hash goes over all endpoints",
    "custom-headers": "no header is added",
    "proxy-ssl-secret": "backends with HTTPS are asked without a client certificate and are not verified",
    "proxy-ssl-verify": "backends with HTTPS are not verified",
}


DEFAULTS = Settings()  # shared: most Ingresses have no annotation of ours


@dataclass(slots=True)
class _Reading:
    """One Ingress' annotations while they are read."""

    ingress: JsonObject
    found: dict[str, Any] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)  # given, but not as they should be
    problems: list[Problem] = field(default_factory=list)

    def tell(self, reason: str, message: str) -> None:
        self.problems.append(Problem(key_of(self.ingress), reason, message))

    def given(self, **names: str) -> dict[str, Any]:
        """Field -> value of the annotations that were given; the others keep the field's default."""
        return {field: self.found[name] for field, name in names.items() if name in self.found}


def read_settings(ingress: JsonObject, *, secret: Lookup) -> tuple[Settings, tuple[Problem, ...]]:
    """The settings of one Ingress and what has to be told about its annotations."""
    given = {name: text for name, text in annotations_of(ingress).items() if name.startswith(PREFIX)}
    if not given:
        return DEFAULTS, ()
    reading = _Reading(ingress)
    for name, text in sorted(given.items()):
        _read(reading, name.removeprefix(PREFIX), text)
    if reading.found.get("backend-protocol") == "FCGI":
        reading.tell(
            "AnnotationNotHonoured", f"annotation {PREFIX}backend-protocol: FCGI is not spoken; the answer is 502"
        )
    auth, denied = _basic_auth(reading, secret)
    found = reading.found
    settings = Settings(
        **reading.given(
            app_root="app-root", use_regex="use-regex", x_forwarded_prefix="x-forwarded-prefix",
            rewrite_target="rewrite-target", ssl_redirect="ssl-redirect", force_ssl_redirect="force-ssl-redirect",
            preserve_trailing_slash="preserve-trailing-slash", use_port_in_redirects="use-port-in-redirects",
            permanent_redirect="permanent-redirect", permanent_redirect_code="permanent-redirect-code",
            temporal_redirect="temporal-redirect", temporal_redirect_code="temporal-redirect-code",
            relative_redirects="relative-redirects", from_to_www_redirect="from-to-www-redirect",
            server_alias="server-alias", backend_protocol="backend-protocol",
            connect_timeout_seconds="proxy-connect-timeout", read_timeout_seconds="proxy-read-timeout",
            send_timeout_seconds="proxy-send-timeout", body_size_bytes="proxy-body-size", buffering="proxy-buffering",
            request_buffering="proxy-request-buffering", next_upstream="proxy-next-upstream",
            next_upstream_tries="proxy-next-upstream-tries",
            next_upstream_timeout_seconds="proxy-next-upstream-timeout", http_version="proxy-http-version",
            allow="allowlist-source-range", deny="denylist-source-range", upstream_vhost="upstream-vhost",
            upstream_hash_by="upstream-hash-by", service_upstream="service-upstream",
            default_backend="default-backend", custom_http_errors="custom-http-errors",
            connection_header="connection-proxy-header", cookie_domain="proxy-cookie-domain",
            cookie_path="proxy-cookie-path", redirect_from="proxy-redirect-from", redirect_to="proxy-redirect-to",
        ),
        cors=_cors(reading),
        auth=auth,
        external_auth=_external_auth(reading),
        satisfy_any=found.get("satisfy") == "any",
        limits=_limits(reading),
        affinity=_affinity(reading),
        canary=_canary(reading),
        denied=denied,
    )  # fmt: skip
    return settings, tuple(reading.problems)


def _read(reading: _Reading, name: str, text: str) -> None:
    reader = HONOURED.get(name)
    if reader is None:
        _tell_unread(reading, name, text)
        return
    try:
        reading.found.setdefault(ALIASES.get(name, name), reader(text))
    except ValueError as error:
        reading.unread.add(name)
        reading.tell("InvalidAnnotation", f'annotation {PREFIX}{name}: "{text}" {error}; it is ignored')


def _tell_unread(reading: _Reading, name: str, text: str) -> None:
    if name in WITHOUT_EFFECT:
        return
    if name in SNIPPETS:
        message = f"annotation {PREFIX}{name} is ignored: snippet annotations are disabled, as they are by default"
        reading.tell("SnippetRefused", message)
        return
    instead = f"; {NOT_HONOURED[name]}" if name in NOT_HONOURED else ""
    reading.tell("AnnotationNotHonoured", f"annotation {PREFIX}{name} is not honoured here{instead}")


def _cors(reading: _Reading) -> Cors | None:
    if not reading.found.get("enable-cors"):
        return None
    return Cors(
        **reading.given(
            allow_origins="cors-allow-origin",
            allow_methods="cors-allow-methods",
            allow_headers="cors-allow-headers",
            expose_headers="cors-expose-headers",
            allow_credentials="cors-allow-credentials",
            max_age_seconds="cors-max-age",
        )
    )


def _limits(reading: _Reading) -> Limits | None:
    given = reading.given(connections="limit-connections", per_second="limit-rps", per_minute="limit-rpm")
    if not any(given.values()):
        return None
    return Limits(**given, **reading.given(burst_multiplier="limit-burst-multiplier", allow="limit-allowlist"))


def _affinity(reading: _Reading) -> CookieAffinity | None:
    if reading.found.get("affinity") != "cookie":
        return None
    return CookieAffinity(
        **reading.given(
            name="session-cookie-name",
            path="session-cookie-path",
            domain="session-cookie-domain",
            expires_seconds="session-cookie-expires",
            max_age_seconds="session-cookie-max-age",
            same_site="session-cookie-samesite",
            conditional_same_site_none="session-cookie-conditional-samesite-none",
            secure="session-cookie-secure",
            change_on_failure="session-cookie-change-on-failure",
            mode="affinity-mode",
        )
    )


def _canary(reading: _Reading) -> Canary | None:
    found = reading.found
    wishes = [name for name in found if name.startswith("canary-")]
    if not found.get("canary"):
        if wishes:
            names = ", ".join(PREFIX + name for name in wishes)
            reading.tell("InvalidAnnotation", f'{names}: no effect without {PREFIX}canary: "true"')
        return None
    if not any(name in found for name in ("canary-by-header", "canary-by-cookie", "canary-weight")):
        text = f"{PREFIX}canary: no request goes there without canary-by-header, canary-by-cookie or canary-weight"
        reading.tell("InvalidAnnotation", text)
    return Canary(
        header=found.get("canary-by-header", ""),
        header_value=found.get("canary-by-header-value", ""),
        header_pattern=found.get("canary-by-header-pattern"),
        is_pattern_broken="canary-by-header-pattern" in reading.unread,
        cookie=found.get("canary-by-cookie", ""),
        weight=found.get("canary-weight", 0),
        weight_total=max(found.get("canary-weight-total", 100), 100),
        affinity_behavior=found.get("affinity-canary-behavior", "sticky"),
    )


def _external_auth(reading: _Reading) -> ExternalAuth | None:
    if "auth-url" not in reading.found:
        return None
    return ExternalAuth(
        **reading.given(
            url="auth-url",
            method="auth-method",
            signin="auth-signin",
            signin_redirect_param="auth-signin-redirect-param",
            response_headers="auth-response-headers",
            request_redirect="auth-request-redirect",
            always_set_cookie="auth-always-set-cookie",
        )
    )


def _basic_auth(reading: _Reading, secret: Lookup) -> tuple[BasicAuth | None, str]:
    """The users of the secret; or why every request is refused."""
    if "auth-type" not in reading.found:
        return None, ""
    named = reading.found.get("auth-secret", "")
    namespace, _, name = named.rpartition("/")
    own = reading.ingress["metadata"].get("namespace") or "default"
    key = ObjectKey(namespace or own, name)
    users, why = _users(reading, key, own, secret)
    if why:
        reading.tell("MissingSecret", f"basic authentication: {why}; every request is answered with 503")
        return None, why
    unknown = sorted(user for user, hashed in users.items() if not can_check(hashed))
    if unknown:
        text = f"secret {key}: the password hashes of {', '.join(unknown)} have a format that cannot be checked here"
        reading.tell("InvalidAnnotation", text)
    return BasicAuth(reading.found.get("auth-realm", ""), users, key), ""


def _users(reading: _Reading, key: ObjectKey, own: str, secret: Lookup) -> tuple[dict[str, str], str]:
    if not key.name:
        return {}, f"annotation {PREFIX}auth-secret is missing"
    if key.namespace != own:
        return {}, f"secret {key} is in another namespace, which is not allowed"
    found = secret(key)
    if found is None:
        return {}, f"secret {key} does not exist"
    data = {name: _decoded(text) for name, text in (found.get("data") or {}).items()}
    if reading.found.get("auth-secret-type") == "auth-map":
        return {name: text.strip() for name, text in data.items()}, ""
    if "auth" not in data:
        return {}, f'secret {key} has no key "auth"'
    return parse_htpasswd(data["auth"]), ""


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""
