"""NetworkPolicy: stored and checked as upstream does, enforced by nobody here, which a warning says.

Source: pkg/apis/networking/{v1/defaults.go,validation/validation.go}, pkg/registry/networking/networkpolicy/strategy.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from emulator.api import names
from emulator.api.errors import FieldError, forbidden_field, invalid, required
from emulator.api.kinds import NETWORK_POLICY
from emulator.api.meta import JsonObject
from emulator.registry.kinds import fields
from emulator.registry.kinds.pod_affinity import label_selector_errors
from emulator.registry.kinds.shaping import drop_empty, part
from emulator.registry.strategy import Context, Strategy

NOT_ENFORCED = "NetworkPolicy objects are stored but not enforced: all traffic between pods is allowed"
POLICY_TYPES = ("Ingress", "Egress")
PROTOCOLS = ("TCP", "UDP", "SCTP")

Spec = Mapping[str, Any]


def default(policy: JsonObject, context: Context) -> None:
    """TCP where a port names no protocol; the policy types that its rules imply."""
    spec = part(policy, "spec")
    part(spec, "podSelector")
    drop_empty(spec, "ingress", "egress")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for rule in spec.get(direction) or ():
            drop_empty(rule, "ports", peers)
            for port in rule.get("ports") or ():
                if port.get("protocol") is None:
                    port["protocol"] = "TCP"
            for peer in rule.get(peers) or ():
                if peer.get("ipBlock") is not None:
                    peer["ipBlock"].setdefault("cidr", "")
                    drop_empty(peer["ipBlock"], "except")


def validate(policy: JsonObject, context: Context) -> list[FieldError]:
    return [] if context.is_update else _spec_errors(policy["spec"], "spec", frozenset())


def validate_update(policy: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    """A CIDR that stood anywhere in the old policy is not checked again."""
    return _spec_errors(policy["spec"], "spec", frozenset(cidr for _, cidr in _cidrs(old["spec"], "spec")))


def warnings(policy: JsonObject, old: JsonObject | None, context: Context) -> list[str]:
    found = [text for path, cidr in _cidrs(policy["spec"], "spec") for text in fields.cidr_warnings(path, cidr)]
    return [NOT_ENFORCED, *found] if old is None else found


def _spec_errors(spec: Spec, path: str, known: frozenset[str]) -> list[FieldError]:
    errors = label_selector_errors(f"{path}.podSelector", spec.get("podSelector"))
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            at = f"{path}.{direction}[{index}]"
            for position, port in enumerate(rule.get("ports") or ()):
                errors += _port_errors(port, f"{at}.ports[{position}]")
            for position, peer in enumerate(rule.get(peers) or ()):
                errors += _peer_errors(peer, f"{at}.{peers}[{position}]", known)
    types = spec.get("policyTypes") or ()
    if len(types) > len(POLICY_TYPES):
        return [*errors, invalid(f"{path}.policyTypes", list(types), "may not specify more than two policyTypes")]
    return errors + [
        fields.unsupported(f"{path}.policyTypes[{index}]", kind, POLICY_TYPES)
        for index, kind in enumerate(types)
        if kind not in POLICY_TYPES
    ]


def _port_errors(port: Spec, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    number, end, protocol = port.get("port"), port.get("endPort"), port.get("protocol")
    if protocol is not None and protocol not in PROTOCOLS:
        errors.append(fields.unsupported(f"{path}.protocol", protocol, PROTOCOLS))
    if number is None:
        if end is not None:
            errors.append(invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified"))
    elif isinstance(number, str):
        if end is not None:
            errors.append(invalid(f"{path}.endPort", end, "may not be specified when `port` is non-numeric"))
        errors += [invalid(f"{path}.port", number, text) for text in names.port_name(number)]
    else:
        errors += fields.port_number(f"{path}.port", number)
        if end is not None:
            if end < number:
                errors.append(invalid(f"{path}.endPort", end, "must be greater than or equal to `port`"))
            errors += fields.port_number(f"{path}.endPort", end)
    return errors


def _peer_errors(peer: Spec, path: str, known: frozenset[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    selectors = [name for name in ("podSelector", "namespaceSelector") if peer.get(name) is not None]
    for name in selectors:
        errors += label_selector_errors(f"{path}.{name}", peer[name])
    block = peer.get("ipBlock")
    if block is not None:
        errors += _block_errors(block, f"{path}.ipBlock", known)
        if selectors:
            errors.append(forbidden_field(path, "may not specify both ipBlock and another peer"))
    elif not selectors:
        errors.append(required(path, "must specify a peer"))
    return errors


def _block_errors(block: Spec, path: str, known: frozenset[str]) -> list[FieldError]:
    cidr = block.get("cidr") or ""
    if not cidr:
        return [required(f"{path}.cidr")]
    errors = fields.legacy_cidr(f"{path}.cidr", cidr, known)
    network = fields.parse_cidr(cidr)
    if network is None:
        return errors
    for index, text in enumerate(block.get("except") or ()):
        at = f"{path}.except[{index}]"
        errors += fields.legacy_cidr(at, text, known)
        excluded = fields.parse_cidr(text)
        if excluded is not None and not _is_inside(excluded, network):
            errors.append(invalid(at, text, "must be a strict subset of `cidr`"))
    return errors


def _is_inside(inner: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    return inner.network_address in outer and inner.prefixlen > outer.prefixlen


def _cidrs(spec: Spec, path: str) -> Iterator[tuple[str, str]]:
    """Every CIDR in the policy and where it stands."""
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            for position, peer in enumerate(rule.get(peers) or ()):
                block, at = peer.get("ipBlock"), f"{path}.{direction}[{index}].{peers}[{position}].ipBlock"
                if block is None:
                    continue
                yield f"{at}.cidr", block.get("cidr") or ""
                yield from ((f"{at}.except[{n}]", text) for n, text in enumerate(block.get("except") or ()))


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        NETWORK_POLICY,
        default=default,
        validate=validate,
        validate_update=validate_update,
        warnings=warnings,
        has_generation=True,
    ),
)
