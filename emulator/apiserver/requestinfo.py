"""A method and a path -> what is asked for: a verb on a resource, a discovery document, or something else.

Knows the table of kinds and nothing of HTTP bodies; it never looks an object up.
Source: k8s.io/apiserver pkg/endpoints/request/requestinfo.go, and which routes installer.go registers.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from emulator.api.errors import MethodNotAllowed, NotFound
from emulator.api.kinds import NAMESPACE, SERVED, Kind, kind_by_plural

COLLECTION_VERBS = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
OBJECT_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
SUBRESOURCE_VERBS = {**OBJECT_VERBS, "POST": "create"}
CONNECT_METHODS = {"exec": ("GET", "POST"), "attach": ("GET", "POST"), "portforward": ("GET", "POST")}
PROXY = "proxy"
PROXY_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
CONNECT = "connect"
"""The verb of what takes the connection over, whatever the method."""


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """A verb on objects of one kind. `name` is "" for collections, `namespace` "" for cluster-wide ones.

    path: of a proxied request, what follows `/proxy`, quoted as it came; "" without even a slash.
    """

    verb: str
    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class DiscoveryRequest:
    """What is served: `/api`, `/apis` (group None), `/apis/G` (version None), `/api/V`, `/apis/G/V`."""

    legacy: bool
    group: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class OtherRequest:
    """Anything else: `/version`, `/healthz`, `/openapi/v3`, or a path nobody serves."""

    segments: tuple[str, ...]

    @property
    def path(self) -> str:
        return "/" + "/".join(self.segments)


Target = ResourceRequest | DiscoveryRequest | OtherRequest


def target_of(method: str, raw_path: str, *, watch: bool = False) -> Target:
    """What `method raw_path` asks for; `watch` is the query parameter of that name.

    Raises NotFound for a path below a served group and version that names nothing, and MethodNotAllowed.
    A trailing slash changes nothing: Python clients send `/version/` and `/apis/`.
    """
    if (proxied := _proxied(method, raw_path)) is not None:
        return proxied
    segments = tuple(unquote(segment) for segment in raw_path.strip("/").split("/"))
    if segments[0] == "api":
        legacy, group, rest = True, "", segments[1:]
    elif segments[0] == "apis":
        legacy, group, rest = False, segments[1] if len(segments) > 1 else "", segments[2:]
    else:
        return OtherRequest(segments)
    if not rest or len(rest) == 1:
        return _discovery(segments, legacy, group, rest)
    version, rest = rest[0], rest[1:]
    if not any(kind.group == group and kind.version == version for kind in SERVED):
        return OtherRequest(segments)
    return _resource(method, group, version, rest, watch)


def _proxied(method: str, raw_path: str) -> ResourceRequest | None:
    """A request for `pods/NAME/proxy/PATH` and the like; None for anything else. Raises MethodNotAllowed."""
    parts = raw_path.lstrip("/").split("/")
    head = [unquote(part) for part in parts[:7]]
    namespace, at = "", 2
    if head[2:3] == ["namespaces"]:
        namespace, at = head[3] if len(head) > 3 else "", 4
    if head[:2] != ["api", "v1"] or head[at + 2 : at + 3] != [PROXY] or not head[at + 1]:
        return None
    kind = kind_by_plural("", "v1", head[at])
    if kind is None or kind.subresource(PROXY) is None or kind.namespaced != bool(namespace):
        return None
    if method not in PROXY_METHODS:
        raise MethodNotAllowed
    rest = parts[at + 3 :]
    return ResourceRequest(CONNECT, kind, namespace, head[at + 1], PROXY, "/" + "/".join(rest) if rest else "")


def _discovery(segments: tuple[str, ...], legacy: bool, group: str, rest: tuple[str, ...]) -> Target:
    if legacy:
        if not rest:
            return DiscoveryRequest(True)
        known = any(kind.group == "" and kind.version == rest[0] for kind in SERVED)
        return DiscoveryRequest(True, "", rest[0]) if known else OtherRequest(segments)
    if not group:
        return DiscoveryRequest(False) if len(segments) == 1 else OtherRequest(segments)
    versions = {kind.version for kind in SERVED if kind.group == group}
    if not versions or (rest and rest[0] not in versions):
        return OtherRequest(segments)
    return DiscoveryRequest(False, group, rest[0] if rest else None)


def _resource(method: str, group: str, version: str, rest: tuple[str, ...], watch: bool) -> ResourceRequest:
    watch_prefix = rest[0] == "watch" and len(rest) > 1  # /api/v1/watch/...: deprecated, still served upstream
    if watch_prefix:
        rest = rest[1:]
    namespace, inside = "", False
    is_namespace_itself = group == "" and (len(rest) == 2 or (len(rest) == 3 and NAMESPACE.subresource(rest[2])))
    if rest[0] == "namespaces" and len(rest) > 1 and not is_namespace_itself:
        namespace, rest, inside = rest[1], rest[2:], True
    if not rest or "" in rest or (inside and not namespace) or len(rest) > 3:
        raise unknown_resource()
    kind = kind_by_plural(group, version, rest[0])
    if kind is None or (inside and not kind.namespaced):
        raise unknown_resource()
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if name and kind.namespaced and not inside:
        raise unknown_resource()
    verb = _verb(method, kind, name, subresource, everywhere=kind.namespaced and not inside)
    if watch_prefix or (watch and not subresource):
        if verb not in ("get", "list") or "watch" not in kind.verbs:
            if watch_prefix:
                raise MethodNotAllowed
        else:
            verb = "watch"
    return ResourceRequest(verb, kind, namespace, name, subresource)


def _verb(method: str, kind: Kind, name: str, subresource: str, *, everywhere: bool) -> str:
    """everywhere: a namespaced kind without a namespace, which can only be listed."""
    if subresource:
        sub = kind.subresource(subresource)
        if sub is None:
            raise unknown_resource()
        if method in CONNECT_METHODS.get(subresource, ()):
            return CONNECT
        verb = SUBRESOURCE_VERBS.get(method, "")
        allowed = sub.verbs if subresource not in CONNECT_METHODS else ()
    else:
        verb = (OBJECT_VERBS if name else COLLECTION_VERBS).get(method, "")
        allowed = ("list",) if everywhere else kind.verbs
    if verb not in allowed:
        raise MethodNotAllowed
    return verb


def unknown_resource() -> NotFound:
    """The 404 for a path below a known group and version."""
    return NotFound("the server could not find the requested resource", details={})
