"""The canonical layout of Endpoints subsets, and the order in which upstream lists ports and subsets. Pure.

That order means nothing but is the same everywhere: ports and subsets are sorted by the MD5 of how a Go program would
print them (`spewed`), addresses by the text of their IP.
Source: pkg/api/v1/endpoints/util.go (RepackSubsets), endpointslice/util/controller_utils.go (NewPortMapKey).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from emulator.api.meta import JsonObject

MAX_ADDRESSES = 1000  # of one Endpoints object; more are left out
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
    return sorted(subsets, key=lambda subset: _digest(f"(v1.EndpointSubset){_spewed_subset(subset)}"))


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


def _digest_of_port(port: Port) -> str:
    return _digest(f"(v1.EndpointPort){_spewed_port(_endpoints_port(port))}")


def _digest_of_slice_port(port: Mapping[str, Any]) -> str:
    fields = f"Name:(*string){port['name']} Protocol:(*v1.Protocol){port['protocol']} Port:(*int32){port['port']}"
    return _digest(f"(v1.EndpointPort){{{fields} AppProtocol:{_pointer(port.get('appProtocol'))}}}")


def _digest(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _spewed_subset(subset: Mapping[str, Any]) -> str:
    ready, unready = (_spewed_addresses(subset.get(field)) for field in (READY, NOT_READY))
    ports = " ".join(_spewed_port(port) for port in subset.get("ports") or ())
    listed = f"[{ports}]" if ports else "<nil>"
    return f"{{Addresses:{ready} NotReadyAddresses:{unready} Ports:([]v1.EndpointPort){listed}}}"


def _spewed_addresses(addresses: Iterable[Mapping[str, Any]] | None) -> str:
    listed = "[" + " ".join(map(_spewed_address, addresses)) + "]" if addresses else "<nil>"
    return f"([]v1.EndpointAddress){listed}"


def _spewed_address(address: Mapping[str, Any]) -> str:
    names = (("Kind", "kind"), ("Namespace", "namespace"), ("Name", "name"), ("UID", "uid"))
    reference = address.get("targetRef") or {}
    parts = [f"{go}:({'types.UID' if go == 'UID' else 'string'}){reference.get(json, '')}" for go, json in names]
    parts += [f"{go}:(string)" for go in ("APIVersion", "ResourceVersion", "FieldPath")]
    node, hostname = _pointer(address.get("nodeName")), address.get("hostname", "")
    target = f"(*v1.ObjectReference){{{' '.join(parts)}}}"
    return f"{{IP:(string){address['ip']} Hostname:(string){hostname} NodeName:{node} TargetRef:{target}}}"


def _spewed_port(port: Mapping[str, Any]) -> str:
    fields = f"Name:(string){port.get('name', '')} Port:(int32){port['port']} Protocol:(v1.Protocol){port['protocol']}"
    return f"{{{fields} AppProtocol:{_pointer(port.get('appProtocol'))}}}"


def _pointer(text: str | None) -> str:
    return "(*string)<nil>" if text is None else f"(*string){text}"
