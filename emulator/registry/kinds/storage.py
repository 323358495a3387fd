"""PersistentVolume, PersistentVolumeClaim and StorageClass: stored and checked; nobody here binds or makes volumes.

Source: pkg/apis/core/{v1/defaults.go,validation/validation.go}, pkg/apis/storage/{v1/defaults.go,validation},
plugin/pkg/admission/storage/storageclass/setdefault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emulator.api.errors import FieldError, forbidden_field, invalid, required
from emulator.api.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS
from emulator.api.meta import JsonObject, annotations_of, format_time
from emulator.registry.kinds import fields, quantities
from emulator.registry.kinds.defaultclass import default_class
from emulator.registry.kinds.pod_affinity import label_selector_errors
from emulator.registry.kinds.shaping import drop_empty, part, written
from emulator.registry.strategy import Context, Strategy

Spec = Mapping[str, Any]

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
CLASS_RECLAIM_POLICIES = ("Delete", "Retain")
BINDING_MODES = ("Immediate", "WaitForFirstConsumer")
VOLUME_MODES = ("Block", "Filesystem")
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")

_NO_SOURCE = frozenset(
    (
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    )
)
"""The fields of a PersistentVolume's spec that say nothing of where the data is."""


def default_volume(volume: JsonObject, context: Context) -> None:
    spec = part(volume, "spec")
    quantities.canonicalise(spec.get("capacity"))
    drop_empty(spec, "storageClassName", "accessModes", "mountOptions")
    if not spec.get("persistentVolumeReclaimPolicy"):
        spec["persistentVolumeReclaimPolicy"] = "Retain"
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"
    if spec.get("hostPath") is not None:
        spec["hostPath"].setdefault("type", "")
    if not part(volume, "status").get("phase"):
        volume["status"]["phase"] = "Pending"


def prepare_volume(volume: JsonObject, context: Context) -> None:
    volume["status"] = {"phase": "Pending", "lastPhaseTransitionTime": format_time(context.at)}


def validate_volume(volume: JsonObject, context: Context) -> list[FieldError]:
    spec = volume["spec"]
    errors = _mode_errors("spec.accessModes", spec.get("accessModes") or ())
    capacity = spec.get("capacity") or {}
    if not capacity:
        errors.append(required("spec.capacity"))
    elif list(capacity) != ["storage"]:
        errors.append(fields.unsupported("spec.capacity", capacity, ("storage",)))
    for name in sorted(capacity):
        errors += _positive("spec.capacity", name, capacity[name])
    policy = spec["persistentVolumeReclaimPolicy"]
    if policy not in RECLAIM_POLICIES:
        errors.append(fields.unsupported("spec.persistentVolumeReclaimPolicy", policy, RECLAIM_POLICIES))
    errors += _source_errors(spec)
    if spec.get("storageClassName"):
        errors += fields.subdomain("spec.storageClassName", spec["storageClassName"])
    return errors + _volume_mode_errors(spec)


def _source_errors(spec: Spec) -> list[FieldError]:
    sources = sorted(name for name in spec if name not in _NO_SOURCE and spec[name] is not None)
    if not sources:
        return [required("spec", "must specify a volume type")]
    errors = [forbidden_field(f"spec.{name}", "may not specify more than 1 volume type") for name in sources[1:]]
    for name, field in (("hostPath", "path"), ("local", "path"), ("nfs", "server"), ("nfs", "path"), ("csi", "driver")):
        if name in sources and not spec[name].get(field):
            errors.append(required(f"spec.{name}.{field}"))
    if "csi" in sources and not spec["csi"].get("volumeHandle"):
        errors.append(required("spec.csi.volumeHandle"))
    if "local" in sources and spec.get("nodeAffinity") is None:
        errors.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
    return errors


def _mode_errors(path: str, modes: Sequence[str]) -> list[FieldError]:
    if not modes:
        return [required(path)]
    errors = [fields.unsupported(path, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    if "ReadWriteOncePod" in modes and len(set(modes)) > 1:
        errors.append(forbidden_field(path, "may not use ReadWriteOncePod with other access modes"))
    return errors


def _positive(path: str, name: str, quantity: Any) -> list[FieldError]:
    at = f"{path}[{name}]"
    errors = quantities.resource_errors(at, name, quantity)
    return errors if errors or quantities.value(quantity) else [invalid(at, str(quantity), "must be greater than zero")]


def _volume_mode_errors(spec: Spec) -> list[FieldError]:
    mode = spec.get("volumeMode")
    return [] if mode is None or mode in VOLUME_MODES else [fields.unsupported("spec.volumeMode", mode, VOLUME_MODES)]


def validate_volume_update(volume: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    spec, before = volume["spec"], old["spec"]
    sources = {name for name in (*spec, *before) if name not in _NO_SOURCE}
    errors: list[FieldError] = []
    if any(spec.get(name) != before.get(name) for name in sources):
        text = "spec.persistentvolumesource is immutable after creation"
        errors.append(forbidden_field("spec.persistentvolumesource", text))
    return errors + fields.immutable("spec.volumeMode", spec.get("volumeMode"), before.get("volumeMode"))


def default_claim(claim: JsonObject, context: Context) -> None:
    spec = part(claim, "spec")
    resources = part(spec, "resources")
    for name in ("requests", "limits"):
        quantities.canonicalise(resources.get(name))
        drop_empty(resources, name)
    drop_empty(spec, "accessModes", "volumeName")
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"
    for name in ("dataSource", "dataSourceRef"):
        if spec.get(name) is not None:
            spec[name].setdefault("apiGroup", None)
            written(spec[name], "kind", "name")
    if not part(claim, "status").get("phase"):
        claim["status"]["phase"] = "Pending"


def prepare_claim(claim: JsonObject, context: Context) -> None:
    """A data source stands in both of its fields."""
    claim["status"] = {"phase": "Pending"}
    spec = claim["spec"]
    if spec.get("dataSource") is not None and spec.get("dataSourceRef") is None:
        spec["dataSourceRef"] = dict(spec["dataSource"])
        return
    source = spec.get("dataSourceRef")
    if source is not None and spec.get("dataSource") is None and not source.get("namespace"):
        spec["dataSource"] = {name: source.get(name) for name in ("apiGroup", "kind", "name")}


def admit_claim(claim: JsonObject, stored: Mapping[str, Sequence[JsonObject]], context: Context) -> None:
    """A claim that names no class, not even "", gets the default one if there is one."""
    if claim["spec"].get("storageClassName") is not None or CLASS_ANNOTATION in annotations_of(claim):
        return
    name = default_class(stored[STORAGE_CLASS.resource], DEFAULT_CLASS)
    if name is not None:
        claim["spec"]["storageClassName"] = name


def validate_claim(claim: JsonObject, context: Context) -> list[FieldError]:
    spec = claim["spec"]
    if context.is_update:
        return []
    modes = spec.get("accessModes") or ()
    errors = _mode_errors("spec.accessModes", modes) if modes else []
    if not modes:
        errors.append(required("spec.accessModes", "at least 1 access mode is required"))
    if spec.get("selector") is not None:
        errors += label_selector_errors("spec.selector", spec["selector"])
    requests = spec["resources"].get("requests") or {}
    if "storage" not in requests:
        errors.append(required("spec.resources[storage]"))
    else:
        errors += _positive("spec.resources", "storage", requests["storage"])
    if spec.get("storageClassName"):
        errors += fields.subdomain("spec.storageClassName", spec["storageClassName"])
    return errors + _volume_mode_errors(spec)


def validate_claim_update(claim: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    """Once it is bound only its size may change, and only upwards."""
    if context.subresource:
        return []
    spec, before = claim["spec"], old["spec"]
    if _without_growth(spec, before) != before:
        text = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        return [forbidden_field("spec", text)]
    asked, held = (part["resources"].get("requests", {}).get("storage", "0") for part in (spec, before))
    if (quantities.value(asked) or 0) < (quantities.value(held) or 0):
        return [forbidden_field("spec.resources.requests.storage", "field can not be less than status.capacity")]
    return []


def _without_growth(spec: JsonObject, before: JsonObject) -> JsonObject:
    """The new spec with what may change as it was."""
    kept = {**spec, "resources": before["resources"]} if before.get("volumeName") else dict(spec)
    if not before.get("volumeName") and spec.get("volumeName"):
        kept.pop("volumeName")  # binding sets it
    if before.get("storageClassName") is None:
        kept.pop("storageClassName", None)  # may be set once
    return kept


def default_storage_class(storage_class: JsonObject, context: Context) -> None:
    written(storage_class, "provisioner")
    drop_empty(storage_class, "parameters", "mountOptions", "allowedTopologies")
    if storage_class.get("reclaimPolicy") is None:
        storage_class["reclaimPolicy"] = "Delete"
    if storage_class.get("volumeBindingMode") is None:
        storage_class["volumeBindingMode"] = "Immediate"


def validate_class(storage_class: JsonObject, context: Context) -> list[FieldError]:
    provisioner, policy = storage_class["provisioner"], storage_class["reclaimPolicy"]
    errors = [] if provisioner else [required("provisioner", provisioner)]
    if provisioner:
        errors += fields.qualified("provisioner", provisioner.lower())
    errors += [
        invalid("parameters", key, "field can not be empty.")
        for key in storage_class.get("parameters") or {}
        if not key
    ]
    if policy not in CLASS_RECLAIM_POLICIES:
        errors.append(fields.unsupported("reclaimPolicy", policy, CLASS_RECLAIM_POLICIES))
    return errors + fields.one_of("volumeBindingMode", storage_class["volumeBindingMode"], BINDING_MODES)


def validate_class_update(new: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    errors = [
        forbidden_field(name, f"updates to {name} are forbidden.")
        for name in ("parameters", "provisioner", "reclaimPolicy")
        if (new.get(name) or None) != (old.get(name) or None)
    ]
    return errors + fields.immutable("volumeBindingMode", new["volumeBindingMode"], old["volumeBindingMode"])


def claim_labels(claim: JsonObject) -> Mapping[str, str]:
    return {"name": str(claim["metadata"].get("name") or "")}


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        PERSISTENT_VOLUME,
        default=default_volume,
        prepare_create=prepare_volume,
        validate=validate_volume,
        validate_update=validate_volume_update,
        returns_deleted_object=True,
    ),
    Strategy(
        PERSISTENT_VOLUME_CLAIM,
        default=default_claim,
        prepare_create=prepare_claim,
        admission_kinds=(STORAGE_CLASS,),
        admit_create=admit_claim,
        validate=validate_claim,
        validate_update=validate_claim_update,
        field_labels=claim_labels,
        field_label_names=frozenset(("name",)),
        returns_deleted_object=True,
    ),
    Strategy(
        STORAGE_CLASS,
        default=default_storage_class,
        validate=validate_class,
        validate_update=validate_class_update,
        create_on_update=True,
        returns_deleted_object=True,
    ),
)
