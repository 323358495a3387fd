"""Who a request comes from, and the claims of ServiceAccount tokens. No I/O.

Source: k8s.io/apiserver pkg/authentication/serviceaccount/util.go, pkg/serviceaccount/claims.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emulator.api.meta import JsonObject

ISSUER = "https://kubernetes.default.svc.cluster.local"
AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
ANONYMOUS = "system:anonymous"
ACCOUNT_PREFIX = "system:serviceaccount:"
ACCOUNTS_GROUP = "system:serviceaccounts"


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user, as SelfSubjectReview shows one."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def info(self) -> JsonObject:
        """authentication.k8s.io/v1 UserInfo."""
        found: JsonObject = {"username": self.name}
        if self.uid:
            found["uid"] = self.uid
        if self.groups:
            found["groups"] = list(self.groups)
        if self.extra:
            found["extra"] = {key: list(values) for key, values in self.extra.items()}
        return found


@dataclass(frozen=True, slots=True)
class Account:
    """The ServiceAccount that a token is for, and the Pod it is bound to ("" for none)."""

    namespace: str
    name: str
    uid: str
    pod_name: str = ""
    pod_uid: str = ""


def claims_of(
    account: JsonObject, *, audiences: Sequence[str], at_seconds: int, expires_seconds: int, identifier: str, pod: Any
) -> JsonObject:
    """What a token says; pod: the bound Pod object, or None."""
    metadata = account["metadata"]
    namespace = metadata["namespace"]
    private: JsonObject = {
        "namespace": namespace,
        "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
    }
    if pod is not None:
        private["pod"] = {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    return {
        "aud": list(audiences),
        "exp": at_seconds + expires_seconds,
        "iat": at_seconds,
        "iss": ISSUER,
        "jti": identifier,
        "kubernetes.io": private,
        "nbf": at_seconds,
        "sub": f"{ACCOUNT_PREFIX}{namespace}:{metadata['name']}",
    }


def account_of(claims: Mapping[str, Any], audience: str = ISSUER) -> Account | None:
    """Who a verified token is for; None when it is for another audience or lacks what ours have."""
    if audience not in (claims.get("aud") or ()):
        return None
    private = claims.get("kubernetes.io") or {}
    found, pod = private.get("serviceaccount") or {}, private.get("pod") or {}
    if not found.get("name") or not private.get("namespace"):
        return None
    return Account(private["namespace"], found["name"], found.get("uid", ""), pod.get("name", ""), pod.get("uid", ""))


def user_of(account: Account) -> User:
    """The user that a ServiceAccount is."""
    extra = {}
    if account.pod_name:
        extra = {
            "authentication.kubernetes.io/pod-name": (account.pod_name,),
            "authentication.kubernetes.io/pod-uid": (account.pod_uid,),
        }
    name = f"{ACCOUNT_PREFIX}{account.namespace}:{account.name}"
    groups = (ACCOUNTS_GROUP, f"{ACCOUNTS_GROUP}:{account.namespace}", AUTHENTICATED)
    return User(name, account.uid, groups, extra)
