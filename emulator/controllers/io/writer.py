"""Writes what plans want, and sees to it that no plan acts on a past that lacks its own writes.

Expectations: after each plan, failed half way or not, the writer waits until the informers show every write that went
through. What they do not show in CATCH_UP_SECONDS stays expected of the plan's key, and the key is not planned again
before it is seen, or EXPECT_SECONDS are over (as upstream's ExpectationsTimeout). So a plan never makes a pod twice
because it did not see the first, and plans need no memory of their own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from emulator.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from emulator.api.kinds import BINDING, EVENT, POD, Kind
from emulator.api.meta import JsonObject, ObjectKey, is_terminating
from emulator.client.io.protocol import Client
from emulator.controllers.changes import Changes, Delete, View
from emulator.controllers.eventseries import EventSeries
from emulator.io import clock

log = logging.getLogger(__name__)

CATCH_UP_SECONDS = 2.0  # how long a plan waits for the informers to show its last writes
EXPECT_SECONDS = 300.0
BOUND = -1  # the answer to a binding has no revision


@dataclass(frozen=True, slots=True)
class Expected:
    """A write that the informers are to show: this object at this revision or later; 0: gone or going; BOUND: a pod
    on its node."""

    kind: Kind
    key: ObjectKey
    uid: str
    revision: int
    until: float

    def is_seen(self, view: View, revision: int) -> bool:
        """revision: up to which the kind's informer has followed."""
        if self.revision > 0:
            return revision >= self.revision
        held = view.get(self.kind, self.key.name, self.key.namespace)
        if self.revision == BOUND and held is not None and held["spec"].get("nodeName"):
            return True
        return held is None or held["metadata"]["uid"] != self.uid or is_terminating(held)


class Writer:
    """Applies Changes through one client; `revision_of` tells how far the informer of a kind has come."""

    def __init__(
        self,
        client: Client,
        view: View,
        revision_of: Callable[[Kind], int],
        at: Callable[[], datetime],
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._client = client
        self._view = view
        self._revision_of = revision_of
        self._at = at
        self._now = now
        self._series = EventSeries()

    async def apply(self, changes: Changes) -> list[Expected]:
        """Write, in the order that Changes promises, and wait; what the informers do not show yet.

        Raises the first ApiError; what was written before it is waited for all the same, and left in its `expected`.
        """
        expected: list[Expected] = []
        try:
            await self._apply(changes, expected)
        except ApiError as error:
            left = await self._caught_up(expected)
            raise Unfinished(error, left) from error
        return await self._caught_up(expected)

    async def _apply(self, changes: Changes, expected: list[Expected]) -> None:
        for write in changes.updates:
            updated = await self._client.update(write.kind, write.object, subresource=write.subresource)
            expected.append(self._expected(write.kind, updated))
            if write.told is not None:
                await self._tell(write.told(updated))
        await self._create(changes, expected)
        for delete in changes.deletes:
            await self._delete(delete, expected)
        for told in changes.events:
            await self._tell(told)

    async def _create(self, changes: Changes, expected: list[Expected]) -> None:
        """Stops at the first refusal: what follows would be refused alike."""
        for write in changes.creates:
            try:
                created = await self._client.create(write.kind, write.object)
            except AlreadyExists:
                continue  # somebody was faster; its event brings the key back
            except ApiError as error:
                if changes.refused is not None and not namespace_goes(error):
                    await self._apply(replace(changes.refused(error), refused=None), expected)
                raise
            expected.append(self._expected(write.kind, write.object if write.kind is BINDING else created))
            if write.told is not None:
                await self._tell(write.told(created))

    async def _delete(self, delete: Delete, expected: list[Expected]) -> None:
        try:
            await self._client.delete(
                delete.kind,
                delete.key.name,
                delete.key.namespace,
                uid=delete.uid,
                propagation=delete.propagation,
                grace_period_seconds=delete.grace_period_seconds,
            )
        except (NotFound, Conflict):  # it is gone, or another one has its name
            return
        expected.append(Expected(delete.kind, delete.key, delete.uid, 0, self._now() + EXPECT_SECONDS))

    async def _tell(self, told: JsonObject) -> None:
        write = self._series.take(told, self._at())
        if write is None:
            return
        try:
            if write.name:
                await self._client.patch(EVENT, write.name, write.namespace, patch=write.object)
            else:
                await self._client.create(EVENT, write.object)
        except ApiError as error:
            self._series.forget(told)
            log.debug("event not written: %s", error)

    def _expected(self, kind: Kind, object: JsonObject) -> Expected:
        metadata = object["metadata"]
        key = ObjectKey(metadata.get("namespace") or "", metadata["name"])
        if kind is BINDING:
            return Expected(POD, key, metadata.get("uid") or "", BOUND, self._now() + EXPECT_SECONDS)
        return Expected(kind, key, metadata["uid"], int(metadata["resourceVersion"]), self._now() + EXPECT_SECONDS)

    async def _caught_up(self, expected: list[Expected]) -> list[Expected]:
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                while expected:
                    if expected[-1].is_seen(self._view, self._revision_of(expected[-1].kind)):
                        expected.pop()
                    else:
                        await asyncio.sleep(0)
        except TimeoutError:
            log.warning("informers are %.0f s behind", CATCH_UP_SECONDS)
        return expected

    def unseen(self, expected: list[Expected]) -> list[Expected]:
        """Those that are still to be waited for."""
        now = self._now()
        return [
            each for each in expected if each.until > now and not each.is_seen(self._view, self._revision_of(each.kind))
        ]


class Unfinished(Exception):
    """Some writes of a plan went through before one failed."""

    def __init__(self, error: ApiError, expected: list[Expected]) -> None:
        super().__init__(str(error))
        self.error = error
        self.expected = expected


def namespace_goes(error: ApiError) -> bool:
    """Whether the namespace is being deleted: nobody needs to be told that nothing is made there."""
    causes = (error.details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
