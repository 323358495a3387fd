"""The Client protocol: what every part may ask of the API, in process or over HTTP alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
PatchType = Literal["json", "merge", "strategic", "apply"]
Propagation = Literal["Background", "Foreground", "Orphan"]


@dataclass(frozen=True, slots=True)
class ObjectList:
    """Items as they stood at one revision; items are shared, never change them."""

    items: list[JsonObject]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    type: EventType
    object: JsonObject


class Client(Protocol):
    """Raises the ApiError kinds of emulator.api.errors; objects that come back are shared: copy to change."""

    async def get(self, kind: Kind, name: str, namespace: str = "") -> JsonObject: ...

    async def list(
        self, kind: Kind, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> ObjectList:
        """namespace "" lists all namespaces."""
        ...

    def watch(
        self, kind: Kind, namespace: str = "", *, resource_version: str
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent]]:
        """Events after `resource_version`. The iterator raises Expired when the watcher fell behind."""
        ...

    async def create(
        self, kind: Kind, object: JsonObject, *, dry_run: bool = False, strict: bool = False
    ) -> JsonObject:
        """The namespace is metadata.namespace. `strict` refuses unknown and duplicate fields."""
        ...

    async def update(self, kind: Kind, object: JsonObject, *, subresource: str = "") -> JsonObject:
        """Fails with Conflict if metadata.resourceVersion is set and stale."""
        ...

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        patch: Any,
        patch_type: PatchType = "merge",
        subresource: str = "",
        strict: bool = False,
        manager: str = "",
        force: bool = False,
    ) -> JsonObject:
        """`apply` is server-side apply: `patch` is what `manager` wants, `force` takes fields that others own.
        Without a manager the client's own name counts."""
        ...

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        uid: str | None = None,
        propagation: Propagation | None = None,
        grace_period_seconds: int | None = None,
    ) -> JsonObject: ...
