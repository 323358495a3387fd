"""Writes Events about pods. Nobody waits for them: a full queue drops, and repeats become a count."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from emulator.api.errors import ApiError
from emulator.api.kinds import EVENT
from emulator.api.meta import JsonObject, format_time
from emulator.client.io.protocol import Client

log = logging.getLogger(__name__)

MAX_WAITING = 10_000
MAX_REMEMBERED = 4096  # client-go's event aggregation cache
YIELD_SECONDS = 0.02  # between looks whether pods still have to start
MAX_YIELDS = 50


@dataclass(frozen=True, slots=True)
class _Event:
    object: JsonObject
    type: str
    reason: str
    message: str
    field_path: str
    host: str
    at: datetime


class EventRecorder:
    """Records as the kubelet does; `run` writes. `busy` says whether pods wait: they go first."""

    def __init__(self, client: Client, clock: Callable[[], datetime], busy: Callable[[], bool]) -> None:
        self._client = client
        self._clock = clock
        self._busy = busy
        self._waiting: deque[_Event] = deque()
        self._available = asyncio.Event()
        self._written: OrderedDict[tuple[str, ...], tuple[str, int]] = OrderedDict()
        self._serial = 0
        self.dropped = 0

    def record(
        self,
        pod: JsonObject,
        host: str,
        type: str,
        reason: str,
        message: str,
        *,
        container: str = "",
        init: bool = False,
    ) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            return
        field = f"spec.{'initContainers' if init else 'containers'}{{{container}}}" if container else ""
        self._waiting.append(_Event(pod, type, reason, message, field, host, self._clock()))
        self._available.set()

    async def run(self) -> None:
        while True:
            while not self._waiting:
                self._available.clear()
                await self._available.wait()
            for _ in range(MAX_YIELDS):
                if not self._busy():
                    break
                await asyncio.sleep(YIELD_SECONDS)
            try:
                await self._write(self._waiting.popleft())
            except ApiError as error:
                log.debug("event not written: %s", error)  # the object or its namespace is gone
            except Exception:  # what is told about pods must not stop the pods
                log.exception("event not written")
            await asyncio.sleep(0)

    async def _write(self, event: _Event) -> None:
        metadata = event.object["metadata"]
        identity = (metadata.get("uid") or "", event.type, event.reason, event.message, event.field_path)
        namespace = metadata.get("namespace") or "default"
        name, count = self._written.get(identity, ("", 0))
        if name:
            change = {"count": count + 1, "lastTimestamp": format_time(event.at)}
            await self._client.patch(EVENT, name, namespace, patch=change)
        else:
            self._serial += 1
            name = f"{metadata['name']}.{int(event.at.timestamp() * 1e6) * 1000 + self._serial % 1000:x}"
            await self._client.create(EVENT, _manifest(event, name, namespace))
        self._written[identity] = (name, count + 1)
        self._written.move_to_end(identity)
        if len(self._written) > MAX_REMEMBERED:
            self._written.popitem(last=False)


def _manifest(event: _Event, name: str, namespace: str) -> JsonObject:
    metadata = event.object["metadata"]
    involved = {
        "kind": "Pod",
        "namespace": namespace,
        "name": metadata["name"],
        "uid": metadata.get("uid"),
        "apiVersion": "v1",
        "resourceVersion": metadata.get("resourceVersion"),
    }
    if event.field_path:
        involved["fieldPath"] = event.field_path
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": involved,
        "reason": event.reason,
        "message": event.message,
        "source": {"component": "kubelet", "host": event.host},
        "firstTimestamp": format_time(event.at),
        "lastTimestamp": format_time(event.at),
        "count": 1,
        "type": event.type,
        "eventTime": None,
        "reportingComponent": "kubelet",
        "reportingInstance": event.host,
    }
