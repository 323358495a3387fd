"""A `kopf` operator against a cluster: handlers, finalizers, timers, status patches, events; no peering."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import kopf

from emulator import Cluster
from emulator.api.errors import NotFound
from emulator.api.kinds import CONFIG_MAP, DEPLOYMENT, EVENT
from tests.support.api import eventually
from tests.support.clients import collected, config_map, deployment

__all__ = ["collected"]  # a fixture that is always used


@dataclass
class Told:
    """What the operator's handlers were called for."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    ticks: int = 0
    seen: list[str | None] = field(default_factory=list)


def registry_of(cluster: Cluster, told: Told) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.ConnectionInfo:
        ca = base64.b64encode(cluster.credentials.ca.encode()).decode()
        return kopf.ConnectionInfo(server=cluster.api_url, ca_data=ca, token=cluster.token)

    @kopf.on.create("configmaps", labels={"app": "web"}, registry=registry)
    async def created(name: str, body: kopf.Body, **_: Any) -> None:
        told.calls.append(("create", name))
        kopf.info(body, reason="Made", message="taken up")

    @kopf.on.update("configmaps", labels={"app": "web"}, field="data.k", registry=registry)
    async def updated(name: str, old: Any, new: Any, patch: kopf.Patch, **_: Any) -> None:
        told.calls.append(("update", f"{name}: {old} -> {new}"))
        patch.metadata.annotations["seen"] = str(new)

    @kopf.on.delete("configmaps", labels={"app": "web"}, registry=registry)
    async def deleted(name: str, **_: Any) -> None:
        told.calls.append(("delete", name))

    @kopf.timer("configmaps", labels={"app": "web"}, interval=0.1, registry=registry)
    async def tick(**_: Any) -> None:
        told.ticks += 1

    @kopf.on.event("apps", "deployments", registry=registry)
    async def event(type: str | None, patch: kopf.Patch, status: kopf.Status, **_: Any) -> None:
        told.seen.append(type)
        held = [dict(each) for each in status.get("conditions") or ()]
        if type != "DELETED" and not any(each["type"] == "Looked" for each in held):
            patch.status["conditions"] = [*held, {"type": "Looked", "status": "True"}]

    return registry


@asynccontextmanager
async def operator(registry: kopf.OperatorRegistry) -> AsyncIterator[None]:
    settings = kopf.OperatorSettings()
    settings.posting.level = 20
    settings.watching.server_timeout = 2  # several watches in a row: each resumes where the last ended
    settings.process.ultimate_exiting_timeout = None
    ready, stop = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(
        kopf.operator(
            registry=registry,
            settings=settings,
            standalone=True,
            namespaces=["default"],
            ready_flag=ready,
            stop_flag=stop,
        )
    )
    try:
        async with asyncio.timeout(20):
            await ready.wait()
        yield
    finally:
        stop.set()
        async with asyncio.timeout(20):
            await task


async def test_an_operator_follows_its_objects() -> None:
    told = Told()
    async with Cluster() as cluster, operator(registry_of(cluster, told)):
        client = cluster.client
        await client.create(CONFIG_MAP, config_map("a", k="1"))

        async def says(*calls: tuple[str, str]) -> None:
            async def check() -> bool:
                return told.calls == list(calls)

            try:
                await eventually(check)
            except TimeoutError:
                raise AssertionError(told.calls) from None

        await says(("create", "a"))
        held = await client.get(CONFIG_MAP, "a", "default")
        assert any("kopf" in finalizer for finalizer in held["metadata"]["finalizers"])
        await client.patch(CONFIG_MAP, "a", "default", patch={"data": {"k": "2"}})
        await says(("create", "a"), ("update", "a: 1 -> 2"))

        async def annotated() -> bool:
            found = await client.get(CONFIG_MAP, "a", "default")
            return bool(found["metadata"]["annotations"].get("seen") == "2")

        await eventually(annotated)
        await asyncio.sleep(2.2)  # past the end of the watch: the next one has to go on, and to miss nothing
        await client.patch(CONFIG_MAP, "a", "default", patch={"data": {"k": "3"}})
        await says(("create", "a"), ("update", "a: 1 -> 2"), ("update", "a: 2 -> 3"))
        await client.delete(CONFIG_MAP, "a", "default")

        async def gone() -> bool:
            try:
                await client.get(CONFIG_MAP, "a", "default")
            except NotFound:
                return True
            return False

        await eventually(gone)
        assert told.calls[3:] == [("delete", "a")]
        assert told.ticks > 1

        async def event_told() -> bool:
            events = (await client.list(EVENT, "default")).items
            return any(each["reason"] == "Made" and each["involvedObject"]["name"] == "a" for each in events)

        await eventually(event_told)


async def test_an_operator_writes_status() -> None:
    told = Told()
    async with Cluster() as cluster, operator(registry_of(cluster, told)):
        await cluster.client.create(DEPLOYMENT, {**deployment(), "metadata": {"name": "web", "namespace": "default"}})

        async def looked() -> bool:
            found = await cluster.client.get(DEPLOYMENT, "web", "default")
            types = {each["type"] for each in (found.get("status") or {}).get("conditions") or ()}
            return "Looked" in types

        await eventually(looked)
        assert told.seen
