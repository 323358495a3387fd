"""The canonical layout of Endpoints subsets, and the order in which upstream lists ports. Pure.

That order means nothing but shows, and is the same everywhere: ports are sorted by a hash of how go-spew prints them,
addresses by the text of their IP. Upstream sorts subsets by a hash too, but theirs differs with every pod's uid.
Source: pkg/api/v1/endpoints/util.go (RepackSubsets), endpointslice/util/controller_utils.go (NewPortMapKey).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Any

from emulator.api.meta import JsonObject

MAX_ADDRESSES = 1000  # of one Endpoints object; more are left out
FNV_OFFSET, FNV_PRIME = 0x6C62272E07BB014262B821756295C58D, 0x0000000001000000000000000000013B
READY, NOT_READY = "addresses", "notReadyAddresses"

Name = tuple[str, str]  # an address is one of these: its IP and its pod's uid
Port = tuple[str, int, str, str | None]  # name, number, protocol, appProtocol


@dataclass(frozen=True, slots=True)
class Offer:
    """One address that offers these ports; none of them for a headless Service without ports."""

    address: JsonObject
    ready: bool
    ports: tuple[Port, ...]


def repacked(offers: Iterable[Offer], *, without_ports: bool) -> list[JsonObject]:
    """The offers as subsets: ports with the same addresses share one; not ready beats ready.

    An offer of no ports counts only `without_ports`.
    """
    addresses: dict[Name, JsonObject] = {}
    by_port: dict[Port | None, dict[Name, bool]] = {}
    for offer in offers:
        name = name_of(offer.address)
        addresses.setdefault(name, offer.address)
        for port in offer.ports or ((None,) if without_ports else ()):
            held = by_port.setdefault(port, {})
            held[name] = offer.ready and held.get(name, True)
    ports_of: dict[tuple[tuple[Name, bool], ...], list[Port]] = {}
    for port, names in by_port.items():
        shared = ports_of.setdefault(tuple(sorted(names.items())), [])
        if port is not None:
            shared.append(port)
    subsets = [_subset([(addresses[name], ready) for name, ready in key], ports) for key, ports in ports_of.items()]
    return sorted(subsets, key=str)


def name_of(address: Mapping[str, Any]) -> Name:
    return address["ip"], (address.get("targetRef") or {}).get("uid", "")


def _subset(addresses: list[tuple[JsonObject, bool]], ports: list[Port]) -> JsonObject:
    subset: JsonObject = {}
    for field, wanted in ((READY, True), (NOT_READY, False)):
        chosen = [address for address, ready in addresses if ready == wanted]
        if chosen:
            subset[field] = chosen
    if ports:
        subset["ports"] = [_endpoints_port(port) for port in sorted(ports, key=_digest_of_port)]
    return subset


def _endpoints_port(port: Port) -> JsonObject:
    name, number, protocol, app_protocol = port
    entry: JsonObject = {"name": name} if name else {}
    entry.update({"port": number, "protocol": protocol})
    if app_protocol is not None:
        entry["appProtocol"] = app_protocol
    return entry


def truncated(subsets: list[JsonObject]) -> tuple[list[JsonObject], bool]:
    """At most MAX_ADDRESSES, and whether any were left out: ready ones first, shared out in proportion, rounded up.

    A subset that is left with none is dropped: the API would refuse it.
    """
    totals = {field: sum(len(subset.get(field, ())) for subset in subsets) for field in (READY, NOT_READY)}
    if sum(totals.values()) <= MAX_ADDRESSES:
        return subsets, False
    field = READY if totals[READY] > MAX_ADDRESSES else NOT_READY
    room = MAX_ADDRESSES if field == READY else MAX_ADDRESSES - totals[READY]
    left, cut = room, []
    for subset in subsets:
        held = subset.get(field, [])
        kept = held[: min(ceil(len(held) / totals[field] * room), left)]
        left -= len(kept)
        out = {key: value for key, value in subset.items() if key not in (field, NOT_READY)}
        if kept:
            out[field] = kept
        if READY in out or NOT_READY in out:
            cut.append(out)
    return cut, True


def slice_ports(ports: Iterable[Port]) -> list[JsonObject]:
    """Ports of an EndpointSlice, in upstream's order."""
    entries = []
    for name, number, protocol, app_protocol in ports:
        port: JsonObject = {"name": name, "port": number, "protocol": protocol}
        if app_protocol is not None:
            port["appProtocol"] = app_protocol
        entries.append(port)
    return sorted(entries, key=_digest_of_slice_port)


def _digest_of_port(port: Port) -> int:
    name, number, protocol, app_protocol = port
    fields = f"Name:(string){name} Port:(int32){number} Protocol:(v1.Protocol){protocol}"
    return _digest(f"(v1.EndpointPort){{{fields} AppProtocol:{_pointer(app_protocol)}}}")


def _digest_of_slice_port(port: Mapping[str, Any]) -> int:
    fields = f"Name:(*string){port['name']} Protocol:(*v1.Protocol){port['protocol']} Port:(*int32){port['port']}"
    return _digest(f"(v1.EndpointPort){{{fields} AppProtocol:{_pointer(port.get('appProtocol'))}}}")


@lru_cache(maxsize=4096)
def _digest(text: str) -> int:
    """FNV-1a of 128 bits: hash/fnv New128a."""
    digest = FNV_OFFSET
    for byte in text.encode():
        digest = (digest ^ byte) * FNV_PRIME % (1 << 128)
    return digest


def _pointer(text: str | None) -> str:
    return "(*string)<nil>" if text is None else f"(*string){text}"
