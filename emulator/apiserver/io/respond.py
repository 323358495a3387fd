"""HTTP answers: JSON of objects and Statuses, plain texts, Warning headers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from aiohttp import web
from multidict import CIMultiDict

from emulator.api.errors import ApiError
from emulator.api.meta import JsonObject
from emulator.apiserver.negotiation import JSON, PLAIN, Form
from emulator.apiserver.yamltext import yaml_text

NOT_FOUND_TEXT = "404 page not found\n"  # Go's net/http, for paths no API group serves


def dumps(body: Any) -> bytes:
    return orjson.dumps(body)


def warning_headers(warnings: Iterable[str]) -> CIMultiDict[str]:
    """One `Warning: 299 - "text"` for each distinct text, safe to stand in a header."""
    headers: CIMultiDict[str] = CIMultiDict()
    for text in dict.fromkeys(warnings):
        shown = "".join(character if character.isprintable() else " " for character in text)
        escaped = shown.replace("\\", "\\\\").replace('"', '\\"')
        headers.add("Warning", f'299 - "{escaped}"')
    return headers


def object_response(
    body: JsonObject, *, form: Form = PLAIN, status: int = 200, warnings: Iterable[str] = ()
) -> web.Response:
    headers = warning_headers(warnings)
    headers["Cache-Control"] = "no-cache, private"
    raw = yaml_text(body) if form.yaml else dumps(body)
    return web.Response(body=raw, status=status, headers=headers, content_type=form.content_type)


def error_response(error: ApiError, *, warnings: Iterable[str] = ()) -> web.Response:
    """The error's Status with its code; a delay in its details is told as Retry-After too."""
    response = object_response(error.status(), status=error.code, warnings=warnings)
    retry_after = (error.details or {}).get("retryAfterSeconds")
    if retry_after:
        response.headers["Retry-After"] = str(retry_after)
    return response


def text_response(text: str, *, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/plain")


def raw_json_response(raw: bytes, content_type: str = JSON) -> web.Response:
    return web.Response(body=raw, headers={"Content-Type": content_type, "Cache-Control": "no-cache, private"})
