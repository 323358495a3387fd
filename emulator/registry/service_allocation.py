"""Which addresses and node ports a Service takes and gives back: on create, on every change of type, on delete.

Fills the private copy of the new Service; what is given back is given back only when the write is stored. No I/O.
Source: pkg/registry/core/service/storage/alloc.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.api.errors import ApiError, FieldError, InternalError, Invalid, invalid
from emulator.api.meta import JsonObject
from emulator.registry.allocation import AllocationError, Allocators, Operation

Spec = Mapping[str, Any]

HEADLESS = "None"


def _has_address(spec: Spec) -> bool:
    """A ClusterIP of its own is wanted or held: neither ExternalName nor headless."""
    return spec.get("type") != "ExternalName" and spec.get("clusterIP") != HEADLESS


def _has_node_ports(spec: Spec) -> bool:
    return spec.get("type") in ("NodePort", "LoadBalancer")


def _allocates_node_ports(spec: Spec) -> bool:
    if spec.get("type") == "NodePort":
        return True
    return spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False


def _has_health_port(spec: Spec) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def allocate_create(allocators: Allocators, operation: Operation, service: JsonObject) -> None:
    """Raises Invalid, InternalError; the caller reverts the operation."""
    spec = service["spec"]
    if _has_address(spec):
        _allocate_addresses(allocators, operation, service)
    if _has_node_ports(spec):
        _first_node_ports(allocators, operation, service)
    if _has_health_port(spec):
        _health_port(allocators, operation, spec)


def allocate_update(allocators: Allocators, operation: Operation, service: JsonObject, old: JsonObject) -> None:
    """Raises Invalid, InternalError; the caller reverts the operation."""
    spec, before = service["spec"], old["spec"]
    if _has_address(spec) and not (_has_address(before) and before.get("clusterIP")):
        _allocate_addresses(allocators, operation, service)
    elif _has_address(before) and not _has_address(spec):
        _give_back_addresses(allocators, operation, before)
    if _has_node_ports(spec):
        _next_node_ports(allocators, operation, service, before)
    elif _has_node_ports(before):
        for port in sorted(_node_ports(before)):
            allocators.give_back_port(operation, port)
    if _has_health_port(spec) and not _has_health_port(before):
        _health_port(allocators, operation, spec)
    elif _has_health_port(before) and not _has_health_port(spec) and before.get("healthCheckNodePort"):
        allocators.give_back_port(operation, before["healthCheckNodePort"])


def release(allocators: Allocators, operation: Operation, service: Mapping[str, Any]) -> None:
    """Everything a deleted Service held."""
    addresses, ports = held(service)
    for address in addresses:
        allocators.give_back_address(operation, address)
    for port in ports:
        allocators.give_back_port(operation, port)


def held(service: Mapping[str, Any]) -> tuple[list[str], list[int]]:
    """The addresses and ports a stored Service holds."""
    spec = service.get("spec") or {}
    addresses: list[str] = []
    if _has_address(spec):
        addresses = list(spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else []))
    ports = _node_ports(spec) if _has_node_ports(spec) else set()
    if _has_health_port(spec) and spec.get("healthCheckNodePort"):
        ports.add(spec["healthCheckNodePort"])
    return addresses, sorted(ports)


def _node_ports(spec: Spec) -> set[int]:
    return {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}


def _allocate_addresses(allocators: Allocators, operation: Operation, service: JsonObject) -> None:
    spec = service["spec"]
    wanted = [address for address in spec.get("clusterIPs") or [spec.get("clusterIP")] if address]
    for address in wanted:
        try:
            allocators.take_address(operation, address)
        except AllocationError as error:
            text = f"failed to allocate IP {address}: {error}"
            raise _invalid(service, invalid("spec.clusterIPs", wanted, text)) from None
    if not wanted:
        try:
            wanted = [allocators.take_any_address(operation)]
        except AllocationError as error:
            name = service["metadata"].get("name", "")
            raise InternalError.of(f'failed to allocate a serviceIP for Service "{name}": {error}') from None
    spec["clusterIP"], spec["clusterIPs"] = wanted[0], wanted


def _give_back_addresses(allocators: Allocators, operation: Operation, spec: Spec) -> None:
    for address in spec.get("clusterIPs") or ():
        allocators.give_back_address(operation, address)


def _first_node_ports(allocators: Allocators, operation: Operation, service: JsonObject) -> None:
    """Ports of one number (TCP and UDP) get one node port, asked for or found."""
    spec = service["spec"]
    ports = spec.get("ports") or []
    found: dict[int, int] = {}
    for index, port in enumerate(ports):
        if not port.get("nodePort") and not _allocates_node_ports(spec):
            continue
        number = port["port"]
        if number not in found:
            asked = next((p["nodePort"] for p in ports if p["port"] == number and p.get("nodePort")), 0)
            if asked:
                _take_port(allocators, operation, service, index, asked)
            else:
                asked = _any_port(allocators, operation)
            port["nodePort"] = found[number] = asked
        elif not port.get("nodePort"):
            port["nodePort"] = found[number]
        elif port["nodePort"] != found[number]:
            _take_port(allocators, operation, service, index, port["nodePort"])


def _next_node_ports(allocators: Allocators, operation: Operation, service: JsonObject, before: Spec) -> None:
    """Keeps what the Service had, takes what is new, gives back what it has no more."""
    spec = service["spec"]
    had = _node_ports(before) if _has_node_ports(before) else set()
    taken: set[int] = set()
    shown: set[tuple[str, int]] = set()
    for index, port in enumerate(spec.get("ports") or ()):
        asked = port.get("nodePort")
        if not asked:
            if _allocates_node_ports(spec):
                port["nodePort"] = _any_port(allocators, operation)
        elif asked not in had and asked not in taken:
            _take_port(allocators, operation, service, index, asked)
            taken.add(asked)
        if number := port.get("nodePort"):
            protocol = port.get("protocol", "TCP")
            if (protocol, number) in shown:
                raise ApiError(f"duplicate nodePort: {{{protocol} {number}}}", code=500, reason="")
            shown.add((protocol, number))
    for gone in sorted(had - _node_ports(spec)):
        allocators.give_back_port(operation, gone)


def _take_port(allocators: Allocators, operation: Operation, service: JsonObject, index: int, port: int) -> None:
    try:
        allocators.take_port(operation, port)
    except AllocationError as error:
        raise _invalid(service, invalid(f"spec.ports[{index}].nodePort", port, str(error))) from None


def _any_port(allocators: Allocators, operation: Operation) -> int:
    try:
        return allocators.take_any_port(operation)
    except AllocationError as error:
        raise InternalError.of(f"failed to allocate a nodePort: {error}") from None


def _health_port(allocators: Allocators, operation: Operation, spec: JsonObject) -> None:
    asked = spec.get("healthCheckNodePort") or 0
    try:
        if asked:
            allocators.take_port(operation, asked)
        else:
            spec["healthCheckNodePort"] = allocators.take_any_port(operation)
    except AllocationError as error:
        what = f"requested HealthCheck NodePort {asked}" if asked else "a HealthCheck NodePort 0"
        raise InternalError.of(f"failed to allocate {what}: {error}") from None


def _invalid(service: JsonObject, error: FieldError) -> Invalid:
    return Invalid.of("Service", "", service["metadata"].get("name", ""), [error])
