"""Continue tokens: where the next page of a list begins, and at which revision. No I/O.

Source: k8s.io/apiserver pkg/storage/continue.go.
"""

from __future__ import annotations

import base64
import binascii
import json

from emulator.api.errors import BadRequest, Expired
from emulator.api.meta import JsonObject

VERSION = "meta.k8s.io/v1"
INCONSISTENT = -1  # the revision of a token that goes on with whatever there is now

TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


class ContinueExpired(Expired):
    """The token's revision is forgotten; the Status carries a token that goes on with the present state."""

    def __init__(self, token: str) -> None:
        super().__init__(TOO_OLD)
        self.token = token

    def status(self) -> JsonObject:
        body = super().status()
        body["metadata"] = {"continue": self.token}
        return body


def encode_token(last_key: str, prefix: str, revision: int) -> str:
    """The token of the page after `last_key`."""
    start = last_key.removeprefix(prefix) + "\0"
    text = json.dumps({"v": VERSION, "rv": revision, "start": start}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_token(token: str, prefix: str) -> tuple[str, int]:
    """(first key, revision). Raises BadRequest."""
    try:
        found = _go_json(_raw_base64(token))
    except ValueError as error:
        raise _invalid(str(error)) from None
    version = found.get("v", "")
    if version != VERSION:
        raise _invalid(f'server does not recognize this encoded version "{version}"')
    revision, start = found.get("rv", 0), found.get("start", "")
    if not isinstance(revision, int) or revision == 0:
        raise _invalid(f"incorrect encoded start resourceVersion (version {VERSION})")
    if not isinstance(start, str) or not start:
        raise _invalid(f"encoded start key empty (version {VERSION})")
    if start.startswith("/") or ".." in start.split("/"):
        raise _invalid("" + start)
    return prefix + start, revision


def _invalid(why: str) -> BadRequest:
    return BadRequest(f"invalid continue token: continue key is not valid: {why}")


def _raw_base64(token: str) -> bytes:
    """base64.RawURLEncoding: no padding; raises ValueError in Go's words."""
    for index, character in enumerate(token):
        if not (character.isascii() and (character.isalnum() or character in "-_")):
            raise ValueError(f"illegal base64 data at input byte {index}")
    if len(token) % 4 == 1:
        raise ValueError(f"illegal base64 data at input byte {len(token)}")
    try:
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error:
        raise ValueError(f"illegal base64 data at input byte {len(token)}") from None


def _go_json(raw: bytes) -> JsonObject:
    """A JSON object; raises ValueError in the words of Go's decoder for what is none."""
    text = raw.lstrip(b" \t\r\n")
    if not text:
        raise ValueError("unexpected end of JSON input")
    if text[:1] not in b'{["-0123456789tfn':
        shown = json.dumps(chr(text[0]))[1:-1]
        raise ValueError(f"invalid character '{shown}' looking for beginning of value")
    try:
        found = json.loads(text.decode("utf-8", "replace"))
    except ValueError:
        raise ValueError("unexpected end of JSON input") from None
    if isinstance(found, dict):
        return found
    names = {str: "string", bool: "bool", int: "number", float: "number", list: "array"}
    name = names.get(type(found), "null")
    raise ValueError(f"json: cannot unmarshal {name} into Go value of type storage.continueToken")
