"""Query parameters and DeleteOptions bodies -> typed options, refused in upstream's words.

Source: k8s.io/apimachinery pkg/apis/meta/v1/validation and internalversion/validation, pkg/runtime/converter.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from emulator.api.errors import (
    BadRequest,
    FieldError,
    Invalid,
    forbidden_field,
    invalid,
    not_supported,
    required,
    too_long,
)
from emulator.api.meta import JsonObject

FIELD_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
PROPAGATION_POLICIES = ("Foreground", "Background", "Orphan")
MAX_FIELD_MANAGER = 128

Query = Mapping[str, Sequence[str]]
"""Every value of each parameter, as urllib.parse.parse_qs gives them."""


@dataclass(frozen=True, slots=True)
class ListParameters:
    """What selects objects in a list, a watch or a collection delete."""

    label_selector: str = ""
    field_selector: str = ""
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    resource_version_match: str = ""
    timeout_seconds: int | None = None
    allow_watch_bookmarks: bool = False
    send_initial_events: bool | None = None


@dataclass(frozen=True, slots=True)
class WriteParameters:
    """How to write: nothing stored when dry_run; what to do with unknown fields."""

    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Warn"
    force: bool = False


@dataclass(frozen=True, slots=True)
class DeleteParameters:
    """How to delete; None leaves the choice to the kind."""

    dry_run: bool = False
    propagation: str | None = None
    grace_period_seconds: int | None = None
    uid: str | None = None
    resource_version: str | None = None


def text(query: Query, name: str) -> str:
    """The first value of a parameter, "" when absent."""
    values = query.get(name)
    return values[0] if values else ""


def flag(query: Query, name: str) -> bool:
    """True unless the parameter is absent, `false` or `0`; a bare `?watch` counts as true."""
    values = query.get(name)
    return values is not None and len(values) > 0 and values[0].lower() not in ("false", "0")


def number(query: Query, name: str) -> int | None:
    """A decimal parameter, None when absent or empty. Raises BadRequest."""
    value = text(query, name)
    if not value:
        return None
    try:
        return int(value, 10)
    except ValueError:
        raise BadRequest(f'strconv.ParseInt: parsing "{value}": invalid syntax') from None


def list_parameters(query: Query, *, watch: bool) -> ListParameters:
    """Raises Invalid for combinations upstream forbids and BadRequest for numbers that are none."""
    found = ListParameters(
        label_selector=text(query, "labelSelector"),
        field_selector=text(query, "fieldSelector"),
        limit=max(number(query, "limit") or 0, 0),
        continue_token=text(query, "continue"),
        resource_version=text(query, "resourceVersion"),
        resource_version_match=text(query, "resourceVersionMatch"),
        timeout_seconds=number(query, "timeoutSeconds"),
        allow_watch_bookmarks=flag(query, "allowWatchBookmarks"),
        send_initial_events=flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None,
    )
    if watch and _begins_anywhere(found):
        found = replace(found, send_initial_events=True, resource_version_match="NotOlderThan")
    _refuse("ListOptions", _watch_errors(found) if watch else _list_errors(found))
    return found


def _begins_anywhere(options: ListParameters) -> bool:
    """A watch that says nothing of where it begins: upstream sends what there is, and a bookmark to who wants them."""
    asked = options.send_initial_events is not None or options.resource_version_match
    return not asked and options.resource_version in ("", "0")


def _list_errors(options: ListParameters) -> list[FieldError]:
    errors: list[FieldError] = []
    field, match = "resourceVersionMatch", options.resource_version_match
    if match:
        if not options.resource_version:
            text = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            errors.append(forbidden_field(field, text))
        if options.continue_token:
            errors.append(forbidden_field(field, "resourceVersionMatch is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            errors.append(not_supported(field, match, ("Exact", "NotOlderThan", ""), keep_order=True))
        if match == "Exact" and options.resource_version == "0":
            text = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            errors.append(forbidden_field(field, text))
    if options.send_initial_events is not None:
        errors.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return errors


def _watch_errors(options: ListParameters) -> list[FieldError]:
    errors: list[FieldError] = []
    field, match, initial = "resourceVersionMatch", options.resource_version_match, options.send_initial_events
    if initial is not None and match != "NotOlderThan":
        text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        errors.append(forbidden_field(field, text))
    if match and initial is None:
        text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        errors.append(forbidden_field(field, text))
    if match not in ("", "NotOlderThan"):
        errors.append(not_supported(field, match, ("NotOlderThan",)))
    if match and options.continue_token:
        errors.append(forbidden_field(field, "resourceVersionMatch is forbidden when continue is provided"))
    return errors


def write_parameters(query: Query, options_kind: str, *, user_agent: str = "", apply: bool = False) -> WriteParameters:
    """options_kind: `CreateOptions`, `UpdateOptions` or `PatchOptions`, for error texts; apply: a server-side apply.

    Without fieldManager the manager is the User-Agent up to its first slash, as upstream; an apply must have one.
    """
    validation, manager = text(query, "fieldValidation"), text(query, "fieldManager")
    errors: list[FieldError] = []
    if apply and not manager:
        errors.append(required("fieldManager", "is required for apply patch"))
    if not apply and options_kind == "PatchOptions" and "force" in query:
        errors.append(forbidden_field("force", "may not be specified for non-apply patch"))
    errors += _field_manager_errors(manager) + _dry_run_errors(query.get("dryRun", ()))
    if validation not in FIELD_VALIDATIONS:
        errors.append(not_supported("fieldValidation", validation, FIELD_VALIDATIONS))
    _refuse(options_kind, errors)
    dry_run = bool(query.get("dryRun"))
    return WriteParameters(dry_run, manager or _manager_of(user_agent), validation or "Warn", flag(query, "force"))


def _field_manager_errors(manager: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if len(manager.encode()) > MAX_FIELD_MANAGER:
        errors.append(too_long("fieldManager", MAX_FIELD_MANAGER))
    position = 0
    for character in manager:
        if not character.isprintable():
            text = f"invalid character U+{ord(character):04X} (at position {position})"
            errors.append(invalid("fieldManager", manager, text))
        position += len(character.encode())
    return errors


def _manager_of(user_agent: str) -> str:
    """The program's name: what stands before the first slash, as much of it as is printable and fits."""
    name, size = "", 0
    for character in user_agent.partition("/")[0]:
        size += len(character.encode()) if character.isprintable() else 0
        if size > MAX_FIELD_MANAGER:
            break
        name += character if character.isprintable() else ""
    return name


def delete_parameters(query: Query, body: JsonObject | None) -> DeleteParameters:
    """The DeleteOptions of a body; without one, those of the query."""
    options = body or _delete_options_of(query)
    errors: list[FieldError] = []
    dry_run = _strings(options.get("dryRun"), "dryRun")
    propagation, orphan = options.get("propagationPolicy"), options.get("orphanDependents")
    if propagation is not None and orphan is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        errors.append(invalid("propagationPolicy", propagation, text))
    if propagation is not None and propagation not in (*PROPAGATION_POLICIES, ""):
        choices = (*PROPAGATION_POLICIES, "nil")
        errors.append(not_supported("propagationPolicy", propagation, choices, keep_order=True))
    errors += _dry_run_errors(dry_run)
    _refuse("DeleteOptions", errors)
    if orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    grace = options.get("gracePeriodSeconds")
    if grace is not None and (isinstance(grace, bool) or not isinstance(grace, int)):
        raise BadRequest(
            'DeleteOptions in version "v1" cannot be handled as a DeleteOptions: json: cannot unmarshal '
            f"{_json_type(grace)} into Go struct field DeleteOptions.gracePeriodSeconds of type int64"
        )
    preconditions = options.get("preconditions") or {}
    return DeleteParameters(
        dry_run=bool(dry_run),
        propagation=propagation or None,
        grace_period_seconds=grace,
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
    )


def _delete_options_of(query: Query) -> JsonObject:
    options: JsonObject = {"dryRun": list(query.get("dryRun", ()))}
    if "propagationPolicy" in query:
        options["propagationPolicy"] = text(query, "propagationPolicy")
    if "orphanDependents" in query:
        options["orphanDependents"] = flag(query, "orphanDependents")
    if "gracePeriodSeconds" in query:
        options["gracePeriodSeconds"] = number(query, "gracePeriodSeconds")
    return options


def _strings(value: object, field: str) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise BadRequest(
        'DeleteOptions in version "v1" cannot be handled as a DeleteOptions: json: cannot unmarshal '
        f"{_json_type(value)} into Go struct field DeleteOptions.{field} of type []string"
    )


def _json_type(value: object) -> str:
    """How Go's decoder calls the type of a JSON value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _dry_run_errors(values: Sequence[str]) -> list[FieldError]:
    return [not_supported("dryRun", list(values), ("All",))] if any(value != "All" for value in values) else []


def _refuse(kind: str, errors: list[FieldError]) -> None:
    if errors:
        raise Invalid.of(kind, "meta.k8s.io", "", errors)
