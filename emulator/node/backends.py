"""Which ports a container serves and what stands behind them, read from its manifest. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emulator.api.errors import EmulatorError
from emulator.api.meta import JsonObject, annotations_of
from emulator.node.probes import ProbeSpec

ANY_ADDRESS = "0.0.0.0"
BACKEND_ANNOTATION = "kubemu.dev/backend"


class BadBackend(EmulatorError):
    """A kubemu.dev/backend annotation is no HOST:PORT."""


@dataclass(frozen=True, slots=True)
class Target:
    """A process of the host; port 0 means the number of the containerPort."""

    host: str
    port: int

    def for_port(self, container_port: int) -> tuple[str, int]:
        return self.host, self.port or container_port

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host


def target_of(pod: JsonObject, container_name: str) -> Target | None:
    """The process of the host that the annotations name for a container. Raises BadBackend."""
    annotations = annotations_of(pod)
    name = f"{BACKEND_ANNOTATION}.{container_name}"
    if name not in annotations:
        name = BACKEND_ANNOTATION
    text = annotations.get(name, "").strip()
    return parse_target(name, text) if text else None


def target_of_or_none(pod: JsonObject, container_name: str) -> Target | None:
    """As `target_of`; an annotation that cannot be read names nothing."""
    try:
        return target_of(pod, container_name)
    except BadBackend:
        return None


def parse_target(annotation: str, text: str) -> Target:
    """`HOST:PORT`, `[V6]:PORT`, or `HOST` alone. Raises BadBackend."""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
        well_formed = bool(closed) and (not rest or rest.startswith(":"))
    else:
        host, colon, port = text.rpartition(":")
        if not colon:
            host, port = text, ""
        well_formed = ":" not in host and (not colon or bool(port))
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
    if not host or not well_formed or (port and not 0 < number < 65536) or any(c.isspace() for c in host):
        raise BadBackend(f"annotation {annotation}: {text!r} is not HOST:PORT, such as localhost:3000")
    return Target(host, number)


@dataclass(frozen=True, slots=True)
class DeclaredPort:
    protocol: str
    port: int
    host_port: int = 0
    host_ip: str = ""
    """Where the host port is served; "" for the node's own address."""


def declared_ports(container: Mapping[str, Any]) -> tuple[DeclaredPort, ...]:
    """The TCP and UDP ports of a container, each once; SCTP is not served."""
    ports: dict[tuple[str, int], DeclaredPort] = {}
    for entry in container.get("ports") or ():
        protocol = entry.get("protocol") or "TCP"
        if protocol in ("TCP", "UDP"):
            host_ip = entry.get("hostIP") or ""
            port = DeclaredPort(
                protocol,
                int(entry["containerPort"]),
                int(entry.get("hostPort") or 0),
                "" if host_ip == ANY_ADDRESS else host_ip,
            )
            ports.setdefault((protocol, port.port), port)
    return tuple(ports.values())


def default_probe(container: Mapping[str, Any]) -> ProbeSpec | None:
    """The readiness probe of an external backend that declares none: its first TCP port accepts connections."""
    port = next((port.port for port in declared_ports(container) if port.protocol == "TCP"), None)
    if port is None or container.get("readinessProbe"):
        return None
    return ProbeSpec("readiness", {"tcpSocket": {"port": port}}, period_seconds=1.0, failure_threshold=1)
