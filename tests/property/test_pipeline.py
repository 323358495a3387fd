"""Random writes against a registry: each is wholly visible or not at all, watchers agree with lists, nothing shared
is ever changed, and nothing is leased twice.
"""

from __future__ import annotations

import asyncio
import copy
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.api.errors import ApiError, EmulatorError
from emulator.api.kinds import CONFIG_MAP, POD, SERVICE, Kind
from emulator.api.meta import JsonObject, key_of
from emulator.registry.io.pipeline import Registry
from emulator.registry.options import DeleteOptions, WriteOptions
from emulator.registry.service_allocation import held
from emulator.store.history import Event, Superseded
from emulator.store.io.memory import MemoryStore
from tests.unit.registry.support import changed, config_map, make_registry, pod, service

NAMES = st.sampled_from(["a", "b", "c", "Bad Name"])
ACTIONS = st.sampled_from(["create", "update", "status", "patch", "delete", "force", "finalize"])
KINDS = st.sampled_from([CONFIG_MAP, POD, SERVICE])
TYPES = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]
STEPS = st.lists(
    st.tuples(ACTIONS, KINDS, NAMES, st.integers(0, 11), st.booleans(), st.integers(0, 9)), min_size=1, max_size=30
)
WATCH_SECONDS = 5.0


class FailingStore(MemoryStore):
    """Now and then another writer was faster, or the backend refuses."""

    fail = ""

    async def commit(self, resource: str, key: str, object: JsonObject | None, *, expected: str) -> Event:
        fail, self.fail = self.fail, ""
        if fail == "superseded":
            raise Superseded(key, await self.get(resource, key))
        if fail == "refused":
            raise ApiError("the backend is away", code=503, reason="ServiceUnavailable")
        return await super().commit(resource, key, object, expected=expected)


def body(kind: Kind, name: str, variant: int) -> JsonObject:
    if kind is CONFIG_MAP:
        finalizers = ["x.io/y"] if variant % 3 == 0 else []
        return changed(config_map(name, k=str(variant)), finalizers=finalizers, labels={"even": str(variant % 2)})
    if kind is POD:
        return pod(name, **({"nodeName": "node-1"} if variant % 2 else {}))
    type = TYPES[variant % 4]
    extra: JsonObject = {"externalName": "x.example.com"} if type == "ExternalName" else {}
    if variant > 8 and type != "ExternalName":
        extra["clusterIP"] = "10.152.183.44"
    ports: list[JsonObject] = [{"port": 80}]
    if variant in (5, 6):
        ports[0]["nodePort"] = 30430
    return service(name, type=type, ports=ports, **extra)


async def act(registry: Registry, step: Any) -> None:
    action, kind, name, variant, dry, _ = step
    options = WriteOptions(dry_run=dry)
    object = body(kind, name, variant)
    if action == "create":
        await registry.create(kind, object, "default", options=options)
    elif action == "update":
        await registry.update(kind, name, "default", object, options=options)
    elif action == "status":
        status: JsonObject = {"phase": "Running"} if kind is POD else {"loadBalancer": {}}
        await registry.update(
            kind, name, "default", {**object, "status": status}, subresource="status", options=options
        )
    elif action == "patch":
        patch = {"metadata": {"labels": {"v": str(variant)}}, "spec": {"type": TYPES[variant % 4]}}
        patch_type = "strategic" if variant % 2 else "merge"
        await registry.patch(kind, name, "default", patch, patch_type, options=options)
    elif action == "finalize":
        await registry.patch(kind, name, "default", {"metadata": {"finalizers": None}}, "merge", options=options)
    else:
        grace = 0 if action == "force" else None
        propagation = [None, "Background", "Foreground", "Orphan"][variant % 4]
        deletion = DeleteOptions(dry_run=dry, grace_period_seconds=grace, propagation=propagation)
        await registry.delete(kind, name, "default", options=deletion)


async def state(registry: Registry) -> dict[tuple[str, Any], JsonObject]:
    return {
        (kind.resource, key_of(item)): item
        for kind in (CONFIG_MAP, POD, SERVICE)
        for item in (await registry.list(kind)).items
    }


@settings(deadline=None)
@given(STEPS)
def test_writes_are_whole_and_leases_single(steps: list[Any]) -> None:
    asyncio.run(check_writes(steps))


async def check_writes(steps: list[Any]) -> None:
    store = FailingStore()
    registry = make_registry(store)
    await registry.start()
    seen: list[tuple[JsonObject, JsonObject]] = []
    for step in steps:
        before, revision = await state(registry), await store.revision()
        store.fail = {0: "superseded", 1: "refused"}.get(step[-1], "")
        failed = False
        try:
            await act(registry, step)
        except EmulatorError:
            failed = True
        store.fail = ""
        after = await state(registry)
        if step[4] or (failed and step[0] not in ("delete", "force")):
            assert (after, await store.revision()) == (before, revision)
        else:
            assert len([key for key in before.keys() | after.keys() if before.get(key) is not after.get(key)]) <= 1
        seen += [(object, copy.deepcopy(object)) for key, object in after.items() if before.get(key) is not object]
        services = [object for (resource, _), object in after.items() if resource == SERVICE.resource]
        addresses = [address for one in services for address in held(one)[0]]
        ports = [port for one in services for port in held(one)[1]]
        assert len(set(addresses)) == len(addresses) == len(registry._commits.allocators.addresses)
        assert len(set(ports)) == len(ports) == len(registry._commits.allocators.ports)
    assert all(object == as_it_was for object, as_it_was in seen)


@settings(deadline=None)
@given(STEPS, st.integers(0, 30), st.sampled_from(["", "even=1", "v"]), st.sampled_from([CONFIG_MAP, SERVICE]))
def test_a_list_and_its_watch_are_the_state(steps: list[Any], begin: int, selector: str, kind: Kind) -> None:
    asyncio.run(check_watch(steps, begin, selector, kind))


async def check_watch(steps: list[Any], begin: int, selector: str, kind: Kind) -> None:
    registry = make_registry()
    await run(registry, steps[:begin])
    listing = await registry.list(kind, "default", label_selector=selector)
    held_objects = {key_of(item): item for item in listing.items}
    async with registry.watch(
        kind, "default", resource_version=listing.resource_version, label_selector=selector
    ) as events:
        await run(registry, steps[begin:])
        marker = changed(config_map("zz") if kind is CONFIG_MAP else service("zz"), labels={"even": "1", "v": "1"})
        await registry.create(kind, marker, "default")
        async with asyncio.timeout(WATCH_SECONDS):
            async for event in events:
                key = key_of(event.object)
                assert (event.type == "ADDED") == (key not in held_objects)
                if event.type == "DELETED":
                    del held_objects[key]
                else:
                    held_objects[key] = event.object
                if key.name == "zz":
                    break
    final = await registry.list(kind, "default", label_selector=selector)
    assert held_objects == {key_of(item): item for item in final.items}


async def run(registry: Registry, steps: list[Any]) -> None:
    for step in steps:
        try:
            await act(registry, step)
        except EmulatorError:
            continue


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 7))
def test_pages_are_the_list_at_the_first_pages_revision(seed: int, limit: int) -> None:
    asyncio.run(check_pages(Random(seed), limit))


async def check_pages(random: Random, limit: int) -> None:
    registry = make_registry()
    for number in range(random.randrange(20)):
        await registry.create(CONFIG_MAP, config_map(f"c{number}"), "default")
    whole = (await registry.list(CONFIG_MAP)).items
    paged: list[JsonObject] = []
    token = ""
    while True:
        page = await registry.list(CONFIG_MAP, limit=limit, continue_token=token)
        paged += page.items
        assert (page.remaining or 0) == len(whole) - len(paged)
        token = page.continue_token
        if not token:
            break
        name = f"c{random.randrange(30)}"
        if random.random() < 0.5:
            await run(registry, [("delete", CONFIG_MAP, name, 1, False, 9)])
        else:
            await run(registry, [("create", CONFIG_MAP, name, 1, False, 9)])
    assert paged == whole
