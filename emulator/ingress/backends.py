"""What a backend's name and port come to: the port of a Service, its cluster address, or an external name.

Endpoints are asked for by the PortId in emulator.routing; readiness is decided there.
Source: ingress-nginx internal/ingress/controller (serviceEndpoints, getServiceClusterEndpoint).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from emulator.api.meta import JsonObject, key_of
from emulator.ingress.model import BackendRef
from emulator.routing.servicemap import PortId


class Place(NamedTuple):
    """A host or address and a port that stand for the whole Service."""

    host: str
    port: int


def service_port(service: Mapping[str, Any], port: int | str) -> JsonObject | None:
    """The entry of spec.ports that a backend's port means: by number, by target port, or by name."""
    wanted = str(port)
    for entry in service["spec"].get("ports") or ():
        if wanted in (str(entry["port"]), str(entry.get("targetPort") or entry["port"]), entry.get("name")):
            found: JsonObject = entry
            return found
    return None


def port_id(service: Mapping[str, Any], backend: BackendRef) -> PortId | None:
    """Under which key the endpoints of a backend are found; None when the Service has no such TCP port."""
    entry = service_port(service, backend.port)
    if entry is None or (entry.get("protocol") or "TCP") != "TCP":
        return None
    return PortId(key_of(service), entry.get("name") or "", "TCP")


def single_place(service: Mapping[str, Any], backend: BackendRef, *, service_upstream: bool) -> Place | None:
    """For an ExternalName its name, with service-upstream the ClusterIP; None when endpoints are asked one by one."""
    spec = service["spec"]
    entry = service_port(service, backend.port)
    if spec.get("type") == "ExternalName":
        number = entry["port"] if entry is not None else backend.port
        return Place(spec["externalName"].rstrip("."), number) if isinstance(number, int) and number else None
    address = spec.get("clusterIP") or "None"
    if service_upstream and address != "None" and entry is not None:
        return Place(address, entry["port"])
    return None


def default_port(service: Mapping[str, Any]) -> BackendRef | None:
    """The first port of a Service that the default-backend annotation names."""
    key, ports = key_of(service), service["spec"].get("ports") or ()
    return BackendRef(key.namespace, key.name, ports[0]["port"]) if ports else None
