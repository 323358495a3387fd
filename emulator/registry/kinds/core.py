"""Namespace, Node and ServiceAccount: defaults, checks, field selectors.

Source: pkg/apis/core/{v1/defaults.go,validation/validation.go}, pkg/registry/core/*/strategy.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.api import names
from emulator.api.errors import FieldError, duplicate, forbidden_field, invalid
from emulator.api.kinds import NAMESPACE, NODE, SERVICE_ACCOUNT
from emulator.api.meta import JsonObject
from emulator.registry.kinds import fields, quantities
from emulator.registry.strategy import Context, Strategy

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
NAMESPACE_FINALIZER = "kubernetes"
STANDARD_FINALIZERS = ("foregroundDeletion", "kubernetes", "orphan")

_NODE_INFO = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)


def default_namespace(namespace: JsonObject, context: Context) -> None:
    """The name as a label, and an Active phase."""
    metadata = namespace.setdefault("metadata", {})
    if metadata.get("name"):
        metadata["labels"] = {**(metadata.get("labels") or {}), NAMESPACE_LABEL: metadata["name"]}
    namespace.setdefault("spec", {})
    status = namespace.setdefault("status", {})
    if not status.get("phase"):
        status["phase"] = "Active"


def prepare_namespace(namespace: JsonObject, context: Context) -> None:
    """On create: Active, and held by the finalizer that empties it before it goes."""
    namespace["status"] = {"phase": "Active"}
    finalizers: list[str] = list(namespace["spec"].get("finalizers") or ())
    if NAMESPACE_FINALIZER not in finalizers:
        finalizers.append(NAMESPACE_FINALIZER)
    namespace["spec"]["finalizers"] = finalizers


def prepare_namespace_update(namespace: JsonObject, old: JsonObject, context: Context) -> None:
    """Finalizers change only through /finalize, the status only through /status."""
    if context.subresource != "finalize":
        namespace["spec"] = old.get("spec", {})
    if context.subresource != "status":
        namespace["status"] = old.get("status", {})


def validate_namespace(namespace: JsonObject, context: Context) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, finalizer in enumerate(namespace["spec"].get("finalizers") or ()):
        path = f"spec.finalizers[{index}]" if context.subresource == "finalize" else "spec.finalizers"
        errors += fields.qualified(path, finalizer)
        if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(invalid(path, finalizer, text))
    return errors


def validate_namespace_update(namespace: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource != "status":
        return []
    phase = namespace["status"].get("phase")
    if namespace["metadata"].get("deletionTimestamp"):
        text = "may only be 'Terminating' if `deletionTimestamp` is not empty"
        return [] if phase == "Terminating" else [invalid("status.Phase", phase, text)]
    text = "may only be 'Active' if `deletionTimestamp` is empty"
    return [] if phase == "Active" else [invalid("status.Phase", phase, text)]


def default_node(node: JsonObject, context: Context) -> None:
    """The parts of a node's status that are always written, however empty, and allocatable from capacity."""
    spec = node.setdefault("spec", {})
    first, ranges = spec.get("podCIDR"), spec.get("podCIDRs") or []
    if first and ranges[:1] != [first]:
        spec["podCIDRs"] = [first]
    elif ranges and not first:
        spec["podCIDR"] = ranges[0]
    status = node.setdefault("status", {})
    for part in ("capacity", "allocatable"):
        quantities.canonicalise(status.get(part))
    if status.get("capacity") and status.get("allocatable") is None:
        status["allocatable"] = dict(status["capacity"])
    status.setdefault("daemonEndpoints", {}).setdefault("kubeletEndpoint", {}).setdefault("Port", 0)
    info = status.setdefault("nodeInfo", {})
    for name in _NODE_INFO:
        info.setdefault(name, "")


def prepare_node_update(node: JsonObject, old: JsonObject, context: Context) -> None:
    if context.subresource == "status":
        node["spec"] = old.get("spec", {})
    else:
        node["status"] = old.get("status", {})


def validate_node(node: JsonObject, context: Context) -> list[FieldError]:
    errors = _taint_errors(node["spec"].get("taints") or ())
    for part in ("capacity", "allocatable"):
        for name, quantity in sorted((node["status"].get(part) or {}).items()):
            errors += quantities.resource_errors(f"status.{part}.{name}", name, quantity)
    for index, cidr in enumerate(node["spec"].get("podCIDRs") or ()):
        errors += fields.legacy_cidr(f"spec.podCIDRs[{index}]", cidr)
    cidrs = node["spec"].get("podCIDRs") or []
    versions = [network.version for network in map(fields.parse_cidr, cidrs) if network is not None]
    if len(cidrs) > 1 and sorted(versions) != [4, 6]:
        text = "may specify no more than one CIDR for each IP family"
        errors.append(invalid("spec.podCIDRs", cidrs, text))
    return errors


def _taint_errors(taints: Any) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        path = f"metadata.taints[{index}]"  # upstream's path, though the field is spec.taints
        key, value, effect = taint.get("key") or "", taint.get("value") or "", taint.get("effect") or ""
        errors += fields.qualified(f"{path}.key", key)
        if texts := names.label_value(value):
            errors.append(invalid(f"{path}.value", value, ";".join(texts)))
        errors += fields.taint_effect(f"{path}.effect", effect)
        if (key, effect) in seen:
            error = duplicate(path, taint)
            text = f"{error.message}: taints must be unique by key and effect pair"
            errors.append(FieldError(path, error.reason, text))
        seen.add((key, effect))
    return errors


def validate_node_update(node: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    errors: list[FieldError] = []
    addresses = node["status"].get("addresses") or []
    for index, address in enumerate(addresses):
        if address in addresses[:index]:
            errors.append(duplicate(f"status.addresses[{index}]", address))
    spec, old_spec = node["spec"], old.get("spec", {})
    if old_spec.get("podCIDRs") and spec.get("podCIDRs") != old_spec["podCIDRs"]:
        text = 'node updates may not change podCIDR except from "" to valid'
        errors.append(forbidden_field("spec.podCIDRs", text))
    if old_spec.get("providerID") and spec.get("providerID") != old_spec["providerID"]:
        text = 'node updates may not change providerID except from "" to valid'
        errors.append(forbidden_field("spec.providerID", text))
    return errors


def node_labels(node: JsonObject) -> Mapping[str, str]:
    return {"spec.unschedulable": "true" if (node.get("spec") or {}).get("unschedulable") else "false"}


def namespace_labels(namespace: JsonObject) -> Mapping[str, str]:
    return {"status.phase": (namespace.get("status") or {}).get("phase") or ""}


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        NAMESPACE,
        default=default_namespace,
        prepare_create=prepare_namespace,
        prepare_update=prepare_namespace_update,
        validate=validate_namespace,
        validate_update=validate_namespace_update,
        validate_name=names.dns1123_label,
        field_labels=namespace_labels,
        field_label_names=frozenset(("status.phase",)),
        returns_deleted_object=True,
    ),
    Strategy(
        NODE,
        default=default_node,
        prepare_update=prepare_node_update,
        validate=validate_node,
        validate_update=validate_node_update,
        field_labels=node_labels,
        field_label_names=frozenset(("spec.unschedulable",)),
    ),
    Strategy(SERVICE_ACCOUNT, returns_deleted_object=True),
)
