"""Lease: who leads, or which node lives. Source: pkg/apis/coordination/validation/validation.go."""

from __future__ import annotations

from emulator.api import names
from emulator.api.errors import FieldError, forbidden_field, invalid, not_supported
from emulator.api.kinds import LEASE
from emulator.api.meta import JsonObject
from emulator.registry.kinds import fields
from emulator.registry.kinds.shaping import part
from emulator.registry.strategy import Context, Strategy

STRATEGY_NAMES = ("OldestEmulationVersion",)


def default(lease: JsonObject, context: Context) -> None:
    part(lease, "spec")


def validate(lease: JsonObject, context: Context) -> list[FieldError]:
    spec = lease["spec"]
    errors: list[FieldError] = []
    seconds, strategy = spec.get("leaseDurationSeconds"), spec.get("strategy")
    if seconds is not None and seconds <= 0:
        errors.append(invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    errors += fields.not_negative("spec.leaseTransitions", spec.get("leaseTransitions"))
    if strategy is not None:
        errors += _strategy_errors(strategy)
    if spec.get("preferredHolder") and not strategy:
        errors.append(forbidden_field("spec.preferredHolder", "may only be specified if `strategy` is defined"))
    return errors


def _strategy_errors(strategy: str) -> list[FieldError]:
    path = "spec.strategy.strategy"  # upstream names the field twice
    if "/" in strategy:
        return [invalid(path, strategy, text) for text in names.qualified_name(strategy)]
    return [] if strategy in STRATEGY_NAMES else [not_supported(path, strategy, STRATEGY_NAMES)]


STRATEGIES: tuple[Strategy, ...] = (Strategy(LEASE, default=default, validate=validate, create_on_update=True),)
