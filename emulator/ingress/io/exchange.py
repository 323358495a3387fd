"""One request of a client carried to a backend and its answer back, in pieces, with back-pressure both ways.

Source of the statuses: nginx ngx_http_upstream.c (502, 503, 504), ngx_http_request.h (499 is never seen here).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from emulator.ingress.headers import HOP_BY_HOP, rewritten_cookie, rewritten_location
from emulator.ingress.io.backends import CannotConnect, Dial, dialled, unverified
from emulator.ingress.model import Header, Proxy, Request
from emulator.io.rawtunnel import RawTunnel

PIECE_BYTES = 64 * 1024
MAX_HEAD_BYTES = 64 * 1024
IDEMPOTENT = frozenset(("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"))
NEVER_PASSED = frozenset(("date", "server", "x-pad", "x-accel-expires", "x-accel-redirect", "x-accel-buffering"))


class Failed(Exception):
    """The backend did not answer; `status` is nginx's. `retry` names why another endpoint may be asked, "" for never."""

    def __init__(self, status: int, why: str, retry: str = "") -> None:
        super().__init__(why)
        self.status = status
        self.retry = retry


class TooLarge(Exception):
    """The body is longer than the location allows."""


class Body:
    """The client's body on its way; counts, so that a chunked one has a limit too."""

    def __init__(self, request: web.BaseRequest, limit_bytes: int) -> None:
        self._request = request
        self._limit = limit_bytes
        self._taken = 0
        self.began = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises TooLarge."""
        self.began = True
        async for piece in self._request.content.iter_any():
            self._taken += len(piece)
            if self._limit and self._taken > self._limit:
                raise TooLarge
            yield piece


def request_headers(request: web.BaseRequest, proxy: Proxy, more: tuple[Header, ...] = ()) -> CIMultiDict[str]:
    """What the backend is sent."""
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in request.headers.items():
        if name.lower() not in proxy.request_headers.drop and name.lower() != "expect":
            headers.add(name, value)
    for name, value in (*proxy.request_headers.set, *more):
        headers[name] = value
    headers["Host"] = proxy.vhost
    return headers


async def ask(
    session: aiohttp.ClientSession,
    request: web.BaseRequest,
    proxy: Proxy,
    place: tuple[str, int],
    headers: CIMultiDict[str],
    body: Body,
) -> aiohttp.ClientResponse:
    """The head of the backend's answer. Raises Failed, TooLarge."""
    settings = proxy.settings
    scheme = "https" if settings.backend_protocol == "HTTPS" else "http"
    host = f"[{place[0]}]" if ":" in place[0] else place[0]
    query = f"?{proxy.query}" if proxy.query else ""
    url = URL(f"{scheme}://{host}:{place[1]}{proxy.path}{query}", encoded=True)
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=settings.connect_timeout_seconds, sock_read=settings.read_timeout_seconds
    )
    has_body = request.can_read_body
    try:
        return await session.request(
            request.method,
            url,
            headers=headers,
            data=body.pieces() if has_body else None,
            allow_redirects=False,
            timeout=timeout,
        )
    except CannotConnect as error:
        raise _unreachable(error) from error
    except TimeoutError as error:
        retry = "timeout" if request.method in IDEMPOTENT and not body.began else ""
        raise Failed(HTTPStatus.GATEWAY_TIMEOUT, f"{url}: no answer in time", retry) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if isinstance(error.__cause__, TooLarge) or isinstance(error, TooLarge):
            raise TooLarge from error
        # A kept connection that the backend closed meanwhile: nothing came back, so asking again is safe.
        retry = "error" if request.method in IDEMPOTENT and not body.began else ""
        raise Failed(HTTPStatus.BAD_GATEWAY, f"{url}: {error or type(error).__name__}", retry) from error


def _unreachable(error: CannotConnect) -> Failed:
    if error.timed_out:
        return Failed(HTTPStatus.GATEWAY_TIMEOUT, str(error), "timeout")
    return Failed(HTTPStatus.BAD_GATEWAY, str(error), "error")


class Answer(web.StreamResponse):
    """A response without a Server header, as ingress-nginx sends them."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)


class WholeAnswer(web.Response):
    """The same for a body that is all there: head and body leave in one write."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)


async def pass_back(
    request: web.BaseRequest,
    head: Request,
    answered: aiohttp.ClientResponse,
    proxy: Proxy,
    cookies: tuple[str, ...],
) -> web.StreamResponse:
    """The backend's answer to the client, piece by piece; a backend that breaks off breaks the client's connection too."""
    headers = answer_headers(answered.headers, head, proxy, cookies)
    if answered.content.is_eof() and answered.headers.get("Content-Length") and request.method != "HEAD":
        whole = WholeAnswer(status=answered.status, reason=answered.reason, headers=headers, body=await answered.read())
        await whole.prepare(request)
        with contextlib.suppress(ConnectionError):
            await whole.write_eof()
        return whole
    response = Answer(status=answered.status, reason=answered.reason, headers=headers)
    has_body = answered.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED) and request.method != "HEAD"
    if has_body and answered.headers.get("Content-Length") is None and request.version >= (1, 1):
        response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        async for piece in answered.content.iter_any():
            await response.write(piece)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError(f"the backend broke off: {error}") from error
    with contextlib.suppress(ConnectionError):
        await response.write_eof()
    return response


def answer_headers(sent: Mapping[str, str], head: Request, proxy: Proxy, cookies: tuple[str, ...]) -> CIMultiDict[str]:
    """The headers of the backend's answer as the client gets them."""
    listed = {name.strip().lower() for name in sent.get("Connection", "").split(",")}
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in sent.items():
        lower = name.lower()
        if lower in HOP_BY_HOP or lower in NEVER_PASSED or lower in listed:
            continue
        if lower == "set-cookie":
            value = rewritten_cookie(value, proxy.settings)
        elif lower in ("location", "refresh"):
            value = rewritten_location(value, head, proxy.settings)
        headers.add(name, value)
    for name, value in proxy.response_headers:
        headers[name] = value
    for cookie in cookies:
        headers.add("Set-Cookie", cookie)
    return headers


# -- changed protocols -----------------------------------------------------------------------------------------


async def upgrade(
    request: web.BaseRequest, proxy: Proxy, place: tuple[str, int], headers: CIMultiDict[str], dial: Dial
) -> web.StreamResponse:
    """A WebSocket or another upgrade: the request as it came, then bytes both ways. Raises Failed."""
    settings = proxy.settings
    try:
        sock = await dialled(dial, place[0], place[1], settings.connect_timeout_seconds)
    except CannotConnect as error:
        raise _unreachable(error) from error
    secure = settings.backend_protocol == "HTTPS"
    try:
        reader, writer = await asyncio.open_connection(
            sock=sock,
            ssl=unverified() if secure else None,
            server_hostname="" if secure else None,
            limit=MAX_HEAD_BYTES,
        )
    except BaseException:
        sock.close()
        raise
    try:
        target = f"{proxy.path}?{proxy.query}" if proxy.query else proxy.path
        lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape"))
        try:
            async with asyncio.timeout(settings.read_timeout_seconds):
                text = (await reader.readuntil(b"\r\n\r\n")).decode("utf-8", "surrogateescape")
        except TimeoutError as error:
            raise Failed(HTTPStatus.GATEWAY_TIMEOUT, "no answer in time") from error
        except (OSError, EOFError, asyncio.LimitOverrunError) as error:
            raise Failed(HTTPStatus.BAD_GATEWAY, f"the backend broke off: {error}") from error
        status, answered = _parsed(text)
        if status != HTTPStatus.SWITCHING_PROTOCOLS:
            return await _plain_answer(reader, status, answered)
        return await _joined(request, reader, writer, answered, settings.read_timeout_seconds)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _parsed(text: str) -> tuple[int, CIMultiDict[str]]:
    first, *lines = text.split("\r\n")
    parts = first.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
        raise Failed(HTTPStatus.BAD_GATEWAY, "the backend does not speak HTTP")
    pairs = [line.partition(":") for line in lines if ":" in line]
    return int(parts[1]), CIMultiDict((name.strip(), value.strip()) for name, _, value in pairs)


async def _plain_answer(reader: asyncio.StreamReader, status: int, headers: CIMultiDict[str]) -> web.StreamResponse:
    """The backend would not change protocols; its refusal, as far as it is a short one."""
    body = b""
    with contextlib.suppress(EOFError, OSError, ValueError):
        length = min(int(headers.get("Content-Length", "0")), MAX_HEAD_BYTES)
        body = await reader.readexactly(length)
    kept = CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP | {"content-length"}
    )
    return web.Response(status=status, headers=kept, body=body)


async def _joined(
    request: web.BaseRequest,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    headers: CIMultiDict[str],
    idle_seconds: float,
) -> web.StreamResponse:
    kept = {name: value for name, value in headers.items() if name.lower() not in ("connection", "content-length")}
    tunnel = await RawTunnel(request, kept).open()

    async def to_backend(limit: asyncio.Timeout) -> None:
        while data := await tunnel.read():
            limit.reschedule(_soon(idle_seconds))
            writer.write(data)
            await writer.drain()

    async def to_client(limit: asyncio.Timeout) -> None:
        while data := await reader.read(PIECE_BYTES):
            limit.reschedule(_soon(idle_seconds))
            await tunnel.write(data)

    with contextlib.suppress(TimeoutError, OSError, _Over):
        async with asyncio.timeout(idle_seconds) as limit:
            await _first(to_client(limit), to_backend(limit))
    return tunnel.response


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
