"""Address families of a Service: defaults of ipFamilyPolicy and ipFamilies, and what contradicts them.

The cluster has one family, that of its service range. The checks come before all other validation, as allocation
does upstream: if they fail, nothing else is reported.
Source: pkg/registry/core/service/storage/alloc.go (initIPFamilyFields), validation.go (ValidateServiceClusterIPsRelatedFields).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.api.errors import FieldError, Invalid, duplicate, invalid, required
from emulator.api.meta import JsonObject
from emulator.registry.kinds import fields
from emulator.registry.kinds.service_fields import EXTERNAL_NAME, Spec, is_headless
from emulator.registry.strategy import Context

SINGLE_STACK, PREFER_DUAL, REQUIRE_DUAL = "SingleStack", "PreferDualStack", "RequireDualStack"
POLICIES = (PREFER_DUAL, REQUIRE_DUAL, SINGLE_STACK)
FAMILIES = ("IPv4", "IPv6")


def cluster_families(context: Context) -> tuple[str, ...]:
    """The families services can have here, the default first."""
    return (f"IPv{context.config.addresses.services.version}",)


def init_families(service: JsonObject, old: Spec | None, context: Context) -> None:
    """Fills ipFamilyPolicy and ipFamilies where the rest of the spec decides them.

    old: the spec before an update. Raises Invalid with the first group of mistakes: each step takes the one before
    it for granted, so upstream stops there, and says nothing of the Service's other mistakes.
    """
    spec = service["spec"]
    if spec.get("type") == EXTERNAL_NAME or _keeps_prefer_dual(spec, old):
        return
    selectorless_headless = spec.get("clusterIP") == "None" and not spec.get("selector")
    if not spec.get("ipFamilyPolicy"):
        inherited = (old or {}).get("ipFamilyPolicy")
        spec["ipFamilyPolicy"] = inherited or (REQUIRE_DUAL if selectorless_headless else SINGLE_STACK)
    single = spec["ipFamilyPolicy"] == SINGLE_STACK
    _refuse(service, cluster_ip_errors(spec, old))
    if old is not None and single:
        _release_second(spec, old)
    _refuse(service, _policy_errors(spec, old, context))
    families: list[str] = list(spec.get("ipFamilies") or ())
    for address in (spec.get("clusterIPs") or ())[len(families) :]:
        if address == "None":
            break
        families.append(_family_of(address))
    available = cluster_families(context)
    if not selectorless_headless:
        _refuse(service, _configured_errors(spec["ipFamilyPolicy"], families, available))
    families = families or [available[0]]
    if len(families) == 1 and not single and (selectorless_headless or len(available) > 1):
        families.append("IPv6" if families[0] == "IPv4" else "IPv4")
    spec["ipFamilies"] = families


def _refuse(service: JsonObject, errors: list[FieldError]) -> None:
    if errors:
        metadata = service.get("metadata") or {}
        raise Invalid.of("Service", "", metadata.get("name", ""), errors)


def _keeps_prefer_dual(spec: Spec, old: Spec | None) -> bool:
    """PreferDualStack Services stay as they are until their policy, addresses or families are touched."""
    if old is None or spec.get("ipFamilyPolicy") != PREFER_DUAL:
        return False
    compared = ("type", "ipFamilyPolicy", "clusterIP", "clusterIPs", "ipFamilies")
    return all(spec.get(name) == old.get(name) for name in compared)


def _release_second(spec: JsonObject, old: Spec) -> None:
    for name in ("clusterIPs", "ipFamilies"):
        values = spec.get(name) or []
        if len(values) > 1 and values == old.get(name):
            spec[name] = values[:1]


def _family_of(address: str) -> str:
    parsed = fields.parse_address(address)
    return "" if parsed is None else f"IPv{parsed.version}"


def _policy_errors(spec: Spec, old: Spec | None, context: Context) -> list[FieldError]:
    path, policy = "spec.ipFamilyPolicy", spec.get("ipFamilyPolicy")
    addresses, families = spec.get("clusterIPs") or [], spec.get("ipFamilies") or []
    errors: list[FieldError] = []
    if old is not None and policy != SINGLE_STACK:
        if len(addresses) == 1 and len(old.get("clusterIPs") or ()) == 2 and addresses[0] == old["clusterIPs"][0]:
            errors.append(invalid(path, policy, "must be 'SingleStack' to release the secondary cluster IP"))
        if len(families) == 1 and len(old.get("ipFamilies") or ()) == 2 and families[0] == old["ipFamilies"][0]:
            errors.append(invalid(path, policy, "must be 'SingleStack' to release the secondary IP family"))
    if policy == SINGLE_STACK:
        choice = "must be 'RequireDualStack' or 'PreferDualStack' when multiple"
        if len(addresses) == 2:
            errors.append(invalid(path, policy, f"{choice} cluster IPs are specified"))
        if len(families) == 2:
            errors.append(invalid(path, policy, f"{choice} IP families are specified"))
    for index, address in enumerate(addresses):
        family = _family_of(address)
        if address != "None" and index >= len(families) and family not in cluster_families(context):
            text = f"{family} is not configured on this cluster"
            errors.append(invalid(f"spec.clusterIPs[{index}]", addresses, text))
    return errors


def _configured_errors(policy: str, families: list[str], available: tuple[str, ...]) -> list[FieldError]:
    errors: list[FieldError] = []
    if policy == REQUIRE_DUAL and len(available) < 2:
        text = "this cluster is not configured for dual-stack services"
        errors.append(invalid("spec.ipFamilyPolicy", REQUIRE_DUAL, text))
    for index, family in enumerate(families):
        if family not in available:
            errors.append(invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster"))
    return errors


def cluster_ip_errors(spec: Spec, old: Spec | None) -> list[FieldError]:
    """Mistakes in clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy that no cluster would take."""
    if spec.get("type") == EXTERNAL_NAME:
        return []
    addresses: list[str] = spec.get("clusterIPs") or []
    errors = _in_step_errors(spec.get("clusterIP") or "", addresses)
    families: list[str] = spec.get("ipFamilies") or []
    for index, family in enumerate(families):
        if family not in FAMILIES:
            errors.append(fields.unsupported(f"spec.ipFamilies[{index}]", family, FAMILIES))
        if family in families[:index]:
            errors.append(duplicate(f"spec.ipFamilies[{index}]", family))
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in POLICIES:
        errors.append(fields.unsupported("spec.ipFamilyPolicy", policy, POLICIES))
    malformed = _malformed_errors(addresses, (old or {}).get("clusterIPs") or ())
    errors += malformed
    if len(addresses) > 2:
        errors.append(invalid("spec.clusterIPs", addresses, "may only hold up to 2 values"))
    return errors if malformed else errors + _family_mismatches(spec, addresses, families)


def _in_step_errors(address: str, addresses: list[str]) -> list[FieldError]:
    path = "spec.clusterIPs"
    if address and not addresses:
        return [required(path)]
    if address and addresses[0] != address:
        return [invalid(path, addresses, "first value must match `clusterIP`")]
    if addresses and not address:
        return [invalid(path, addresses, "must be empty when `clusterIP` is not specified")]
    return []


def _malformed_errors(addresses: list[str], existing: Any) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, address in enumerate(addresses):
        if index == 0 and address == "None":
            if len(addresses) > 1:
                errors.append(invalid("spec.clusterIPs", addresses, "'None' must be the first and only value"))
            continue
        errors += fields.legacy_ip(f"spec.clusterIPs[{index}]", address, existing)
    return errors


def _family_mismatches(spec: Mapping[str, Any], addresses: list[str], families: list[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    if len(addresses) > 1 and {_family_of(address) for address in addresses} != set(FAMILIES):
        errors.append(invalid("spec.clusterIPs", addresses, "may specify no more than one IP for each IP family"))
    if is_headless(spec):
        return errors
    for index, (address, family) in enumerate(zip(addresses, families, strict=False)):
        if family in FAMILIES and _family_of(address) != family:
            text = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            errors.append(invalid(f"spec.clusterIPs[{index}]", address, text))
    return errors
