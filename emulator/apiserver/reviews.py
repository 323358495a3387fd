"""Answers to questions put as objects: who am I, may I, is this token good. No I/O.

Every user who is let in may do everything: the kinds of RBAC are stored, not enforced.
Source: pkg/registry/authentication, pkg/registry/authorization.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from emulator.api.errors import BadRequest, FieldError, Invalid, invalid
from emulator.api.kinds import (
    LOCAL_SUBJECT_ACCESS_REVIEW,
    SELF_SUBJECT_REVIEW,
    SELF_SUBJECT_RULES_REVIEW,
    SUBJECT_ACCESS_REVIEW,
    TOKEN_REVIEW,
    Kind,
)
from emulator.api.meta import JsonObject, format_time
from emulator.apiserver.users import ISSUER, User

ALLOWED = {"allowed": True, "reason": "kubemu allows everything to those it lets in"}
EVERY_RULE = {
    "incomplete": False,
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
}


def answer(
    kind: Kind, object: JsonObject, user: User, namespace: str, *, reviewed: User | None, at: datetime
) -> JsonObject:
    """The review with its status; reviewed: whose the token of a TokenReview is. Raises Invalid, BadRequest."""
    spec = object.get("spec") or {}
    if kind is SELF_SUBJECT_REVIEW:
        status: JsonObject = {"userInfo": user.info()}
    elif kind is TOKEN_REVIEW:
        status = _token_status(spec, reviewed)
    elif kind is SELF_SUBJECT_RULES_REVIEW:
        if not spec.get("namespace"):
            raise BadRequest("no namespace on request")
        status = EVERY_RULE
    else:
        errors = _mistakes(kind, object, spec, namespace)
        if errors:
            raise Invalid.of(kind.kind, kind.group, "", errors)
        status = ALLOWED
    metadata: JsonObject = {**(object.get("metadata") or {}), "creationTimestamp": None}
    if kind is SELF_SUBJECT_REVIEW:
        metadata["creationTimestamp"] = format_time(at)
    body = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    return {**body, **({"spec": spec} if kind is not SELF_SUBJECT_REVIEW else {}), "status": status}


def _token_status(spec: JsonObject, user: User | None) -> JsonObject:
    if not spec.get("token"):
        raise BadRequest("token is required for TokenReview in authentication")
    if user is None:
        return {"user": {}, "error": "invalid bearer token"}
    audiences = spec.get("audiences") or [ISSUER]
    return {"authenticated": True, "user": user.info(), "audiences": audiences}


def _mistakes(kind: Kind, object: JsonObject, spec: Any, namespace: str) -> list[FieldError]:
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    errors = []
    if resource is not None and other is not None:
        errors.append(
            invalid("spec.nonResourceAttributes", other, "cannot be specified in combination with resourceAttributes")
        )
    if resource is None and other is None:
        errors.append(
            invalid(
                "spec.resourceAttributes",
                None,
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            )
        )
    if kind in (SUBJECT_ACCESS_REVIEW, LOCAL_SUBJECT_ACCESS_REVIEW) and not spec.get("user") and not spec.get("groups"):
        errors.append(invalid("spec.user", "", "at least one of user or group must be specified"))
    if kind is LOCAL_SUBJECT_ACCESS_REVIEW:
        if (resource or {}).get("namespace") != namespace:
            errors.append(
                invalid(
                    "spec.resourceAttributes.namespace",
                    (resource or {}).get("namespace"),
                    "must match metadata.namespace",
                )
            )
        if other is not None:
            errors.append(invalid("spec.nonResourceAttributes", other, "disallowed on this kind of request"))
    return errors
