"""What is asked of every write besides the kind's own rules, in upstream's order. No I/O.

Defaults that upstream's mutating plug-ins give Pods (service account, tolerations, priority) stand in kinds/pod.py.
Source: k8s.io/apiserver pkg/admission/plugin/namespace/lifecycle.
"""

from __future__ import annotations

from emulator.api.errors import Forbidden, NotFound
from emulator.api.kinds import NAMESPACE, PRIORITY_CLASS, Kind
from emulator.api.meta import JsonObject
from emulator.registry.kinds.limits import SYSTEM_PRIORITIES

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
"""Made at the start; the API server does not let them be deleted."""


def admit_create(kind: Kind, object: JsonObject, namespace: JsonObject | None) -> None:
    """namespace: the stored Namespace the object is to live in. Raises NotFound, Forbidden."""
    if not kind.namespaced:
        return
    metadata = object["metadata"]
    inside = metadata["namespace"]
    if namespace is None:
        raise NotFound.of(NAMESPACE.resource, inside)
    if not is_terminating_namespace(namespace):
        return
    refused = Forbidden.of(
        kind.resource,
        metadata.get("name") or "",
        f"unable to create new content in namespace {inside} because it is being terminated",
    )
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {inside} is being terminated",
        "field": "metadata.namespace",
    }
    refused.details = {**(refused.details or {}), "causes": [cause]}
    raise refused


def admit_delete(kind: Kind, name: str) -> None:
    """Raises Forbidden."""
    if kind.resource == NAMESPACE.resource and name in SYSTEM_NAMESPACES:
        raise Forbidden.of(kind.resource, name, "this namespace may not be deleted")
    if kind.resource == PRIORITY_CLASS.resource and name in SYSTEM_PRIORITIES:
        raise Forbidden.of(kind.resource, name, "this is a system priority class and cannot be deleted")


def is_terminating_namespace(namespace: JsonObject) -> bool:
    phase = (namespace.get("status") or {}).get("phase")
    return phase == "Terminating" or bool(namespace["metadata"].get("deletionTimestamp"))
