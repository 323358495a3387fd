"""The addresses of a host name as a pod of a namespace would find them, or that the name is not the cluster's.

For programs that run beside the cluster and not in it: they ask for what the cluster knows, and go on to their own
resolver with the rest. Nothing is forwarded here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from emulator.dns import names, wire
from emulator.dns.walk import candidates
from emulator.dns.wire import Message

Ask = Callable[[bytes, int], "Message | str | None"]
"""The reply of the cluster's own zones; a name elsewhere that a CNAME leads to; None for a question not its own."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """What the cluster knows of the name; empty for a name it knows without an address of this family."""

    found: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Absent:
    """A name of the cluster's that does not exist. `failed`: the cluster cannot say yet."""

    failed: bool = False


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Not the cluster's: the name for another resolver, which an ExternalName Service may have given."""

    name: str


Outcome = Addresses | Absent | Elsewhere


def lookup(name: str, ask: Ask, *, search: Sequence[str], domain: str, ndots: int = 5, six: bool = False) -> Outcome:
    """What `name` stands for; six: its IPv6 addresses."""
    try:
        asked = candidates(name, search=search, ndots=ndots)
    except ValueError:
        return Elsewhere(name)
    failed = known = False
    for candidate, suffix in asked:
        reply = ask(candidate, wire.AAAA if six else wire.A)
        if isinstance(reply, str):
            return Elsewhere(reply)
        if reply is None:
            continue
        found = addresses_of(reply)
        if found:
            return Addresses(found)
        failed = failed or reply.rcode == wire.SERVFAIL
        known = known or reply.rcode == wire.NOERROR
        own = suffix is None
        if own and reply.rcode != wire.NOERROR:
            return Absent(failed)
    if known:
        return Addresses(())
    if failed or names.is_below(names.to_wire(name.rstrip(".").lower()), names.to_wire(domain)):
        return Absent(failed)
    return Elsewhere(name)


def addresses_of(reply: Message) -> tuple[str, ...]:
    """The addresses in a reply, in its order."""
    found: list[str] = []
    for record in reply.answer:
        if record.type == wire.A:
            found.append(str(IPv4Address(record.data)))
        elif record.type == wire.AAAA:
            found.append(str(IPv6Address(record.data)))
    return tuple(found)
