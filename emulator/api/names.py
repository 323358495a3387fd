"""Name rules: each function gives the texts of what is wrong with a value, in upstream's words; empty when legal.

Source: k8s.io/apimachinery pkg/util/validation, pkg/api/validation/objectmeta.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from emulator.api.errors import FieldError, forbidden_field, invalid, required, too_long

LABEL, SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
DNS_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
QUALIFIED, VALUE = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
MAX_LABEL, MAX_SUBDOMAIN, MAX_PORT_NAME = 63, 253, 15
MAX_ANNOTATION_BYTES = 256 * 1024
STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")

_LABEL, _SUBDOMAIN, _DNS_1035 = re.compile(LABEL), re.compile(SUBDOMAIN), re.compile(DNS_1035)
_QUALIFIED, _VALUE, _PORT = re.compile(QUALIFIED), re.compile(VALUE), re.compile(r"[-a-z0-9]+")
_LETTER = re.compile("[a-z]")

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


def dns1123_label(name: str) -> list[str]:
    wrong = _longer(name, MAX_LABEL, "characters")
    if not _LABEL.fullmatch(name):
        wrong.append("must not contain dots" if _SUBDOMAIN.fullmatch(name) else LABEL_TEXT)
    return wrong


def dns1123_subdomain(name: str) -> list[str]:
    return _subdomain(name, "characters")


def dns1035_label(name: str) -> list[str]:
    wrong = _longer(name, MAX_LABEL, "characters")
    if not _DNS_1035.fullmatch(name):
        wrong.append(DNS_1035_TEXT)
    return wrong


def qualified_name(name: str) -> list[str]:
    """`name` or `prefix/name`: keys of labels and annotations."""
    parts = name.split("/")
    if len(parts) > 2:
        text = QUALIFIED_TEXT.removeprefix("name part ")
        return [f"a valid label key {text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    wrong: list[str] = []
    if len(parts) == 2:
        texts = _subdomain(parts[0], "bytes") if parts[0] else ["must be non-empty"]
        wrong += [f"prefix part {text}" for text in texts]
    last = parts[-1]
    texts = _longer(last, MAX_LABEL, "bytes") if last else ["must be non-empty"]
    wrong += [f"name part {text}" for text in texts]
    if not _QUALIFIED.fullmatch(last):
        wrong.append(QUALIFIED_TEXT)
    return wrong


def label_value(value: str) -> list[str]:
    wrong = _longer(value, MAX_LABEL, "bytes")
    if not _VALUE.fullmatch(value):
        wrong.append(VALUE_TEXT)
    return wrong


def port_name(name: str) -> list[str]:
    """An IANA service name: what named ports are called."""
    wrong = _longer(name, MAX_PORT_NAME, "characters")
    if not _PORT.fullmatch(name):
        wrong.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not _LETTER.search(name):
        wrong.append("must contain at least one letter (a-z)")
    if "--" in name:
        wrong.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        wrong.append("must not begin or end with a hyphen")
    return wrong


def _subdomain(name: str, unit: str) -> list[str]:
    wrong = _longer(name, MAX_SUBDOMAIN, unit)
    if not _SUBDOMAIN.fullmatch(name):
        wrong.append(SUBDOMAIN_TEXT)
    return wrong


def _longer(value: str, limit: int, unit: str) -> list[str]:
    """unit: upstream always counts bytes, and calls them characters where the rule is older than its label rules."""
    return [f"must be no more than {limit} {unit}"] if len(value.encode(errors="surrogatepass")) > limit else []


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
        masked = generate[:-2] + "a" if len(generate) > 1 and generate.endswith("-") else generate
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
    if (generation := metadata.get("generation") or 0) < 0:
        errors.append(invalid(f"{path}.generation", generation, "must be greater than or equal to 0"))
    errors += label_errors(metadata.get("labels") or {}, f"{path}.labels")
    errors += annotation_errors(metadata.get("annotations") or {}, f"{path}.annotations")
    errors += _owner_errors(metadata.get("ownerReferences") or (), f"{path}.ownerReferences")
    errors += _finalizer_errors(metadata.get("finalizers") or (), f"{path}.finalizers")
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
        size += len(key.encode(errors="surrogatepass")) + len(annotations[key].encode(errors="surrogatepass"))
    if size > MAX_ANNOTATION_BYTES:
        errors.append(too_long(path, MAX_ANNOTATION_BYTES))
    return errors


def _owner_errors(owners: Any, path: str) -> list[FieldError]:
    """The paths have no index: upstream's have none."""
    errors: list[FieldError] = []
    first_controller = ""
    for owner in owners:
        group, version = _group_version(owner.get("apiVersion") or "")
        if not version:
            errors.append(invalid(f"{path}.apiVersion", owner.get("apiVersion") or "", "version must not be empty"))
        empty = [field for field in ("kind", "name", "uid") if not owner.get(field)]
        errors += [invalid(f"{path}.{field}", "", "must not be empty") for field in empty]
        if (group, version, owner.get("kind")) == ("", "v1", "Event"):
            errors.append(invalid(path, _as_go(owner), "/v1, Kind=Event is disallowed from being an owner"))
        if not owner.get("controller"):
            continue
        controller = f"{owner.get('kind') or ''}/{owner.get('name') or ''}"
        if first_controller:
            detail = (
                'Only one reference can have Controller set to true. Found "true" in references for '
                f"{first_controller} and {controller}"
            )
            errors.append(invalid(path, [_as_go(each) for each in owners], detail))
        first_controller = first_controller or controller
    return errors


def _group_version(api_version: str) -> tuple[str, str]:
    """An apiVersion's parts; one with two slashes has none."""
    group, _, version = api_version.rpartition("/")
    return ("", "") if "/" in group else (group, version)


def _as_go(owner: Mapping[str, Any]) -> dict[str, Any]:
    """The reference in the order of Go's struct."""
    texts = {field: owner.get(field) or "" for field in ("apiVersion", "kind", "name", "uid")}
    return texts | {field: owner[field] for field in ("controller", "blockOwnerDeletion") if field in owner}


def _finalizer_errors(finalizers: Any, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for finalizer in finalizers:
        errors += [invalid(path, finalizer, text) for text in qualified_name(finalizer)]
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        text = "finalizer orphan and foregroundDeletion cannot be both set"
        errors.append(invalid(path, list(finalizers), text))
    for index, finalizer in enumerate(finalizers):
        if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(invalid(f"{path}[{index}]", finalizer, text))
    return errors
