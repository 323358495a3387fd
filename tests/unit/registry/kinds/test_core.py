"""Namespaces, Nodes, ConfigMaps, Secrets and Events: defaults, refusals, selectable fields."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from emulator.api.meta import JsonObject
from emulator.registry.kinds.table import STRATEGIES
from tests.unit.registry.kinds.support import create_errors, created, update_errors, updated


def named(**fields: Any) -> JsonObject:
    return {"metadata": {"name": "x", "namespace": "n"}, **fields}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_namespace() -> None:
    made = created("namespaces", named())
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x"}
    assert made["spec"] == {"finalizers": ["kubernetes"]}
    assert made["status"] == {"phase": "Active"}
    assert updated("namespaces", made, named(spec={"finalizers": []}))["spec"] == made["spec"]
    assert updated("namespaces", made, named(spec={"finalizers": []}), "finalize")["spec"] == {"finalizers": []}
    assert update_errors("namespaces", made, named(status={"phase": "Terminating"}), "status") == [
        "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
    ]


def test_node() -> None:
    made = created("nodes", named(status={"capacity": {"cpu": "2000m"}}))
    assert made["status"]["allocatable"] == {"cpu": "2"}
    assert made["status"]["nodeInfo"]["kubeletVersion"] == ""
    assert STRATEGIES["nodes"].field_labels(made) == {"spec.unschedulable": "false"}
    taint = {"key": "a", "effect": "Never"}
    assert create_errors("nodes", named(spec={"taints": [taint]})) == [
        (
            'metadata.taints[0].effect: Unsupported value: "Never": '
            'supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"'
        )
    ]


def test_config_map_refusals() -> None:
    given = named(data={"a b": "1", "c": "2"}, binaryData={"c": encoded("3")})
    assert create_errors("configmaps", given) == [
        (
            'data[a b]: Invalid value: "a b": a valid config key must consist of alphanumeric characters, '
            "'-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
            "'[-._a-zA-Z0-9]+')"
        ),
        'data[c]: Invalid value: "c": duplicate of key present in binaryData',
    ]
    assert create_errors("configmaps", named(data={"a": "x" * 1048577})) == [
        "[]: Too long: may not be more than 1048576 bytes"
    ]


def test_immutable_config_map() -> None:
    old = named(data={"a": "1"}, immutable=True)
    text = "Forbidden: field is immutable when `immutable` is set"
    assert update_errors("configmaps", old, named(data={"a": "2"})) == [f"immutable: {text}", f"data: {text}"]
    assert update_errors("configmaps", old, named(data={"a": "1"}, immutable=True)) == []


def test_secret_defaults() -> None:
    made = created("secrets", named(data={"a": encoded("old")}, stringData={"a": "new"}))
    assert made["type"] == "Opaque"
    assert made["data"] == {"a": encoded("new")}
    assert "stringData" not in made


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        (
            {"type": "kubernetes.io/tls", "data": {"tls.crt": ""}},
            ["data[tls.key]: Required value"],
        ),
        (
            {"type": "kubernetes.io/basic-auth"},
            ["data[username]: Required value", "data[password]: Required value"],
        ),
        ({"type": "kubernetes.io/ssh-auth"}, ["data[ssh-privatekey]: Required value"]),
        (
            {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": encoded("nope")}},
            [
                (
                    'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": '
                    "invalid character 'n' looking for beginning of value"
                )
            ],
        ),
        (
            {"type": "kubernetes.io/service-account-token"},
            ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
    ],
)
def test_secret_refusals(fields: JsonObject, wanted: list[str]) -> None:
    assert create_errors("secrets", named(**fields)) == wanted


def test_a_secret_keeps_its_type() -> None:
    old = created("secrets", named())
    assert update_errors("secrets", old, named(type="x/y")) == ['type: Invalid value: "x/y": field is immutable']


def test_event() -> None:
    made = created("events", named(involvedObject={"kind": "Pod", "name": "p", "namespace": "n"}, reason="Started"))
    assert made["eventTime"] is None
    assert made["source"] == {}
    labels = STRATEGIES["events"].field_labels(made)
    assert labels.keys() == STRATEGIES["events"].field_label_names
    assert labels["involvedObject.kind"] == "Pod"
    assert labels["involvedObject.uid"] == ""
    assert create_errors("events", named(involvedObject={"namespace": "other"})) == [
        'involvedObject.namespace: Invalid value: "other": does not match event.namespace'
    ]
