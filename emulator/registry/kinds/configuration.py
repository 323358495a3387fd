"""ConfigMap and Secret: keys, sizes, immutability, and what each type of Secret must hold.

Secret data is base64 text here; `stringData` is merged into it and never kept.
Source: pkg/apis/core/validation/validation.go (ValidateSecret, ValidateConfigMap), pkg/registry/core/secret/strategy.go.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

from emulator.api.errors import FieldError, forbidden_field, invalid, required, too_long
from emulator.api.kinds import CONFIG_MAP, SECRET
from emulator.api.meta import JsonObject, annotations_of
from emulator.registry.kinds import fields
from emulator.registry.strategy import Context, Strategy

MAX_BYTES = 1024 * 1024  # core.MaxSecretSize, for ConfigMaps too
MAX_KEY_CHARACTERS = 253

ACCOUNT_KIND = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
_JSON_KEYS = {"kubernetes.io/dockercfg": ".dockercfg", "kubernetes.io/dockerconfigjson": ".dockerconfigjson"}

_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
    "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_FROZEN = "field is immutable when `immutable` is set"


def config_key_texts(key: str) -> list[str]:
    """What is wrong with a key of a ConfigMap or Secret."""
    texts: list[str] = []
    if len(key) > MAX_KEY_CHARACTERS:
        texts.append(f"must be no more than {MAX_KEY_CHARACTERS} characters")
    if not _KEY.fullmatch(key):
        texts.append(_KEY_TEXT)
    if key in (".", ".."):
        texts.append(f"must not be '{key}'")
    elif key.startswith(".."):
        texts.append("must not start with '..'")
    return texts


def _key_errors(path: str, data: Mapping[str, Any]) -> list[FieldError]:
    return [invalid(f"{path}[{key}]", key, text) for key in sorted(data) for text in config_key_texts(key)]


def _decoded(value: str | None) -> bytes:
    try:
        return base64.b64decode(value or "", validate=True)
    except binascii.Error:
        return b""  # decoding refuses it before any check here


def default_config_map(config_map: JsonObject, context: Context) -> None:
    for name in ("data", "binaryData"):
        if name in config_map and not config_map[name]:
            del config_map[name]


def validate_config_map(config_map: JsonObject, context: Context) -> list[FieldError]:
    data, binary = config_map.get("data") or {}, config_map.get("binaryData") or {}
    errors: list[FieldError] = []
    for key in sorted(data):
        errors += _key_errors("data", {key: None})
        if key in binary:
            errors.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    errors += _key_errors("binaryData", binary)
    size = sum(len(value.encode()) for value in data.values()) + sum(len(_decoded(v)) for v in binary.values())
    return errors + ([too_long("[]", MAX_BYTES)] if size > MAX_BYTES else [])


def validate_config_map_update(config_map: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    return _frozen_errors(config_map, old, ("data", "binaryData"))


def _frozen_errors(new: JsonObject, old: JsonObject, parts: tuple[str, ...]) -> list[FieldError]:
    if not old.get("immutable"):
        return []
    errors = [] if new.get("immutable") else [forbidden_field("immutable", _FROZEN)]
    changed = [part for part in parts if (new.get(part) or {}) != (old.get(part) or {})]
    return errors + [forbidden_field(part, _FROZEN) for part in changed]


def default_secret(secret: JsonObject, context: Context) -> None:
    if not secret.get("type"):
        secret["type"] = "Opaque"
    plain = secret.pop("stringData", None) or {}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
    data = {**(secret.get("data") or {}), **encoded}
    if data:
        secret["data"] = data
    else:
        secret.pop("data", None)


def validate_secret(secret: JsonObject, context: Context) -> list[FieldError]:
    data = secret.get("data") or {}
    errors = _key_errors("data", data)
    if sum(len(_decoded(value)) for value in data.values()) > MAX_BYTES:
        errors.append(too_long("data", MAX_BYTES))
    return errors + _type_errors(secret, data)


def _type_errors(secret: JsonObject, data: Mapping[str, str]) -> list[FieldError]:
    kind = secret.get("type")
    if kind == ACCOUNT_KIND:
        named = annotations_of(secret).get(ACCOUNT_NAME)
        return [] if named else [required(f"metadata.annotations[{ACCOUNT_NAME}]")]
    if kind in _JSON_KEYS:
        return _json_errors(_JSON_KEYS[kind], data)
    if kind == "kubernetes.io/basic-auth" and not data.keys() & {"username", "password"}:
        return [required("data[username]"), required("data[password]")]
    if kind == "kubernetes.io/ssh-auth" and not data.get("ssh-privatekey"):
        return [required("data[ssh-privatekey]")]
    if kind == "kubernetes.io/tls":
        return [required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in data]
    return []


def _json_errors(key: str, data: Mapping[str, str]) -> list[FieldError]:
    if key not in data:
        return [required(f"data[{key}]")]
    content = _decoded(data[key])
    problem = _json_problem(content)
    return [invalid(f"data[{key}]", "<secret contents redacted>", problem)] if problem else []


def _json_problem(content: bytes) -> str:
    """Why the content is no JSON object, as Go's decoder would put it; "" if it is one."""
    if not content.strip():
        return "unexpected end of JSON input"
    try:
        value = json.loads(content)
    except ValueError as error:
        at = getattr(error, "pos", 0)
        text = content.decode(errors="replace")
        if at >= len(text):
            return "unexpected end of JSON input"
        return f"invalid character '{text[at]}' looking for beginning of value"
    if isinstance(value, dict) or value is None:
        return ""
    kinds = {bool: "bool", int: "number", float: "number", str: "string", list: "array"}
    return f"json: cannot unmarshal {kinds[type(value)]} into Go value of type map[string]interface {{}}"


def validate_secret_update(secret: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    errors = fields.immutable("type", secret.get("type"), old.get("type"))
    return errors + _frozen_errors(secret, old, ("data",))


def secret_labels(secret: JsonObject) -> Mapping[str, str]:
    return {"type": secret.get("type") or ""}


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        CONFIG_MAP,
        default=default_config_map,
        validate=validate_config_map,
        validate_update=validate_config_map_update,
    ),
    Strategy(
        SECRET,
        default=default_secret,
        validate=validate_secret,
        validate_update=validate_secret_update,
        field_labels=secret_labels,
        field_label_names=frozenset(("type",)),
    ),
)
