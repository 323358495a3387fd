"""Namespaces: the system's own, what each one holds from the start, and their end.

Source: pkg/controller/{namespace,serviceaccount,certificates/rootcacertpublisher}, controlplane systemnamespaces.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial

from emulator.api.kinds import CONFIG_MAP, KINDS, NAMESPACE, SERVICE_ACCOUNT, Kind
from emulator.api.meta import JsonObject, ObjectKey, is_terminating, key_of
from emulator.client.index import Change
from emulator.controllers.changes import NOTHING, Changes, Controller, Delete, View, Write

SYSTEM = ("default", "kube-node-lease", "kube-public", "kube-system")
ROOT_CA = "kube-root-ca.crt"
ROOT_CA_NOTE = {
    "kubernetes.io/description": (
        "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
        "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "
        "Kubernetes clusters."
    )
}
CONTENTS: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind.namespaced)


def plan_namespace(key: ObjectKey, view: View, at: datetime, *, ca: str) -> Changes:
    """A system namespace exists; each has its default account and CA; a terminating one is emptied, then let go."""
    namespace = view.get(NAMESPACE, key.name)
    if namespace is None:
        if key.name in SYSTEM:
            return Changes(creates=(Write(NAMESPACE, _object(NAMESPACE, key.name)),))
        return NOTHING
    if is_terminating(namespace):
        return _empty(namespace, view)
    creates: list[Write] = []
    updates: list[Write] = []
    if view.get(SERVICE_ACCOUNT, "default", key.name) is None:
        creates.append(Write(SERVICE_ACCOUNT, _object(SERVICE_ACCOUNT, "default", key.name)))
    held = view.get(CONFIG_MAP, ROOT_CA, key.name)
    if ca and held is None:
        map = _object(CONFIG_MAP, ROOT_CA, key.name)
        map["metadata"]["annotations"] = ROOT_CA_NOTE
        creates.append(Write(CONFIG_MAP, {**map, "data": {"ca.crt": ca}}))
    elif ca and held is not None and held.get("data") != {"ca.crt": ca}:
        updates.append(Write(CONFIG_MAP, {**held, "data": {"ca.crt": ca}}))
    return Changes(tuple(updates), tuple(creates)) if creates or updates else NOTHING


def _empty(namespace: JsonObject, view: View) -> Changes:
    name = namespace["metadata"]["name"]
    left = [(kind, object) for kind in CONTENTS for object in view.in_namespace(kind, name).values()]
    deletes = tuple(
        Delete(kind, key_of(object), object["metadata"]["uid"]) for kind, object in left if not is_terminating(object)
    )
    if left:
        return Changes(deletes=deletes)
    if (namespace.get("spec") or {}).get("finalizers"):
        done = {**namespace, "spec": {**namespace["spec"], "finalizers": []}}
        return Changes(updates=(Write(NAMESPACE, done, "finalize"),))
    return NOTHING


def _object(kind: Kind, name: str, namespace: str = "") -> JsonObject:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


def _namespace_of(change: Change, view: View) -> Iterable[ObjectKey]:
    if change.kind is NAMESPACE:
        return (ObjectKey("", change.key.name),)
    namespace = view.get(NAMESPACE, change.key.namespace)
    concerned = change.kind in (SERVICE_ACCOUNT, CONFIG_MAP) and change.type == "DELETED"
    if concerned or (namespace is not None and is_terminating(namespace)):
        return (ObjectKey("", change.key.namespace),)
    return ()


def controller(ca: str) -> Controller:
    watches = dict.fromkeys((NAMESPACE, *CONTENTS), _namespace_of)
    start = tuple(ObjectKey("", name) for name in SYSTEM)
    return Controller("namespace", watches, partial(plan_namespace, ca=ca), start_keys=start)
