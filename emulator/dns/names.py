"""Domain names: wire form to text and back, and how a name below a cluster zone reads.

Wire form (length-prefixed labels, root octet last, never compressed) is used throughout: case stays as sent,
`bytes.lower` folds exactly ASCII, and a length octet (at most 63) is never a letter.
No record is looked up here.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

ROOT = b"\x00"
MAX_LABEL_BYTES = 63
MAX_NAME_BYTES = 255

Kind = Literal["", "svc", "pod"]
ZonePolicy = Literal["", "pin", "prefer"]
_KINDS: dict[str, Kind] = {"svc": "svc", "pod": "pod"}
_ZONE_POLICIES: dict[str, ZonePolicy] = {"pin": "pin", "prefer": "prefer"}


@dataclass(frozen=True, slots=True)
class Query:
    """What a name asks for; empty fields were not in the name. `kind` "" is the zone itself, `svc` or `pod` alone."""

    kind: Kind = ""
    namespace: str = ""
    service: str = ""
    endpoint: str = ""
    port: str = ""
    protocol: str = ""
    topology_zone: str = ""
    zone_policy: ZonePolicy = ""


def parse(labels: Sequence[str], *, zonal: bool = False) -> Query | None:
    """The query that lower-cased `labels` (zone cut off) make; None where no such name can exist.

    Source: dns.md 2 [coredns plugin/kubernetes/parse.go]. The query type plays no part.
    """
    if not labels or (len(labels) == 1 and labels[0] in _KINDS):
        return Query()
    *rest, last = labels
    kind = _KINDS.get(last)
    if kind is None:
        return None
    namespace = rest.pop()
    if not rest:
        return Query(kind, namespace)
    service = rest.pop()
    if not rest:
        return Query(kind, namespace, service)
    if len(rest) == 1:
        return Query(kind, namespace, service, endpoint=rest[0])
    if len(rest) == 2:
        return Query(kind, namespace, service, port=rest[0].removeprefix("_"), protocol=rest[1].removeprefix("_"))
    if zonal and kind == "svc" and len(rest) == 3 and rest[2] == "_zone" and rest[1] in _ZONE_POLICIES:
        return Query(kind, namespace, service, topology_zone=rest[0], zone_policy=_ZONE_POLICIES[rest[1]])
    return None


def split(wire: bytes) -> list[bytes]:
    """The labels of a wire name, root left out."""
    labels = []
    at = 0
    while size := wire[at]:
        labels.append(wire[at + 1 : at + 1 + size])
        at += size + 1
    return labels


def join(labels: Iterable[str | bytes], zone: bytes = ROOT) -> bytes:
    """The wire name of `labels` below `zone`. Raises ValueError for a label or name that is too long or empty."""
    parts = []
    for label in labels:
        octets = label.encode("latin-1", "replace") if isinstance(label, str) else label
        if not 0 < len(octets) <= MAX_LABEL_BYTES:
            raise ValueError(f"label of {len(octets)} octets; 1 to {MAX_LABEL_BYTES} are allowed")
        parts.append(bytes((len(octets),)) + octets)
    wire = b"".join(parts) + zone
    if len(wire) > MAX_NAME_BYTES:
        raise ValueError(f"name of {len(wire)} octets; at most {MAX_NAME_BYTES} are allowed")
    return wire


@lru_cache(maxsize=4096)
def to_wire(text: str) -> bytes:
    r"""The wire form of a name in zone-file text (`\.` and `\DDD` escapes); a trailing dot is optional. Raises ValueError."""
    if text in ("", "."):
        return ROOT
    return join(_text_labels(text.removesuffix(".") if not text.endswith("\\.") else text))


def to_text(wire: bytes) -> str:
    """Zone-file text with a trailing dot; what is not printable is escaped."""
    return "".join(_label_text(label) + "." for label in split(wire)) or "."


def suffixes(lower: bytes) -> Iterable[bytes]:
    """The name and each parent down to the root, longest first."""
    at = 0
    while size := lower[at]:
        yield lower[at:]
        at += size + 1
    yield ROOT


def longest_match(lower: bytes, zones: Container[bytes]) -> bytes | None:
    """The longest of the (lower-cased) zones that holds this lower-cased name."""
    for suffix in suffixes(lower):
        if suffix in zones:
            return suffix
    return None


def is_below(name: bytes, zone: bytes) -> bool:
    """True if the name is the zone or in it; case does not matter."""
    return longest_match(name.lower(), (zone.lower(),)) is not None


def reverse_address(lower: bytes) -> str | None:
    """The address text a lower-cased name below in-addr.arpa or ip6.arpa stands for; None if it is none.

    Source: coredns plugin/pkg/dnsutil/reverse.go; the canonical text is what addresses are compared by.
    """
    labels = [label.decode("latin-1") for label in reversed(split(lower))]
    try:
        if labels[:2] == ["arpa", "in-addr"]:
            return str(IPv4Address(".".join(labels[2:])))
        if labels[:2] == ["arpa", "ip6"]:
            nibbles = labels[2:]
            groups = ["".join(nibbles[at : at + 4]) for at in range(0, len(nibbles) // 4 * 4, 4)]
            address = IPv6Address(":".join(groups))
            return str(address.ipv4_mapped or address)
    except ValueError:
        return None
    return None


def is_reverse(lower: bytes) -> bool:
    """True below in-addr.arpa or ip6.arpa (the apexes themselves too)."""
    return lower.endswith((b"\x07in-addr\x04arpa\x00", b"\x03ip6\x04arpa\x00"))


def _text_labels(text: str) -> list[bytes]:
    if "\\" not in text:
        return [label.encode("latin-1", "replace") for label in text.split(".")]
    labels, label, at = [], bytearray(), 0
    while at < len(text):
        char = text[at]
        if char == "\\" and text[at + 1 : at + 4].isdigit() and len(text) >= at + 4:
            label.append(int(text[at + 1 : at + 4]) & 0xFF)
            at += 4
        elif char == "\\" and at + 1 < len(text):
            label += text[at + 1].encode("latin-1", "replace")
            at += 2
        elif char == ".":
            labels.append(bytes(label))
            label.clear()
            at += 1
        else:
            label += char.encode("latin-1", "replace")
            at += 1
    if label:
        labels.append(bytes(label))
    return labels


def _label_text(label: bytes) -> str:
    if label.isalnum():
        return label.decode("ascii")
    return "".join(_octet_text(octet) for octet in label)


def _octet_text(octet: int) -> str:
    if octet in b'."();@$\\':
        return "\\" + chr(octet)
    return chr(octet) if 0x21 <= octet <= 0x7E else f"\\{octet:03d}"
