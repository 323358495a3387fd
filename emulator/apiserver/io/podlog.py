"""The log of a container, sent as it comes.

The head of the answer waits a moment for the first text, so that a refusal of whoever has the log can still be told
as a Status; later than that a failure only ends the text.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from emulator.api.meta import JsonObject
from emulator.apiserver.io.sessions import Interrupted, Sessions
from emulator.io.podstreams import LogOptions, PodStreams

HEAD_SECONDS = 0.25  # how long the head of an answer waits for its first text
LAST_WRITE_SECONDS = 1.0


async def serve_log(
    request: web.BaseRequest, sessions: Sessions, pod: JsonObject, streams: PodStreams, options: LogOptions
) -> web.StreamResponse:
    """Raises the ApiErrors of whoever has the log."""
    metadata = pod["metadata"]
    chunks = streams.logs(metadata["namespace"], metadata["name"], options)
    response = web.StreamResponse(headers={"Cache-Control": "no-cache, private"})
    response.content_type = "text/plain"
    if request.version >= (1, 1):
        response.enable_chunked_encoding()
    async with contextlib.AsyncExitStack() as stack:
        if (close := getattr(chunks, "aclose", None)) is not None:
            stack.push_async_callback(close)
        try:
            # A log that is not followed ends by itself; it may be read after its pod went away.
            await sessions.run(_send(request, response, chunks), pod if options.follow else None)
        except Interrupted:
            if not response.prepared:
                await response.prepare(request)
    async with asyncio.timeout(LAST_WRITE_SECONDS):
        await response.write_eof()
    return response


async def _send(request: web.BaseRequest, response: web.StreamResponse, chunks: AsyncIterator[bytes]) -> None:
    async with asyncio.TaskGroup() as group:
        header = group.create_task(_prepare_later(request, response))
        try:
            first = await anext(chunks, None)
        finally:
            header.cancel()
    if not response.prepared:
        await response.prepare(request)
    if first is None:
        return
    await response.write(first)
    async for chunk in chunks:
        await response.write(chunk)


async def _prepare_later(request: web.BaseRequest, response: web.StreamResponse) -> None:
    await asyncio.sleep(HEAD_SECONDS)
    await response.prepare(request)
