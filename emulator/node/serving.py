"""Which pods new connections may still be sent to, as the EndpointSlices say; one event at a time. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from emulator.client.index import Change


class ServingPods:
    """Counts, by pod UID, the slices that list the pod as ready and not terminating."""

    def __init__(self) -> None:
        self._slices: Counter[str] = Counter()

    def __contains__(self, uid: str) -> bool:
        return self._slices[uid] > 0

    def apply(self, change: Change) -> set[str]:
        """Take one change of an EndpointSlice; the UIDs that are no longer served by any slice."""
        before = _serving(change.previous) if change.previous is not None else set()
        after = _serving(change.object) if change.type != "DELETED" else set()
        for uid in after - before:
            self._slices[uid] += 1
        out = set()
        for uid in before - after:
            self._slices[uid] -= 1
            if self._slices[uid] <= 0:
                del self._slices[uid]
                out.add(uid)
        return out


def _serving(slice: Mapping[str, Any]) -> set[str]:
    uids = set()
    for endpoint in slice.get("endpoints") or ():
        conditions = endpoint.get("conditions") or {}
        uid = (endpoint.get("targetRef") or {}).get("uid")
        if uid and conditions.get("ready") is not False and not conditions.get("terminating"):
            uids.add(uid)
    return uids
