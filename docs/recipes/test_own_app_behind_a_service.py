"""A handler of the test behind a Service name: what your app calls is answered, and recorded, by the test."""

from typing import Any

import pytest
from aiohttp import ClientSession, web

from emulator.testing.view import ClusterView

pytestmark = pytest.mark.asyncio


async def send_mail(session: ClientSession, text: str) -> Any:
    """The code under test; it is given a session, here one that knows the cluster's names."""
    async with session.post("http://mail:8080/send", data=text) as answer:
        return await answer.json()


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    """The least of ASGI applications; FastAPI's and Starlette's are used alike."""
    if scope["type"] == "http":
        await receive()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"queued": 1}'})


async def test_a_fixed_answer(cluster: ClusterView) -> None:
    async with cluster.serve("mail", {"queued": 1}, 8080) as mail:
        assert await send_mail(cluster.http, "hello") == {"queued": 1}
    assert [(request.path, request.body) for request in mail.requests] == [("/send", b"hello")]


async def test_an_aiohttp_application(cluster: ClusterView) -> None:
    async def take(request: web.Request) -> web.Response:
        return web.json_response({"queued": len(await request.text())})

    app = web.Application()
    app.router.add_post("/send", take)
    async with cluster.serve("mail", app, 8080):
        assert await send_mail(cluster.http, "hello") == {"queued": 5}


async def test_an_asgi_application(cluster: ClusterView) -> None:
    async with cluster.serve("mail", asgi_app, 8080):
        assert await send_mail(cluster.http, "hello") == {"queued": 1}
