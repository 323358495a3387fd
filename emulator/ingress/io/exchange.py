"""One request of a client carried to a backend and its answer back, in pieces, with back-pressure both ways.

Source of the statuses: nginx ngx_http_upstream.c (502, 503, 504), ngx_http_request.h (499 is never seen here).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from emulator.ingress.headers import (
    HOP_BY_HOP,
    passed_trailers,
    rewritten_cookie,
    rewritten_location,
    wants_trailers,
)
from emulator.ingress.io.backends import CannotConnect
from emulator.ingress.io.incoming import BrokenBody, Incoming, Tunnel
from emulator.ingress.io.upstream import (
    NOT_REPEATABLE,
    Asker,
    BackendAnswer,
    BrokenOff,
    Place,
    Question,
    TimedOut,
    Timeouts,
)
from emulator.ingress.messages import BadMessage, ResponseHead
from emulator.ingress.model import Header, Proxy, Request, Settings

NEVER_PASSED = HOP_BY_HOP | {
    "connection", "date", "server", "x-pad", "x-accel-expires", "x-accel-redirect", "x-accel-buffering",
    "x-accel-limit-rate", "x-accel-charset",
}  # fmt: skip
GRPC = frozenset(("GRPC", "GRPCS"))
"""Backends that are asked in HTTP/2, and whose trailers every client gets."""
MAX_OLD_BODY_BYTES = 16 << 20  # gathered for a backend of HTTP/1.0, which must be told the length


class Failed(Exception):
    """The backend did not answer; `status` is nginx's. `retry` names why another endpoint may be asked, "" for never."""

    def __init__(self, status: int, why: str, retry: str = "") -> None:
        super().__init__(why)
        self.status = status
        self.retry = retry


class Body:
    """The client's body on its way; counts, so that a chunked one has a limit too."""

    def __init__(self, incoming: Incoming, limit_bytes: int) -> None:
        self._incoming = incoming
        self._limit = limit_bytes
        self._taken = 0
        self._whole: bytes | None = None
        self.exists = incoming.has_body
        self.began = False

    def whole(self) -> bytes | None:
        """All of it, if it is here; None when it comes in pieces. Raises BrokenBody."""
        if self._whole is None and not self.began:
            self._whole = self._incoming.whole_body() if self.exists else b""
            self._count(self._whole or b"")
        return self._whole

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises BrokenBody."""
        self.began = True
        async for piece in self._incoming.pieces():
            self._count(piece)
            yield piece

    async def gathered(self) -> bytes:
        """All of it, for a backend that must be told the length. Raises BrokenBody."""
        self._limit = min(self._limit or MAX_OLD_BODY_BYTES, MAX_OLD_BODY_BYTES)
        self._whole = b"".join([piece async for piece in self.pieces()])
        self.began = False
        return self._whole

    def _count(self, piece: bytes) -> None:
        self._taken += len(piece)
        if self._limit and self._taken > self._limit:
            raise BrokenBody(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {self._limit} bytes")


def request_headers(incoming: Incoming, proxy: Proxy, more: tuple[Header, ...] = ()) -> list[Header]:
    """What the backend is sent."""
    dropped = proxy.request_headers.drop
    if more:
        dropped |= {name.lower() for name, _ in more}
    headers = [("Host", proxy.vhost), *proxy.request_headers.set, *more]
    headers += [header for header in incoming.headers if header[0].lower() not in dropped]
    return headers


async def ask(
    upstreams: Asker, head: Request, proxy: Proxy, place: Place, headers: list[Header], body: Body
) -> BackendAnswer:
    """The head of the backend's answer. Raises Failed, BrokenBody."""
    settings = proxy.settings
    timeouts = Timeouts(settings.connect_timeout_seconds, settings.read_timeout_seconds, settings.send_timeout_seconds)
    try:
        question = await _question(head, proxy, headers, body)
        return await upstreams.ask(place, question, timeouts)
    except CannotConnect as error:
        status = HTTPStatus.GATEWAY_TIMEOUT if error.timed_out else HTTPStatus.BAD_GATEWAY
        raise Failed(status, str(error), "timeout" if error.timed_out else "error") from error
    except TimedOut as error:
        retry = "timeout" if is_repeatable(head, settings, body) else ""
        raise Failed(HTTPStatus.GATEWAY_TIMEOUT, str(error), retry) from error
    except BrokenOff as error:
        retry = "error" if is_repeatable(head, settings, body) else ""
        raise Failed(HTTPStatus.BAD_GATEWAY, str(error), retry) from error
    except BadMessage as error:
        raise Failed(HTTPStatus.BAD_REQUEST, str(error)) from error


def is_repeatable(head: Request, settings: Settings, body: Body) -> bool:
    """Whether a request that was sent may be sent again to another endpoint."""
    return (head.method not in NOT_REPEATABLE or "non_idempotent" in settings.next_upstream) and not body.began


def is_retried(answered: BackendAnswer, head: Request, settings: Settings, body: Body) -> bool:
    """Whether proxy-next-upstream has another endpoint asked after this answer."""
    return answered.head.status in settings.next_statuses and is_repeatable(head, settings, body)


async def _question(head: Request, proxy: Proxy, headers: list[Header], body: Body) -> Question:
    target = f"{proxy.path}?{proxy.query}" if proxy.query else proxy.path
    minor = 0 if proxy.settings.http_version == "1.0" else 1
    whole = body.whole()
    sized = "content-length" in head.headers
    if whole is None and not minor and not sized:
        whole = await body.gathered()
    if whole is not None:
        if sized and int(head.headers["content-length"]) != len(whole):
            raise BrokenBody(HTTPStatus.BAD_REQUEST, "the body is not as long as it says")
        if body.exists and not sized:
            headers = [*headers, ("Content-Length", str(len(whole)))]
        return Question(head.method, target, headers, whole, minor=minor)
    if not sized:
        headers = [*headers, ("Transfer-Encoding", "chunked")]
    return Question(head.method, target, headers, body.pieces(), chunked=not sized, minor=minor)


async def pass_back(
    incoming: Incoming, head: Request, answered: BackendAnswer, proxy: Proxy, cookies: tuple[str, ...]
) -> None:
    """The backend's answer to the client, piece by piece; a backend that breaks off breaks the client's connection too."""
    said = answered.head
    headers = answer_headers(said, head, proxy, cookies)
    data, ends = answered.ready(), answered.is_whole
    await incoming.begin(said.status, said.reason, headers, sized=said.length >= 0, data=data, ends=ends)
    if ends:
        return
    try:
        while piece := await answered.read():
            await incoming.write(piece)
    except (BrokenOff, TimedOut, BrokenBody):
        incoming.abort()
        return
    passes = proxy.settings.backend_protocol in GRPC or wants_trailers(head)
    await incoming.end(passed_trailers(answered.trailers) if passes else ())


def answer_headers(said: ResponseHead, head: Request, proxy: Proxy, cookies: tuple[str, ...]) -> list[Header]:
    """The headers of the backend's answer as the client gets them."""
    dropped = NEVER_PASSED
    if "connection" in said.fields:
        dropped = dropped | {name.strip().lower() for name in said.fields["connection"].split(",")}
    if proxy.settings.controller.hidden_headers:
        dropped = dropped | proxy.settings.controller.hidden_headers
    if proxy.response_headers:
        dropped = dropped | {name.lower() for name, _ in proxy.response_headers}
    headers = [header for header in said.headers if header[0].lower() not in dropped]
    if proxy.settings.rewrites_answers:
        headers = [_rewritten(header, head, proxy) for header in headers]
    headers += proxy.response_headers
    headers += [("Set-Cookie", cookie) for cookie in cookies]
    return headers


def _rewritten(header: Header, head: Request, proxy: Proxy) -> Header:
    name, value = header
    lower = name.lower()
    if lower == "set-cookie":
        return name, rewritten_cookie(value, proxy.settings)
    if lower in ("location", "refresh"):
        return name, rewritten_location(value, head, proxy.settings)
    return header


# -- changed protocols -----------------------------------------------------------------------------------------


async def join(incoming: Incoming, answered: BackendAnswer, idle_seconds: float) -> None:
    """A WebSocket or another protocol, agreed upon by 101: bytes both ways until one side has ended or both are silent."""
    dropped = NEVER_PASSED - {"upgrade"} | {"content-length"}
    kept = [header for header in answered.head.headers if header[0].lower() not in dropped]
    tunnel = await incoming.tunnel(kept)
    with contextlib.suppress(TimeoutError, OSError, BrokenOff, TimedOut, _Over):
        async with asyncio.timeout(idle_seconds) as limit:
            await _first(
                _to_client(answered, tunnel, limit, idle_seconds), _to_backend(answered, tunnel, limit, idle_seconds)
            )


async def _to_backend(answered: BackendAnswer, tunnel: Tunnel, limit: asyncio.Timeout, seconds: float) -> None:
    while data := await tunnel.read():
        limit.reschedule(_soon(seconds))
        await answered.write(data)


async def _to_client(answered: BackendAnswer, tunnel: Tunnel, limit: asyncio.Timeout, seconds: float) -> None:
    while data := await answered.read():
        limit.reschedule(_soon(seconds))
        await tunnel.write(data)


class _Over(Exception):
    """One side has ended."""


async def _first(*works: Any) -> None:
    """Until one has ended; then the others are ended too. Raises _Over."""

    async def run(work: Any) -> None:
        await work
        raise _Over

    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(run(work))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds
