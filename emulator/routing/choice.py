"""Which endpoint takes this connection: each alike, independent of what was drawn before."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from emulator.routing.servicemap import Endpoint


def pick(endpoints: Sequence[Endpoint], rng: Callable[[int], int]) -> Endpoint | None:
    """One at random; None when there is none."""
    if not endpoints:
        return None
    return endpoints[rng(len(endpoints))] if len(endpoints) > 1 else endpoints[0]
