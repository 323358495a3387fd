"""ServiceCIDR and IPAddress: the ranges of Services and the addresses taken from them, as objects.

Source: pkg/apis/networking/validation/validation.go, pkg/registry/networking/{servicecidr,ipaddress}/strategy.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.api.errors import FieldError, invalid, required
from emulator.api.kinds import IP_ADDRESS, SERVICE_CIDR
from emulator.api.meta import JsonObject, format_time
from emulator.registry.kinds import fields
from emulator.registry.kinds.ingress_validation import path_segment_texts, segment_errors
from emulator.registry.kinds.shaping import drop_empty, part
from emulator.registry.strategy import Context, Strategy

MAX_RANGES = 2  # one of each family
FAMILIES_TEXT = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"


def default_service_cidr(service_cidr: JsonObject, context: Context) -> None:
    drop_empty(part(service_cidr, "spec"), "cidrs")
    part(service_cidr, "status")


def prepare_service_cidr(service_cidr: JsonObject, context: Context) -> None:
    """The range the cluster began with is in use; no addresses are taken from any other."""
    service_cidr["status"] = {}
    if service_cidr["metadata"].get("name") == "kubernetes":
        condition = {"type": "Ready", "status": "True", "reason": "", "message": "Kubernetes Service CIDR is ready"}
        service_cidr["status"]["conditions"] = [{**condition, "lastTransitionTime": format_time(context.at)}]


def validate_service_cidr(service_cidr: JsonObject, context: Context) -> list[FieldError]:
    return [] if context.is_update else _range_errors(service_cidr["spec"])


def _range_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    path, ranges = "spec.cidrs", spec.get("cidrs") or []
    if not ranges:
        return [required(path, "at least one CIDR required")]
    if len(ranges) > MAX_RANGES:
        return [invalid(path, {"cidrs": ranges}, "may only hold up to 2 values")]
    errors: list[FieldError] = []
    for index, cidr in enumerate(ranges):
        errors += fields.canonical_cidr(f"{path}[{index}]", cidr)
    families = [network.version if network else 0 for network in map(fields.parse_cidr, ranges)]
    if len(ranges) == MAX_RANGES and families[0] == families[1] != 0:
        errors.append(invalid(path, ranges, FAMILIES_TEXT))
    return errors


def validate_service_cidr_update(service_cidr: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    """A second range, of the other family, may be added; nothing else changes."""
    ranges, before = service_cidr["spec"].get("cidrs") or [], old["spec"].get("cidrs") or []
    if context.subresource:
        return []
    changed = [
        invalid(f"spec.cidrs[{index}]", new, fields.IMMUTABLE)
        for index, (new, held) in enumerate(zip(ranges, before, strict=False))
        if new != held
    ]
    if len(ranges) == len(before):
        return changed
    if len(before) == 1 and len(ranges) == MAX_RANGES:
        return changed + _range_errors(service_cidr["spec"])
    return [invalid("spec.cidrs", ranges, fields.IMMUTABLE)]


def default_ip_address(address: JsonObject, context: Context) -> None:
    parent = part(address, "spec").get("parentRef")
    if parent is not None:
        drop_empty(parent, "group", "resource", "namespace", "name")


def address_name_texts(name: str) -> list[str]:
    """An IPAddress is named by its address, in the one canonical spelling."""
    errors = fields.canonical_ip("name", name)
    return [error.message.split(": ", 2)[2] for error in errors]


def validate_ip_address(address: JsonObject, context: Context) -> list[FieldError]:
    parent = address["spec"].get("parentRef")
    if context.is_update:
        return []
    if parent is None:
        return [required("spec.parentRef")]
    path, group = "spec.parentRef", parent.get("group") or ""
    errors = fields.subdomain(f"{path}.group", group) if group else []
    errors += segment_errors(f"{path}.resource", parent.get("resource") or "")
    errors += segment_errors(f"{path}.name", parent.get("name") or "")
    namespace = parent.get("namespace") or ""
    return errors + [invalid(f"{path}.namespace", namespace, text) for text in path_segment_texts(namespace)]


def validate_ip_address_update(address: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    return fields.immutable("spec.parentRef", address["spec"].get("parentRef"), old["spec"].get("parentRef"))


def ip_address_labels(address: JsonObject) -> Mapping[str, str]:
    parent = (address.get("spec") or {}).get("parentRef") or {}
    return {f"spec.parentRef.{name}": parent.get(name) or "" for name in ("group", "resource", "namespace", "name")}


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        SERVICE_CIDR,
        default=default_service_cidr,
        prepare_create=prepare_service_cidr,
        validate=validate_service_cidr,
        validate_update=validate_service_cidr_update,
    ),
    Strategy(
        IP_ADDRESS,
        default=default_ip_address,
        validate=validate_ip_address,
        validate_update=validate_ip_address_update,
        validate_name=address_name_texts,
    ),
)
