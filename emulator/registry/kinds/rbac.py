"""Role, ClusterRole, RoleBinding and ClusterRoleBinding: stored as upstream writes them, enforced by nobody here.

Source: pkg/apis/rbac/{v1/defaults.go,validation/validation.go}, pkg/registry/rbac.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.api.errors import FieldError, invalid, required
from emulator.api.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, RBAC, ROLE, ROLE_BINDING
from emulator.api.meta import JsonObject
from emulator.registry.kinds import fields
from emulator.registry.kinds.ingress_validation import path_segment_texts, segment_errors
from emulator.registry.kinds.pod_affinity import label_selector_errors
from emulator.registry.kinds.shaping import drop_empty, nullable, part, written
from emulator.registry.strategy import Context, Strategy

SUBJECT_KINDS = ("ServiceAccount", "User", "Group")

Rule = Mapping[str, Any]


def default_role(role: JsonObject, context: Context) -> None:
    nullable(role, "rules")
    for rule in role["rules"] or ():
        nullable(rule, "verbs")
        drop_empty(rule, "apiGroups", "resources", "resourceNames", "nonResourceURLs")


def validate_role(role: JsonObject, context: Context) -> list[FieldError]:
    return _rules_errors(role, namespaced=True)


def validate_cluster_role(role: JsonObject, context: Context) -> list[FieldError]:
    errors = _rules_errors(role, namespaced=False)
    aggregation = role.get("aggregationRule")
    if aggregation is None:
        return errors
    selectors = aggregation.get("clusterRoleSelectors") or ()
    if not selectors:
        text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        errors.append(required("aggregationRule.clusterRoleSelectors", text))
    for index, selector in enumerate(selectors):
        errors += label_selector_errors(f"aggregationRule.clusterRoleSelectors[{index}]", selector)
    return errors


def _rules_errors(role: JsonObject, *, namespaced: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, rule in enumerate(role.get("rules") or ()):
        errors += _rule_errors(rule, f"rules[{index}]", namespaced=namespaced)
    return errors


def _rule_errors(rule: Rule, path: str, *, namespaced: bool) -> list[FieldError]:
    urls, resources = rule.get("nonResourceURLs"), rule.get("resources") or ()
    errors = [] if rule.get("verbs") else [required(f"{path}.verbs", "verbs must contain at least one value")]
    if urls:
        if namespaced:
            text = "namespaced rules cannot apply to non-resource URLs"
            errors.append(invalid(f"{path}.nonResourceURLs", urls, text))
        if rule.get("apiGroups") or resources or rule.get("resourceNames"):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            errors.append(invalid(f"{path}.nonResourceURLs", urls, text))
        return errors
    if not rule.get("apiGroups"):
        errors.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not resources:
        errors.append(required(f"{path}.resources", "resource rules must supply at least one resource"))
    if rule.get("resourceNames") and len(resources) > 1:
        errors.append(required(f"{path}.resourceNames", "resource names cannot apply to multiple resources"))
    return errors


def default_binding(binding: JsonObject, context: Context) -> None:
    """The group of the role and of users and groups is this one, where none is named."""
    role = part(binding, "roleRef")
    if not role.get("apiGroup"):
        role["apiGroup"] = RBAC
    written(role, "kind", "name")
    drop_empty(binding, "subjects")
    for subject in binding.get("subjects") or ():
        written(subject, "kind", "name")
        drop_empty(subject, "apiGroup", "namespace")
        if subject["kind"] in ("User", "Group"):
            subject.setdefault("apiGroup", RBAC)


def validate_role_binding(binding: JsonObject, context: Context) -> list[FieldError]:
    return _binding_errors(binding, ("Role", "ClusterRole"), namespaced=True)


def validate_cluster_role_binding(binding: JsonObject, context: Context) -> list[FieldError]:
    return _binding_errors(binding, ("ClusterRole",), namespaced=False)


def _binding_errors(binding: JsonObject, kinds: tuple[str, ...], *, namespaced: bool) -> list[FieldError]:
    role = binding["roleRef"]
    errors: list[FieldError] = []
    if role["apiGroup"] != RBAC:
        errors.append(fields.unsupported("roleRef.apiGroup", role["apiGroup"], (RBAC,)))
    if role["kind"] not in kinds:
        errors.append(fields.unsupported("roleRef.kind", role["kind"], kinds))
    errors += segment_errors("roleRef.name", role["name"])
    for index, subject in enumerate(binding.get("subjects") or ()):
        errors += _subject_errors(subject, f"subjects[{index}]", namespaced=namespaced)
    return errors


def _subject_errors(subject: Rule, path: str, *, namespaced: bool) -> list[FieldError]:
    kind, name, group = subject.get("kind") or "", subject.get("name") or "", subject.get("apiGroup") or ""
    errors = [] if name else [required(f"{path}.name")]
    if kind not in SUBJECT_KINDS:
        return [*errors, fields.unsupported(f"{path}.kind", kind, SUBJECT_KINDS)]
    if kind == "ServiceAccount":
        if name:
            errors += fields.subdomain(f"{path}.name", name)
        if group:
            errors.append(fields.unsupported(f"{path}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            errors.append(required(f"{path}.namespace"))
        return errors
    if not name:
        errors.append(invalid(f"{path}.name", name, f"{kind.lower()} name cannot be empty"))
    if group != RBAC:
        errors.append(fields.unsupported(f"{path}.apiGroup", group, (RBAC,)))
    return errors


def validate_binding_update(binding: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    if binding["roleRef"] == old["roleRef"]:
        return []
    role = {name: binding["roleRef"][name] for name in ("apiGroup", "kind", "name")}
    return [invalid("roleRef", role, "cannot change roleRef")]


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        ROLE,
        default=default_role,
        validate=validate_role,
        validate_name=path_segment_texts,
        create_on_update=True,
    ),
    Strategy(
        CLUSTER_ROLE,
        default=default_role,
        validate=validate_cluster_role,
        validate_name=path_segment_texts,
        create_on_update=True,
    ),
    Strategy(
        ROLE_BINDING,
        default=default_binding,
        validate=validate_role_binding,
        validate_update=validate_binding_update,
        validate_name=path_segment_texts,
        create_on_update=True,
    ),
    Strategy(
        CLUSTER_ROLE_BINDING,
        default=default_binding,
        validate=validate_cluster_role_binding,
        validate_update=validate_binding_update,
        validate_name=path_segment_texts,
        create_on_update=True,
    ),
)
