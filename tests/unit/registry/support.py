"""A registry over a store in memory, with a clock and chance that tests steer."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import Any

from emulator.api.meta import JsonObject
from emulator.config.settings import AddressPlan, ClusterConfig
from emulator.registry.io.pipeline import Registry
from emulator.store.io.memory import MemoryStore
from emulator.store.io.store import Store

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

ADDRESSES = AddressPlan(
    IPv4Network("10.152.183.0/24"),
    IPv4Network("10.1.0.0/16"),
    IPv4Network("10.0.0.0/24"),
    IPv4Address("10.64.140.43"),
    IPv4Address("10.64.140.254"),
)


def make_registry(store: Store | None = None, *, seed: int = 1) -> Registry:
    """Deterministic: every reading of the clock is a second later."""
    ticks = itertools.count()
    return Registry(
        store or MemoryStore(),
        ClusterConfig(addresses=ADDRESSES),
        clock=lambda: BEGIN + timedelta(seconds=next(ticks)),
        rng=Random(seed).randrange,
    )


def config_map(name: str, **data: str) -> JsonObject:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def service(name: str, *, ports: list[JsonObject] | None = None, **spec: Any) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"run": name}},
        "spec": {"ports": [{"port": 8080}] if ports is None else ports, "selector": {"run": name}, **spec},
    }


def pod(name: str, **spec: Any) -> JsonObject:
    containers = [{"name": "c", "image": "nginx"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": containers, **spec},
    }


def changed(object: JsonObject, **fields: Any) -> JsonObject:
    """A copy with top-level fields replaced; `labels` and other metadata go under metadata."""
    metadata = {
        key: fields.pop(key)
        for key in ("labels", "annotations", "finalizers", "uid", "resourceVersion")
        if key in fields
    }
    return {**object, **fields, "metadata": {**object["metadata"], **metadata}}
