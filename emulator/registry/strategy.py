"""What a kind may decide about its objects: one Strategy per kind, called by the pipeline in a fixed order.

Order of a create: default, admit_create, prepare_create, allocate, validate, commit. Of an update: default,
prepare_update, allocate, validate (new object), validate_update, commit. Hooks change only the `object`
they are handed, a private copy. They never await.
Source: k8s.io/apiserver pkg/registry/rest (RESTCreateStrategy, RESTUpdateStrategy).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from emulator.api.errors import FieldError
from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject
from emulator.config.settings import ClusterConfig


@dataclass(frozen=True, slots=True)
class Context:
    """What hooks may know besides the object."""

    config: ClusterConfig
    at: datetime
    subresource: str = ""
    is_update: bool = False
    api_version: str = ""
    """Of the shape the client speaks, which may not be the stored one; some checks hold for one shape only."""


def _nothing(object: JsonObject, context: Context) -> None:
    pass


def _nothing_update(object: JsonObject, old: JsonObject, context: Context) -> None:
    pass


def _admitted(object: JsonObject, stored: Mapping[str, Sequence[JsonObject]], context: Context) -> None:
    pass


def _valid(object: JsonObject, context: Context) -> list[FieldError]:
    return []


def _valid_update(object: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    return []


def _no_warnings(object: JsonObject, old: JsonObject | None, context: Context) -> list[str]:
    return []


def _no_field_labels(object: JsonObject) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Strategy:
    """The hooks of one kind. Generic work (metadata, names, generation, revisions) is the pipeline's."""

    kind: Kind
    default: Callable[[JsonObject, Context], None] = _nothing
    """Fills absent fields; runs on every decode, also after a patch."""
    prepare_create: Callable[[JsonObject, Context], None] = _nothing
    """Wipes what a client may not set (status)."""
    prepare_update: Callable[[JsonObject, JsonObject, Context], None] = _nothing_update
    """Carries over or wipes fields, by context.subresource ("" or "status"); (object, old, context)."""
    admission_kinds: tuple[Kind, ...] = ()
    """The kinds whose stored objects `admit_create` is shown."""
    admit_create: Callable[[JsonObject, Mapping[str, Sequence[JsonObject]], Context], None] = _admitted
    """Fills in what depends on other objects, as mutating admission does; (object, stored by resource, context)."""
    validate: Callable[[JsonObject, Context], list[FieldError]] = _valid
    """Every mistake of the object, without metadata's (those are the pipeline's)."""
    validate_update: Callable[[JsonObject, JsonObject, Context], list[FieldError]] = _valid_update
    """Mistakes of the transition; (object, old, context)."""
    warnings: Callable[[JsonObject, JsonObject | None, Context], list[str]] = _no_warnings
    """Texts for Warning headers; old is None on create."""
    validate_name: Callable[[str], list[str]] | None = None
    """The texts of what is wrong with a name; None means a DNS-1123 subdomain."""
    field_labels: Callable[[JsonObject], Mapping[str, str]] = _no_field_labels
    """Values for the field selectors this kind supports besides metadata.name and metadata.namespace."""
    field_label_names: frozenset[str] = field(default_factory=frozenset)
    """The names `field_labels` supports; any other is 400."""
    create_on_update: bool = False
    """A PUT to a missing name creates."""
    has_generation: bool = False
    """metadata.generation starts at 1 and rises when the spec (all but metadata and status) changes."""
    returns_deleted_object: bool = False
    """DELETE answers with the object instead of a Status."""
    grace_period_seconds: Callable[[JsonObject], int] | None = None
    """The default grace of a deletion, for kinds deleted gracefully (pods)."""
