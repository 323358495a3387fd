"""Ingress and IngressClass: the shape they are stored in, every rule, and the class that is given."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.kinds import INGRESS_CLASS
from emulator.api.meta import JsonObject
from emulator.registry.kinds.defaultclass import default_class
from emulator.registry.kinds.ingress import CLASS_ANNOTATION, DEFAULT_CLASS_ANNOTATION
from emulator.registry.kinds.ingress_validation import WILDCARD_TEXT
from emulator.registry.kinds.table import STRATEGIES
from tests.unit.registry.kinds.support import context, create_errors, created, patched, update_errors, warnings

INGRESS, CLASS = "ingresses.networking.k8s.io", "ingressclasses.networking.k8s.io"
BACKEND = {"service": {"name": "svc", "port": {"number": 80}}}
PATH = "spec.rules[0].http.paths[0]"
SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must"


def ingress(spec: JsonObject, **annotations: str) -> JsonObject:
    return {"metadata": {"name": "i", "namespace": "n", "annotations": annotations}, "spec": spec}


def with_path(**fields: Any) -> JsonObject:
    path = {"path": "/", "pathType": "Prefix", "backend": BACKEND, **fields}
    return ingress({"rules": [{"http": {"paths": [{k: v for k, v in path.items() if v is not ...}]}}]})


def with_backend(backend: JsonObject) -> JsonObject:
    return ingress({"defaultBackend": backend})


def ingress_class(spec: JsonObject, name: str = "c") -> JsonObject:
    return {"metadata": {"name": name}, "spec": spec}


def test_what_typed_servers_write_is_there_and_nothing_else() -> None:
    made = created(
        INGRESS,
        ingress(
            {
                "tls": [],
                "rules": [{"host": "", "http": {"paths": [{"path": "", "backend": {"resource": {"name": "r"}}}]}}],
                "defaultBackend": {"service": {}},
            }
        ),
    )
    path = {"pathType": None, "backend": {"resource": {"apiGroup": None, "kind": "", "name": "r"}}}
    assert made["spec"] == {
        "rules": [{"http": {"paths": [path]}}],
        "defaultBackend": {"service": {"name": "", "port": {}}},
    }
    assert made["status"] == {"loadBalancer": {}}


@pytest.mark.parametrize(
    ("object", "wanted"),
    [
        (ingress({}), ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]),
        (with_path(), []),
        (ingress({"rules": [{"host": "a.example.com"}]}), []),
        (ingress({"rules": [{"http": {}}]}), ["spec.rules[0].http.paths: Required value"]),
        (with_path(pathType=...), [f"{PATH}.pathType: Required value: pathType must be specified"]),
        (
            with_path(pathType="Regex"),
            [
                f'{PATH}.pathType: Unsupported value: "Regex": supported values: "Exact", "ImplementationSpecific", "Prefix"'
            ],
        ),
        (with_path(path="x"), [f'{PATH}.path: Invalid value: "x": must be an absolute path']),
        (with_path(path=...), [f'{PATH}.path: Invalid value: "": must be an absolute path']),
        (with_path(path=..., pathType="ImplementationSpecific"), []),
        (with_path(path="/a//b", pathType="ImplementationSpecific"), []),
        (
            with_path(path="x", pathType="ImplementationSpecific"),
            [f'{PATH}.path: Invalid value: "x": must be an absolute path'],
        ),
        (
            with_path(path="/a//b/../%2F", pathType="Exact"),
            [
                f"{PATH}.path: Invalid value: \"/a//b/../%2F\": must not contain '//'",
                f"{PATH}.path: Invalid value: \"/a//b/../%2F\": must not contain '/../'",
                f"{PATH}.path: Invalid value: \"/a//b/../%2F\": must not contain '%2F'",
            ],
        ),
        (with_path(path="/a/.."), [f"{PATH}.path: Invalid value: \"/a/..\": cannot end with '/..'"]),
        (with_path(path="/a/."), [f"{PATH}.path: Invalid value: \"/a/.\": cannot end with '/.'"]),
        (with_path(backend={}), [f'{PATH}.backend: Invalid value: "": resource or service backend is required']),
        (
            with_backend({**BACKEND, "resource": {"kind": "K", "name": "r"}}),
            ['spec.defaultBackend: Invalid value: "": cannot set both resource and service backends'],
        ),
        (
            with_backend({"resource": {"apiGroup": "a.b", "kind": "K/x"}}),
            [
                "spec.defaultBackend.resource.kind: Invalid value: \"K/x\": may not contain '/'",
                "spec.defaultBackend.resource.name: Required value",
            ],
        ),
        (
            with_backend({"service": {"port": {}}}),
            [
                "spec.defaultBackend.service.name: Required value",
                "spec.defaultBackend: Required value: port name or number is required",
            ],
        ),
        (
            with_backend({"service": {"name": "s", "port": {"name": "http", "number": 80}}}),
            ['spec.defaultBackend: Invalid value: "": cannot set both port name & port number'],
        ),
        (
            with_backend({"service": {"name": "s", "port": {"name": "80"}}}),
            [
                'spec.defaultBackend.service.port.name: Invalid value: "80": must contain at least one letter (a-z)',
            ],
        ),
        (
            with_backend({"service": {"name": "s", "port": {"number": 70000}}}),
            ["spec.defaultBackend.service.port.number: Invalid value: 70000: must be between 1 and 65535, inclusive"],
        ),
        (with_backend({"service": {"name": "1s", "port": {"number": 1}}}), []),
        (
            ingress({"rules": [{"host": "*.*.com"}]}),
            [f'spec.rules[0].host: Invalid value: "*.*.com": {WILDCARD_TEXT}'],
        ),
        (ingress({"rules": [{"host": "*.example.com"}], "tls": [{"hosts": ["*.example.com", "a.b"]}]}), []),
        (
            ingress({"rules": [{"host": "1.2.3.4"}]}),
            ['spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address'],
        ),
    ],
)
def test_rules_of_an_ingress(object: JsonObject, wanted: list[str]) -> None:
    assert create_errors(INGRESS, object) == wanted


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"tls": [{"hosts": ["A"]}]}, "spec.tls[0].hosts[0]"),
        ({"tls": [{"secretName": "B_"}]}, "spec.tls[0].secretName"),
        ({"ingressClassName": "C_"}, "spec.ingressClassName"),
    ],
)
def test_names_in_an_ingress(spec: JsonObject, field: str) -> None:
    (error,) = create_errors(INGRESS, ingress({"defaultBackend": BACKEND, **spec}))
    assert error.startswith(f"{field}: Invalid value: ")
    assert SUBDOMAIN in error


def test_the_annotation_of_old_times() -> None:
    spec = {"defaultBackend": BACKEND}
    both = ingress({**spec, "ingressClassName": "a"}, **{CLASS_ANNOTATION: "b"})
    text = 'Invalid value: "b": must match `ingressClassName` when both are specified'
    assert create_errors(INGRESS, both) == [f"annotations.{CLASS_ANNOTATION}: {text}"]
    assert update_errors(INGRESS, created(INGRESS, both), both) == []
    told = f"annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"
    assert warnings(INGRESS, ingress(spec, **{CLASS_ANNOTATION: "b"})) == [told]
    assert warnings(INGRESS, both) == []


def test_an_update_may_keep_what_was_wrong_before() -> None:
    bad_secret = ingress({"defaultBackend": BACKEND, "tls": [{"secretName": "B_"}]})
    assert update_errors(INGRESS, created(INGRESS, bad_secret), bad_secret) == []
    fine = ingress({"defaultBackend": BACKEND})
    assert len(update_errors(INGRESS, created(INGRESS, fine), bad_secret)) == 1
    bad_wildcard = ingress({"rules": [{"host": "*.a.b", "http": {"paths": []}}]})
    assert update_errors(INGRESS, created(INGRESS, bad_wildcard), bad_wildcard) == []


def test_rules_of_the_status() -> None:
    old = created(INGRESS, with_path())
    points = [{"ip": "192.0.2.1"}, {"ip": "192.0.2.01"}, {"hostname": "10.0.0.1"}, {"ip": "x"}]
    path = "status.loadBalancer.ingress"
    assert update_errors(INGRESS, old, {**old, "status": {"loadBalancer": {"ingress": points}}}, "status") == [
        f'{path}[1].ip: Invalid value: "192.0.2.01": must not have leading 0s',
        f'{path}[2].hostname: Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
        f'{path}[3].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
    ]


PARAMETERS = {"kind": "K", "name": "p"}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"controller": "example.com/c"}, []),
        ({}, ["spec.controller: Required value"]),
        (
            {"controller": "c"},
            ['spec.controller: Invalid value: "c": must be a domain-prefixed path (such as "acme.io/foo")'],
        ),
        (
            {"controller": "a.b/c d"},
            [
                (
                    'spec.controller: Invalid value: "c d": Invalid path (regex used for validation is '
                    "'[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"
                )
            ],
        ),
        ({"controller": "a.b/" + "c" * 250}, ["spec.controller: Too long: may not be more than 250 bytes"]),
        ({"controller": "a.b/c", "parameters": PARAMETERS}, []),
        (
            {"controller": "a.b/c", "parameters": {"scope": "Planet"}},
            [
                "spec.parameters.kind: Required value",
                "spec.parameters.name: Required value",
                'spec.parameters.scope: Unsupported value: "Planet": supported values: "Cluster", "Namespace"',
            ],
        ),
        (
            {"controller": "a.b/c", "parameters": {**PARAMETERS, "scope": "Namespace"}},
            ["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
        ),
        (
            {"controller": "a.b/c", "parameters": {**PARAMETERS, "scope": "Cluster", "namespace": "n"}},
            ["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"],
        ),
    ],
)
def test_rules_of_an_ingress_class(spec: JsonObject, wanted: list[str]) -> None:
    assert create_errors(CLASS, ingress_class(spec)) == wanted


def test_the_controller_of_a_class_stays() -> None:
    old = created(CLASS, ingress_class({"controller": "a.b/c"}))
    text = 'spec.controller: Invalid value: "a.b/d": field is immutable'
    assert update_errors(CLASS, old, patched(old, controller="a.b/d")) == [text]


def marked(name: str, at: str, value: str = "true") -> JsonObject:
    return {"metadata": {"name": name, "creationTimestamp": at, "annotations": {DEFAULT_CLASS_ANNOTATION: value}}}


@pytest.mark.parametrize(
    ("classes", "wanted"),
    [
        ([], None),
        ([marked("a", "2026-01-01T00:00:00Z", "false")], None),
        ([marked("a", "2026-01-01T00:00:00Z"), marked("b", "2026-01-02T00:00:00Z")], "b"),
        ([marked("b", "2026-01-01T00:00:00Z"), marked("a", "2026-01-01T00:00:00Z")], "a"),
    ],
)
def test_the_default_class(classes: list[JsonObject], wanted: str | None) -> None:
    assert default_class(classes, [DEFAULT_CLASS_ANNOTATION]) == wanted


@pytest.mark.parametrize(
    ("spec", "annotations", "wanted"),
    [
        ({}, {}, "d"),
        ({"ingressClassName": "own"}, {}, "own"),
        ({}, {CLASS_ANNOTATION: "own"}, None),
    ],
)
def test_an_ingress_without_a_class_gets_the_default_one(
    spec: JsonObject, annotations: dict[str, str], wanted: str | None
) -> None:
    object = ingress({"defaultBackend": BACKEND, **spec}, **annotations)
    stored = {INGRESS_CLASS.resource: [marked("d", "2026-01-01T00:00:00Z")]}
    STRATEGIES[INGRESS].admit_create(object, stored, context())
    assert object["spec"].get("ingressClassName") == wanted
