"""Many watches of one kind at once: each is told everything, once and in order, whatever its form and however it reads."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from emulator.api.kinds import CONFIG_MAP, DEPLOYMENT
from emulator.config.settings import ClusterConfig
from tests.support.api import TOKEN, Api, api_server

PATH = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
COUNT = 300


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    config = replace(ClusterConfig(), nodes=0, insecure_http=True)
    async with api_server(config, controllers=False) as found:
        yield found


async def write(api: Api, count: int, *, size: int = 10) -> list[str]:
    """Make ConfigMaps, every second with a label; the resourceVersions in order."""
    versions = []
    for number in range(count):
        labels = {"even": "yes"} if number % 2 == 0 else {}
        metadata = {"name": f"m{number}", "namespace": "default", "labels": labels}
        made = await api.client.create(
            CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"x": "y" * size}}
        )
        versions.append(made["metadata"]["resourceVersion"])
        if number % 7 == 0:
            await asyncio.sleep(0)  # some watches are told one at a time, others many
    return versions


def version(event: dict[str, Any]) -> str:
    held = event["object"]
    return str((held["rows"][0]["object"] if held["kind"] == "Table" else held)["metadata"]["resourceVersion"])


async def watched(session: aiohttp.ClientSession, api: Api, query: str, accept: str, count: int) -> list[str]:
    headers = {"Accept": accept}
    async with session.get(f"{api.url}{PATH}?watch=1&{query}", headers=headers) as answer:
        assert answer.status == 200
        return [version(json.loads(await answer.content.readline())) for _ in range(count)]


async def test_every_watch_is_told_everything_in_order(api: Api) -> None:
    start = (await api.client.list(CONFIG_MAP)).resource_version
    async with api.session() as session, asyncio.timeout(30), asyncio.TaskGroup() as group:

        def watch(query: str = "", accept: str = "application/json", count: int = COUNT) -> asyncio.Task[list[str]]:
            return group.create_task(watched(session, api, f"resourceVersion={start}&{query}", accept, count))

        whole = [watch() for _ in range(30)]
        whole += [watch(accept=TABLE), watch("allowWatchBookmarks=true"), watch("timeoutSeconds=25")]
        even = [watch("labelSelector=even%3Dyes", count=COUNT // 2) for _ in range(3)]
        one = watch("fieldSelector=metadata.name%3Dm7", count=1)
        while len(api.server.watches) < len(whole) + len(even) + 1:
            await asyncio.sleep(0.01)
        versions = await write(api, COUNT)
    assert all(task.result() == versions for task in whole)
    assert all(task.result() == versions[::2] for task in even)
    assert one.result() == [versions[7]]


async def test_a_watch_that_is_not_read_holds_up_nobody_and_misses_nothing(api: Api) -> None:
    start = (await api.client.list(CONFIG_MAP)).resource_version
    size, count = 20_000, 800  # more than the buffers of a connection take
    loop = asyncio.get_running_loop()
    host, port = api.url.removeprefix("http://").split(":")
    with socket.socket() as slow:
        slow.setblocking(False)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        await loop.sock_connect(slow, (host, int(port)))
        head = f"GET {PATH}?watch=1&resourceVersion={start} HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        await loop.sock_sendall(slow, head.encode())
        async with api.session() as session, asyncio.timeout(60), asyncio.TaskGroup() as group:
            fast = group.create_task(watched(session, api, f"resourceVersion={start}", "application/json", count))
            while len(api.server.watches) < 2:
                await asyncio.sleep(0.01)
            versions = await write(api, count, size=size)
        assert fast.result() == versions
        seen: list[str] = []
        rest = b""
        async with asyncio.timeout(60):
            while len(seen) < count:
                rest += await loop.sock_recv(slow, 1 << 20)
                *lines, rest = rest.split(b"\n")
                seen += [version(json.loads(line)) for line in lines if line.startswith(b"{")]
        assert seen == versions


async def test_a_watch_of_an_old_version_goes_on_in_it(api: Api) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    url = f"{api.url}/apis/extensions/v1beta1/namespaces/default/deployments?watch=1"
    async with api.session() as session, asyncio.timeout(20), session.get(url) as answer:
        for name in ("one", "two"):
            metadata = {"name": name, "namespace": "default"}
            await api.client.create(
                DEPLOYMENT, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
            )
            event = json.loads(await answer.content.readline())
            assert (event["type"], event["object"]["apiVersion"]) == ("ADDED", "extensions/v1beta1")
            assert event["object"]["metadata"]["name"] == name
