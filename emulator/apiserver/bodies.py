"""Request bodies -> objects, patches and delete options; what cannot be read is refused in upstream's words.

Source: k8s.io/apiserver pkg/endpoints/handlers/rest.go (transformDecodeError, summarizeData), patch.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from emulator.api import protobuf, schema
from emulator.api.errors import ApiError, BadRequest
from emulator.api.kinds import Kind, kind_by_name
from emulator.api.meta import JsonObject
from emulator.api.patch import unknown_in_operations
from emulator.api.yamlbody import load_yaml
from emulator.apiserver.negotiation import PROTOBUF, YAML

SUMMARY_BYTES = 30
OLDER_BODIES = {("policy/v1beta1", "Eviction"): "policy/v1"}  # kubectl up to 1.21 sends it; upstream still takes it
TYPE_META = (  # what Go reads first of any body
    r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
)


@dataclass(frozen=True, slots=True)
class Body:
    """A decoded object, and the strict errors decoding alone can see: fields that came twice."""

    object: JsonObject
    duplicates: tuple[str, ...] = ()


def decode_object(kind: Kind, type: str, raw: bytes) -> Body:
    """The object of a create or update. Raises BadRequest.

    kind: what the URL names; the body may lack apiVersion and kind, and may not name another kind.
    """
    if type == PROTOBUF:
        object, duplicates = protobuf.decode(raw), list[str]()
    else:
        object, duplicates = _loads(raw, kind.kind, type)
    successor = OLDER_BODIES.get((str(object.get("apiVersion")), str(object.get("kind"))))
    if successor == kind.api_version:
        object = {**object, "apiVersion": successor}
    _refuse_other_kind(kind, object)
    return Body(object, tuple(duplicates))


def decode_patch(type: str, raw: bytes) -> tuple[Any, tuple[str, ...]]:
    """The patch document, a list of operations for `json`, and fields that came twice. Raises BadRequest."""
    if type == "apply":
        return _decode_configuration(raw)
    try:
        patch, duplicates = schema.loads(raw)
    except BadRequest as error:
        # Only a strategic patch is decoded by code of its own, which says nothing more.
        raise BadRequest(("" if type == "strategic" else "error decoding patch: ") + error.message) from error
    if type == "json":
        duplicates = [f"json patch {text}" for text in [*duplicates, *unknown_in_operations(patch)]]
    return patch, tuple(duplicates)


def _decode_configuration(raw: bytes) -> tuple[JsonObject, tuple[str, ...]]:
    """The applied configuration of a server-side apply, YAML or JSON."""
    try:
        config, duplicates = load_yaml(raw)
    except BadRequest as error:
        raise BadRequest(f"error decoding YAML: {error.message}") from error
    if config is None:
        return {}, ()
    if not isinstance(config, dict):
        sent = "array" if isinstance(config, list) else "string" if isinstance(config, str) else "number"
        sent = "bool" if isinstance(config, bool) else sent
        why = f"json: cannot unmarshal {sent} into Go value of type map[string]interface {{}}"
        raise BadRequest(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {why}")
    return config, tuple(duplicates)


def decode_delete_options(type: str, raw: bytes) -> JsonObject:
    """The DeleteOptions of a body. Raises ApiError: upstream does not take what cannot be read for a bad request."""
    try:
        return protobuf.decode(raw) if type == PROTOBUF else _json_object(raw, type)[0]
    except BadRequest as error:
        raise ApiError(error.message, code=500, reason="") from error


def summary(raw: bytes) -> str:
    """The beginning of a body for an error text: as it stands when it looks like JSON, else in hex."""
    shown = raw[:SUMMARY_BYTES]
    text = shown.decode(errors="replace") if raw.startswith(b"{") else shown.hex()
    return f"{text} ..." if len(raw) > SUMMARY_BYTES else text or "<empty>"


def _refuse_other_kind(kind: Kind, object: JsonObject) -> None:
    """Raises BadRequest when the body says it is of another kind or version than the URL."""
    sent_version, sent = object.get("apiVersion") or kind.api_version, object.get("kind") or kind.kind
    if (sent_version, sent) == (kind.api_version, kind.kind):
        return
    group, _, version = str(sent_version).rpartition("/")
    if sent == kind.kind and group == kind.group and kind_by_name(str(sent_version), str(sent)):
        raise BadRequest(
            f"the API version in the data ({sent_version}) does not match the expected API version ({kind.api_version})"
        )
    if kind_by_name(str(sent_version), str(sent)):
        internal = kind.group.partition(".")[0] or "core"
        why = f"converting ({version}.{sent}) to ({internal}.{kind.kind}): unknown conversion"
    else:
        scheme = "pkg/api/legacyscheme/scheme.go:30"
        why = f'no kind "{sent}" is registered for version "{sent_version}" in scheme "{scheme}"'
    raise BadRequest(f'{sent} in version "{version}" cannot be handled as a {kind.kind}: {why}')


def _loads(raw: bytes, wanted: str, type: str) -> tuple[JsonObject, list[str]]:
    try:
        return _json_object(raw, type)
    except BadRequest as error:
        text = f"the object provided is unrecognized (must be of type {wanted}): {error.message} ({summary(raw)})"
        raise BadRequest(text) from error


def _json_object(raw: bytes, type: str) -> tuple[JsonObject, list[str]]:
    """The object of a JSON or YAML body, and fields that came twice. Raises BadRequest."""
    try:
        object, duplicates = load_yaml(raw) if type == YAML else schema.loads(raw)
    except BadRequest as error:
        if error.message.startswith("error converting YAML"):
            raise
        raise BadRequest(f"couldn't get version/kind; json parse error: {error.message}") from error
    if object is None:
        return {}, []
    if not isinstance(object, dict):
        sent = "array" if isinstance(object, list) else "string" if isinstance(object, str) else "number"
        why = f"json: cannot unmarshal {'bool' if isinstance(object, bool) else sent} into Go value of type {TYPE_META}"
        raise BadRequest(f"couldn't get version/kind; json parse error: {why}")
    return object, list(duplicates)
