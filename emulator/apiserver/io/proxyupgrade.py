"""A change of protocol (WebSocket, SPDY) passed on to a backend: the request as it came, then bytes both ways.

Source: k8s.io/apimachinery pkg/util/proxy/upgradeaware.go (tryUpgrade).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

from aiohttp import web

from emulator.api.errors import ServiceUnavailable
from emulator.apiserver.io.sessions import Interrupted, first
from emulator.apiserver.proxying import HOP_BY_HOP, Header
from emulator.io.rawtunnel import RawTunnel

MAX_HEAD_BYTES = 64 * 1024
MAX_REFUSAL_BYTES = 1024 * 1024
ANSWER_SECONDS = 30.0
PIECE_BYTES = 64 * 1024


async def pass_on(
    request: web.BaseRequest, sock: socket.socket, path: str, headers: list[Header], tls: ssl.SSLContext | None
) -> web.StreamResponse:
    """Owns `sock`. Raises ServiceUnavailable when the backend gives no answer."""
    try:
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=tls, server_hostname="" if tls else None, limit=MAX_HEAD_BYTES
        )
    except OSError as error:
        raise ServiceUnavailable(f"error trying to reach service: {error}") from error
    except BaseException:
        sock.close()
        raise
    try:
        lines = [f"{request.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
        writer.write("\r\n".join(lines).encode("utf-8", "surrogateescape"))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
            raise ServiceUnavailable("error trying to reach service: EOF") from error
        status, reason, answered = _parsed(head)
        if status != 101:
            return await _refused(reader, status, reason, answered)
        return await _joined(request, reader, writer, answered)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _parsed(head: bytes) -> tuple[int, str, list[Header]]:
    first_line, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    parts = first_line.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
        raise ServiceUnavailable("error trying to reach service: malformed HTTP response")
    pairs = [line.partition(":") for line in lines if ":" in line]
    return (
        int(parts[1]),
        parts[2] if len(parts) > 2 else "",
        [(name.strip(), value.strip()) for name, _, value in pairs],
    )


async def _refused(reader: asyncio.StreamReader, status: int, reason: str, headers: list[Header]) -> web.Response:
    """The backend's own answer, as far as it is a short one."""
    length = next((value for name, value in headers if name.lower() == "content-length"), None)
    is_chunked = any(name.lower() == "transfer-encoding" and "chunked" in value.lower() for name, value in headers)
    body = b""
    with contextlib.suppress(EOFError, OSError, TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS):
            if is_chunked:
                body = await _chunks(reader)
            elif length is not None and length.isdigit():
                body = await reader.readexactly(min(int(length), MAX_REFUSAL_BYTES))
            elif status not in (204, 304):
                body = await reader.read(MAX_REFUSAL_BYTES)
    kept = [(name, value) for name, value in headers if name.lower() not in HOP_BY_HOP | {"content-length"}]
    return web.Response(status=status, reason=reason, headers=kept, body=body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """A chunked body, as far as it is a short one."""
    body = b""
    while len(body) < MAX_REFUSAL_BYTES:
        text = (await reader.readline()).split(b";")[0].strip()
        try:
            size = int(text, 16)
        except ValueError:
            break
        if not 0 < size <= MAX_REFUSAL_BYTES:
            break
        body += (await reader.readexactly(size + 2))[:size]
    return body


async def _joined(
    request: web.BaseRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: list[Header]
) -> web.StreamResponse:
    kept = {name: value for name, value in headers if name.lower() not in ("connection", "content-length")}
    tunnel = await RawTunnel(request, kept).open()

    async def to_backend() -> None:
        while data := await tunnel.read():
            writer.write(data)
            await writer.drain()

    async def to_client() -> None:
        while data := await reader.read(PIECE_BYTES):
            await tunnel.write(data)

    with contextlib.suppress(Interrupted, OSError):
        await first(to_client(), to_backend())
    return tunnel.response
