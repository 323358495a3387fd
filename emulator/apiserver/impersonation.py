"""Acting as somebody else: `kubectl --as`. Whoever is let in may do so, as the administrator of a real cluster may.

Source: k8s.io/apiserver pkg/endpoints/filters/impersonation.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

from emulator.api.errors import ApiError
from emulator.apiserver.users import ACCOUNT_PREFIX, ACCOUNTS_GROUP, ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User

USER, GROUP, UID, EXTRA = "impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-"


def impersonated(user: User, headers: Iterable[tuple[str, str]]) -> User:
    """Whom the request is to be taken for; `user` where its headers ask for nobody else. Raises ApiError."""
    name, uid, groups = "", "", list[str]()
    extra: dict[str, tuple[str, ...]] = {}
    for header, value in headers:
        lowered = header.lower()
        if lowered == USER:
            name = value
        elif lowered == UID:
            uid = value
        elif lowered == GROUP:
            groups.append(value)
        elif lowered.startswith(EXTRA):
            key = unquote(lowered.removeprefix(EXTRA))
            extra[key] = (*extra.get(key, ()), value)
    if name:
        return User(name, uid, (*groups, *_more_groups(name, groups)), extra)
    if uid or groups or extra:
        asked = [*groups, *extra, *([uid] if uid else [])]
        raise ApiError(f"requested [{' '.join(asked)}] without impersonating a user", code=500, reason="")
    return user


def _more_groups(name: str, groups: list[str]) -> list[str]:
    """What everybody of that name is in: a ServiceAccount in those of its kind, unless the request names groups."""
    more: list[str] = []
    namespace, colon, account = name.removeprefix(ACCOUNT_PREFIX).partition(":")
    if name.startswith(ACCOUNT_PREFIX) and colon and account and not groups:
        more = [ACCOUNTS_GROUP, f"{ACCOUNTS_GROUP}:{namespace}"]
    everybody = UNAUTHENTICATED if name == ANONYMOUS else AUTHENTICATED
    return more if everybody in groups else [*more, everybody]
