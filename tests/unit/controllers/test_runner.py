"""The loop that runs controllers: failures are tried again, own writes are seen, hopeless ones are let go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from emulator.api.kinds import CONFIG_MAP, NAMESPACE, SECRET
from emulator.api.meta import JsonObject, ObjectKey
from emulator.client.io.informer import Informers
from emulator.client.io.inprocess import InProcessClient
from emulator.config.settings import ClusterConfig
from emulator.controllers import namespace
from emulator.controllers.changes import NOTHING, Changes, Controller, Plan, View, Write, own_key
from emulator.controllers.io import runner
from emulator.controllers.io.runner import ControllerRunner
from emulator.io.tasks import running
from emulator.registry.io.pipeline import Registry
from emulator.store.io.memory import MemoryStore
from tests.support.api import eventually

KEY = ObjectKey("default", "a")


def config_map(name: str = "a", namespace: str = "default", **data: str) -> JsonObject:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@asynccontextmanager
async def run(monkeypatch: pytest.MonkeyPatch, plan: Plan) -> AsyncIterator[tuple[InProcessClient, ControllerRunner]]:
    """A runner with `plan` for ConfigMaps, beside the controller that makes the namespaces."""
    tested = Controller("tested", {CONFIG_MAP: own_key, SECRET: lambda change, view: (KEY,)}, plan)
    monkeypatch.setattr(runner, "controllers_of", lambda *_: [namespace.controller(""), tested])
    client = InProcessClient(Registry(MemoryStore(), ClusterConfig()))
    informers = Informers(client)
    controllers = ControllerRunner(client, informers, ClusterConfig())

    async def idle() -> bool:
        return controllers.is_idle

    async with running(informers, controllers):
        yield client, controllers
        await eventually(idle)


async def test_a_plan_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def plan(key: ObjectKey, view: View, at: datetime) -> Changes:
        nonlocal calls
        held = view.get(CONFIG_MAP, key.name, key.namespace)
        if held is None or (held.get("data") or {}).get("done"):
            return NOTHING
        calls += 1
        if calls < 3:
            raise ValueError("not yet")
        return Changes(updates=(Write(CONFIG_MAP, {**held, "data": {"done": "yes"}}),))

    async with run(monkeypatch, plan) as (client, _):
        await client.create(CONFIG_MAP, config_map())

        async def done() -> bool:
            return (await client.get(CONFIG_MAP, "a", "default")).get("data") == {"done": "yes"}

        await eventually(done)
    assert calls == 3


async def test_a_stale_write_is_planned_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    stale: list[JsonObject] = []

    def plan(key: ObjectKey, view: View, at: datetime) -> Changes:
        held = view.get(CONFIG_MAP, key.name, key.namespace)
        if held is None or "by" in held["data"]:
            return NOTHING
        stale.append(held)
        return Changes(updates=(Write(CONFIG_MAP, {**stale[0], "data": {**held["data"], "by": str(len(stale))}}),))

    def first_is_old(key: ObjectKey, view: View, at: datetime) -> Changes:
        changes = plan(key, view, at)
        if len(stale) == 1 and changes.updates:
            old = {**stale[0], "metadata": {**stale[0]["metadata"], "resourceVersion": "1"}}
            return Changes(updates=(Write(CONFIG_MAP, old),))
        return changes

    async with run(monkeypatch, first_is_old) as (client, _):
        await client.create(CONFIG_MAP, config_map(x="1"))

        async def done() -> bool:
            return "by" in (await client.get(CONFIG_MAP, "a", "default"))["data"]

        await eventually(done)
        assert (await client.get(CONFIG_MAP, "a", "default"))["data"] == {"x": "1", "by": "2"}


async def test_a_plan_sees_its_own_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would make more than it wants: names are made up by the server."""

    def plan(key: ObjectKey, view: View, at: datetime) -> Changes:
        if len(view.in_namespace(SECRET, key.namespace)) >= 5 or key != KEY:
            return NOTHING
        made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"generateName": "s-", "namespace": key.namespace}}
        return Changes(creates=(Write(SECRET, made),), retry_after_seconds=0.0)

    async with run(monkeypatch, plan) as (client, _):
        await client.create(CONFIG_MAP, config_map())

        async def enough() -> bool:
            return len((await client.list(SECRET, "default")).items) >= 5

        await eventually(enough)
    assert len((await client.list(SECRET, "default")).items) == 5


async def test_nothing_is_made_in_a_namespace_that_ends_and_nobody_insists(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def plan(key: ObjectKey, view: View, at: datetime) -> Changes:
        nonlocal calls
        space = view.get(NAMESPACE, "shop")
        if key.namespace != "shop" or space is None or "deletionTimestamp" not in space["metadata"]:
            return NOTHING
        calls += 1
        return Changes(creates=(Write(CONFIG_MAP, config_map("another", "shop")),))

    async with run(monkeypatch, plan) as (client, _):
        await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        held = config_map("held", "shop")
        await client.create(CONFIG_MAP, {**held, "metadata": {**held["metadata"], "finalizers": ["example.com/x"]}})
        await client.delete(NAMESPACE, "shop")

        async def asked() -> bool:
            return calls > 0

        await eventually(asked)
        await client.patch(CONFIG_MAP, "held", "shop", patch={"metadata": {"finalizers": None}})

        async def gone() -> bool:
            return all(space["metadata"]["name"] != "shop" for space in (await client.list(NAMESPACE)).items)

        await eventually(gone)
    assert calls <= 3, "once a change, and not again for the refusal"
