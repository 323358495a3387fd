"""Watches over HTTP: one JSON event a line, chunked, until the time is up, the client leaves or the server stops.

A watch holds no task of its own: it lives in its request's handler, which aiohttp cancels when the client leaves.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from aiohttp import web

from emulator.api.errors import ApiError
from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject
from emulator.apiserver import shapes
from emulator.apiserver.io.fanout import Fanout, Stream
from emulator.apiserver.io.respond import dumps, warning_headers
from emulator.apiserver.negotiation import JSON, Form
from emulator.apiserver.parameters import ListParameters
from emulator.apiserver.requestinfo import ResourceRequest
from emulator.registry.io.pipeline import Registry
from emulator.registry.io.reader import Events
from emulator.registry.options import WatchEvent

MIN_WATCH_SECONDS = 1800  # kube-apiserver --min-request-timeout; a watch lasts up to twice that
LAST_WRITE_SECONDS = 5.0  # for the end of the stream to reach a client that reads slowly
MAX_LINES = 256  # events told lately


class Watches:
    """The watches being served now; `end` lets each finish as if its time were up."""

    def __init__(self, registry: Registry, clock: Callable[[], datetime], rng: Callable[[int], int]) -> None:
        self._registry = registry
        self._clock = clock
        self._rng = rng
        self._open: set[asyncio.Timeout] = set()
        self._lines = _Lines()
        self._fanout = Fanout()

    def __len__(self) -> int:
        return len(self._open)

    def end(self) -> None:
        now = asyncio.get_running_loop().time()
        for limit in self._open:
            limit.reschedule(now)

    async def serve(
        self,
        request: web.BaseRequest,
        target: ResourceRequest,
        parameters: ListParameters,
        form: Form,
        include: str,
        warnings: Sequence[str],
    ) -> web.StreamResponse:
        """The stream, already ended. Raises ApiError while no event was sent, Expired among them."""
        seconds = parameters.timeout_seconds or MIN_WATCH_SECONDS + self._rng(MIN_WATCH_SECONDS)
        field_selector = parameters.field_selector
        if target.name:
            field_selector = ",".join(filter(None, (field_selector, f"metadata.name={target.name}")))
        async with self._registry.watch(
            target.kind,
            target.namespace,
            resource_version=parameters.resource_version,
            label_selector=parameters.label_selector,
            field_selector=field_selector,
            allow_bookmarks=parameters.allow_watch_bookmarks,
            send_initial_events=parameters.send_initial_events,
        ) as events:
            response = web.StreamResponse(headers=warning_headers(warnings))
            response.content_type = JSON
            response.headers["Cache-Control"] = "no-cache, private"
            if request.version >= (1, 1):
                response.enable_chunked_encoding()
            await response.prepare(request)
            encode = _Encoder(target.kind, form, include, self._clock, self._lines)
            stream = Stream(request, events, encode, chunked=response.chunked, shared=not form.shape)
            await self._stream(response, events, encode, seconds, stream)
        async with asyncio.timeout(LAST_WRITE_SECONDS):
            await response.write_eof()
        return response

    async def _stream(
        self, response: web.StreamResponse, events: Events, encode: _Encoder, seconds: float, stream: Stream
    ) -> None:
        events.divert(partial(self._fanout.wake, stream))
        try:
            async with asyncio.timeout(seconds) as limit:
                self._open.add(limit)
                stream.waiting = True
                async for event in events:  # what waits behind it goes in the same write: the busier, the cheaper
                    stream.waiting = False
                    await response.write(b"".join([encode(event), *map(encode, events.ready())]))
                    stream.waiting = True
        except TimeoutError:
            if not limit.expired():
                raise
        except ApiError as error:  # too late for a status code: told as the last event
            async with asyncio.timeout(LAST_WRITE_SECONDS):
                await response.write(_line("ERROR", error.status()))
        finally:
            stream.waiting = False
            self._open.discard(limit)


class _Lines:
    """Events as JSON lines, made once for all watchers that are told them. Bounded."""

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[str, int], tuple[JsonObject, bytes]] = OrderedDict()

    def of(self, event: WatchEvent) -> bytes:
        key = (event.type, id(event.object))
        held = self._made.get(key)
        if held is not None and held[0] is event.object:
            return held[1]
        line = _line(event.type, event.object)
        self._made[key] = (event.object, line)
        if len(self._made) > MAX_LINES:
            self._made.popitem(last=False)
        return line


class _Encoder:
    """Events in the asked-for form. The first Table of a stream names its columns, the others do not."""

    def __init__(self, kind: Kind, form: Form, include: str, clock: Callable[[], datetime], lines: _Lines) -> None:
        self._lines = lines
        self._kind = kind
        self._form = form
        self._include = include
        self._clock = clock
        self._header = True

    def __call__(self, event: WatchEvent) -> bytes:
        if not self._form.shape:
            return self._lines.of(event)
        if self._form.shape != "Table":
            return _line(event.type, shapes.partial(event.object, self._form.version))
        if event.type == "BOOKMARK":
            return _line(event.type, shapes.bookmark_table(self._kind, event.object, self._form.version))
        table = shapes.table(
            self._kind,
            [event.object],
            {"resourceVersion": event.object["metadata"].get("resourceVersion", "")},
            include=self._include,
            at=self._clock(),
            version=self._form.version,
            header=self._header,
        )
        self._header = False
        return _line(event.type, table)


def _line(type: str, object: JsonObject) -> bytes:
    return b'{"type":"' + type.encode() + b'","object":' + dumps(object) + b"}\n"
