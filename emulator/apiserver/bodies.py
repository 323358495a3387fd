"""Request bodies -> objects, patches and delete options; what cannot be read is refused in upstream's words.

Source: k8s.io/apiserver pkg/endpoints/handlers/rest.go (transformDecodeError, summarizeData), patch.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from emulator.api import protobuf, schema
from emulator.api.errors import BadRequest
from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject
from emulator.apiserver.negotiation import PROTOBUF

SUMMARY_BYTES = 30


@dataclass(frozen=True, slots=True)
class Body:
    """A decoded object, and the strict errors decoding alone can see: fields that came twice."""

    object: JsonObject
    duplicates: tuple[str, ...] = ()


def decode_object(kind: Kind, type: str, raw: bytes) -> Body:
    """The object of a create or update. Raises BadRequest. An empty body is an empty object.

    kind: what the URL names; the body may lack apiVersion and kind.
    """
    if not raw:
        return Body({})
    if type == PROTOBUF:
        return Body(protobuf.decode(raw))
    object, duplicates = _loads(raw, kind.kind)
    return Body(object, tuple(duplicates))


def decode_patch(type: str, raw: bytes) -> Any:
    """The patch document: a list of operations for `json`, an object for the rest. Raises BadRequest."""
    try:
        patch, _ = schema.loads(raw)
    except BadRequest as error:
        raise BadRequest(f"error decoding patch: {error.message}") from error
    return patch


def decode_delete_options(type: str, raw: bytes) -> JsonObject:
    """The DeleteOptions of a body. Raises BadRequest."""
    if type == PROTOBUF:
        return protobuf.decode(raw)
    return _loads(raw, "DeleteOptions")[0]


def summary(raw: bytes) -> str:
    """The beginning of a body for an error text: as it stands when it looks like JSON, else in hex."""
    shown = raw[:SUMMARY_BYTES]
    text = shown.decode(errors="replace") if raw.startswith(b"{") else shown.hex()
    return f"{text} ..." if len(raw) > SUMMARY_BYTES else text or "<empty>"


def _loads(raw: bytes, wanted: str) -> tuple[JsonObject, list[str]]:
    try:
        object, duplicates = schema.loads(raw)
    except BadRequest as error:
        raise BadRequest(
            f"the object provided is unrecognized (must be of type {wanted}): "
            f"couldn't get version/kind; json parse error: {error.message} ({summary(raw)})"
        ) from error
    return object, list(duplicates)
