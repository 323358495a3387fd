"""One change to many watches: written straight to their connections, many in one turn of the loop, without their tasks.

A watch that only waits for events needs no task switch to be told one; its bytes are made once for all that are told
the same. Whatever is not that simple (a slow client, an end, an error) is left to the watch's own task.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from aiohttp import web

from emulator.api.errors import ApiError
from emulator.io.transports import cut
from emulator.registry.io.reader import Change, Events
from emulator.registry.options import WatchEvent

log = logging.getLogger(__name__)

BURST = 100  # watches a turn of the loop: requests get theirs in between

Encode = Callable[[WatchEvent], bytes]
Memo = dict[tuple[int, ...], tuple[Sequence[Change], bytes]]
"""Bytes by the identities of the events, which the entry keeps alive."""


class Stream:
    """One watch while it is served. `waiting` says that its task does nothing but wait for the next event."""

    __slots__ = ("_chunked", "_encode", "_events", "_request", "_shared", "queued", "waiting")

    def __init__(
        self, request: web.BaseRequest, events: Events, encode: Encode, *, chunked: bool, shared: bool
    ) -> None:
        """shared: `encode` gives the same bytes as that of every other shared stream."""
        self._request = request
        self._events = events
        self._encode = encode
        self._chunked = chunked
        self._shared = shared and events.whole
        self.queued = False
        self.waiting = False

    def push(self, memo: Memo) -> None:
        """Write what is new, or wake the task to do it."""
        transport = self._request.transport
        if not self.waiting or transport is None or transport.is_closing() or self._request.protocol.writing_paused:
            self._events.rouse()
            return
        try:
            taken = self._events.take()
        except ApiError:  # it fell behind; the task will be told so too
            self._events.rouse()
            return
        if not taken:
            return
        try:
            data = self._shared_bytes(taken, memo) if self._shared else self._bytes(taken)
        except Exception:  # these events are taken: the client has to begin anew
            log.exception("a watch cannot be served")
            cut(transport)
            return
        if data:
            transport.write(data)

    def _shared_bytes(self, taken: Sequence[Change], memo: Memo) -> bytes:
        key = (self._chunked, *map(id, taken))
        held = memo.get(key)
        if held is None:
            held = memo[key] = (taken, self._bytes(taken))
        return held[1]

    def _bytes(self, taken: Sequence[Change]) -> bytes:
        data = b"".join(map(self._encode, self._events.told(taken)))
        return b"%x\r\n%b\r\n" % (len(data), data) if data and self._chunked else data


class Fanout:
    """The watches that have something new, in the order they were told."""

    def __init__(self) -> None:
        self._woken: deque[Stream] = deque()
        self._scheduled = False

    def wake(self, stream: Stream) -> None:
        if not stream.queued:
            stream.queued = True
            self._woken.append(stream)
            if not self._scheduled:
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        memo: Memo = {}
        for _ in range(min(BURST, len(self._woken))):
            stream = self._woken.popleft()
            stream.queued = False
            stream.push(memo)
        self._scheduled = bool(self._woken)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._flush)
