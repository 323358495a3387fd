"""What one asks of the registry and what it answers: options of writes and deletes, and their results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from emulator.api.meta import JsonObject

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How to write. field_validation: Strict refuses unknown fields, Warn tells them, Ignore drops them silently."""

    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Warn"
    user: str = ""
    duplicates: tuple[str, ...] = ()
    """What the reader of the body found (`duplicate field "x"`); treated like unknown fields."""
    force: bool = False
    """Of a server-side apply: take what others own."""


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How to delete; None leaves the choice to the kind. uid and resource_version are preconditions."""

    dry_run: bool = False
    propagation: str | None = None
    grace_period_seconds: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    user: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """Items as they stood at one revision; shared, never change them. remaining is None when not counted."""

    items: list[JsonObject]
    resource_version: str
    continue_token: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """The object as it stands now (shared), and what the client should be warned of."""

    object: JsonObject
    warnings: list[str] = field(default_factory=list)
    created: bool = False


@dataclass(frozen=True, slots=True)
class Deleted:
    """The object in its last state, or as it waits to go; returns_object: the kind answers with it, not a Status."""

    object: JsonObject
    gone: bool
    returns_object: bool = False


class WatchEvent(NamedTuple):
    """One change as a watcher sees it, after its selectors."""

    type: EventType
    object: JsonObject


DEFAULT_WRITE = WriteOptions()
DEFAULT_DELETE = DeleteOptions()
