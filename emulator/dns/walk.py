"""What a stub resolver asks on its way along the search path, and why each answer came.

Pure: `ask(name, type)` is given. Nothing here decides what the server answers. Source: dns.md 13, resolv.conf(5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from emulator.dns import names, wire
from emulator.dns.wire import Message

MAX_NDOTS = 15  # RES_MAXNDOTS of glibc
Resolver = Literal["glibc", "musl"]
Ask = Callable[[bytes, int], Message]


@dataclass(frozen=True, slots=True)
class Step:
    """One question and its reply; `search` is the entry that was appended, None for the name as it stands."""

    name: bytes
    type: int
    search: str | None
    reply: Message

    @property
    def is_answer(self) -> bool:
        return self.reply.rcode == wire.NOERROR and bool(self.reply.answer)

    @property
    def is_nodata(self) -> bool:
        return self.reply.rcode == wire.NOERROR and not self.reply.answer


def walk(
    name: str, type_: int, ask: Ask, *, search: Sequence[str], ndots: int = 1, resolver: Resolver = "glibc"
) -> list[Step]:
    """The questions in order up to the one that ends the walk; only the last can be an answer.

    glibc goes on after NODATA and failures; musl ends at the first reply that is not NXDOMAIN.
    Raises ValueError for a name no resolver would ask.
    """
    steps: list[Step] = []
    for candidate, suffix in candidates(name, search=search, ndots=ndots, resolver=resolver):
        steps.append(Step(candidate, type_, suffix, ask(candidate, type_)))
        if is_end(steps[-1], resolver):
            break
    return steps


def is_end(step: Step, resolver: Resolver) -> bool:
    """True if a resolver of this kind asks no further after this reply."""
    return step.is_answer or (resolver == "musl" and step.reply.rcode != wire.NXDOMAIN)


def candidates(
    name: str, *, search: Sequence[str], ndots: int = 1, resolver: Resolver = "glibc"
) -> list[tuple[bytes, str | None]]:
    """The names to ask in order, each with the search entry appended to it. Raises ValueError for an illegal name."""
    bare = names.to_wire(name)
    as_is: tuple[bytes, str | None] = (bare, None)
    if name.endswith(".") and not name.endswith("\\."):
        return [as_is]
    searched: list[tuple[bytes, str | None]] = []
    for entry in search:
        suffix = names.to_wire(entry)
        if suffix != names.ROOT and len(bare) + len(suffix) - 1 <= names.MAX_NAME_BYTES:
            searched.append((bare[:-1] + suffix, entry))
    dots = len(names.split(bare)) - 1
    if dots < min(ndots, MAX_NDOTS):
        return [*searched, as_is]
    return [as_is] if resolver == "musl" else [as_is, *searched]
