"""Namespaces: the system's own, what each one holds from the start, and their end.

Source: pkg/controller/{namespace,serviceaccount,certificates/rootcacertpublisher}, controlplane systemnamespaces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

from emulator.api.kinds import CONFIG_MAP, KINDS, NAMESPACE, POD, SERVICE_ACCOUNT, Kind
from emulator.api.meta import JsonObject, ObjectKey, format_time, is_terminating, key_of
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
FINALIZER = "kubernetes"  # in spec.finalizers: this controller's own
Told = tuple[str, str, str, str]  # type, status, reason and message of a condition
CLEAN: tuple[Told, ...] = (
    (
        "NamespaceDeletionDiscoveryFailure",
        "False",
        "ResourcesDiscovered",
        "All resources successfully discovered",
    ),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "False",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "False",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
)
CONTENTS: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind.namespaced)


def plan_namespace(key: ObjectKey, view: View, at: datetime, *, ca: str) -> Changes:
    """A system namespace exists; each has its default account and CA; a terminating one is emptied, then let go."""
    namespace = view.get(NAMESPACE, key.name)
    if namespace is None:
        if key.name in SYSTEM:
            return Changes(creates=(Write(NAMESPACE, _object(NAMESPACE, key.name)),))
        return NOTHING
    if is_terminating(namespace):
        return _empty(namespace, view, at)
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


def _empty(namespace: JsonObject, view: View, at: datetime) -> Changes:
    """Pods go first, then the rest, then the namespace itself; its status tells what is left.

    Source: pkg/controller/namespace/deletion/namespaced_resources_deleter.go.
    """
    name = namespace["metadata"]["name"]
    left = {kind: list(view.in_namespace(kind, name).values()) for kind in CONTENTS}
    if left[POD]:
        left = {POD: left[POD]}  # they may need the rest to end well
    deletes = tuple(
        Delete(kind, key_of(object), object["metadata"]["uid"])
        for kind, objects in left.items()
        for object in objects
        if not is_terminating(object)
    )
    if deletes:
        return Changes(deletes=deletes)
    told = _with_conditions(namespace, _conditions(left), at)
    if told is not None:
        return Changes(updates=(Write(NAMESPACE, told, "status"),))
    finalizers = (namespace.get("spec") or {}).get("finalizers") or []
    if any(left.values()) or FINALIZER not in finalizers:
        return NOTHING
    others = [finalizer for finalizer in finalizers if finalizer != FINALIZER]
    done = {**namespace, "spec": {**namespace["spec"], "finalizers": others}}
    return Changes(updates=(Write(NAMESPACE, done, "finalize"),))


def _conditions(left: Mapping[Kind, Sequence[JsonObject]]) -> list[Told]:
    """What the status says of the contents that are left, all of which are being deleted."""
    counts = {kind: len(objects) for kind, objects in left.items() if objects}
    finalizers = Counter(
        finalizer
        for objects in left.values()
        for object in objects
        for finalizer in object["metadata"].get("finalizers") or ()
    )
    remaining = sorted(f"{kind.plural}.{kind.group} has {count} resource instances" for kind, count in counts.items())
    held = sorted(f"{finalizer} in {count} resource instances" for finalizer, count in finalizers.items())
    told = list(CLEAN)
    if remaining:
        text = f"Some resources are remaining: {', '.join(remaining)}"
        told[3] = ("NamespaceContentRemaining", "True", "SomeResourcesRemain", text)
    if held:
        text = f"Some content in the namespace has finalizers remaining: {', '.join(held)}"
        told[4] = ("NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", text)
    return told


def _with_conditions(namespace: JsonObject, told: Iterable[Told], at: datetime) -> JsonObject | None:
    """The namespace with these conditions; None when it has them."""
    status = namespace.get("status") or {}
    present = {condition["type"]: condition for condition in status.get("conditions") or ()}
    wanted = dict(present)
    for type, value, reason, message in told:
        held = present.get(type, {})
        since = held["lastTransitionTime"] if held.get("status") == value else format_time(at)
        words = {"type": type, "status": value, "reason": reason, "message": message}
        wanted[type] = {**words, "lastTransitionTime": since}
    if wanted == present:
        return None
    return {**namespace, "status": {**status, "conditions": list(wanted.values())}}


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
