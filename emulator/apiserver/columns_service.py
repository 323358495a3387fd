"""Tables of Service, Endpoints and EndpointSlice.

Source: pkg/printers/internalversion/printers.go (printService, printEndpoints, printEndpointSlice).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from emulator.api.meta import JsonObject
from emulator.apiserver.cells import AGE, NAME, NONE, UNKNOWN, UNSET, Column, age, cut_short, name_of, selector_text

SERVICE = (
    NAME,
    Column("Type", "How the Service is exposed."),
    Column("Cluster-IP", "The virtual address, or None for a headless Service."),
    Column("External-IP", "Where it is reached from outside the cluster."),
    Column("Port(s)", "The ports, with their node ports and protocols."),
    AGE,
    Column("Selector", "The labels of the Pods behind it.", wide=True),
)
ENDPOINTS = (NAME, Column("Endpoints", "The ready addresses and their ports."), AGE)
ENDPOINT_SLICE = (
    NAME,
    Column("AddressType", "The family of all addresses in the slice."),
    Column("Ports", "The ports of every endpoint in the slice."),
    Column("Endpoints", "The addresses, ready or not."),
    AGE,
)


def service_cells(service: JsonObject, at: datetime) -> list[Any]:
    spec = service.get("spec") or {}
    addresses = spec.get("clusterIPs") or ()
    return [
        name_of(service),
        spec.get("type", ""),
        addresses[0] if addresses else NONE,
        _external_ip(service),
        ",".join(map(_port_text, spec.get("ports") or ())) or NONE,
        age(service, at),
        selector_text(spec.get("selector")),
    ]


def _port_text(port: Mapping[str, Any]) -> str:
    number = f"{port.get('port', 0)}:{port['nodePort']}" if port.get("nodePort") else f"{port.get('port', 0)}"
    return f"{number}/{port.get('protocol', '')}"


def _external_ip(service: JsonObject) -> str:
    spec = service.get("spec") or {}
    external: list[str] = list(spec.get("externalIPs") or ())
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(external) or NONE
        case "LoadBalancer":
            ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
            given = {entry.get("ip") or entry.get("hostname") or "" for entry in ingress} - {""}
            return ",".join([*sorted(given), *external]) or "<pending>"
        case "ExternalName":
            return str(spec.get("externalName", ""))
    return UNKNOWN


def endpoints_cells(endpoints: JsonObject, at: datetime) -> list[Any]:
    subsets = endpoints.get("subsets") or ()
    shown = cut_short(text for subset in subsets for text in _subset_texts(subset)) if subsets else NONE
    return [name_of(endpoints), shown, age(endpoints, at)]


def _subset_texts(subset: Mapping[str, Any]) -> Iterator[str]:
    addresses = [address.get("ip", "") for address in subset.get("addresses") or ()]
    ports = subset.get("ports") or ()
    if not ports:  # a headless Service may have none
        yield from addresses
    for port in ports:
        for address in addresses:
            yield f"[{address}]:{port.get('port', 0)}" if ":" in address else f"{address}:{port.get('port', 0)}"


def slice_cells(slice: JsonObject, at: datetime) -> list[Any]:
    addresses = (address for endpoint in slice.get("endpoints") or () for address in endpoint.get("addresses") or ())
    return [
        name_of(slice),
        slice.get("addressType", ""),
        cut_short(map(_slice_port_text, slice.get("ports") or ())) or UNSET,
        cut_short(addresses) or UNSET,
        age(slice, at),
    ]


def _slice_port_text(port: Mapping[str, Any]) -> str:
    if port.get("port") is not None:
        return str(port["port"])
    return "*" if port.get("name") is None else str(port["name"])
