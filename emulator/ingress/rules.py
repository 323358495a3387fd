"""Ingresses as servers with locations: who has which host and path when several want it.

The oldest Ingress keeps a host's path and certificate; different paths of one host come together. No request is seen.
Source: ingress-nginx internal/ingress/controller (createServers, getBackendServers, updateServerLocations).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from emulator.api.meta import JsonObject, ObjectKey, key_of
from emulator.ingress.annotations import read_settings
from emulator.ingress.controllerconfig import WITHOUT_CONFIG, ControllerConfig, settings_at
from emulator.ingress.model import (
    DEFAULT_SERVER,
    BackendRef,
    CanaryRoute,
    Certificate,
    LocationKind,
    Problem,
    Route,
    Settings,
)
from emulator.ingress.references import Lookup, nothing
from emulator.ingress.regexes import InvalidPattern, compile_path, is_plain_path
from emulator.routing.ingressclasses import is_ours, oldest_first, our_classes

ROOT = "/"


@dataclass(slots=True)
class _Location:
    path: str
    path_type: str
    backend: BackendRef | None
    ingress: ObjectKey | None
    settings: Settings
    is_default: bool = False  # a path that says / takes its place
    is_backend_only: bool = False  # of defaultBackend: no rule has this path
    canaries: list[CanaryRoute] = field(default_factory=list)


@dataclass(slots=True)
class _Server:
    host: str
    root: _Location
    locations: dict[tuple[str, str], _Location] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    alias_owner: ObjectKey | None = None
    certificate: Certificate | None = None
    www: bool = False


@dataclass(frozen=True, slots=True)
class Server:
    """One host. locations: in the order nginx reads them; is_regex: all of them are regular expressions."""

    host: str
    aliases: tuple[str, ...]
    locations: tuple[Route, ...]
    is_regex: bool
    certificate: Certificate | None
    app_root: str
    redirects_www: bool


@dataclass(frozen=True, slots=True)
class Compiled:
    servers: tuple[Server, ...]
    problems: tuple[Problem, ...]


def compile_rules(
    ingresses: Iterable[JsonObject],
    classes: Iterable[JsonObject],
    *,
    secret: Lookup,
    config_map: Lookup = nothing,
    config: ControllerConfig = WITHOUT_CONFIG,
) -> Compiled:
    """The servers that these Ingresses make; those of other controllers are left out."""
    return _Compiler(secret, config_map, config).run(ingresses, our_classes(classes))


class _Compiler:
    """One pass over all Ingresses; thrown away afterwards."""

    def __init__(self, secret: Lookup, config_map: Lookup, config: ControllerConfig) -> None:
        self.secret = secret
        self.config_map = config_map
        self.config = config
        self.problems: list[Problem] = []
        settings = replace(config.defaults, external_auth=None, allow=(), deny=(), force_ssl_redirect=False)
        root = _Location(ROOT, "Prefix", None, None, settings, is_default=True, is_backend_only=True)
        self.servers = {DEFAULT_SERVER: _Server(DEFAULT_SERVER, root, {(ROOT, "Prefix"): root})}

    def run(self, ingresses: Iterable[JsonObject], classes: frozenset[str]) -> Compiled:
        ours = oldest_first(ingress for ingress in ingresses if is_ours(ingress, classes))
        read = []
        for ingress in ours:
            settings, problems = read_settings(
                ingress, secret=self.secret, config_map=self.config_map, config=self.config
            )
            self.problems += problems
            read.append((ingress, settings))
        mains = [(ingress, settings) for ingress, settings in read if settings.canary is None]
        for ingress, settings in mains:
            self._make_servers(ingress, settings)
        self._check_aliases()
        for ingress, settings in mains:
            self._add_paths(ingress, settings)
        for ingress, settings in read:
            if settings.canary is not None:
                self._add_canary(ingress, settings)
        return Compiled(tuple(self._finished(server) for server in self.servers.values()), tuple(self.problems))

    # -- servers ---------------------------------------------------------------------------------------------

    def _make_servers(self, ingress: JsonObject, settings: Settings) -> None:
        spec, key = ingress["spec"], key_of(ingress)
        default = self._default_backend(ingress)
        rules = spec.get("rules") or ()
        if default is not None and not rules:
            root = self.servers[DEFAULT_SERVER].root
            if root.is_default and root.backend is None:
                root.backend, root.ingress, root.is_default = default, key, False
                root.settings = _without_rewrites(settings)
            else:
                self._tell(key, "ConflictingRule", f"another Ingress ({root.ingress}) is the default backend already")
        for rule in rules:
            host = rule.get("host") or DEFAULT_SERVER
            server = self.servers.get(host)
            if server is None:
                root = _Location(ROOT, "Prefix", default, key, settings, is_default=True, is_backend_only=True)
                server = self.servers[host] = _Server(host, root, {(ROOT, "Prefix"): root})
            if not server.aliases:
                server.aliases, server.alias_owner = settings.server_alias, key
            server.www = server.www or settings.from_to_www_redirect
            if server.certificate is None and spec.get("tls") and host != DEFAULT_SERVER:
                server.certificate = self._certificate(ingress, host)

    def _default_backend(self, ingress: JsonObject) -> BackendRef | None:
        backend = ingress["spec"].get("defaultBackend")
        if backend is None:
            return None
        return self._backend(ingress, backend, "spec.defaultBackend")

    def _backend(self, ingress: JsonObject, backend: JsonObject, place: str) -> BackendRef | None:
        service = backend.get("service")
        if service is None:
            kind = (backend.get("resource") or {}).get("kind", "")
            text = f"{place}: resource backends ({kind}) are not served; only services are"
            self._tell(key_of(ingress), "ResourceBackend", text)
            return None
        port = service.get("port") or {}
        namespace = ingress["metadata"].get("namespace") or "default"
        return BackendRef(namespace, service["name"], port.get("number") or port.get("name") or 0)

    def _check_aliases(self) -> None:
        """An alias that is a host, or another host's alias already, is left out and told."""
        held: dict[str, str] = {}
        for server in self.servers.values():
            kept = []
            for alias in server.aliases:
                other = alias if alias in self.servers else held.setdefault(alias, server.host)
                if other == server.host:
                    kept.append(alias)
                elif server.alias_owner is not None:
                    why = "is a host of its own" if other == alias else f"is an alias of {other}"
                    self._tell(
                        server.alias_owner, "ConflictingRule", f"server-alias: {alias} {why} already; it is ignored"
                    )
            server.aliases = tuple(alias for alias in kept if alias != server.host)

    def _tell(self, key: ObjectKey, reason: str, message: str) -> None:
        self.problems.append(Problem(key, reason, message))

    # -- locations -------------------------------------------------------------------------------------------

    def _add_paths(self, ingress: JsonObject, settings: Settings) -> None:
        key = key_of(ingress)
        uses_regex = settings.use_regex or bool(settings.rewrite_target)
        for host, entry, place in _paths(ingress):
            server, path = self.servers[host], entry.get("path") or ROOT
            path_type = _served_type(entry.get("pathType"))
            self._check_path(key, entry, path, uses_regex=uses_regex)
            backend = self._backend(ingress, entry.get("backend") or {}, f"{place}.backend")
            if backend is None or not self._is_pattern(key, path, settings):
                continue
            held, here = server.locations.get((path, path_type)), settings_at(path, settings, self.config)
            if held is None:
                server.locations[path, path_type] = _Location(path, path_type, backend, key, here)
            elif held.is_default:
                held.backend, held.ingress, held.settings = backend, key, here
                held.is_default = held.is_backend_only = False
            elif held.ingress != key:
                named = "_" if host == DEFAULT_SERVER else host
                text = f'host "{named}" and path "{path}" is already defined in ingress {held.ingress}'
                self._tell(key, "ConflictingRule", text)

    def _check_path(self, key: ObjectKey, entry: JsonObject, path: str, *, uses_regex: bool) -> None:
        """What upstream's admission refuses; here it is told, because the object is in the API already."""
        kind = entry.get("pathType")
        if self.config.strict_paths and kind in ("Exact", "Prefix") and not is_plain_path(path):
            text = f"ingress contains invalid paths: path {path} cannot be used with pathType {kind}"
            self._tell(key, "InvalidPath", f"{text}; use ImplementationSpecific" if uses_regex else text)

    def _is_pattern(self, key: ObjectKey, path: str, settings: Settings) -> bool:
        """False for a path that should be a regular expression and is none: it is left out, and told."""
        if not (settings.use_regex or _rewrites(settings, path)):
            return True
        try:
            compile_path(path)
        except InvalidPattern as error:
            self._tell(key, "InvalidRegex", f'path "{path}" is no regular expression: {error}; it is left out')
            return False
        return True

    # -- canaries --------------------------------------------------------------------------------------------

    def _add_canary(self, ingress: JsonObject, settings: Settings) -> None:
        key, rule = key_of(ingress), settings.canary
        assert rule is not None
        if ingress["spec"].get("defaultBackend") is not None:
            self._merge(self.servers[DEFAULT_SERVER].root, CanaryRoute(key, *self._canary_backend(ingress), rule))
        for host, entry, place in _paths(ingress):
            path, path_type = entry.get("path") or ROOT, _served_type(entry.get("pathType"))
            backend = self._backend(ingress, entry.get("backend") or {}, f"{place}.backend")
            server = self.servers.get(host)
            main = server.locations.get((path, path_type)) if server else None
            if main is None or main.backend is None:
                named = "*" if host == DEFAULT_SERVER else host
                text = f'no Ingress that is not a canary has host "{named}", path "{path}" and pathType {path_type}'
                self._tell(key, "CanaryWithoutMain", f"{text}; the canary gets no request")
            elif backend is not None:
                self._merge(main, CanaryRoute(key, backend, rule))

    def _canary_backend(self, ingress: JsonObject) -> tuple[BackendRef]:
        return (self._default_backend(ingress) or BackendRef("", "", 0),)

    def _merge(self, main: _Location, canary: CanaryRoute) -> None:
        if main.backend is None or not canary.backend.service:
            return
        if canary.backend == main.backend:
            self._tell(
                canary.ingress, "CanaryWithoutMain", f"the canary's backend {main.backend} is the main one's too"
            )
        elif main.canaries:
            text = f"ingress {main.canaries[0].ingress} is the canary of this rule already; only one is used"
            self._tell(canary.ingress, "ConflictingRule", text)
        else:
            main.canaries.append(canary)

    # -- certificates ----------------------------------------------------------------------------------------

    def _certificate(self, ingress: JsonObject, host: str) -> Certificate:
        """What the server shows; the default certificate when the secret is missing or not fit."""
        key, namespace = key_of(ingress), ingress["metadata"].get("namespace") or "default"
        name = _secret_name(ingress, host, self.secret)
        if not name:
            return Certificate(host, key, None, missing="no secretName is given")
        secret_key = ObjectKey(namespace, name)
        found = self.secret(secret_key)
        certificate, private = _pem(found, "tls.crt"), _pem(found, "tls.key")
        if found is None:
            missing = f"secret {secret_key} does not exist"
        elif not certificate or not private:
            missing = f"secret {secret_key} has no tls.crt and tls.key"
        else:
            missing = _mismatch(certificate, host, secret_key)
        if missing:
            self._tell(key, "MissingSecret", f"TLS of {host}: {missing}; the default certificate is shown")
            return Certificate(host, key, secret_key, missing=missing)
        return Certificate(host, key, secret_key, certificate, private)

    # -- the end ---------------------------------------------------------------------------------------------

    def _finished(self, server: _Server) -> Server:
        locations = sorted(server.locations.values(), key=lambda held: held.is_default)
        is_regex = any(
            held.settings.use_regex or (not held.is_default and _rewrites(held.settings, held.path))
            for held in locations
        )
        locations.sort(key=lambda held: held.path.encode(), reverse=True)
        locations.sort(key=lambda held: len(held.path.encode()), reverse=True)  # stable: the longest first
        return Server(
            server.host,
            server.aliases,
            tuple(_routes(server.host, locations, is_regex=is_regex)),
            is_regex,
            server.certificate,
            next((held.settings.app_root for held in locations if held.settings.app_root), ""),
            server.www,
        )


def _routes(host: str, locations: Sequence[_Location], *, is_regex: bool) -> Iterator[Route]:
    """The locations of nginx: a Prefix stands for everything below it and, on its own, for itself."""
    exact = {held.path for held in locations if held.path_type == "Exact"}
    for held in locations:
        if held.path == ROOT or held.path_type != "Prefix" or held.settings.use_regex:
            yield _route(host, held, held.path, is_regex=is_regex, is_exact=held.path_type == "Exact")
        elif _rewrites(held.settings, held.path):
            yield _route(host, held, held.path, is_regex=is_regex, is_exact=False)
        else:
            below = held.path if held.path.endswith("/") else held.path + "/"
            yield _route(host, held, below, is_regex=is_regex, is_exact=False)
            if held.path not in exact:
                yield _route(host, held, held.path, is_regex=is_regex, is_exact=True)


def _route(host: str, held: _Location, match: str, *, is_regex: bool, is_exact: bool) -> Route:
    kind: LocationKind = "regex" if is_regex else "exact" if is_exact else "prefix"
    path_type = "" if held.is_backend_only else held.path_type
    return Route(
        held.ingress, host, held.path, path_type, kind, match, held.backend, held.settings, tuple(held.canaries)
    )


def _rewrites(settings: Settings, path: str) -> bool:
    return bool(settings.rewrite_target) and settings.rewrite_target != path


def _without_rewrites(settings: Settings) -> Settings:
    """For the catch-all default backend, which upstream spares rewrites and redirects."""
    return replace(
        settings,
        rewrite_target="",
        use_regex=False,
        app_root="",
        permanent_redirect="",
        temporal_redirect="",
        from_to_www_redirect=False,
        force_ssl_redirect=False,
        ssl_redirect=False,
    )


def _served_type(path_type: str | None) -> str:
    return "Exact" if path_type == "Exact" else "Prefix"


def _paths(ingress: JsonObject) -> Iterator[tuple[str, JsonObject, str]]:
    """Host, entry and field path of each path."""
    for number, rule in enumerate(ingress["spec"].get("rules") or ()):
        host = rule.get("host") or DEFAULT_SERVER
        for index, entry in enumerate((rule.get("http") or {}).get("paths") or ()):
            yield host, entry, f"spec.rules[{number}].http.paths[{index}]"


def _secret_name(ingress: JsonObject, host: str, secret: Lookup) -> str:
    """The secret of the entry that lists the host; if none does, the first whose certificate is for it."""
    entries = ingress["spec"].get("tls") or ()
    for entry in entries:
        if host.lower() in (listed.lower() for listed in entry.get("hosts") or ()):
            return str(entry.get("secretName") or "")
    for entry in entries:
        key = ObjectKey(ingress["metadata"].get("namespace") or "default", entry.get("secretName") or "")
        pem = _pem(secret(key), "tls.crt") if key.name else b""
        if pem and not _mismatch(pem, host, key):
            return key.name
    return ""


def _pem(secret: JsonObject | None, name: str) -> bytes:
    try:
        return base64.b64decode(((secret or {}).get("data") or {}).get(name) or "")
    except (binascii.Error, ValueError):
        return b""


def _mismatch(certificate: bytes, host: str, secret: ObjectKey) -> str:
    """Why the certificate is not for this host; "" if it is."""
    from emulator.ingress.certificates import is_for, names_of

    names = names_of(certificate)
    if names is None:
        return f"secret {secret} does not contain a valid certificate"
    return "" if is_for(names, host) else f"the certificate of secret {secret} is not for {host}"
