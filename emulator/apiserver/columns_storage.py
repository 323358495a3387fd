"""Tables of PersistentVolume, PersistentVolumeClaim, StorageClass, ResourceQuota, PriorityClass and PodTemplate.

Source: pkg/printers/internalversion/printers.go (printPersistentVolume, printResourceQuota, ...).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from emulator.api.meta import JsonObject, annotations_of
from emulator.apiserver.cells import AGE, NAME, UNKNOWN, UNSET, Column, age, name_of, selector_text

DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
ACCESS_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}

PERSISTENT_VOLUME = (
    NAME,
    Column("Capacity", "Its size."),
    Column("Access Modes", "How it may be mounted."),
    Column("Reclaim Policy", "What becomes of it when its claim goes."),
    Column("Status", "Its phase."),
    Column("Claim", "The claim it is bound to."),
    Column("StorageClass", "Its class."),
    Column("VolumeAttributesClass", "Its class of attributes."),
    Column("Reason", "Why it is in that phase."),
    AGE,
    Column("VolumeMode", "A file system or a block device.", wide=True),
)
PERSISTENT_VOLUME_CLAIM = (
    NAME,
    Column("Status", "Its phase."),
    Column("Volume", "The volume it is bound to."),
    Column("Capacity", "The size of that volume."),
    Column("Access Modes", "How that may be mounted."),
    Column("StorageClass", "The class it asks for."),
    Column("VolumeAttributesClass", "The class of attributes it asks for."),
    AGE,
    Column("VolumeMode", "A file system or a block device.", wide=True),
)
STORAGE_CLASS = (
    NAME,
    Column("Provisioner", "Who makes its volumes."),
    Column("ReclaimPolicy", "What becomes of a volume when its claim goes."),
    Column("VolumeBindingMode", "When a claim gets its volume."),
    Column("AllowVolumeExpansion", "Whether claims may grow."),
    AGE,
)
RESOURCE_QUOTA = (NAME, Column("Request", "What may be asked for."), Column("Limit", "What may be used at most."), AGE)
PRIORITY_CLASS = (
    NAME,
    Column("Value", "The priority.", type="integer"),
    Column("Global-Default", "Whether Pods without a class get it.", type="boolean"),
    AGE,
    Column("PreemptionPolicy", "Whether its Pods displace others."),
)
POD_TEMPLATE = (
    NAME,
    Column("Containers", "The names of its containers."),
    Column("Images", "The images of its containers."),
    Column("Pod Labels", "The labels of its Pods."),
)


def _modes(modes: Iterable[str]) -> str:
    """In a fixed order, each once."""
    held = set(modes)
    return ",".join(short for mode, short in ACCESS_MODES.items() if mode in held)


def _class_of(object: JsonObject) -> str:
    annotation = annotations_of(object).get(CLASS_ANNOTATION)
    return str(annotation if annotation is not None else object["spec"].get("storageClassName") or "")


def _attributes_class(spec: Mapping[str, Any]) -> str:
    return str(spec.get("volumeAttributesClassName") or UNSET)


def persistent_volume_cells(volume: JsonObject, at: datetime) -> list[Any]:
    spec, status = volume.get("spec") or {}, volume.get("status") or {}
    claim = spec.get("claimRef")
    return [
        name_of(volume),
        (spec.get("capacity") or {}).get("storage", "0"),
        _modes(spec.get("accessModes") or ()),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _phase(volume, status),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        _class_of(volume),
        _attributes_class(spec),
        status.get("reason", ""),
        age(volume, at),
        spec.get("volumeMode") or UNSET,
    ]


def _phase(object: JsonObject, status: Mapping[str, Any]) -> str:
    return "Terminating" if object["metadata"].get("deletionTimestamp") else str(status.get("phase", ""))


def persistent_volume_claim_cells(claim: JsonObject, at: datetime) -> list[Any]:
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    bound = bool(spec.get("volumeName"))
    return [
        name_of(claim),
        _phase(claim, status),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "0") if bound else "",
        _modes(status.get("accessModes") or ()) if bound else "",
        _class_of(claim),
        _attributes_class(spec),
        age(claim, at),
        spec.get("volumeMode") or UNSET,
    ]


def storage_class_cells(storage_class: JsonObject, at: datetime) -> list[Any]:
    marked = any(annotations_of(storage_class).get(name) == "true" for name in DEFAULT_CLASS)
    return [
        f"{name_of(storage_class)} (default)" if marked else name_of(storage_class),
        storage_class.get("provisioner", ""),
        storage_class.get("reclaimPolicy") or "Delete",
        storage_class.get("volumeBindingMode") or "Immediate",
        bool(storage_class.get("allowVolumeExpansion")),
        age(storage_class, at),
    ]


def resource_quota_cells(quota: JsonObject, at: datetime) -> list[Any]:
    """What is used of what is allowed; limits apart from the rest."""
    status = quota.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    texts = [(name.startswith("limits."), f"{name}: {used.get(name, '0')}/{hard[name]}") for name in sorted(hard)]
    requests = ", ".join(text for limits, text in texts if not limits)
    return [name_of(quota), requests, ", ".join(text for limits, text in texts if limits), age(quota, at)]


def priority_class_cells(priority_class: JsonObject, at: datetime) -> list[Any]:
    return [
        name_of(priority_class),
        priority_class.get("value", 0),
        bool(priority_class.get("globalDefault")),
        age(priority_class, at),
        priority_class.get("preemptionPolicy") or UNKNOWN,
    ]


def pod_template_cells(template: JsonObject, at: datetime) -> list[Any]:
    inner = template.get("template") or {}
    containers = (inner.get("spec") or {}).get("containers") or ()
    return [
        name_of(template),
        ",".join(container.get("name", "") for container in containers),
        ",".join(container.get("image", "") for container in containers),
        selector_text((inner.get("metadata") or {}).get("labels")),
    ]
