"""A loopback Network and an API that only stores and tells: enough for the node agent, without the registry."""

from __future__ import annotations

import asyncio
import copy
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from emulator.api.errors import AlreadyExists, Conflict, NotFound
from emulator.api.kinds import POD, Kind
from emulator.api.meta import JsonObject, ObjectKey, format_time, key_of
from emulator.client.io.protocol import ObjectList, PatchType, Propagation, WatchEvent


class LoopbackNetwork:
    """Plain sockets of this host."""

    mode = "loopback"

    async def tcp_listener(self, host: str, port: int, *, backlog: int = 1024) -> socket.socket:
        sock = socket.socket()
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.listen(backlog)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        return sock

    async def udp_socket(self, host: str, port: int) -> socket.socket:
        sock = socket.socket(type=socket.SOCK_DGRAM)
        try:
            sock.bind((host, port))
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        return sock

    async def tcp_connect(self, host: str, port: int, *, timeout_seconds: float = 5.0) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        try:
            async with asyncio.timeout(timeout_seconds):
                await asyncio.get_running_loop().sock_connect(sock, (host, port))
        except BaseException:
            sock.close()
            raise
        return sock

    async def udp_connect(self, host: str, port: int) -> socket.socket:
        sock = socket.socket(type=socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect((host, port))
        return sock


class FakeApi:
    """Fulfils Client: revisions, conflicts, graceful deletion of pods; no defaults, no validation."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[ObjectKey, JsonObject]] = {}
        self.writes: list[tuple[str, str, str]] = []
        self._watchers: list[tuple[Kind, asyncio.Queue[WatchEvent]]] = []
        self._revision = itertools.count(1)

    def _tell(self, kind: Kind, type: Any, object: JsonObject) -> None:
        for watched, queue in self._watchers:
            if watched.resource == kind.resource:
                queue.put_nowait(WatchEvent(type, object))

    def _stored(self, kind: Kind) -> dict[ObjectKey, JsonObject]:
        return self.objects.setdefault(kind.resource, {})

    def _put(self, kind: Kind, object: JsonObject, type: str) -> JsonObject:
        object["metadata"]["resourceVersion"] = str(next(self._revision))
        self._stored(kind)[key_of(object)] = object
        self.writes.append((type, kind.resource, object["metadata"]["name"]))
        self._tell(kind, type, object)
        return object

    async def get(self, kind: Kind, name: str, namespace: str = "") -> JsonObject:
        try:
            return self._stored(kind)[ObjectKey(namespace, name)]
        except KeyError:
            raise NotFound.of(kind.resource, name) from None

    async def list(
        self, kind: Kind, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> ObjectList:
        return ObjectList(list(self._stored(kind).values()), "0")

    @asynccontextmanager
    async def watch(
        self, kind: Kind, namespace: str = "", *, resource_version: str
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        queue: asyncio.Queue[WatchEvent] = asyncio.Queue()
        entry = (kind, queue)
        self._watchers.append(entry)

        async def events() -> AsyncIterator[WatchEvent]:
            while True:
                yield await queue.get()

        try:
            yield events()
        finally:
            self._watchers.remove(entry)

    async def create(self, kind: Kind, object: JsonObject, *, dry_run: bool = False) -> JsonObject:
        object = copy.deepcopy(object)
        if key_of(object) in self._stored(kind):
            raise AlreadyExists.of(kind.resource, object["metadata"]["name"])
        object["metadata"].setdefault("uid", f"uid-{next(self._revision)}")
        if kind is POD:
            object["status"] = {"phase": "Pending"}
        return self._put(kind, object, "ADDED")

    async def update(self, kind: Kind, object: JsonObject, *, subresource: str = "") -> JsonObject:
        held = await self.get(kind, object["metadata"]["name"], object["metadata"].get("namespace") or "")
        if object["metadata"].get("resourceVersion") not in (None, held["metadata"]["resourceVersion"]):
            raise Conflict.of(kind.resource, object["metadata"]["name"])
        new = copy.deepcopy({**held, "status": object.get("status")} if subresource == "status" else object)
        return self._put(kind, new, "MODIFIED")

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        patch: Any,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> JsonObject:
        return self._put(kind, _merged(await self.get(kind, name, namespace), patch), "MODIFIED")

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        uid: str | None = None,
        propagation: Propagation | None = None,
        grace_period_seconds: int | None = None,
    ) -> JsonObject:
        held = await self.get(kind, name, namespace)
        if uid not in (None, held["metadata"]["uid"]):
            raise Conflict.of(kind.resource, name)
        if kind is POD and grace_period_seconds != 0:
            new = copy.deepcopy(held)
            new["metadata"]["deletionTimestamp"] = format_time(datetime.now(UTC))
            new["metadata"]["deletionGracePeriodSeconds"] = 30 if grace_period_seconds is None else grace_period_seconds
            return self._put(kind, new, "MODIFIED")
        gone = self._stored(kind).pop(key_of(held))
        self.writes.append(("DELETED", kind.resource, name))
        self._tell(kind, "DELETED", gone)
        return gone


def _merged(document: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged
