"""ServiceAccount tokens: made for those who ask, and told apart from any other text.

Source: pkg/registry/core/serviceaccount/storage/token.go, pkg/serviceaccount/claims.go (Validate).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from emulator.api.errors import BadRequest, Conflict, FieldError, Invalid, NotFound, invalid
from emulator.api.kinds import NODE, POD, SECRET, SERVICE_ACCOUNT, TOKEN_REQUEST, Kind
from emulator.api.meta import JsonObject, format_time
from emulator.apiserver.users import ISSUER, Account, User, account_of, claims_of, user_of
from emulator.pki.tokens import TokenKey
from emulator.registry.io.pipeline import Registry
from emulator.registry.metadata import new_uid

DEFAULT_SECONDS = 3600
MIN_SECONDS, MAX_SECONDS = 600, 1 << 32
BINDABLE = {"Pod": POD, "Secret": SECRET, "Node": NODE}


class Accounts:
    """Issues and recognises the tokens of one cluster."""

    def __init__(
        self, registry: Registry, key: TokenKey, *, clock: Callable[[], datetime], rng: Callable[[int], int]
    ) -> None:
        self._registry = registry
        self._key = key
        self._clock = clock
        self._rng = rng

    async def user(self, token: str) -> User | None:
        """Whose token it is; None when it is not ours, has run out, or its account or pod is gone."""
        claims = self._key.verify(token, at_seconds=self._clock().timestamp())
        account = account_of(claims) if claims is not None else None
        if account is None or not await self._stands(account):
            return None
        return user_of(account)

    async def _stands(self, account: Account) -> bool:
        bound = [(SERVICE_ACCOUNT, account.name, account.uid)]
        if account.pod_name:
            bound.append((POD, account.pod_name, account.pod_uid))
        for kind, name, uid in bound:
            try:
                held = await self._registry.get(kind, name, account.namespace)
            except NotFound:
                return False
            if held["metadata"]["uid"] != uid:
                return False
        return True

    async def issue(self, namespace: str, name: str, request: JsonObject) -> JsonObject:
        """The TokenRequest with its token. Raises NotFound, Invalid, BadRequest, Conflict."""
        account = await self._registry.get(SERVICE_ACCOUNT, name, namespace)
        spec = request.get("spec") or {}
        seconds = spec.get("expirationSeconds")
        seconds = DEFAULT_SECONDS if seconds is None else seconds
        if errors := _mistakes(seconds):
            raise Invalid.of(TOKEN_REQUEST.kind, TOKEN_REQUEST.group, "", errors)
        reference = spec.get("boundObjectRef")
        bound = await self._bound(namespace, name, reference) if reference else None
        at = self._clock()
        audiences = spec.get("audiences") or [ISSUER]
        claims = claims_of(
            account,
            audiences=audiences,
            at_seconds=int(at.timestamp()),
            expires_seconds=seconds,
            identifier=new_uid(self._rng),
            pod=bound if reference and reference.get("kind") == "Pod" else None,
        )
        expires = at.replace(microsecond=0) + timedelta(seconds=seconds)
        return {
            "kind": TOKEN_REQUEST.kind,
            "apiVersion": TOKEN_REQUEST.api_version,
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": format_time(at)},
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference},
            "status": {"token": self._key.sign(claims), "expirationTimestamp": format_time(expires)},
        }

    async def _bound(self, namespace: str, account: str, reference: JsonObject) -> JsonObject:
        kind: Kind | None = BINDABLE.get(reference.get("kind", ""))
        if kind is None:
            found = f"{reference.get('apiVersion', '')}, Kind={reference.get('kind', '')}"
            raise BadRequest(f"cannot bind token to object of type {found}")
        name = reference.get("name", "")
        held = await self._registry.get(kind, name, namespace if kind.namespaced else "")
        if kind is POD and held["spec"].get("serviceAccountName") != account:
            raise BadRequest(
                f"cannot bind token for serviceaccount {account!r} to pod running with different serviceaccount name."
            )
        uid = reference.get("uid")
        if uid and uid != held["metadata"]["uid"]:
            why = f"the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            raise Conflict.of(kind.resource, name, why)
        return held


def _mistakes(seconds: Any) -> list[FieldError]:
    field = "spec.expirationSeconds"
    if seconds < MIN_SECONDS:
        return [invalid(field, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > MAX_SECONDS:
        return [invalid(field, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []
