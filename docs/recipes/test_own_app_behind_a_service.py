"""A handler of the test behind a Service name: what your app calls is answered, and recorded, by the test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from emulator import Cluster

pytestmark = pytest.mark.asyncio

MAIL = """
apiVersion: v1
kind: Service
metadata: {name: mail}
spec: {selector: {app: mail}, ports: [{port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: mail-0
  labels: {app: mail}
  annotations: {kubemu.dev/backend: "127.0.0.1:%d"}
spec: {containers: [{name: mail, image: mail, ports: [{containerPort: 8080}]}]}
"""


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[int]:
    """The port of a running app; with an ASGI app, start uvicorn here instead."""
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_the_mail_is_sent(cluster: Cluster) -> None:
    sent: list[str] = []

    async def take(request: web.Request) -> web.Response:
        sent.append(await request.text())
        return web.json_response({"queued": len(sent)})

    app = web.Application()
    app.router.add_post("/send", take)
    async with served(app) as port:
        await cluster.apply(MAIL % port, wait=True)
        async with (
            aiohttp.ClientSession(connector=cluster.connector()) as session,
            session.post("http://mail:8080/send", data="hello") as answer,
        ):
            assert await answer.json() == {"queued": 1}
    assert sent == ["hello"]
