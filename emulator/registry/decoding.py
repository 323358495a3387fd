"""From what a client sent to a private, well-typed object: decoding with field validation, patches, metadata rules.

No I/O.
Source: k8s.io/apiserver pkg/endpoints/handlers/{create,update,patch}.go.
"""

from __future__ import annotations

import json
from typing import Any

from emulator.api.errors import BadRequest, FieldError, Invalid, UnsupportedMediaType, invalid
from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject
from emulator.api.names import dns1123_subdomain, validate_metadata
from emulator.api.patch import json_patch, merge_patch, strategic_merge_patch
from emulator.api.schema import decode, strict_errors
from emulator.registry.conversion.shapes import from_storage, to_storage
from emulator.registry.options import WriteOptions
from emulator.registry.strategy import Strategy


def decoded(kind: Kind, object: JsonObject, options: WriteOptions) -> tuple[JsonObject, list[str]]:
    """A private copy with the kind's types, in the stored shape, and warnings. Raises BadRequest."""
    own, unknown = _typed(kind, object)
    problems = strict_errors(object, options.duplicates, unknown)
    if problems and options.field_validation == "Strict":
        raise BadRequest(f"{_not_handled(kind)}strict decoding error: {', '.join(problems)}")
    return own, _warnings(problems, options)


def patched(
    kind: Kind, old: JsonObject, patch: Any, patch_type: str, options: WriteOptions
) -> tuple[JsonObject, list[str]]:
    """A private copy of `old` with the patch applied to it as `kind` shows it, in the stored shape, and warnings.

    Raises BadRequest, Invalid.
    """
    document = _apply(kind, from_storage(kind, old), patch, patch_type)
    try:
        own, unknown = _typed(kind, document, from_map=patch_type == "strategic")
    except BadRequest as error:
        raise _invalid_patch(patch, patch_type, document, error.message.removeprefix(_not_handled(kind))) from None
    problems = [*options.duplicates, *unknown]
    if problems and options.field_validation == "Strict":
        raise _invalid_patch(patch, patch_type, document, f"strict decoding error: {', '.join(problems)}")
    return own, _warnings(problems, options)


def validation_errors(strategy: Strategy, object: JsonObject) -> list[FieldError]:
    """The mistakes in metadata."""
    return validate_metadata(
        object["metadata"],
        namespaced=strategy.kind.namespaced,
        validate_name=strategy.validate_name or dns1123_subdomain,
    )


def _typed(kind: Kind, object: JsonObject, *, from_map: bool = False) -> tuple[JsonObject, list[str]]:
    found = decode(kind, object, from_map=from_map)
    found.object.setdefault("metadata", {})
    return to_storage(kind, found.object), found.unknown


def _apply(kind: Kind, old: JsonObject, patch: Any, patch_type: str) -> JsonObject:
    if patch_type == "json":
        return json_patch(old, patch)
    if patch_type == "merge":
        return merge_patch(old, patch)
    if patch_type == "strategic":
        return strategic_merge_patch(kind, old, patch)
    raise UnsupportedMediaType(f"the patch type {patch_type} is not supported")


def _not_handled(kind: Kind) -> str:
    """How the refusal of an undecodable body begins; a patch's does not."""
    return f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '


def _warnings(problems: list[str], options: WriteOptions) -> list[str]:
    return problems if options.field_validation in ("", "Warn") else []


def _invalid_patch(patch: Any, patch_type: str, document: JsonObject, why: str) -> Invalid:
    """What a patch is answered with whose result is no object of the kind."""
    shown = go_value_text(patch) if patch_type == "strategic" else _compact(document)
    return Invalid.of("", "", "", [invalid("patch", shown, why)])


def _compact(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"))


def go_value_text(value: Any) -> str:
    """A JSON value as Go prints it with %+v: map[a:1 b:[x y]]."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_value_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(go_value_text(item) for item in value) + "]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
