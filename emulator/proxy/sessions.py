"""The UDP flow table: which client address goes to which backend, as connection tracking remembers it. No I/O.

Bounded: the flow that was quiet longest makes room. Whoever holds sockets closes those of the flows handed back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

IDLE_SECONDS = 60.0
MAX_FLOWS = 4096

Group = TypeVar("Group")
Handle = TypeVar("Handle")


@dataclass(slots=True)
class Flow(Generic[Group, Handle]):
    """One client's way to one backend through one listener (`group`)."""

    group: Group
    client: Any
    backend: tuple[str, int]
    handle: Handle
    last: float


class FlowTable(Generic[Group, Handle]):
    """All flows, the least recently used first."""

    def __init__(self, *, idle_seconds: float = IDLE_SECONDS, limit: int = MAX_FLOWS) -> None:
        self._idle = idle_seconds
        self._limit = limit
        self._flows: OrderedDict[tuple[Group, Any], Flow[Group, Handle]] = OrderedDict()
        self._groups: dict[Group, dict[Any, Flow[Group, Handle]]] = {}

    def __len__(self) -> int:
        return len(self._flows)

    def find(self, group: Group, client: Any, now: float) -> Flow[Group, Handle] | None:
        """The client's flow, which counts as used by this."""
        flow = self._flows.get((group, client))
        if flow is not None:
            self.touch(flow, now)
        return flow

    def touch(self, flow: Flow[Group, Handle], now: float) -> None:
        """Traffic in either direction keeps a flow."""
        flow.last = now
        self._flows.move_to_end((flow.group, flow.client))

    def add(
        self, group: Group, client: Any, backend: tuple[str, int], handle: Handle, now: float
    ) -> tuple[Flow[Group, Handle], list[Flow[Group, Handle]]]:
        """Remember a new flow; it and those that had to make room."""
        flow = Flow(group, client, backend, handle, now)
        gone = self._take([self._flows[(group, client)]] if (group, client) in self._flows else [])
        self._flows[(group, client)] = flow
        self._groups.setdefault(group, {})[client] = flow
        while len(self._flows) > self._limit:
            gone += self._take([next(iter(self._flows.values()))])
        return flow, gone

    def expire(self, now: float) -> list[Flow[Group, Handle]]:
        """Take out what was idle for too long."""
        old = []
        for flow in self._flows.values():
            if now - flow.last < self._idle:
                break
            old.append(flow)
        return self._take(old)

    def keep(self, group: Group, backends: Collection[tuple[str, int]]) -> list[Flow[Group, Handle]]:
        """Take out the group's flows to any other backend than these."""
        flows = self._groups.get(group, {}).values()
        return self._take([flow for flow in flows if flow.backend not in backends])

    def drop(self, group: Group) -> list[Flow[Group, Handle]]:
        """Take out all flows of a listener."""
        return self._take(list(self._groups.get(group, {}).values()))

    def discard(self, flow: Flow[Group, Handle]) -> bool:
        """Take out this very flow; False when it was not held any more."""
        held = self._flows.get((flow.group, flow.client)) is flow
        if held:
            self._take([flow])
        return held

    def _take(self, flows: list[Flow[Group, Handle]]) -> list[Flow[Group, Handle]]:
        for flow in flows:
            del self._flows[(flow.group, flow.client)]
            group = self._groups[flow.group]
            del group[flow.client]
            if not group:
                del self._groups[flow.group]
        return flows
