"""What is wrong with the spec of an Ingress or IngressClass, or with an Ingress' load balancer status.

Updates may keep certain old mistakes: `IngressRules` says which, `allowances` finds them in the stored spec.
Source: pkg/apis/networking/validation/validation.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.api import names
from emulator.api.errors import FieldError, forbidden_field, invalid, not_supported, required, too_long
from emulator.registry.kinds import fields

Spec = Mapping[str, Any]

PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
PARAMETER_SCOPES = ("Cluster", "Namespace")
FORBIDDEN_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
FORBIDDEN_ENDINGS = ("/..", "/.")
MAX_CONTROLLER_BYTES = 250

HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
WILDCARD = rf"\*\.{names.SUBDOMAIN}"
WILDCARD_TEXT = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', "
    f"regex used for validation is '{WILDCARD}')"
)

_HTTP_PATH, _WILDCARD = re.compile(HTTP_PATH), re.compile(WILDCARD)


@dataclass(frozen=True, slots=True)
class IngressRules:
    """What an update does not refuse because the stored Ingress has it already."""

    keeps_bad_secret_names: bool = False
    keeps_bad_wildcard_rules: bool = False


def allowances(old: Spec) -> IngressRules:
    """old: the stored spec."""
    return IngressRules(
        keeps_bad_secret_names=any(_secret_texts(entry) for entry in old.get("tls") or ()),
        keeps_bad_wildcard_rules=any(
            "*" in (rule.get("host") or "") and _rule_errors(rule, "") for rule in old.get("rules") or ()
        ),
    )


def spec_errors(spec: Spec, path: str, rules: IngressRules) -> list[FieldError]:
    errors: list[FieldError] = []
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        errors.append(invalid(path, None, "either `defaultBackend` or `rules` must be specified"))
    if spec.get("defaultBackend") is not None:
        errors += _backend_errors(spec["defaultBackend"], f"{path}.defaultBackend")
    for index, rule in enumerate(spec.get("rules") or ()):
        at, host = f"{path}.rules[{index}]", rule.get("host") or ""
        errors += _host_errors(host, f"{at}.host")
        if not ("*" in host and rules.keeps_bad_wildcard_rules):
            errors += _rule_errors(rule, at)
    for index, entry in enumerate(spec.get("tls") or ()):
        errors += _tls_errors(entry, f"{path}.tls[{index}]", rules)
    if spec.get("ingressClassName") is not None:
        errors += fields.subdomain(f"{path}.ingressClassName", spec["ingressClassName"])
    return errors


def _host_errors(host: str, path: str) -> list[FieldError]:
    if not host:
        return []
    is_ip = fields.parse_address(host) is not None
    errors = [invalid(path, host, "must be a DNS name, not an IP address")] if is_ip else []
    return errors + _name_errors(host, path)


def _name_errors(host: str, path: str) -> list[FieldError]:
    """Of a DNS name whose first label may be a wildcard."""
    texts = wildcard_texts(host) if "*" in host else names.dns1123_subdomain(host)
    return [invalid(path, host, text) for text in texts]


def wildcard_texts(name: str) -> list[str]:
    """What is wrong with `*.example.com`."""
    texts = [f"must be no more than {names.MAX_SUBDOMAIN} characters"] if len(name) > names.MAX_SUBDOMAIN else []
    return texts if _WILDCARD.fullmatch(name) else [*texts, WILDCARD_TEXT]


def _rule_errors(rule: Spec, path: str) -> list[FieldError]:
    http = rule.get("http")
    if http is None:
        return []
    paths = http.get("paths") or ()
    errors = [] if paths else [required(f"{path}.http.paths")]
    for index, entry in enumerate(paths):
        errors += _path_errors(entry, f"{path}.http.paths[{index}]")
    return errors


def _path_errors(entry: Spec, path: str) -> list[FieldError]:
    kind, text = entry.get("pathType"), entry.get("path") or ""
    if kind is None:
        return [required(f"{path}.pathType", "pathType must be specified")]
    errors: list[FieldError] = []
    if kind not in PATH_TYPES:
        errors.append(not_supported(f"{path}.pathType", kind, PATH_TYPES))
    elif not text.startswith("/") and (text or kind != "ImplementationSpecific"):
        errors.append(invalid(f"{path}.path", text, "must be an absolute path"))
    if kind in ("Exact", "Prefix"):
        found = [part for part in FORBIDDEN_SEQUENCES if part in text]
        errors += [invalid(f"{path}.path", text, f"must not contain '{part}'") for part in found]
        ends = [part for part in FORBIDDEN_ENDINGS if text.endswith(part)]
        errors += [invalid(f"{path}.path", text, f"cannot end with '{part}'") for part in ends]
    return errors + _backend_errors(entry.get("backend") or {}, f"{path}.backend")


def _backend_errors(backend: Spec, path: str) -> list[FieldError]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        return [invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _reference_errors(resource, f"{path}.resource")
    if service is not None:
        return _service_errors(service, path)
    return [invalid(path, "", "resource or service backend is required")]


def _service_errors(service: Spec, path: str) -> list[FieldError]:
    named, port = service.get("name") or "", service.get("port") or {}
    # since 1.36 a Service's name may begin with a digit
    errors = fields.label(f"{path}.service.name", named) if named else [required(f"{path}.service.name")]
    name, number = port.get("name") or "", port.get("number") or 0
    if name and number:
        errors.append(invalid(path, "", "cannot set both port name & port number"))
    elif name:
        errors += [invalid(f"{path}.service.port.name", name, text) for text in names.port_name(name)]
    elif number:
        errors += fields.port_number(f"{path}.service.port.number", number)
    else:
        errors.append(required(path, "port name or number is required"))
    return errors


def _reference_errors(reference: Spec, path: str) -> list[FieldError]:
    """A typed reference: group, kind and name."""
    errors: list[FieldError] = []
    if reference.get("apiGroup") is not None:
        errors += fields.subdomain(f"{path}.apiGroup", reference["apiGroup"])
    for name in ("kind", "name"):
        errors += segment_errors(f"{path}.{name}", reference.get(name) or "")
    return errors


def segment_errors(path: str, value: str) -> list[FieldError]:
    """A required text that can stand in a URL as one segment."""
    if not value:
        return [required(path)]
    return [invalid(path, value, text) for text in path_segment_texts(value)]


def path_segment_texts(name: str) -> list[str]:
    """What keeps a name from being one segment of a URL."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{part}'" for part in ("/", "%") if part in name]


def _tls_errors(entry: Spec, path: str, rules: IngressRules) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, host in enumerate(entry.get("hosts") or ()):
        errors += _name_errors(host, f"{path}.hosts[{index}]")
    if not rules.keeps_bad_secret_names:
        errors += [invalid(f"{path}.secretName", entry["secretName"], text) for text in _secret_texts(entry)]
    return errors


def _secret_texts(entry: Spec) -> list[str]:
    name = entry.get("secretName") or ""
    return names.dns1123_subdomain(name) if name else []


def load_balancer_errors(points: Iterable[Spec], path: str, before: Iterable[str]) -> list[FieldError]:
    """before: the addresses that the stored status has."""
    errors: list[FieldError] = []
    for index, point in enumerate(points):
        at, ip, host = f"{path}[{index}]", point.get("ip") or "", point.get("hostname") or ""
        if ip:
            errors += fields.legacy_ip(f"{at}.ip", ip, before)
        if host:
            errors += fields.subdomain(f"{at}.hostname", host)
            if fields.parse_address(host) is not None:
                errors.append(invalid(f"{at}.hostname", host, "must be a DNS name, not an IP address"))
    return errors


def class_errors(spec: Spec, path: str) -> list[FieldError]:
    controller = spec.get("controller") or ""
    errors: list[FieldError] = []
    if len(controller.encode()) > MAX_CONTROLLER_BYTES:
        errors.append(too_long(f"{path}.controller", MAX_CONTROLLER_BYTES))
    errors += domain_prefixed_path(f"{path}.controller", controller)
    if spec.get("parameters") is not None:
        errors += _parameter_errors(spec["parameters"], f"{path}.parameters")
    return errors


def domain_prefixed_path(path: str, value: str) -> list[FieldError]:
    """`example.com/controller`."""
    if not value:
        return [required(path)]
    host, _, rest = value.partition("/")
    if not host or not rest:
        return [invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    errors = fields.subdomain(path, host)
    if not _HTTP_PATH.fullmatch(rest):
        errors.append(invalid(path, rest, f"Invalid path (regex used for validation is '{HTTP_PATH}')"))
    return errors


def _parameter_errors(parameters: Spec, path: str) -> list[FieldError]:
    errors = _reference_errors(parameters, path)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        return [*errors, required(f"{path}.scope")]
    if scope not in PARAMETER_SCOPES:
        return [*errors, not_supported(f"{path}.scope", scope, PARAMETER_SCOPES)]
    if scope == "Cluster":
        text = "`parameters.scope` is set to 'Cluster'"
        return errors + ([] if namespace is None else [forbidden_field(f"{path}.namespace", text)])
    if namespace is None:
        return [*errors, required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")]
    return errors + fields.label(f"{path}.namespace", namespace)
