"""A server-side apply up to the point where every write is alike: the object it makes, typed, and who owns it.

No I/O.
Source: k8s.io/apiserver pkg/endpoints/handlers/patch.go (applyPatcher).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from emulator.api.errors import ApiError, BadRequest, Conflict
from emulator.api.kinds import SCALE_KIND, Kind
from emulator.api.meta import JsonObject
from emulator.api.schema import decode
from emulator.registry.conversion.shapes import to_storage
from emulator.registry.jsoncopy import json_copy
from emulator.registry.managedfields import Entries, applied, refuse_other_type, refuse_unfit
from emulator.registry.options import WriteOptions

SCALE_IDENTITY = ("name", "namespace", "resourceVersion", "uid")


@dataclass(frozen=True, slots=True)
class Configured:
    """What is to be written: a private copy without managedFields, and those; warnings for the client."""

    object: JsonObject
    entries: Entries
    warnings: list[str]


def configuration_in_storage(shape: Kind, config: Any) -> Any:
    """A configuration as the stored kind would have it. Raises BadRequest for one of another kind or version."""
    refuse_other_type(shape, config)
    if shape.storage is None:
        return config
    refuse_unfit(shape, config)
    return to_storage(shape, json_copy(config))


def scale_configuration(kind: Kind, config: Any) -> JsonObject:
    """What a configuration applied to /scale says of the object itself: its replicas. Raises as `applied` does."""
    refuse_other_type(SCALE_KIND, config)
    refuse_unfit(SCALE_KIND, config)
    metadata = {key: value for key, value in (config.get("metadata") or {}).items() if key in SCALE_IDENTITY}
    replicas = (config.get("spec") or {}).get("replicas") or 0
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": metadata,
        "spec": {"replicas": replicas},
    }


def configured(
    kind: Kind,
    live: JsonObject | None,
    config: Any,
    options: WriteOptions,
    *,
    subresource: str,
    at: datetime,
) -> Configured:
    """`live`, or a new object, with a configuration applied. Raises what `applied` raises, BadRequest and Conflict."""
    result = applied(
        kind,
        live,
        config,
        manager=options.field_manager,
        force=options.force,
        subresource=subresource,
        at=at,
    )
    warnings = _duplicates(options)
    if result.object is None:
        own = json_copy(live) if live is not None else {"metadata": {}}
    else:
        own = _typed(kind, result.object)
    own["metadata"].pop("managedFields", None)
    if live is None and own["metadata"].get("uid"):
        name, uid = own["metadata"].get("name", ""), own["metadata"]["uid"]
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise Conflict.of(kind.resource, name, why)
    return Configured(own, result.entries, warnings)


def _typed(kind: Kind, object: JsonObject) -> JsonObject:
    try:
        own = decode(kind, object).object
    except BadRequest as error:
        raise ApiError(
            f"failed to convert new object to proper version: {error.message}", code=500, reason=""
        ) from error
    own.setdefault("metadata", {})
    return own


def _duplicates(options: WriteOptions) -> list[str]:
    """Warnings of keys that came twice. Raises BadRequest when the client wants none."""
    if not options.duplicates or options.field_validation == "Ignore":
        return []
    text = "error converting YAML to JSON: yaml: unmarshal errors:\n  " + "\n  ".join(options.duplicates)
    if options.field_validation == "Strict":
        raise BadRequest(f"error strict decoding YAML: {text}")
    return [text.replace("\n", " ")]
