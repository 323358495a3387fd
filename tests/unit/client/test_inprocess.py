"""The in-process client and informers on it, against a real registry."""

from __future__ import annotations

import asyncio
import copy

import pytest

from emulator.api.errors import Conflict, Expired, NotFound
from emulator.api.kinds import CONFIG_MAP, POD, SERVICE
from emulator.client.index import Change
from emulator.client.io.informer import Informers
from emulator.client.io.inprocess import InProcessClient
from emulator.client.io.protocol import Client, WatchEvent
from emulator.io.tasks import running
from emulator.store.io.memory import MemoryStore
from tests.unit.registry.support import changed, config_map, make_registry, pod, service

SECONDS = 5.0


def placed(object: dict[str, object], namespace: str = "default") -> dict[str, object]:
    metadata = object["metadata"]
    assert isinstance(metadata, dict)
    return {**object, "metadata": {**metadata, "namespace": namespace}}


async def test_every_verb() -> None:
    client: Client = InProcessClient(make_registry())
    sent = placed(service("webapp"))
    before = copy.deepcopy(sent)
    made = await client.create(SERVICE, sent)
    assert sent == before
    assert await client.get(SERVICE, "webapp", "default") is made
    listed = await client.list(SERVICE, label_selector="run=webapp", field_selector="spec.type=ClusterIP")
    assert listed.items == [made]
    labelled = await client.update(SERVICE, changed(made, labels={"a": "b"}))
    with pytest.raises(Conflict):
        await client.update(SERVICE, changed(made, labels={"c": "d"}))
    assert await client.update(SERVICE, {**labelled, "status": {"loadBalancer": {}}}, subresource="status") is labelled
    gone = await client.delete(SERVICE, "webapp", "default", uid=made["metadata"]["uid"], propagation="Background")
    assert gone["metadata"]["uid"] == made["metadata"]["uid"]
    with pytest.raises(NotFound):
        await client.get(SERVICE, "webapp", "default")


async def test_a_dry_run() -> None:
    client = InProcessClient(make_registry())
    assert (await client.create(SERVICE, placed(service("webapp")), dry_run=True))["spec"]["clusterIP"]
    assert (await client.list(SERVICE)).items == []


async def test_deleting_with_grace() -> None:
    client = InProcessClient(make_registry())
    await client.create(POD, placed(pod("p", nodeName="node-1")))
    going = await client.delete(POD, "p", "default", grace_period_seconds=5)
    assert going["metadata"]["deletionGracePeriodSeconds"] == 5
    await client.delete(POD, "p", "default", grace_period_seconds=0)
    assert (await client.list(POD)).items == []


async def test_a_watch_gives_the_protocols_events() -> None:
    client = InProcessClient(make_registry())
    at = (await client.list(CONFIG_MAP)).resource_version
    async with client.watch(CONFIG_MAP, "default", resource_version=at) as events, asyncio.timeout(SECONDS):
        made = await client.create(CONFIG_MAP, placed(config_map("a")))
        assert await anext(events) == WatchEvent("ADDED", made)


async def test_a_watcher_that_fell_behind_is_told() -> None:
    client = InProcessClient(make_registry(MemoryStore(queue_limit=2)))
    at = (await client.list(CONFIG_MAP)).resource_version
    async with client.watch(CONFIG_MAP, resource_version=at) as events:
        for number in range(4):
            await client.create(CONFIG_MAP, placed(config_map(f"c{number}")))
        with pytest.raises(Expired):
            await anext(events)


async def test_an_informer_follows_and_recovers_from_falling_behind() -> None:
    client = InProcessClient(make_registry(MemoryStore(queue_limit=40)))
    await client.create(CONFIG_MAP, placed(config_map("first")))
    informers = Informers(client)
    changes: list[Change] = []
    informer = informers[CONFIG_MAP]
    informer.listen(changes.append)
    async with running(informers), asyncio.timeout(SECONDS):
        assert [(change.type, change.key.name) for change in changes] == [("ADDED", "first")]
        for number in range(200):  # more than the queue holds in one turn of the loop
            await client.create(CONFIG_MAP, placed(config_map(f"c{number}")))
        await client.delete(CONFIG_MAP, "first", "default")
        caught_up = asyncio.Event()
        informer.listen(lambda change: caught_up.set() if len(informer.index) == 200 else None)
        await caught_up.wait()
    assert changes[-1].type in ("ADDED", "DELETED")
    wanted = {item["metadata"]["name"] for item in (await client.list(CONFIG_MAP)).items}
    assert {object["metadata"]["name"] for object in informer.index} == wanted
