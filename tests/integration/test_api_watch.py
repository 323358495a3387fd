"""Watches over HTTP: order, selectors, bookmarks, tables, and how they end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from emulator.api.kinds import CONFIG_MAP
from emulator.apiserver.io.app import ApiServer
from emulator.config.settings import ClusterConfig
from emulator.io.tasks import running
from tests.support.api import Api, api_server, eventually

MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with api_server() as api:
        yield api


@asynccontextmanager
async def watching(api: Api, query: str, **headers: str) -> AsyncIterator[aiohttp.ClientResponse]:
    async with (
        api.session() as http,
        http.get(f"{api.url}{MAPS}?watch=true&{query}", headers=headers) as response,
    ):
        yield response


async def event(response: aiohttp.ClientResponse) -> Any:
    async with asyncio.timeout(5):
        return json.loads(await response.content.readline())


def config_map(name: str, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "data": {"a": "1"},
    }


async def relabel(api: Api, name: str, **labels: str | None) -> None:
    await api.client.patch(CONFIG_MAP, name, "default", patch={"metadata": {"labels": labels}})


async def open_watches(api: Api, count: int) -> None:
    """Wait until exactly `count` watches are served."""
    await served(api.server, count)


async def served(server: ApiServer, count: int) -> None:
    async def check() -> bool:
        return len(server.watches) == count

    await eventually(check)


async def test_events_follow_the_selector(api: Api) -> None:
    async with watching(api, "labelSelector=w%3D1") as response:
        await api.client.create(CONFIG_MAP, config_map("other"))
        await api.client.create(CONFIG_MAP, config_map("a", w="1"))
        await relabel(api, "a", x="2")
        await relabel(api, "a", w="0")
        await relabel(api, "a", w="1")
        await api.client.delete(CONFIG_MAP, "a", "default")
        got = [await event(response) for _ in range(5)]
    assert [entry["type"] for entry in got] == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]
    versions = [int(entry["object"]["metadata"]["resourceVersion"]) for entry in got]
    assert versions == sorted(versions)


async def test_a_watch_starts_after_its_resource_version(api: Api) -> None:
    await api.client.create(CONFIG_MAP, config_map("a", w="1"))
    listed = await api.client.list(CONFIG_MAP, "default")
    async with watching(api, f"labelSelector=w%3D1&resourceVersion={listed.resource_version}") as response:
        await api.client.create(CONFIG_MAP, config_map("b", w="1"))
        assert (await event(response))["object"]["metadata"]["name"] == "b"


async def test_initial_events_end_with_a_bookmark(api: Api) -> None:
    await api.client.create(CONFIG_MAP, config_map("a", w="1"))
    query = "labelSelector=w%3D1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with watching(api, query) as response:
        assert (await event(response))["type"] == "ADDED"
        mark = await event(response)
    assert mark["type"] == "BOOKMARK"
    assert mark["object"]["kind"] == "ConfigMap"
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_one_object_can_be_watched_by_its_path(api: Api) -> None:
    await api.client.create(CONFIG_MAP, config_map("a"))
    await api.client.create(CONFIG_MAP, config_map("b"))
    async with api.session() as http, http.get(f"{api.url}{MAPS}/b?watch=true") as response:
        assert (await event(response))["object"]["metadata"]["name"] == "b"


async def test_a_table_watch_names_its_columns_once(api: Api) -> None:
    await api.client.create(CONFIG_MAP, config_map("a", w="1"))
    async with watching(api, "labelSelector=w%3D1", Accept=TABLE) as response:
        first = (await event(response))["object"]
        await relabel(api, "a", x="2")
        second = (await event(response))["object"]
    assert first["kind"] == second["kind"] == "Table"
    assert [column["name"] for column in first["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert not second["columnDefinitions"]
    assert second["rows"][0]["cells"][:2] == ["a", 1]
    assert second["rows"][0]["object"]["metadata"]["labels"] == {"w": "1", "x": "2"}


async def test_timeout_seconds_ends_the_stream_cleanly(api: Api) -> None:
    async with watching(api, "timeoutSeconds=1") as response, asyncio.timeout(4):
        await response.content.read()
        assert response.content.at_eof()
    await open_watches(api, 0)


async def test_a_client_that_leaves_leaves_nothing_behind(api: Api) -> None:
    async with watching(api, "resourceVersion=0"), watching(api, "resourceVersion=0"):
        await open_watches(api, 2)
    await open_watches(api, 0)
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert not [name for name in names if "watch" in name and "informer" not in name], names


async def test_stopping_ends_watches_cleanly_and_at_once(api: Api) -> None:
    server = ApiServer(api.registry, ClusterConfig(), api.credentials)
    loop = asyncio.get_running_loop()
    async with api.session() as http:
        async with running(server):
            response = await http.get(f"{server.url}{MAPS}?watch=true&resourceVersion=0")
            await served(server, 1)
            started = loop.time()
        assert loop.time() - started < 1.5
        async with asyncio.timeout(5):
            await response.content.read()  # raises if the chunked stream was cut
        response.close()
