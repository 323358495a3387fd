"""Roles and bindings: how they are written, and every rule."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.meta import JsonObject
from tests.unit.registry.kinds.support import create_errors, created, update_errors

GROUP = "rbac.authorization.k8s.io"
ROLE, CLUSTER_ROLE = f"roles.{GROUP}", f"clusterroles.{GROUP}"
BINDING, CLUSTER_BINDING = f"rolebindings.{GROUP}", f"clusterrolebindings.{GROUP}"
READ = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
ONLY_GROUP = f'supported values: "{GROUP}"'


def role(*rules: JsonObject, **fields: Any) -> JsonObject:
    return {"metadata": {"name": "r", "namespace": "n"}, "rules": list(rules), **fields}


def binding(*subjects: JsonObject, **to: str) -> JsonObject:
    return {
        "metadata": {"name": "b", "namespace": "n"},
        "roleRef": {"kind": "Role", "name": "r", **to},
        "subjects": list(subjects),
    }


def test_a_role_without_rules_says_so() -> None:
    assert created(ROLE, {"metadata": {"name": "r"}})["rules"] is None


def test_groups_are_filled_in() -> None:
    made = created(BINDING, binding({"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}))
    assert made["roleRef"]["apiGroup"] == GROUP
    assert made["subjects"] == [
        {"kind": "User", "name": "u", "apiGroup": GROUP},
        {"kind": "ServiceAccount", "name": "s"},
    ]


@pytest.mark.parametrize(
    ("kind", "object", "wanted"),
    [
        (ROLE, role(READ), []),
        (
            ROLE,
            role({}),
            [
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[0].resources: Required value: resource rules must supply at least one resource",
            ],
        ),
        (
            ROLE,
            role({"verbs": ["get"], "nonResourceURLs": ["/x"]}),
            ['rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs'],
        ),
        (CLUSTER_ROLE, role({"verbs": ["get"], "nonResourceURLs": ["/x"]}), []),
        (
            CLUSTER_ROLE,
            role({**READ, "nonResourceURLs": ["/x"]}),
            [
                (
                    'rules[0].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and '
                    "non-resource URLs"
                )
            ],
        ),
        (
            ROLE,
            role({**READ, "resources": ["a", "b"], "resourceNames": ["x"]}),
            ["rules[0].resourceNames: Required value: resource names cannot apply to multiple resources"],
        ),
        (
            CLUSTER_ROLE,
            role(aggregationRule={}),
            [
                (
                    "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if "
                    "aggregationRule is non-nil"
                )
            ],
        ),
        (BINDING, binding(), []),
        (BINDING, binding(kind="ClusterRole"), []),
        (
            CLUSTER_BINDING,
            binding(),
            ['roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"'],
        ),
        (BINDING, binding(apiGroup="x"), [f'roleRef.apiGroup: Unsupported value: "x": {ONLY_GROUP}']),
        (BINDING, binding(name=""), ["roleRef.name: Required value"]),
        (BINDING, binding(name="a/b"), ["roleRef.name: Invalid value: \"a/b\": may not contain '/'"]),
        (
            BINDING,
            binding({"kind": "Robot", "name": "x"}),
            ['subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"'],
        ),
        (
            BINDING,
            binding({"kind": "User"}),
            [
                "subjects[0].name: Required value",
                'subjects[0].name: Invalid value: "": user name cannot be empty',
            ],
        ),
        (
            CLUSTER_BINDING,
            binding({"kind": "ServiceAccount", "name": "s"}, kind="ClusterRole"),
            ["subjects[0].namespace: Required value"],
        ),
    ],
)
def test_rules(kind: str, object: JsonObject, wanted: list[str]) -> None:
    assert create_errors(kind, object) == wanted


def test_a_binding_stays_with_its_role() -> None:
    old = created(BINDING, binding())
    shown = f'{{"apiGroup":"{GROUP}","kind":"Role","name":"other"}}'
    assert update_errors(BINDING, old, binding(name="other")) == [
        f"roleRef: Invalid value: {shown}: cannot change roleRef"
    ]
