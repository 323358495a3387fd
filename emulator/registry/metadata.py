"""The parts of metadata that are the server's: names made up, uid, times, generation, and what no update may change.

Works on the private copy it is handed. No I/O.
Source: k8s.io/apiserver pkg/registry/rest/{create,update,meta}.go, pkg/storage/names/generate.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from emulator.api.errors import ApiError, BadRequest, Conflict, FieldError, forbidden_field, invalid
from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject, format_time
from emulator.registry.managed_entries import same_but_times

NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: no words by accident (rand.String)
SUFFIX_LENGTH = 5
MAX_GENERATED_LENGTH = 63
IMMUTABLE = "field is immutable"
STORAGE_PATHS = {
    "services": "services/specs",
    "endpoints": "services/endpoints",
    "nodes": "minions",
    "ingresses": "ingress",
}
"""Where upstream keeps kinds whose place in its store is not their plural; some error texts name it."""
DROPPED_WHEN_EMPTY = frozenset(("labels", "annotations", "finalizers", "ownerReferences", "generateName", "name"))
FIELD_ORDER = (  # as metav1.ObjectMeta declares them, hence as every server prints them
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)

Random = Callable[[int], int]


def key_in(namespace: str, name: str) -> str:
    """The store's key."""
    return f"{namespace}/{name}" if namespace else name


def prefix_of(namespace: str) -> str:
    """What all keys of a namespace begin with, "" for every namespace."""
    return f"{namespace}/" if namespace else ""


def generate_name(base: str, rng: Random) -> str:
    """`base` and five random characters, no longer than a label."""
    suffix = "".join(NAME_ALPHABET[rng(len(NAME_ALPHABET))] for _ in range(SUFFIX_LENGTH))
    return base[: MAX_GENERATED_LENGTH - SUFFIX_LENGTH] + suffix


def new_uid(rng: Random) -> str:
    """A random UUID (version 4)."""
    digits = f"{rng(1 << 128):032x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def ensure_namespace(kind: Kind, metadata: JsonObject, namespace: str) -> None:
    """Fill in the request's namespace. Raises BadRequest when the object names another."""
    if not kind.namespaced:
        metadata.pop("namespace", None)
        return
    if not metadata.get("namespace"):
        metadata["namespace"] = namespace
    elif metadata["namespace"] != namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")


def ensure_name(metadata: Mapping[str, Any], name: str) -> None:
    """Raises BadRequest when the object's name is not the URL's."""
    found = metadata.get("name") or ""
    if not found:
        raise BadRequest(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")
    if found != name:
        raise BadRequest(f"the name of the object ({found}) does not match the name on the URL ({name})")


def refuse_version(metadata: Mapping[str, Any]) -> None:
    """A new object has no version yet. The storage layer says so, hence the 500 without a reason; 0 counts as none."""
    version = str(metadata.get("resourceVersion") or "")
    if version.isascii() and version.isdigit() and int(version):
        raise ApiError("resourceVersion should not be set on objects to be created", code=500, reason="")


def fill_create(kind: Kind, object: JsonObject, *, at: datetime, rng: Random, generation: bool) -> None:
    """The metadata of a new object: a name if one is to be made, uid, creation time; what clients may not set goes."""
    metadata = object["metadata"]
    for name in ("selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "managedFields"):
        metadata.pop(name, None)
    if metadata.get("generateName") and not metadata.get("name"):
        metadata["name"] = generate_name(metadata["generateName"], rng)
    metadata["uid"] = new_uid(rng)
    metadata["creationTimestamp"] = format_time(at)
    if generation:
        metadata["generation"] = 1
    tidy(metadata)


def keep_identity(object: JsonObject, old: JsonObject) -> None:
    """Restore what an update left out and cannot change; what it changes all the same is left to validation."""
    metadata, before = object["metadata"], old["metadata"]
    for name in ("uid", "creationTimestamp"):
        if name in before and not metadata.get(name):
            metadata[name] = before[name]
    if "generation" in before:
        metadata["generation"] = before["generation"]
    else:
        metadata.pop("generation", None)
    if before.get("deletionTimestamp"):
        metadata["deletionTimestamp"] = before["deletionTimestamp"]
    if "deletionGracePeriodSeconds" in before:
        metadata.setdefault("deletionGracePeriodSeconds", before["deletionGracePeriodSeconds"])
    metadata.pop("selfLink", None)
    metadata.pop("managedFields", None)
    tidy(metadata)


def refuse_other_uid(kind: Kind, metadata: Mapping[str, Any], held: str) -> None:
    """A PUT names the object it means by its uid, if it has one. Raises Conflict."""
    sent = metadata.get("uid")
    if not sent or sent == held:
        return
    key = key_in(metadata.get("namespace", ""), metadata["name"])
    why = (
        f"StorageError: invalid object, Code: 4, Key: /registry/{STORAGE_PATHS.get(kind.plural, kind.plural)}/{key}, "
        f"ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {sent}, "
        f"UID in object meta: {held}"
    )
    raise Conflict.of(kind.resource, metadata["name"], why)


def check_version(sent: str, held: str, *, kind: Kind, name: str) -> None:
    """Whether a write means the present state: "" and "0" mean any. Raises Conflict, and ApiError for no number."""
    if not sent or sent == held:
        return
    if not (sent.isascii() and sent.isdigit()):
        raise ApiError(f'strconv.ParseUint: parsing "{sent}": invalid syntax', code=500, reason="")
    if int(sent):
        raise Conflict.of(kind.resource, name)


def tidy(metadata: JsonObject) -> None:
    """Empty maps and lists are not written, and the fields come in upstream's order, whoever wrote them."""
    for name in FIELD_ORDER:
        if name in metadata:
            value = metadata.pop(name)
            if value or name not in DROPPED_WHEN_EMPTY:
                metadata[name] = value


def validate_metadata_update(metadata: Mapping[str, Any], old: Mapping[str, Any]) -> list[FieldError]:
    """Mistakes of a transition that are not mistakes of the object."""
    errors: list[FieldError] = []
    if old.get("deletionTimestamp"):
        added = sorted(set(metadata.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if added:
            shown = "[]string{" + ", ".join(f'"{name}"' for name in added) + "}"
            text = f"no new finalizers can be added if the object is being deleted, found new finalizers {shown}"
            errors.append(forbidden_field("metadata.finalizers", text))
    return errors + [
        invalid(f"metadata.{name}", metadata.get(name), IMMUTABLE)
        for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
        if metadata.get(name) != old.get(name)
    ]


def bump_generation(object: JsonObject, old: JsonObject) -> None:
    """generation + 1 when anything but metadata and status changed."""
    if any(_spec_differs(object, old, key) for key in object.keys() | old.keys()):
        object["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1


def _spec_differs(object: JsonObject, old: JsonObject, key: str) -> bool:
    if key in ("metadata", "status", "apiVersion", "kind"):
        return False
    return bool(object.get(key) != old.get(key))


def is_unchanged(object: JsonObject, old: JsonObject) -> bool:
    """Whether a write would store what is stored already; resourceVersion and managers' times aside."""
    metadata, before = object["metadata"], old["metadata"]
    if metadata.get("resourceVersion") != before["resourceVersion"]:
        metadata = {**metadata, "resourceVersion": before["resourceVersion"]}
        object = {**object, "metadata": metadata}
    entries, entries_before = metadata.get("managedFields"), before.get("managedFields")
    if entries != entries_before and same_but_times(entries, entries_before):
        object = {**object, "metadata": {**metadata, "managedFields": entries_before}}
    return object == old


def separate_status(kind: Kind, object: JsonObject, old: JsonObject, subresource: str) -> None:
    """Where a kind has /status, a write there changes the status alone, and any other write never does.

    Binding a pod is the exception: its node and the condition that tells of it are one write.
    """
    if kind.subresource("status") is None or subresource == "binding":
        return
    if subresource == "status":
        for key in object.keys() | old.keys():
            if key not in ("metadata", "status"):
                _copy_field(object, old, key)
    else:
        _copy_field(object, old, "status")


def _copy_field(object: JsonObject, old: JsonObject, key: str) -> None:
    if key in old:
        object[key] = old[key]
    else:
        object.pop(key, None)
