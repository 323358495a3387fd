"""One aiohttp request answered by an ASGI application: HTTP, without lifespan and WebSockets.

Source: ASGI specification, HTTP connection scope 2.3.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web


class Unanswered(RuntimeError):
    """The application returned without a response."""


async def call_asgi(application: Any, request: web.BaseRequest) -> web.StreamResponse:
    """The application's response, already sent. Raises Unanswered."""
    url = request.rel_url
    peer = request.transport.get_extra_info("peername") if request.transport else None
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": f"{request.version.major}.{request.version.minor}",
        "method": request.method,
        "scheme": "http",
        "path": url.path,
        "raw_path": url.raw_path.encode(),
        "query_string": url.raw_query_string.encode(),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.raw_headers],
        "client": tuple(peer[:2]) if peer else None,
        "server": ("127.0.0.1", 0),
    }
    made: list[web.StreamResponse] = []
    bodies = [await request.read()]

    async def receive() -> dict[str, Any]:
        if not bodies:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": bodies.pop(), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer = web.StreamResponse(status=message["status"])
            for name, value in message.get("headers") or ():
                answer.headers.add(bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
            made.append(answer)
            await answer.prepare(request)
        elif message["type"] == "http.response.body":
            await made[0].write(bytes(message.get("body", b"")))
            if not message.get("more_body"):
                await made[0].write_eof()

    await application(scope, receive, send)
    if not made:
        raise Unanswered("the ASGI application returned without http.response.start")
    return made[0]
