"""Checks of single values that many kinds share: numbers, ports, names, addresses, labels.

Each takes the field's path and gives the list of mistakes in upstream's words; none changes what it is given.
Source: k8s.io/apimachinery pkg/util/validation and pkg/api/validation; pkg/apis/core/validation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from emulator.api import names
from emulator.api.errors import FieldError, go_value, invalid, required
from emulator.registry.strategy import Context

IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"
PROTOCOLS = ("SCTP", "TCP", "UDP")

_IPV4_SHAPE = re.compile(r"\d{1,9}(\.\d{1,9}){3}")

Address = IPv4Address | IPv6Address


def in_range(low: int, high: int) -> str:
    """The text for a number outside [low, high]."""
    return f"must be between {low} and {high}, inclusive"


def unsupported(path: str, value: Any, choices: Iterable[str]) -> FieldError:
    """As `not_supported`, with the choices in the order given (some of upstream's lists are not sorted)."""
    quoted = ", ".join(f'"{choice}"' for choice in choices)
    return FieldError(
        path, "FieldValueNotSupported", f"Unsupported value: {go_value(value)}: supported values: {quoted}"
    )


def one_of(path: str, value: Any, choices: Iterable[str]) -> list[FieldError]:
    """Nothing if `value` is one of the choices (listed sorted, as sets are); Required if it is empty."""
    if not value:
        return [required(path)]
    allowed = sorted(choices)
    return [] if value in allowed else [unsupported(path, value, allowed)]


def not_negative(path: str, value: Any) -> list[FieldError]:
    return [invalid(path, value, NOT_NEGATIVE)] if value is not None and value < 0 else []


def immutable(path: str, new: Any, old: Any) -> list[FieldError]:
    """A mistake if `new` differs from `old`; absent, null and empty are the same."""
    if (new or None) == (old or None):
        return []
    return [invalid(path, new, IMMUTABLE)]


def port_number(path: str, value: Any) -> list[FieldError]:
    return [] if 1 <= value <= 65535 else [invalid(path, value, in_range(1, 65535))]


def port_number_or_name(path: str, value: Any) -> list[FieldError]:
    """An IntOrString port: a number in range or an IANA service name."""
    if isinstance(value, str):
        return _texts(path, value, names.port_name)
    return port_number(path, value)


def label(path: str, value: str) -> list[FieldError]:
    """A DNS-1123 label."""
    return _texts(path, value, names.dns1123_label)


def subdomain(path: str, value: str) -> list[FieldError]:
    """A DNS-1123 subdomain."""
    return _texts(path, value, names.dns1123_subdomain)


def qualified(path: str, value: str) -> list[FieldError]:
    """A qualified name, `[prefix/]name`."""
    return _texts(path, value, names.qualified_name)


def label_map(path: str, labels: Mapping[str, str] | None) -> list[FieldError]:
    """Label keys and values, as in labels, selectors and nodeSelectors."""
    errors: list[FieldError] = []
    for key, value in sorted((labels or {}).items()):
        errors += _texts(path, key, names.qualified_name)
        errors += _texts(path, value, names.label_value)
    return errors


def _texts(path: str, value: str, check: Callable[[str], list[str]]) -> list[FieldError]:
    return [invalid(path, value, text) for text in check(value)]


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address | None:
    """The address `text` means, leading zeros forgiven as Kubernetes always did; None if it is none."""
    if _IPV4_SHAPE.fullmatch(text):
        text = ".".join(str(int(part)) for part in text.split("."))
    if "%" in text:
        return None
    try:
        return ip_address(text)
    except ValueError:
        return None


def legacy_ip(path: str, value: str, existing: Iterable[str] = ()) -> list[FieldError]:
    """An address as the older fields take it; a value that was there before is never refused."""
    if value in tuple(existing):
        return []
    address = parse_address(value)
    if address is None:
        return [invalid(path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    errors: list[FieldError] = []
    if _has_leading_zeros(value):
        errors.append(invalid(path, value, "must not have leading 0s"))
    if _is_mapped(address):
        errors.append(invalid(path, value, "must not be an IPv4-mapped IPv6 address"))
    return errors


def legacy_cidr(path: str, value: str, existing: Iterable[str] = ()) -> list[FieldError]:
    """A CIDR as the older fields take it; a value that was there before is never refused."""
    if value in tuple(existing):
        return []
    network = parse_cidr(value)
    if network is None:
        return [invalid(path, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")]
    errors: list[FieldError] = []
    base, _, prefix = value.partition("/")
    if _has_leading_zeros(base) or (len(prefix) > 1 and prefix.startswith("0")):
        errors.append(invalid(path, value, "must not have leading 0s in IP or prefix length"))
    elif _is_mapped(network.network_address):
        errors.append(invalid(path, value, "must not have an IPv4-mapped IPv6 address"))
    if parse_address(base) != network.network_address:
        errors.append(invalid(path, value, "must not have bits set beyond the prefix length"))
    return errors


def canonical_ip(path: str, value: str) -> list[FieldError]:
    """An address as the newer fields take it: in its one canonical spelling."""
    address = parse_address(value)
    if address is None:
        return [invalid(path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    if _has_leading_zeros(value):
        return [invalid(path, value, "must not have leading 0s")]
    if _is_mapped(address):
        return [invalid(path, value, "must not be an IPv4-mapped IPv6 address")]
    return [] if str(address) == value else [invalid(path, value, f'must be in canonical form ("{address}")')]


def canonical_cidr(path: str, value: str) -> list[FieldError]:
    """A CIDR as the newer fields take it: in its one canonical spelling."""
    errors = legacy_cidr(path, value)
    network = parse_cidr(value)
    if errors or network is None or str(network) == value:
        return errors
    return [invalid(path, value, f'must be in canonical form ("{network}")')]


def _is_mapped(address: Address) -> bool:
    return isinstance(address, IPv6Address) and address.ipv4_mapped is not None


def parse_cidr(value: str) -> IPv4Network | IPv6Network | None:
    """The network `value` means, bits beyond its prefix and leading zeros forgiven; None if it is none."""
    base, slash, prefix = value.partition("/")
    address = parse_address(base)
    if address is None or not slash or not prefix.isascii() or not prefix.isdigit():
        return None
    try:
        return ip_network(f"{address}/{int(prefix)}", strict=False)
    except ValueError:
        return None


def _has_leading_zeros(address: str) -> bool:
    return any(len(part) > 1 and part.startswith("0") for part in address.split(".")) and ":" not in address


def endpoint_ip(path: str, value: str, context: Context, *, loopback: bool = False) -> list[FieldError]:
    """An address traffic may be sent to: not unspecified, loopback or link-local.

    loopback: it may be one. So may the cluster's own addresses in loopback mode, whose ranges lie in 127/8.
    """
    address = parse_address(value)
    if address is None:
        return [invalid(path, value, "must be a valid IP address")]
    errors: list[FieldError] = []
    if address.is_unspecified:
        errors.append(invalid(path, value, f"may not be unspecified ({value})"))
    if address.is_loopback and not loopback and not _is_in_own_loopback(address, context):
        errors.append(invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
    if _is_link_local_unicast(address):
        errors.append(invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"))
    if _is_link_local_multicast(address):
        errors.append(invalid(path, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"))
    return errors


def _is_in_own_loopback(address: Address, context: Context) -> bool:
    plan = context.config.addresses
    if context.config.network != "loopback" or address.version != 4:
        return False
    # A service range outside 127/8 is a cluster that only shows addresses: there the upstream rule holds for the rest.
    return plan.services.is_loopback or address in plan.pods


_LINK_LOCAL_4, _LINK_LOCAL_6 = IPv4Network("169.254.0.0/16"), IPv6Network("fe80::/10")
_LINK_LOCAL_MULTICAST = IPv4Network("224.0.0.0/24")


@lru_cache(maxsize=4096)
def _is_link_local_unicast(address: Address) -> bool:
    return address in (_LINK_LOCAL_4 if address.version == 4 else _LINK_LOCAL_6)


@lru_cache(maxsize=4096)
def _is_link_local_multicast(address: Address) -> bool:
    # Go's IsLinkLocalMulticast: 224.0.0/24, and for IPv6 ff?2::/16 whatever the flags.
    if isinstance(address, IPv4Address):
        return address in _LINK_LOCAL_MULTICAST
    return address.packed[0] == 0xFF and address.packed[1] & 0x0F == 0x02


def ip_warnings(path: str, value: str) -> list[str]:
    """The Warning texts for an address in a shape that later releases refuse, or not in its usual form."""
    address = parse_address(value)
    if address is None:
        return []
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    if mapped or _has_leading_zeros(value):
        shown = str(mapped or address)
        text = f'non-standard IP address "{value}" will be considered invalid in a future Kubernetes release'
        return [f'{path}: {text}: use "{shown}"']
    if address.version == 6 and str(address) != value:
        return [f'{path}: IPv6 address "{value}" should be in RFC 5952 canonical format ("{address}")']
    return []


def cidr_warnings(path: str, value: str) -> list[str]:
    """As `ip_warnings`, for a CIDR."""
    network = parse_cidr(value)
    if network is None:
        return []
    base, _, prefix = value.partition("/")
    address = parse_address(base)
    texts: list[str] = []
    if address != network.network_address:
        texts.append(
            f'{path}: CIDR value "{value}" is ambiguous in this context (should be "{network}" or '
            f'"{address}/{network.max_prefixlen}"?)'
        )
    if _has_leading_zeros(base) or _is_mapped(network.network_address) or prefix != str(network.prefixlen):
        texts.append(
            f'{path}: non-standard CIDR value "{value}" will be considered invalid in a future Kubernetes release: '
            f'use "{network}"'
        )
    if not texts and network.version == 6 and str(network) != value:
        texts.append(f'{path}: IPv6 CIDR value "{value}" should be in RFC 5952 canonical format ("{network}")')
    return texts


TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def taint_effect(path: str, effect: str) -> list[FieldError]:
    if not effect:
        return [required(path)]
    return [] if effect in TAINT_EFFECTS else [unsupported(path, effect, TAINT_EFFECTS)]
