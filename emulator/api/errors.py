"""Every error kubemu raises on purpose, and how an API error becomes a metav1.Status.

Source: k8s.io/apimachinery pkg/api/errors and pkg/util/validation/field (messages, reasons, codes).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.api.meta import JsonObject

_ESCAPED_IN_JSON = "<>&\u2028\u2029"  # encoding/json writes these so that its output may stand in HTML
_GO_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


class EmulatorError(Exception):
    """The base of every error kubemu raises on purpose; the text says what to do next."""


class ConfigError(EmulatorError):
    """A setting is unknown or has an illegal value; the text names file and line when there is one."""


class StartError(EmulatorError):
    """The cluster cannot start here: a port is taken, a permission is missing, a name is in use."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One mistake at one field path, in upstream's words; `reason` is the cause's type."""

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def go_value(value: Any) -> str:
    """A value as Go's field errors print it: strings quoted, the rest as compact JSON."""
    if isinstance(value, str):
        return go_quote(value)
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for char in _ESCAPED_IN_JSON:
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def go_quote(text: str) -> str:
    """The text in double quotes as Go's %q has it."""
    return '"' + "".join(_GO_ESCAPES.get(char) or _go_char(char) for char in text) + '"'


def _go_char(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def required(field: str, detail: str = "") -> FieldError:
    return FieldError(field, "FieldValueRequired", _with("Required value", detail))


def invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError(field, "FieldValueInvalid", _with(f"Invalid value: {go_value(value)}", detail))


def not_supported(field: str, value: Any, supported: Iterable[str], *, keep_order: bool = False) -> FieldError:
    """The choices are told sorted, as upstream's sets are, unless upstream holds them in a list."""
    choices = ", ".join(go_quote(choice) for choice in (supported if keep_order else sorted(supported)))
    return FieldError(
        field, "FieldValueNotSupported", f"Unsupported value: {go_value(value)}: supported values: {choices}"
    )


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError(field, "FieldValueDuplicate", f"Duplicate value: {go_value(value)}")


def forbidden_field(field: str, detail: str) -> FieldError:
    return FieldError(field, "FieldValueForbidden", _with("Forbidden", detail))


def not_found_field(field: str, value: Any) -> FieldError:
    return FieldError(field, "FieldValueNotFound", f"Not found: {go_value(value)}")


def too_long(field: str, max_bytes: int) -> FieldError:
    noun = "byte" if max_bytes == 1 else "bytes"
    return FieldError(field, "FieldValueTooLong", f"Too long: may not be more than {max_bytes} {noun}")


def too_many(field: str, count: int, limit: int) -> FieldError:
    noun = "item" if limit == 1 else "items"
    return FieldError(field, "FieldValueTooMany", f"Too many: {count}: must have at most {limit} {noun}")


def _with(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


class ApiError(EmulatorError):
    """A request the API refuses; `status()` is the body that a client gets."""

    code = 500
    reason = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        reason: str | None = None,
        details: JsonObject | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        if reason is not None:
            self.reason = reason
        self.details = details

    def status(self) -> JsonObject:
        """The metav1.Status of this error, as JSON."""
        body: JsonObject = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if not self.reason:
            del body["reason"]
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body


class NotFound(ApiError):
    """There is no such object."""

    code, reason = 404, "NotFound"

    @classmethod
    def of(cls, resource: str, name: str) -> NotFound:
        """resource: `services` or `deployments.apps`."""
        return cls(f'{resource} "{name}" not found', details=_details(resource, name))


class AlreadyExists(ApiError):
    """An object of that name exists."""

    code, reason = 409, "AlreadyExists"

    @classmethod
    def of(cls, resource: str, name: str) -> AlreadyExists:
        return cls(f'{resource} "{name}" already exists', details=_details(resource, name))


class Conflict(ApiError):
    """The object changed since it was read; read again and retry."""

    code, reason = 409, "Conflict"

    @classmethod
    def of(cls, resource: str, name: str, why: str = "") -> Conflict:
        why = why or "the object has been modified; please apply your changes to the latest version and try again"
        return cls(f'Operation cannot be fulfilled on {resource} "{name}": {why}', details=_details(resource, name))


class Invalid(ApiError):
    """The object is well-formed but breaks rules; `errors` holds each one."""

    code, reason = 422, "Invalid"

    def __init__(self, message: str, *, errors: Sequence[FieldError] = (), details: JsonObject | None = None) -> None:
        super().__init__(message, details=details)
        self.errors = tuple(errors)

    @classmethod
    def of(cls, kind: str, group: str, name: str, errors: Sequence[FieldError]) -> Invalid:
        """kind, group: of the object, `Service` and "" or `Deployment` and `apps`."""
        unique = list(dict.fromkeys(errors))
        texts = [str(error) for error in unique]
        shown = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        details: JsonObject = {"name": name, **({"group": group} if group else {}), **({"kind": kind} if kind else {})}
        details["causes"] = [{"reason": e.reason, "message": e.message, "field": e.field} for e in unique]
        if not name:
            del details["name"]
        qualified = f"{kind}.{group}" if group else kind
        return cls(f'{qualified} "{name}" is invalid: {shown}', errors=unique, details=details)


class BadRequest(ApiError):
    """The request cannot be understood."""

    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    """No valid credentials came with the request."""

    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    """The request is understood and refused."""

    code, reason = 403, "Forbidden"

    @classmethod
    def of(cls, resource: str, name: str, why: str) -> Forbidden:
        return cls(f'{resource} "{name}" is forbidden: {why}', details=_details(resource, name))


class MethodNotAllowed(ApiError):
    """The resource exists, the verb does not."""

    code, reason = 405, "MethodNotAllowed"

    def __init__(self, message: str = "the server does not allow this method on the requested resource") -> None:
        super().__init__(message, details={})


class Expired(ApiError):
    """The revision asked for is gone; list again."""

    code, reason = 410, "Expired"


class RequestEntityTooLarge(ApiError):
    """The body is over the limit."""

    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    """The body is in a format that is not read."""

    code, reason = 415, "UnsupportedMediaType"


class TooManyRequests(ApiError):
    """A limit of the server is reached; retry later."""

    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    """The server failed; nothing was changed."""

    code, reason = 500, "InternalError"

    @classmethod
    def of(cls, why: str) -> InternalError:
        return cls(f"Internal error occurred: {why}", details={"causes": [{"message": why}]})


class ServiceUnavailable(ApiError):
    """The server cannot do this now."""

    code, reason = 503, "ServiceUnavailable"


def _details(resource: str, name: str) -> JsonObject:
    plural, _, group = resource.partition(".")
    return {"name": name, **({"group": group} if group else {}), "kind": plural}
