"""The annotations `nginx.ingress.kubernetes.io/*` of an Ingress as Settings, on top of the controller's defaults.

A value that cannot be read counts as not given or closes the location, as upstream has it, and is told; so is every
annotation that changes nothing here. The names stand in `catalogue`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from emulator.api.meta import JsonObject, annotations_of, key_of
from emulator.ingress.basicauth import can_check
from emulator.ingress.catalogue import (
    ALIASES,
    DENYING,
    FIELDS,
    HONOURED,
    NOT_HONOURED,
    PREFIX,
    SNIPPETS,
    VALIDATED,
    WITHOUT_EFFECT,
)
from emulator.ingress.controllerconfig import WITHOUT_CONFIG, ControllerConfig, next_statuses
from emulator.ingress.cors import ORIGIN
from emulator.ingress.model import (
    BackendTls,
    BasicAuth,
    Canary,
    CookieAffinity,
    Cors,
    ExternalAuth,
    Header,
    Limits,
    Mirror,
    Problem,
    Settings,
)
from emulator.ingress.references import Lookup, Refused, backend_tls, custom_headers, headers_of, nothing, users_of


@dataclass(slots=True)
class _Reading:
    """One Ingress' annotations while they are read. denied: the first reason why no request is let in."""

    ingress: JsonObject
    secret: Lookup
    config_map: Lookup
    config: ControllerConfig
    found: dict[str, Any] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    denied: str = ""

    @property
    def namespace(self) -> str:
        return str(self.ingress["metadata"].get("namespace") or "default")

    def tell(self, reason: str, message: str) -> None:
        self.problems.append(Problem(key_of(self.ingress), reason, message))

    def deny(self, reason: str, title: str, why: str) -> None:
        self.tell(reason, f"{title}: {why}; every request is answered with 503")
        self.denied = self.denied or why

    def given(self, **names: str) -> dict[str, Any]:
        """Field -> value of the annotations that were given; the others keep the field's default."""
        return {field: self.found[name] for field, name in names.items() if name in self.found}


def read_settings(
    ingress: JsonObject, *, secret: Lookup, config_map: Lookup = nothing, config: ControllerConfig = WITHOUT_CONFIG
) -> tuple[Settings, tuple[Problem, ...]]:
    """The settings of one Ingress and what has to be told about its annotations."""
    given = {name: text for name, text in annotations_of(ingress).items() if name.startswith(PREFIX)}
    if not given:
        return config.defaults, ()  # shared: most Ingresses have no annotation of ours
    reading = _Reading(ingress, secret, config_map, config)
    for name, text in sorted(given.items()):
        _read(reading, name.removeprefix(PREFIX), text)
    for name, message in reading.unread.items():
        _tell_unread_value(reading, name, message)
    found = reading.found
    plain = {FIELDS[name]: value for name, value in found.items() if name in FIELDS}
    hashed = found.get("upstream-hash-by-subset") and "upstream-hash-by" in found
    headers = _custom_headers(reading)
    if "proxy-next-upstream" in found:
        plain["next_statuses"] = next_statuses(found["proxy-next-upstream"])
    made = {
        **plain,
        "cors": _cors(reading),
        "auth": _basic_auth(reading),
        "external_auth": _external_auth(reading),
        "satisfy_any": found.get("satisfy") == "any",
        "limits": _limits(reading),
        "affinity": _affinity(reading),
        "canary": _canary(reading),
        "hash_subset_size": found.get("upstream-hash-by-subset-size", 3) if hashed else 0,
        "backend_tls": _backend_tls(reading),
        "mirror": _mirror(reading),
        "response_headers": () if reading.denied else headers,
        "denied": reading.denied,
    }
    settings = Settings(**made) if config is WITHOUT_CONFIG else replace(config.defaults, **made)
    _tell_without_effect(reading)
    return settings, tuple(reading.problems)


# -- one annotation ----------------------------------------------------------------------------------------------


def _read(reading: _Reading, name: str, text: str) -> None:
    reader = HONOURED.get(name)
    if reader is None:
        _tell_unknown(reading, name)
        return
    try:
        reading.found.setdefault(ALIASES.get(name, name), reader(text))
    except ValueError as error:
        reading.unread[name] = f'annotation {PREFIX}{name}: "{text}" {error}'
        return
    if name in VALIDATED and not re.fullmatch(VALIDATED[name], text.replace(" ", "")):
        odd = "".join(sorted({char for char in text if not re.fullmatch(VALIDATED[name], char)}))
        refused = (
            f"is honoured here, but ingress-nginx refuses {odd} in it when it validates annotations, as its chart does"
        )
        reading.tell("RefusedUpstream", f'annotation {PREFIX}{name}: "{text}" {refused}')


def _tell_unread_value(reading: _Reading, name: str, message: str) -> None:
    """It closes the location when what it belongs to is there: rather nobody comes in than somebody who must not."""
    companion = DENYING.get(name)
    if companion is not None and companion in {name, *reading.found, *reading.unread}:
        reading.deny("InvalidAnnotation", *message.split(": ", 1))
    else:
        reading.tell("InvalidAnnotation", f"{message}; it is ignored")


def _tell_unknown(reading: _Reading, name: str) -> None:
    if name in WITHOUT_EFFECT:
        return
    if name in SNIPPETS:
        message = f"annotation {PREFIX}{name} is ignored: snippet annotations are disabled, as they are by default"
        reading.tell("SnippetRefused", message)
        return
    instead = f"; {NOT_HONOURED[name]}" if name in NOT_HONOURED else _meant(name)
    reading.tell("AnnotationNotHonoured", f"annotation {PREFIX}{name} is not honoured here{instead}")


@lru_cache(maxsize=1024)
def _meant(name: str) -> str:
    """The annotation that a misspelt name is closest to."""
    from difflib import get_close_matches  # needed for mistakes only

    close = get_close_matches(name, HONOURED, n=1, cutoff=0.8)
    return f"; did you mean {close[0]}?" if close else ""


def _tell_without_effect(reading: _Reading) -> None:
    """What is read but does not do what its name says, alone or here."""
    found = reading.found
    if found.get("backend-protocol") == "FCGI":
        text = f"annotation {PREFIX}backend-protocol: FCGI is not spoken; the answer is 502"
        reading.tell("AnnotationNotHonoured", text)
    if "custom-http-errors" in found and "default-backend" not in found:
        text = f"annotation {PREFIX}custom-http-errors: without {PREFIX}default-backend these errors become 404"
        reading.tell("InvalidAnnotation", text)
    if found.get("load-balance") == "ewma":
        text = f"annotation {PREFIX}load-balance: ewma is not honoured here; endpoints take turns"
        reading.tell("AnnotationNotHonoured", text)
    lonely = [name for name in found if name.startswith("proxy-ssl-")]
    if lonely and "proxy-ssl-secret" not in found and "proxy-ssl-secret" not in reading.unread:
        names = ", ".join(PREFIX + name for name in lonely)
        reading.tell("InvalidAnnotation", f"{names}: no effect without {PREFIX}proxy-ssl-secret")
    if "affinity" in found and found.get("use-regex") and "session-cookie-path" not in found:
        text = f"{PREFIX}affinity: with use-regex the cookie's path is the expression; set {PREFIX}session-cookie-path"
        reading.tell("InvalidAnnotation", text)


# -- groups of annotations -----------------------------------------------------------------------------------------


def _cors(reading: _Reading) -> Cors | None:
    if not reading.found.get("enable-cors"):
        return None
    origins = reading.found.get("cors-allow-origin", ("*",))
    bare = [origin for origin in origins if not ORIGIN.fullmatch(origin)]
    if bare:
        text = (
            f"annotation {PREFIX}cors-allow-origin: {', '.join(bare)} lacks a scheme such as https:// and allows nobody"
        )
        reading.tell("InvalidAnnotation", text)
    return Cors(
        tuple(origin for origin in origins if origin not in bare),
        **reading.given(
            allow_methods="cors-allow-methods",
            allow_headers="cors-allow-headers",
            expose_headers="cors-expose-headers",
            allow_credentials="cors-allow-credentials",
            max_age_seconds="cors-max-age",
        ),
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
    """The Ingress' own, else the controller's for all, unless the Ingress does not want that one."""
    found = reading.found
    if "auth-url" not in found:
        return reading.config.defaults.external_auth if found.get("enable-global-auth", True) else None
    more: tuple[Header, ...] = ()
    if "auth-proxy-set-headers" in found:
        try:
            more = headers_of(found["auth-proxy-set-headers"], reading.config_map)
        except Refused as error:
            reading.deny("MissingConfigMap", f"annotation {PREFIX}auth-proxy-set-headers", str(error))
    return ExternalAuth(
        request_headers=more,
        **reading.given(
            url="auth-url",
            method="auth-method",
            signin="auth-signin",
            signin_redirect_param="auth-signin-redirect-param",
            response_headers="auth-response-headers",
            request_redirect="auth-request-redirect",
            always_set_cookie="auth-always-set-cookie",
            cache_key="auth-cache-key",
            cache_seconds="auth-cache-duration",
        ),
    )


def _basic_auth(reading: _Reading) -> BasicAuth | None:
    """The users of the secret; without them no request is let in."""
    found = reading.found
    if "auth-type" not in found or "auth-secret" in reading.unread:
        return None
    try:
        if "auth-secret" not in found:
            raise Refused(f"annotation {PREFIX}auth-secret is missing")
        is_map = found.get("auth-secret-type") == "auth-map"
        key, users = users_of(found["auth-secret"], reading.namespace, reading.secret, is_map=is_map)
    except Refused as error:
        reading.deny("MissingSecret", "basic authentication", str(error))
        return None
    unknown = sorted(user for user, hashed in users.items() if not can_check(hashed))
    if unknown:
        text = f"secret {key}: the password hashes of {', '.join(unknown)} have a format that cannot be checked here"
        reading.tell("InvalidAnnotation", text)
    return BasicAuth(found.get("auth-realm", ""), users, key)


def _mirror(reading: _Reading) -> Mirror | None:
    found = reading.found
    if "mirror-target" not in found:
        return None
    target = found["mirror-target"]
    host = found.get("mirror-host") or urlsplit(target).netloc.partition("$")[0].partition(":")[0]
    return Mirror(target, host, found.get("mirror-request-body", True))


def _custom_headers(reading: _Reading) -> tuple[Header, ...]:
    named = reading.found.get("custom-headers")
    if not named:
        return ()
    config = reading.config
    try:
        return custom_headers(named, reading.config_map, config.allowed_response_headers, config.key)
    except Refused as error:
        reading.deny("HeadersRefused", f"annotation {PREFIX}custom-headers", str(error))
        return ()


def _backend_tls(reading: _Reading) -> BackendTls | None:
    found = reading.found
    if "proxy-ssl-secret" not in found:
        return None
    try:
        made = backend_tls(found, reading.namespace, reading.secret)
    except Refused as error:
        reading.deny("MissingSecret", "TLS to the backend", str(error))
        return None
    if found.get("proxy-ssl-verify") and not made.authority:
        text = f"{PREFIX}proxy-ssl-verify: the secret has no ca.crt to verify backends with; they are not verified"
        reading.tell("InvalidAnnotation", text)
    elif made.verified_name and "proxy-ssl-name" not in found:
        text = f"no certificate is for {made.verified_name}, which nginx expects without {PREFIX}proxy-ssl-name; set it"
        reading.tell("InvalidAnnotation", f"{PREFIX}proxy-ssl-verify: {text}")
    return made
