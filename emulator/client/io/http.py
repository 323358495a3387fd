"""The Client protocol over HTTPS, for the command line and for programs outside the cluster's process."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from emulator.api.errors import ApiError, EmulatorError, Expired, NotFound
from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject
from emulator.client.io.protocol import ObjectList, PatchType, Propagation, WatchEvent

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PATCH_TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)
WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=5)


class Unreachable(EmulatorError):
    """Nothing answers at the API's address; the cluster may be down."""


class HttpClient:
    """A Client of the API at `url`. Use it as an async context manager."""

    def __init__(self, url: str, *, token: str, ca: str) -> None:
        """ca: the CA's PEM text, not a path; may be empty for plain http."""
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "User-Agent": "kubemu"}
        self._tls: ssl.SSLContext | bool = ssl.create_default_context(cadata=ca) if ca else True
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._tls)
        self._session = aiohttp.ClientSession(connector=connector, headers=self._headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, kind: Kind, name: str, namespace: str = "") -> JsonObject:
        return await self.request("GET", path_of(kind, namespace, name))

    async def list(
        self, kind: Kind, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> ObjectList:
        body = await self.request("GET", path_of(kind, namespace), params=_selectors(label_selector, field_selector))
        items = body.get("items") or []
        for item in items:
            item.setdefault("apiVersion", kind.api_version)
            item.setdefault("kind", kind.kind)
        return ObjectList(items, body["metadata"].get("resourceVersion", ""))

    async def table(
        self, kind: Kind, namespace: str = "", name: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> JsonObject:
        """The server-printed Table of a list or, with a name, of one object."""
        params = _selectors(label_selector, field_selector)
        return await self.request("GET", path_of(kind, namespace, name), params=params, accept=TABLE)

    @asynccontextmanager
    async def watch(
        self, kind: Kind, namespace: str = "", *, resource_version: str
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        params = {"watch": "true", "resourceVersion": resource_version, "allowWatchBookmarks": "true"}
        async with self._open().get(
            self.url + path_of(kind, namespace), params=params, timeout=WATCH_TIMEOUT
        ) as response:
            if response.status != 200:
                raise _error(response.status, await response.read())
            yield _events(response)

    async def create(
        self, kind: Kind, object: JsonObject, *, dry_run: bool = False, strict: bool = False
    ) -> JsonObject:
        namespace = object["metadata"].get("namespace", "")
        params = _validation(strict)
        if dry_run:
            params["dryRun"] = "All"
        return await self.request("POST", path_of(kind, namespace), params=params, body=object)

    async def update(self, kind: Kind, object: JsonObject, *, subresource: str = "") -> JsonObject:
        metadata = object["metadata"]
        path = path_of(kind, metadata.get("namespace", ""), metadata["name"], subresource)
        return await self.request("PUT", path, body=object)

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        patch: Any,
        patch_type: PatchType = "merge",
        subresource: str = "",
        strict: bool = False,
        manager: str = "",
        force: bool = False,
    ) -> JsonObject:
        path = path_of(kind, namespace, name, subresource)
        params = _validation(strict)
        if manager:
            params["fieldManager"] = manager
        if force:
            params["force"] = "true"
        return await self.request("PATCH", path, params=params, body=patch, content_type=PATCH_TYPES[patch_type])

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        uid: str | None = None,
        propagation: Propagation | None = None,
        grace_period_seconds: int | None = None,
    ) -> JsonObject:
        options: JsonObject = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if propagation is not None:
            options["propagationPolicy"] = propagation
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        return await self.request("DELETE", path_of(kind, namespace, name), body=options)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: Any = None,
        accept: str = "application/json",
        content_type: str = "application/json",
    ) -> JsonObject:
        """One request and its JSON answer. Raises ApiError as the server said, Unreachable when nobody answered."""
        headers = {"Accept": accept}
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = orjson.dumps(body)
        try:
            async with self._open().request(
                method, self.url + path, params=params, data=data, headers=headers, timeout=REQUEST_TIMEOUT
            ) as response:
                raw = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"the API at {self.url} does not answer ({error}); see `kubemu status`") from error
        if response.status >= 400:
            raise _error(response.status, raw)
        answer: JsonObject = orjson.loads(raw)
        return answer

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("HttpClient is used as an async context manager")
        return self._session


def path_of(kind: Kind, namespace: str, name: str = "", subresource: str = "") -> str:
    """The URL path of a collection, an object or a subresource."""
    path = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    if kind.namespaced and namespace:
        path += f"/namespaces/{namespace}"
    path += f"/{kind.plural}"
    if name:
        path += f"/{name}"
    return f"{path}/{subresource}" if subresource else path


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    params = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {key: value for key, value in params.items() if value}


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[WatchEvent]:
    async for line in response.content:
        if not line.strip():
            continue
        event = orjson.loads(line)
        if event["type"] == "ERROR":
            raise _error(event["object"].get("code", 500), orjson.dumps(event["object"]))
        yield WatchEvent(event["type"], event["object"])


def _error(code: int, raw: bytes) -> ApiError:
    try:
        status = orjson.loads(raw)
        message, reason = status["message"], status.get("reason", "")
    except (ValueError, KeyError, TypeError):
        message, reason, status = raw.decode(errors="replace")[:200] or f"HTTP {code}", "", {}
    details = status.get("details") if isinstance(status, dict) else None
    if code == 404:
        return NotFound(message, details=details)
    if code == 410:
        return Expired(message, details=details)
    return ApiError(message, code=code, reason=reason, details=details)


def _validation(strict: bool) -> dict[str, str]:
    return {"fieldValidation": "Strict" if strict else "Ignore"}
