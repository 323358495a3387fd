"""Pods that do not tolerate a NoExecute taint of their node go: at once, or when their toleration is over. Pure.

Source: pkg/controller/tainteviction/taint_eviction.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from emulator.api.kinds import NODE, POD
from emulator.api.meta import JsonObject, ObjectKey, is_terminating, key_of
from emulator.client.index import Change
from emulator.controllers.changes import NOTHING, Changes, Controller, Delete, View
from emulator.controllers.nodefit import tolerates
from emulator.controllers.owned import told
from emulator.controllers.podend import disruption_target

COMPONENT = "taint-eviction-controller"
REASON = "TaintManagerEviction"


@dataclass(slots=True)
class TaintEviction:
    """Since when each pod has been tolerating, by uid: what no object says."""

    since: dict[str, datetime] = field(default_factory=dict)

    def plan(self, key: ObjectKey, view: View, at: datetime) -> Changes:
        pod = view.get(POD, key.name, key.namespace)
        if pod is None or is_terminating(pod):
            return NOTHING
        uid = pod["metadata"]["uid"]
        taints = no_execute_taints(view.get(NODE, pod["spec"].get("nodeName") or ""))
        seconds = tolerated_seconds(pod["spec"].get("tolerations") or (), taints) if taints else None
        if seconds is None:
            return self._spared(pod, uid, at)
        began = self.since.setdefault(uid, at)
        left = (began + timedelta(seconds=seconds) - at).total_seconds()
        if left > 0:
            return Changes(retry_after_seconds=left)
        self.since.pop(uid, None)
        return _evicted(pod, key, at)

    def _spared(self, pod: JsonObject, uid: str, at: datetime) -> Changes:
        if self.since.pop(uid, None) is None:
            return NOTHING
        metadata = pod["metadata"]
        message = f"Cancelling deletion of Pod {metadata['namespace']}/{metadata['name']}"
        return Changes(events=(told(COMPONENT, pod, POD, REASON, message, at),))

    def pod_changed(self, change: Change, view: View) -> Iterable[ObjectKey]:
        if change.type == "DELETED":
            self.since.pop(change.object["metadata"].get("uid") or "", None)
            return ()
        node = view.get(NODE, change.object["spec"].get("nodeName") or "")
        return (change.key,) if no_execute_taints(node) else ()

    def node_changed(self, change: Change, view: View) -> Iterable[ObjectKey]:
        before, after = no_execute_taints(change.previous), no_execute_taints(change.object)
        if before == after or change.type == "DELETED":
            return ()
        name = change.key.name
        return [key_of(pod) for pod in view.all(POD) if pod["spec"].get("nodeName") == name]


def no_execute_taints(node: Mapping[str, Any] | None) -> list[JsonObject]:
    taints = ((node or {}).get("spec") or {}).get("taints") or ()
    return [taint for taint in taints if taint.get("effect") == "NoExecute"]


def tolerated_seconds(tolerations: Sequence[Mapping[str, Any]], taints: Sequence[Mapping[str, Any]]) -> float | None:
    """For how long the pod may stay: 0 where it does not tolerate a taint, None for ever."""
    used = []
    for taint in taints:
        found = next((each for each in tolerations if tolerates(each, taint)), None)
        if found is None:
            return 0.0
        used.append(found)
    limits = [max(float(each["tolerationSeconds"]), 0.0) for each in used if each.get("tolerationSeconds") is not None]
    return min(limits, default=None)


def _evicted(pod: JsonObject, key: ObjectKey, at: datetime) -> Changes:
    marked = disruption_target(
        pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", at, phase=""
    )
    message = f"Marking for deletion Pod {key.namespace}/{key.name}"
    return Changes(
        (marked,),
        deletes=(Delete(POD, key, pod["metadata"]["uid"]),),
        events=(told(COMPONENT, pod, POD, REASON, message, at),),
    )


def controller() -> Controller:
    evictions = TaintEviction()
    watches = {POD: evictions.pod_changed, NODE: evictions.node_changed}
    return Controller("tainteviction", watches, evictions.plan)
