"""The strategy of a kind, plain for kinds that have no rules of their own."""

from __future__ import annotations

from functools import cache

from emulator.api.kinds import Kind
from emulator.registry.kinds.table import STRATEGIES
from emulator.registry.strategy import Strategy


@cache
def strategy_of(kind: Kind) -> Strategy:
    return STRATEGIES.get(kind.resource) or Strategy(kind)
