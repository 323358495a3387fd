"""The settings of the DNS server, frozen; the keys are those of CoreDNS' plugins as dns.md 1 names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from emulator.api.errors import ConfigError
from emulator.dns.names import is_reverse, to_wire

REVERSE_ZONES = ("in-addr.arpa.", "ip6.arpa.")
MAX_TTL_SECONDS = 3600  # dns.md 1: more is refused


@dataclass(frozen=True, slots=True)
class DnsConfig:
    """Defaults are CoreDNS' own; zones are text with a trailing dot, in the order given."""

    zones: tuple[str, ...] = ("cluster.local.", *REVERSE_ZONES)
    server_zones: tuple[str, ...] = (".",)
    ttl: int = 5
    pods: Literal["disabled", "insecure", "verified"] = "disabled"
    namespaces: tuple[str, ...] = ()
    endpoint_pod_names: bool = False
    ignore_empty_service: bool = False
    noendpoints: bool = False
    fallthrough: tuple[str, ...] = ()
    zonal: bool = False
    synced: bool = True
    forward: bool = True
    dns_pod_ips: tuple[str, ...] = ()
    autopath: bool = False
    node_search: tuple[str, ...] = ()
    cache_seconds: int | None = None
    loadbalance: bool = False
    minimal: bool = False
    any: bool = False
    bufsize: int | None = None
    transfer: bool = False
    hosts: tuple[tuple[str, str], ...] = ()
    """(name, address) pairs answered before the cluster zones, as a hosts file would."""

    def __post_init__(self) -> None:
        if not 0 <= self.ttl <= MAX_TTL_SECONDS:
            raise ConfigError(f"ttl: {self.ttl} is not between 0 and {MAX_TTL_SECONDS}")
        if not self.zones:
            raise ConfigError("zones: at least one zone is needed")

    @property
    def primary_zone(self) -> str:
        """The first zone that is no reverse zone: PTR targets end in it."""
        return next((zone for zone in self.zones if not is_reverse(to_wire(zone.lower()))), self.zones[0])

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> DnsConfig:
        """From parsed YAML; `cache` is null or {ttl: N}. Raises ConfigError for an unknown key."""
        known = {item.name for item in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in settings.items():
            if key == "cache":
                values["cache_seconds"] = None if not value else int(value.get("ttl") or MAX_TTL_SECONDS)
            elif key not in known:
                raise ConfigError(f"dns: setting {key!r} is unknown; known are {', '.join(sorted(known))}")
            else:
                values[key] = tuple(value) if isinstance(value, list) else value
        return cls(**values)
