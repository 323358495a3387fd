"""An HTTP server of this process from whatever answers: an aiohttp or ASGI application, a function, or a fixed answer.

It listens on 127.0.0.1 and keeps what it was asked. Made for tests: it is not meant to face the world.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

MAX_REQUESTS_KEPT = 10_000
CLOSE_SECONDS = 1.0

Answer = Any
"""A web.StreamResponse; a str or bytes; a dict or list for JSON; a number for a bare status; (status, any of these)."""


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """What a handler was asked. `body` is whole."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served:
    """A server that runs until `stop`. `requests` are those that came, the oldest first, at most the last 10,000."""

    def __init__(self, handler: Any) -> None:
        self.requests: list[ServedRequest] = []
        self.port = 0
        self._answer = answering(handler)
        self._application = handler if isinstance(handler, web.Application) else None
        self._runner: web.BaseRunner | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        if self._application is not None:
            self._application.middlewares.insert(0, self._middleware)
            self._runner = web.AppRunner(self._application, access_log=None, shutdown_timeout=CLOSE_SECONDS)
        else:
            self._runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=CLOSE_SECONDS)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._keep(request)
        assert self._answer is not None
        return await self._answer(request)

    @property
    def _middleware(self) -> Any:
        @web.middleware
        async def keep(request: web.Request, handler: Any) -> web.StreamResponse:
            await self._keep(request)
            response: web.StreamResponse = await handler(request)
            return response

        return keep

    async def _keep(self, request: web.BaseRequest) -> None:
        upgrade = "upgrade" in request.headers.get("Connection", "").lower()
        body = b"" if upgrade else await request.read()
        url = request.rel_url
        self.requests.append(ServedRequest(request.method, url.path, url.query_string, dict(request.headers), body))
        del self.requests[:-MAX_REQUESTS_KEPT]


def answering(handler: Any) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None:
    """The function that answers a request; None for an aiohttp application, which does so itself.

    Raises TypeError for what cannot answer.
    """
    if isinstance(handler, web.Application):
        return None
    if not callable(handler):
        response(handler)  # complains now, not at the first request

        async def fixed(request: web.BaseRequest) -> web.StreamResponse:
            return response(handler)

        return fixed
    if is_asgi(handler):
        from emulator.io.asgi import call_asgi

        return lambda request: call_asgi(handler, request)

    takes_request = bool(inspect.signature(handler).parameters)

    async def called(request: web.BaseRequest) -> web.StreamResponse:
        answer = handler(request) if takes_request else handler()
        return response(await answer if inspect.isawaitable(answer) else answer)

    return called


def is_asgi(handler: Any) -> bool:
    """True for what takes (scope, receive, send)."""
    try:
        parameters = [each for each in inspect.signature(handler).parameters.values() if each.default is each.empty]
    except (TypeError, ValueError):
        return False
    return len(parameters) == 3  # scope, receive, send


def response(answer: Answer) -> web.StreamResponse:
    """The response an answer stands for. Raises TypeError."""
    status = 200
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], int):
        status, answer = answer
    if isinstance(answer, web.StreamResponse):
        return answer
    if isinstance(answer, bool):
        raise TypeError("an answer is a response, str, bytes, dict, list, a status, or (status, body), not a bool")
    if isinstance(answer, int):
        return web.Response(status=answer)
    if isinstance(answer, str):
        return web.Response(status=status, text=answer)
    if isinstance(answer, bytes):
        return web.Response(status=status, body=answer, content_type="application/octet-stream")
    if answer is None:
        return web.Response(status=204)
    if isinstance(answer, dict | list):
        return web.Response(status=status, text=json.dumps(answer), content_type="application/json")
    raise TypeError(
        "an answer is a response, str, bytes, dict, list, a status, or (status, body), "
        f"not {type(answer).__name__}; a handler may return one, or be an aiohttp or ASGI application"
    )
