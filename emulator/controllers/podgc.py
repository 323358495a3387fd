"""Pods that nobody will end any more: of nodes that are gone, never scheduled, or ended and far too many. Pure.

Source: pkg/controller/podgc/gc_controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from emulator.api.kinds import NODE, POD
from emulator.api.meta import JsonObject, ObjectKey, is_terminating, key_of
from emulator.client.index import Change
from emulator.controllers.changes import NOTHING, Changes, Controller, Delete, View
from emulator.controllers.podend import disruption_target

QUARANTINE_SECONDS = 40.0  # a node that comes back within it keeps its pods
MAX_ENDED = 12_500  # kube-controller-manager --terminated-pod-gc-threshold
ENDED = ObjectKey("", "ended pods")
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


@dataclass(slots=True)
class PodGarbage:
    """Since when nodes have been gone, and which pods have ended."""

    gone_since: dict[str, datetime] = field(default_factory=dict)
    ended: set[ObjectKey] = field(default_factory=set)

    def plan(self, key: ObjectKey, view: View, at: datetime) -> Changes:
        if key == ENDED:
            return self._over_threshold(view)
        pod = view.get(POD, key.name, key.namespace)
        if pod is None:
            return NOTHING
        name = pod["spec"].get("nodeName")
        if not name:
            return _removed(pod, key) if is_terminating(pod) else NOTHING
        node = view.get(NODE, name)
        if node is not None:
            return _removed(pod, key) if is_terminating(pod) and _is_out_of_service(node) else NOTHING
        since = self.gone_since.setdefault(name, at)
        left = (since + timedelta(seconds=QUARANTINE_SECONDS) - at).total_seconds()
        if left > 0:
            return Changes(retry_after_seconds=left)
        marked = disruption_target(pod, "DeletionByPodGC", "PodGC: node no longer exists", at, phase="Failed")
        removed = _removed(pod, key)
        return Changes((marked,), deletes=removed.deletes)

    def _over_threshold(self, view: View) -> Changes:
        spare = len(self.ended) - MAX_ENDED
        if spare <= 0:
            return NOTHING
        found = (view.get(POD, key.name, key.namespace) for key in self.ended)
        pods = [pod for pod in found if pod is not None and not is_terminating(pod)]
        pods.sort(key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))
        return Changes(deletes=tuple(_deletion(pod, key_of(pod)) for pod in pods[:spare]))

    def pod_changed(self, change: Change, view: View) -> Iterable[ObjectKey]:
        pod, key = change.object, change.key
        if change.type == "DELETED":
            self.ended.discard(key)
            return ()
        keys = []
        if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            self.ended.add(key)
            if len(self.ended) > MAX_ENDED:
                keys.append(ENDED)
        name = pod["spec"].get("nodeName")
        if view.get(NODE, name) is None if name else is_terminating(pod):
            keys.append(key)
        return keys

    def node_changed(self, change: Change, view: View) -> Iterable[ObjectKey]:
        name = change.key.name
        if change.type == "ADDED":
            self.gone_since.pop(name, None)
        if change.type == "DELETED" or _is_out_of_service(change.object):
            return [key_of(pod) for pod in view.all(POD) if pod["spec"].get("nodeName") == name]
        return ()


def _is_out_of_service(node: JsonObject) -> bool:
    taints = node["spec"].get("taints") or ()
    ready = [each for each in (node.get("status") or {}).get("conditions") or () if each["type"] == "Ready"]
    troubled = any(each["status"] != "True" for each in ready)
    return troubled and any(taint["key"] == OUT_OF_SERVICE for taint in taints)


def _removed(pod: JsonObject, key: ObjectKey) -> Changes:
    return Changes(deletes=(_deletion(pod, key),))


def _deletion(pod: JsonObject, key: ObjectKey) -> Delete:
    return Delete(POD, key, pod["metadata"]["uid"], grace_period_seconds=0)


def controller() -> Controller:
    garbage = PodGarbage()
    watches = {POD: garbage.pod_changed, NODE: garbage.node_changed}
    return Controller("podgc", watches, garbage.plan)
