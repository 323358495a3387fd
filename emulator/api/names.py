"""Name rules: each function gives the texts of what is wrong with a value, in upstream's words; empty when legal.

Source: k8s.io/apimachinery pkg/util/validation, pkg/api/validation/objectmeta.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from emulator.api.errors import FieldError, forbidden_field, invalid, required

LABEL, SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
DNS_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
QUALIFIED, VALUE = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
MAX_LABEL, MAX_SUBDOMAIN, MAX_PORT_NAME = 63, 253, 15
MAX_ANNOTATION_BYTES = 256 * 1024

_LABEL, _SUBDOMAIN, _DNS_1035 = re.compile(LABEL), re.compile(SUBDOMAIN), re.compile(DNS_1035)
_QUALIFIED, _VALUE, _PORT = re.compile(QUALIFIED), re.compile(VALUE), re.compile(r"[-a-z0-9]+")

LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    f"'{LABEL}')"
)
SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    f"'{SUBDOMAIN}')"
)
DNS_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    f"'{DNS_1035}')"
)
QUALIFIED_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    f"'{QUALIFIED}')"
)
VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{VALUE}')"
)


def _longer(limit: int, prefix: str = "") -> str:
    return f"{prefix}must be no more than {limit} characters"


def dns1123_label(name: str) -> list[str]:
    wrong = [_longer(MAX_LABEL)] if len(name) > MAX_LABEL else []
    if not _LABEL.fullmatch(name):
        wrong.append(LABEL_TEXT)
    return wrong


def dns1123_subdomain(name: str) -> list[str]:
    wrong = [_longer(MAX_SUBDOMAIN)] if len(name) > MAX_SUBDOMAIN else []
    if not _SUBDOMAIN.fullmatch(name):
        wrong.append(SUBDOMAIN_TEXT)
    return wrong


def dns1035_label(name: str) -> list[str]:
    wrong = [_longer(MAX_LABEL)] if len(name) > MAX_LABEL else []
    if not _DNS_1035.fullmatch(name):
        wrong.append(DNS_1035_TEXT)
    return wrong


def qualified_name(name: str) -> list[str]:
    """`name` or `prefix/name`: keys of labels and annotations."""
    parts = name.split("/")
    if len(parts) > 2:
        text = (
            "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
            "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
            f"'{QUALIFIED}') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        )
        return [text]
    wrong: list[str] = []
    if len(parts) == 2:
        if not parts[0]:
            wrong.append("prefix part must be non-empty")
        else:
            wrong += [f"prefix part {text}" for text in dns1123_subdomain(parts[0])]
    last = parts[-1]
    if not last:
        wrong.append("name part must be non-empty")
    elif len(last) > MAX_LABEL:
        wrong.append(_longer(MAX_LABEL, "name part "))
    if not _QUALIFIED.fullmatch(last):
        wrong.append(QUALIFIED_TEXT)
    return wrong


def label_value(value: str) -> list[str]:
    wrong = [_longer(MAX_LABEL)] if len(value) > MAX_LABEL else []
    if not _VALUE.fullmatch(value):
        wrong.append(VALUE_TEXT)
    return wrong


def port_name(name: str) -> list[str]:
    """An IANA service name: what named ports are called."""
    wrong = [_longer(MAX_PORT_NAME)] if len(name) > MAX_PORT_NAME else []
    if not _PORT.fullmatch(name):
        wrong.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any(char.isascii() and char.isalpha() for char in name):
        wrong.append("must contain at least one letter (a-z)")
    if "--" in name:
        wrong.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        wrong.append("must not begin or end with a hyphen")
    return wrong


def validate_metadata(
    metadata: Mapping[str, Any],
    *,
    namespaced: bool,
    validate_name: Callable[[str], list[str]],
    path: str = "metadata",
) -> list[FieldError]:
    """Every mistake in an object's metadata."""
    errors: list[FieldError] = []
    generate = metadata.get("generateName")
    if generate:
        masked = generate[:-1] + "a" if generate.endswith("-") else generate
        errors += [invalid(f"{path}.generateName", generate, text) for text in validate_name(masked)]
    name = metadata.get("name")
    if not name:
        errors.append(required(f"{path}.name", "name or generateName is required"))
    else:
        errors += [invalid(f"{path}.name", name, text) for text in validate_name(name)]
    namespace = metadata.get("namespace")
    if namespaced:
        if not namespace:
            errors.append(required(f"{path}.namespace"))
        else:
            errors += [invalid(f"{path}.namespace", namespace, text) for text in dns1123_label(namespace)]
    elif namespace:
        errors.append(forbidden_field(f"{path}.namespace", "not allowed on this type"))
    errors += label_errors(metadata.get("labels") or {}, f"{path}.labels")
    errors += annotation_errors(metadata.get("annotations") or {}, f"{path}.annotations")
    errors += _owner_errors(metadata.get("ownerReferences") or (), f"{path}.ownerReferences")
    for finalizer in metadata.get("finalizers") or ():
        errors += [invalid(f"{path}.finalizers", finalizer, text) for text in qualified_name(finalizer)]
    return errors


def label_errors(labels: Mapping[str, str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in sorted(labels):
        errors += [invalid(path, key, text) for text in qualified_name(key)]
        errors += [invalid(path, labels[key], text) for text in label_value(labels[key])]
    return errors


def annotation_errors(annotations: Mapping[str, str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    size = 0
    for key in sorted(annotations):
        errors += [invalid(path, key, text) for text in qualified_name(key.lower())]
        size += len(key) + len(annotations[key])
    if size > MAX_ANNOTATION_BYTES:
        text = f"Too long: may not be more than {MAX_ANNOTATION_BYTES} bytes"
        errors.append(FieldError(path, "FieldValueTooLong", text))
    return errors


def _owner_errors(owners: Any, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    controllers = [owner for owner in owners if owner.get("controller")]
    for index, owner in enumerate(owners):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                what = "version" if field == "apiVersion" else field
                errors.append(invalid(f"{path}[{index}].{field}", owner.get(field, ""), f"{what} must not be empty"))
    if len(controllers) > 1:
        first, second = controllers[:2]
        detail = (
            'Only one reference can have Controller set to true. Found "true" in references for '
            f"{first.get('kind')}/{first.get('name')} and {second.get('kind')}/{second.get('name')}"
        )
        errors.append(invalid(path, list(owners), detail))
    return errors
