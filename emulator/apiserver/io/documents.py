"""Answers that are about the server itself: health, version, discovery, OpenAPI."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime

from aiohttp import web

from emulator.api.errors import MethodNotAllowed
from emulator.api.kinds import SERVED
from emulator.apiserver import discovery
from emulator.apiserver.health import CHECKS, Health, health, one_check
from emulator.apiserver.io.descriptions import published_descriptions
from emulator.apiserver.io.respond import NOT_FOUND_TEXT, dumps, object_response, raw_json_response, text_response
from emulator.apiserver.negotiation import (
    JSON,
    OPENAPI_PROTOBUF,
    aggregated_content_type,
    discovery_version,
    form_of,
    openapi_type,
)
from emulator.apiserver.openapi.documents import Document, address
from emulator.apiserver.openapi.documents import Documents as OpenApi
from emulator.apiserver.requestinfo import DiscoveryRequest, OtherRequest
from emulator.apiserver.version import version_info
from emulator.io.clock import utc_now

ROOT_PATHS = ("/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version")
YEAR = timedelta(days=365)
MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}


class Documents:
    """Serves what no registry is needed for.

    synced: whether the parts behind the API are ready; address: `host:port` of the server.
    """

    def __init__(self, synced: Callable[[], bool], address: Callable[[], str], machine: str) -> None:
        self._synced = synced
        self._address = address
        interpreter = f"{sys.implementation.name}{sys.version_info[0]}.{sys.version_info[1]}.{sys.version_info[2]}"
        platform = f"{sys.platform}/{MACHINES.get(machine, machine)}"
        self._version = version_info(platform=platform, interpreter=interpreter)

    def discovery(self, method: str, target: DiscoveryRequest, accept: str) -> web.Response:
        _only_reads(method)
        if target.group is None:
            version = discovery_version(accept)
            if version:
                body = discovery.aggregated(SERVED, core=target.legacy, version=version)
                return raw_json_response(dumps(body), aggregated_content_type(version))
            if target.legacy:
                return object_response(discovery.core_versions(SERVED, self._address()), form=form_of(accept))
            return object_response(discovery.group_list(SERVED), form=form_of(accept))
        if target.version is None:
            return object_response(discovery.group(SERVED, target.group), form=form_of(accept))
        return object_response(discovery.resource_list(SERVED, target.group, target.version), form=form_of(accept))

    async def other(self, request: web.BaseRequest, target: OtherRequest) -> web.Response:
        method = request.method
        first, *rest = target.segments
        if first in CHECKS and len(rest) <= 1:
            _only_reads(method)
            return self._health(request, first, rest[0] if rest else "")
        if target.path == "/version":
            _only_reads(method)
            return object_response(self._version)
        if target.path == "/":
            _only_reads(method)
            return object_response(discovery.paths(SERVED, ROOT_PATHS))
        if first == "openapi" and rest:
            _only_reads(method)
            return await _openapi(request, rest)
        return text_response(NOT_FOUND_TEXT, status=404)

    def _health(self, request: web.BaseRequest, name: str, part: str) -> web.Response:
        found: Health | None
        if part:
            found = one_check(name, part, synced=self._synced())
        else:
            query = request.query
            excluded = query.getall("exclude", [])
            found = health(name, synced=self._synced(), verbose="verbose" in query, excluded=excluded)
        if found is None:
            return text_response(NOT_FOUND_TEXT, status=404)
        return text_response(found.text, status=found.code)


OPENAPI = OpenApi(lambda: SERVED, published_descriptions)
"""One for all servers of the process: the documents depend on the table of kinds alone."""


async def _openapi(request: web.BaseRequest, rest: list[str]) -> web.Response:
    """Making a document takes milliseconds, the first time; other connections are served meanwhile."""
    accept = request.headers.get("Accept", "")
    type = JSON
    group, version = "", ""
    document: Document | None = None
    if rest == ["v2"]:
        type = openapi_type(accept)
        document = await asyncio.to_thread(OPENAPI.v2_protobuf if type == OPENAPI_PROTOBUF else OPENAPI.v2)
    elif rest == ["v3"]:
        form_of(accept)
        document = await asyncio.to_thread(OPENAPI.index)
    elif rest[:2] == ["v3", "api"] and len(rest) == 3:
        version = rest[2]
        document = await asyncio.to_thread(OPENAPI.v3, group, version)
    elif rest[:2] == ["v3", "apis"] and len(rest) == 4:
        group, version = rest[2:]
        document = await asyncio.to_thread(OPENAPI.v3, group, version)
    if document is None:
        return text_response(NOT_FOUND_TEXT, status=404)
    asked = request.query.get("hash", "") if version else ""
    if asked and asked != document.digest:
        return web.Response(status=301, headers={"Location": address(group, version, document.digest)})
    return _document_response(request, document, type, for_ever=bool(asked))


def _document_response(request: web.BaseRequest, document: Document, type: str, *, for_ever: bool) -> web.Response:
    """for_ever: the address carries the hash, so what it names never changes."""
    tag = f'"{document.digest}"'
    headers = {"ETag": tag, "Vary": "Accept", "Cache-Control": "no-cache, private"}
    if for_ever:
        headers |= {
            "Cache-Control": "public, immutable",
            "Expires": format_datetime(utc_now() + YEAR, usegmt=True),
        }
    if tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    return web.Response(body=document.raw, headers=headers | {"Content-Type": type})


def _only_reads(method: str) -> None:
    if method not in ("GET", "HEAD"):
        raise MethodNotAllowed
