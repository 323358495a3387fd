"""Runs a kind's hooks in the pipeline's order, without store or allocators."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from emulator.api.errors import FieldError, Invalid
from emulator.api.meta import JsonObject
from emulator.config.settings import AddressPlan, ClusterConfig
from emulator.registry.kinds.table import STRATEGIES
from emulator.registry.strategy import Context

AT = datetime(2026, 1, 1, tzinfo=UTC)

SANDBOX = ClusterConfig(
    network="sandbox",
    addresses=AddressPlan(
        IPv4Network("10.152.183.0/24"),
        IPv4Network("10.1.0.0/16"),
        IPv4Network("10.0.0.0/24"),
        IPv4Address("10.64.140.43"),
        IPv4Address("10.64.140.254"),
    ),
)


def context(subresource: str = "", config: ClusterConfig = SANDBOX, *, is_update: bool = False) -> Context:
    return Context(config, AT, subresource, is_update)


def created(resource: str, object: JsonObject, config: ClusterConfig = SANDBOX) -> JsonObject:
    """The object as it would be stored, checks left out."""
    strategy, made = STRATEGIES[resource], copy.deepcopy(object)
    strategy.default(made, context(config=config))
    strategy.prepare_create(made, context(config=config))
    return made


def create_errors(resource: str, object: JsonObject, config: ClusterConfig = SANDBOX) -> list[str]:
    """`field: text` of each mistake in a new object."""
    try:
        made = created(resource, object, config)
        return texts(STRATEGIES[resource].validate(made, context(config=config)))
    except Invalid as error:
        return texts(error.errors)


def updated(resource: str, old: JsonObject, new: JsonObject, subresource: str = "") -> JsonObject:
    strategy, made = STRATEGIES[resource], copy.deepcopy(new)
    strategy.default(made, context(subresource, is_update=True))
    strategy.prepare_update(made, copy.deepcopy(old), context(subresource, is_update=True))
    return made


def update_errors(resource: str, old: JsonObject, new: JsonObject, subresource: str = "") -> list[str]:
    strategy = STRATEGIES[resource]
    try:
        made = updated(resource, old, new, subresource)
        update = context(subresource, is_update=True)
        errors = strategy.validate(made, update)
        return texts([*errors, *strategy.validate_update(made, old, update)])
    except Invalid as error:
        return texts(error.errors)


def warnings(resource: str, object: JsonObject) -> list[str]:
    return STRATEGIES[resource].warnings(created(resource, object), None, context())


def texts(errors: Any) -> list[str]:
    return [str(error) for error in errors if isinstance(error, FieldError)]


def patched(object: JsonObject, **fields: Any) -> JsonObject:
    """A copy with other spec fields; None removes one, as a merge patch does."""
    copied = copy.deepcopy(object)
    for name, value in fields.items():
        if value is None:
            copied["spec"].pop(name, None)
        else:
            copied["spec"][name] = value
    return copied
