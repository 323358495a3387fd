"""The controller's own ConfigMap: defaults that annotations override, and what holds for all Ingresses at once.

Every key is honoured, without an effect that anybody could see, or told once as an Event on the ConfigMap.
Source: ingress-nginx docs/user-guide/nginx-configuration/configmap.md, internal/ingress/controller/{config,template}.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from emulator.api.meta import ObjectKey, key_of
from emulator.ingress.catalogue import ALIASES, FIELDS, HONOURED
from emulator.ingress.configkeys import DEFAULTS_OF_ANNOTATIONS, GLOBAL_AUTH, GLOBALS_READ, NOT_HONOURED, WITHOUT_EFFECT
from emulator.ingress.model import ExternalAuth, Forwarding, Globals, Header, Problem, Settings
from emulator.ingress.references import Lookup, Refused, headers_of, nothing

PLACES = (
    ObjectKey("ingress-nginx", "ingress-nginx-controller"),  # where upstream's chart and manifests put it
    ObjectKey("ingress", "nginx-load-balancer-microk8s-conf"),  # where MicroK8s does
)
CHALLENGES = ("/.well-known/acme-challenge",)  # no-tls-redirect-locations, no-auth-locations


@dataclass(frozen=True, slots=True)
class ControllerConfig:
    """What stands in the ConfigMap `key`. defaults: of Ingresses' settings; the locations: how their paths begin."""

    key: ObjectKey = PLACES[0]
    defaults: Settings = field(default_factory=Settings)
    allowed_response_headers: tuple[str, ...] = ()
    strict_paths: bool = True
    unredirected_locations: tuple[str, ...] = CHALLENGES
    open_locations: tuple[str, ...] = CHALLENGES
    problems: tuple[Problem, ...] = ()


WITHOUT_CONFIG = ControllerConfig()


@dataclass(slots=True)
class _Reading:
    key: ObjectKey
    found: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def tell(self, reason: str, message: str) -> None:
        self.problems.append(Problem(self.key, reason, message, "ConfigMap"))

    def given(self, **names: str) -> dict[str, Any]:
        return {field: self.found[name] for field, name in names.items() if name in self.found}


def read_config(config_map: Lookup = nothing) -> ControllerConfig:
    """The controller's configuration; the defaults when neither ConfigMap is there. The first of PLACES wins."""
    present = [held for held in map(config_map, PLACES) if held is not None]
    if not present:
        return WITHOUT_CONFIG
    reading = _Reading(key_of(present[0]))
    for name, text in sorted((present[0].get("data") or {}).items()):
        _read(reading, name, text)
    found = reading.found
    plain = {FIELDS[ALIASES.get(name, name)]: found[name] for name in DEFAULTS_OF_ANNOTATIONS if name in found}
    if "next_upstream" in plain:
        plain["next_statuses"] = next_statuses(plain["next_upstream"])
    defaults = Settings(**plain, external_auth=_global_auth(reading), controller=_globals(reading, config_map))
    for other in present[1:]:
        text = f"it is not read: configmap {reading.key} is; put all keys there"
        reading.problems.append(Problem(key_of(other), "NotRead", text, "ConfigMap"))
    return ControllerConfig(
        reading.key,
        defaults,
        **reading.given(
            allowed_response_headers="global-allowed-response-headers",
            strict_paths="strict-validate-path-type",
            unredirected_locations="no-tls-redirect-locations",
            open_locations="no-auth-locations",
        ),
        problems=tuple(reading.problems),
    )


def next_statuses(words: Iterable[str]) -> frozenset[int]:
    """Of proxy-next-upstream: the answers after which another endpoint is asked."""
    return frozenset(int(word[5:]) for word in words if word.startswith("http_"))


def settings_at(path: str, settings: Settings, config: ControllerConfig) -> Settings:
    """The settings at a path, which may be spared https or authentication whatever the annotations say."""
    if path.startswith(config.unredirected_locations):
        settings = replace(settings, ssl_redirect=False, force_ssl_redirect=False)
    if path.startswith(config.open_locations):
        settings = replace(settings, auth=None, external_auth=None)
    return settings


def _read(reading: _Reading, name: str, text: str) -> None:
    reader = HONOURED[name] if name in DEFAULTS_OF_ANNOTATIONS else GLOBALS_READ.get(name) or GLOBAL_AUTH.get(name)
    if reader is None:
        _tell_unread(reading, name)
        return
    try:
        reading.found[name] = reader(text)
    except ValueError as error:
        reading.tell("InvalidKey", f'key {name}: "{text}" {error}; it is ignored')
        return
    if name == "allow-snippet-annotations" and reading.found[name]:
        reading.tell("KeyNotHonoured", f"key {name}: snippets are nginx' own language, which is not spoken here")
    elif name == "load-balance" and reading.found[name] == "ewma":
        reading.tell("KeyNotHonoured", f"key {name}: ewma is not honoured here; endpoints take turns")


def _tell_unread(reading: _Reading, name: str) -> None:
    if name in WITHOUT_EFFECT:
        return
    if name in NOT_HONOURED:
        instead = f"; {NOT_HONOURED[name]}" if NOT_HONOURED[name] else ""
        reading.tell("KeyNotHonoured", f"key {name} is not honoured here{instead}")
        return
    reading.tell("UnknownKey", f"key {name} is none of ingress-nginx; it is ignored")


def _globals(reading: _Reading, config_map: Lookup) -> Globals:
    return Globals(
        hsts=_hsts(reading.found),
        forwarding=_forwarding(reading),
        request_headers=_headers(reading, "proxy-set-headers", config_map),
        response_headers=_headers(reading, "add-headers", config_map),
        hidden_headers=frozenset(name.lower() for name in reading.found.get("hide-headers", ())),
        **reading.given(
            redirect_code="http-redirect-code",
            requests_status="limit-req-status-code",
            connections_status="limit-conn-status-code",
            generates_request_id="generate-request-id",
            adds_original_uri="proxy-add-original-uri-header",
        ),
    )


def _hsts(found: Mapping[str, Any]) -> Header | None:
    if not found.get("hsts", True):
        return None
    more = "; includeSubDomains" if found.get("hsts-include-subdomains", True) else ""
    more += "; preload" if found.get("hsts-preload", False) else ""
    return "Strict-Transport-Security", f"max-age={found.get('hsts-max-age', 31536000)}{more}"


def _forwarding(reading: _Reading) -> Forwarding | None:
    if not reading.found.get("use-forwarded-headers"):
        lonely = [name for name in ("compute-full-forwarded-for", "forwarded-for-header") if name in reading.found]
        if lonely:
            reading.tell("KeyNotHonoured", f'key {lonely[0]} has no effect without use-forwarded-headers: "true"')
        return None
    return Forwarding(
        **reading.given(header="forwarded-for-header", proxies="proxy-real-ip-cidr", adds="compute-full-forwarded-for")
    )


def _headers(reading: _Reading, name: str, config_map: Lookup) -> tuple[Header, ...]:
    named = reading.found.get(name)
    if not named:
        return ()
    try:
        return headers_of(named, config_map)
    except Refused as error:
        reading.tell("MissingConfigMap", f"key {name}: {error}; it is ignored")
        return ()


def _global_auth(reading: _Reading) -> ExternalAuth | None:
    if "global-auth-url" not in reading.found:
        lonely = [name for name in GLOBAL_AUTH if name in reading.found]
        if lonely:
            reading.tell("KeyNotHonoured", f"key {lonely[0]} has no effect without global-auth-url")
        return None
    return ExternalAuth(
        **reading.given(
            url="global-auth-url",
            method="global-auth-method",
            signin="global-auth-signin",
            signin_redirect_param="global-auth-signin-redirect-param",
            response_headers="global-auth-response-headers",
            request_redirect="global-auth-request-redirect",
            always_set_cookie="global-auth-always-set-cookie",
            cache_key="global-auth-cache-key",
            cache_seconds="global-auth-cache-duration",
        )
    )
