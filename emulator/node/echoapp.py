"""What the echo backend answers: which pod it is, and what it was asked. Pure: a request in, a response out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.node.http1 import Request, Response

MAX_DELAY_MS = 600_000
JSON = "application/json"


@dataclass(slots=True)
class EchoPod:
    """What an echo backend knows of its pod. `is_ready` is asked anew for each /readyz."""

    pod: str
    namespace: str
    node: str
    address: str
    hostname: str
    container: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    is_ready: Callable[[], bool] = lambda: True
    log: Callable[[str], None] = lambda _: None
    """Takes a line for the container's log."""


@dataclass(frozen=True, slots=True)
class Answer:
    response: Response
    delay_seconds: float = 0.0


def answer(request: Request, pod: EchoPod, *, port: int, client: str) -> Answer:
    """The answer to one request; client is `address:port` of the peer."""
    match request.path:
        case "/hostname":
            return Answer(Response(pod.hostname.encode()))
        case "/clientip":
            return Answer(Response(client.encode()))
        case "/healthz" | "/livez":
            return Answer(Response(b"ok"))
        case "/readyz":
            return Answer(Response(b"ok") if pod.is_ready() else Response(b"not ready", 503))
        case "/env":
            return Answer(_variables(request, pod))
        case "/echo":
            text = request.query.get("msg")
            return Answer(Response(request.body if text is None else text.encode("utf-8", "replace")))
        case "/delay":
            return _delayed(request)
        case _:
            described = describe(request, pod, port=port, client=client)
            return Answer(Response(json.dumps(described, indent=2).encode() + b"\n", content_type=JSON))


def describe(request: Request, pod: EchoPod, *, port: int, client: str) -> dict[str, Any]:
    """The JSON of `/`: who answers, and the request as it came."""
    headers: dict[str, str] = {}
    for name, value in request.headers:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return {
        "pod": pod.pod,
        "namespace": pod.namespace,
        "node": pod.node,
        "address": pod.address,
        "port": port,
        "container": pod.container,
        "hostname": pod.hostname,
        "request": {
            "method": request.method,
            "target": request.target,
            "path": request.path,
            "query": request.query,
            "version": f"HTTP/{request.version}",
            "headers": headers,
            "body": request.body.decode("utf-8", "replace"),
            "client": client,
        },
    }


def log_line(request: Request, response: Response, client: str) -> str:
    """A request as web servers log one."""
    return f'{client.rpartition(":")[0]} "{request.method} {request.target} HTTP/{request.version}" {response.code}'


def datagram_answer(received: bytes, pod: EchoPod) -> bytes:
    """`hostname` is answered, anything else comes back as it is."""
    return pod.hostname.encode() if received.strip() == b"hostname" else received


def _variables(request: Request, pod: EchoPod) -> Response:
    if request.query.get("format") == "json":
        return Response(json.dumps(dict(sorted(pod.variables.items()))).encode() + b"\n", content_type=JSON)
    return Response("".join(f"{name}={value}\n" for name, value in sorted(pod.variables.items())).encode())


def _delayed(request: Request) -> Answer:
    text = request.query.get("ms", "0")
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) > MAX_DELAY_MS:
        return Answer(Response(f"ms must be a number from 0 to {MAX_DELAY_MS}\n".encode(), 400))
    return Answer(Response(f"{text} ms\n".encode()), int(text) / 1000)
