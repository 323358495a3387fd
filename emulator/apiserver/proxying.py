"""Proxying a request to a pod, a service's endpoint or a node: where to, and with which headers and links. No I/O.

Source: pkg/registry/core/{pod,service,node}/.../ResourceLocation, k8s.io/apimachinery pkg/util/proxy/{transport,upgradeaware}.go,
net/http/httputil ReverseProxy.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit

from emulator.api.errors import BadRequest, ServiceUnavailable
from emulator.api.meta import JsonObject
from emulator.apiserver.goerrors import host_port
from emulator.apiserver.podtargets import node_address

SCHEMES = ("", "http", "https")
HOP_BY_HOP = frozenset(
    (
        *("connection", "proxy-connection", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    )
)
CREDENTIALS = frozenset(("authorization",))  # of the API, not of what stands behind it
CORS = frozenset(
    f"access-control-allow-{name}" for name in ("credentials", "headers", "methods", "origin")
)  # as corsRemovingTransport
Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """`[scheme:]NAME[:port]`."""

    scheme: str
    name: str
    port: str


@dataclass(frozen=True, slots=True)
class Location:
    """Where to connect."""

    scheme: str
    host: str
    port: str

    @property
    def address(self) -> str:
        return host_port(self.host, self.port) if self.port else self.host


def parse_name(text: str, noun: str) -> Wanted:
    """noun: `service`, `pod` or `node`, for the error. Raises BadRequest."""
    parts = text.split(":")
    if len(parts) <= 3:
        scheme = parts[0] if len(parts) == 3 else ""
        name = parts[1] if len(parts) == 3 else parts[0]
        port = parts[-1] if len(parts) > 1 else ""
        if name and scheme in SCHEMES:
            return Wanted(scheme, name, port)
    raise BadRequest(f'invalid {noun} request "{text}"')


def pod_location(wanted: Wanted, pod: JsonObject) -> Location:
    """Raises BadRequest for a pod without an address."""
    port = wanted.port
    for container in (pod.get("spec") or {}).get("containers") or () if not port else ():
        if container.get("ports"):
            port = str(container["ports"][0]["containerPort"])
            break
    status = pod.get("status") or {}
    address = next((each["ip"] for each in status.get("podIPs") or ()), None) or status.get("podIP") or ""
    try:
        ip_address(address)
    except ValueError:
        raise BadRequest("address not allowed") from None
    return Location(wanted.scheme or "http", address, port)


def service_port(wanted: Wanted, service: JsonObject) -> str:
    """The name of the port meant, which is how endpoints call it. Raises ServiceUnavailable."""
    if not re.fullmatch(r"[+-]?[0-9]+", wanted.port):
        return wanted.port
    for port in (service.get("spec") or {}).get("ports") or ():
        if port.get("port") == int(wanted.port):
            return port.get("name") or ""
    raise ServiceUnavailable(f'no service port {int(wanted.port)} found for service "{wanted.name}"')


def service_candidates(
    wanted: Wanted, port: str, endpoints: JsonObject, rng: Callable[[int], int]
) -> Iterator[tuple[JsonObject, Location]]:
    """Ready addresses in the order to try them, from a random subset and address on; the caller takes the first that
    is a pod's."""
    for subset in _rotated(endpoints.get("subsets") or (), rng):
        for each in subset.get("ports") or ():
            if (each.get("name") or "") != port:
                continue
            for address in _rotated(subset.get("addresses") or (), rng):
                yield address, Location(wanted.scheme or "http", address["ip"], str(each["port"]))


def no_endpoints(service: str) -> ServiceUnavailable:
    return ServiceUnavailable(f'no endpoints available for service "{service}"')


def _rotated(items: Sequence[JsonObject], rng: Callable[[int], int]) -> Sequence[JsonObject]:
    start = rng(len(items)) if items else 0
    return [*items[start:], *items[:start]]


def is_pods_address(address: JsonObject, pod: JsonObject | None, namespace: str) -> bool:
    """Only addresses of pods of the Service's namespace are proxied to."""
    reference = address.get("targetRef") or {}
    if pod is None or reference.get("namespace") != namespace:
        return False
    status = pod.get("status") or {}
    return address.get("ip") in [status.get("podIP"), *(each.get("ip") for each in status.get("podIPs") or ())]


def node_location(wanted: Wanted, node: JsonObject) -> Location:
    """The kubelet's port, or the one named. Raises ApiError."""
    address, kubelet_port = node_address(node)
    own = wanted.port in ("", str(kubelet_port))
    return Location(wanted.scheme or ("https" if own else "http"), address, wanted.port or str(kubelet_port))


# -- headers -----------------------------------------------------------------------------------------------------


def _connection_names(headers: Iterable[Header]) -> frozenset[str]:
    """What `Connection` names besides is hop-by-hop too."""
    values = [value for name, value in headers if name.lower() == "connection"]
    return frozenset(part.strip().lower() for value in values for part in value.split(","))


def request_headers(headers: Sequence[Header], *, forwarded_uri: str, peer: str, upgrade: bool = False) -> list[Header]:
    """What the backend gets. upgrade: the request goes on as it came, for a change of protocol."""
    dropped = CREDENTIALS | {"x-forwarded-uri", "expect"}
    if not upgrade:
        dropped |= HOP_BY_HOP | _connection_names(headers) | {"x-forwarded-for"}
    kept = [(name, value) for name, value in headers if name.lower() not in dropped]
    if upgrade:
        return kept
    seen = [value for name, value in headers if name.lower() == "x-forwarded-for"]
    if any(name.lower() == "te" and "trailers" in value.lower() for name, value in headers):
        kept.append(("Te", "trailers"))
    return [*kept, ("X-Forwarded-For", ", ".join([*seen, peer])), ("X-Forwarded-Uri", forwarded_uri)]


def response_headers(headers: Sequence[Header]) -> list[Header]:
    """What the client gets, links not yet rewritten."""
    dropped = HOP_BY_HOP | _connection_names(headers) | CORS
    return [(name, value) for name, value in headers if name.lower() not in dropped]


def sniffed_type(begin: bytes) -> str:
    """The Content-Type of a body that came without one, as far as Go's server tells text from other bytes."""
    text = begin[:512].lstrip(b"\t\n\x0c\r ").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<!--")):
        return "text/html; charset=utf-8"
    is_binary = any(byte <= 8 or byte == 0x0B or 0x0E <= byte <= 0x1A or 0x1C <= byte <= 0x1F for byte in begin[:512])
    return "application/octet-stream" if is_binary else "text/plain; charset=utf-8"


# -- links -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Links:
    """How links of the backend become links that lead through the proxy.

    prepend: `/api/v1/namespaces/N/services/NAME/proxy`; host: what the client called the API server.
    """

    prepend: str
    source_host: str
    source_path: str

    def forwarded_uri(self) -> str:
        joined = posixpath.normpath(f"{self.prepend}/{self.source_path.lstrip('/')}")
        return f"{joined}/" if self.source_path.endswith("/") and not joined.endswith("/") else joined

    def rewritten(self, link: str, backend: str) -> str:
        """backend: host and port the request went to. Links elsewhere, and relative ones, stay as they are."""
        try:
            parts = urlsplit(link)
        except ValueError:
            return link
        if (parts.netloc and parts.netloc not in (backend, self.source_host)) or not parts.path.startswith("/"):
            return link
        if parts.scheme not in ("", "http", "https"):
            return link
        if parts.netloc != self.source_host or not parts.netloc:
            parts = parts._replace(scheme="", netloc="")
        if parts.path.startswith(self.prepend):
            return urlunsplit(parts)
        path = posixpath.normpath(f"{self.prepend}/{parts.path.lstrip('/')}")
        if parts.path.endswith("/"):
            path += "/"
        return urlunsplit(parts._replace(path=path))


_LINKS = {
    "a": "href", "applet": "codebase", "area": "href", "audio": "src", "base": "href", "blockquote": "cite",
    "body": "background", "button": "formaction", "command": "icon", "del": "cite", "embed": "src",
    "form": "action", "frame": "longdesc src", "head": "profile", "html": "manifest", "iframe": "longdesc src",
    "img": "longdesc src usemap", "input": "src usemap formaction", "ins": "cite", "link": "href",
    "object": "classid codebase data usemap", "q": "cite", "script": "src", "source": "src", "video": "poster src",
}  # fmt: skip
# Whatever the page, each byte is looked at a bounded number of times: a tag ends before the next `<`, a comment with the page.
_TAG = re.compile(rb"<!--.*?(?:-->|\Z)|<([a-zA-Z][a-zA-Z0-9]*)((?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*)>", re.DOTALL)
_ATTRIBUTE = re.compile(rb"""([^\s"'<>/=]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'<>]+)""")


def rewritten_html(page: bytes, links: Links, backend: str) -> bytes:
    """The page with the links of its tags rewritten."""

    def tag(found: re.Match[bytes]) -> bytes:
        names = _LINKS.get((found[1] or b"").decode().lower(), "").split()
        if not names:
            return found[0]

        def attribute(part: re.Match[bytes]) -> bytes:
            if part[1].decode("latin-1").lower() not in names:
                return part[0]
            quote = part[3][:1] if part[3][:1] in (b'"', b"'") else b""
            value = part[3][1:-1] if quote else part[3]
            text = value.decode("utf-8", "surrogateescape").replace("&amp;", "&")
            changed = links.rewritten(text, backend)
            if changed == text:
                return part[0]
            new = changed.replace("&", "&amp;").encode("utf-8", "surrogateescape")
            return part[1] + part[2] + (quote or b'"') + new + (quote or b'"')

        return b"<" + found[1] + _ATTRIBUTE.sub(attribute, found[2]) + b">"

    return _TAG.sub(tag, page)
