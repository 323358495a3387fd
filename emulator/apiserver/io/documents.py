"""Answers that are about the server itself: health, version, discovery, OpenAPI."""

from __future__ import annotations

import sys
from collections.abc import Callable

from aiohttp import web

from emulator.api.errors import MethodNotAllowed
from emulator.api.kinds import SERVED
from emulator.apiserver import discovery, openapi
from emulator.apiserver.io.respond import NOT_FOUND_TEXT, dumps, object_response, raw_json_response, text_response
from emulator.apiserver.negotiation import aggregated_content_type, discovery_version, form_of
from emulator.apiserver.requestinfo import DiscoveryRequest, OtherRequest
from emulator.apiserver.version import version_info

HEALTH = ("healthz", "livez", "readyz")
ROOT_PATHS = ("/healthz", "/livez", "/openapi/v3", "/readyz", "/version")
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

    def other(self, method: str, target: OtherRequest, accept: str) -> web.Response:
        first, *rest = target.segments
        if first in HEALTH and len(rest) <= 1:
            _only_reads(method)
            return self._health(first, rest[0] if rest else "")
        if target.path == "/version":
            _only_reads(method)
            return object_response(self._version)
        if target.path == "/":
            _only_reads(method)
            return object_response(discovery.paths(SERVED, ROOT_PATHS))
        if target.segments[:2] == ("openapi", "v3"):
            _only_reads(method)
            return _openapi(target.segments[2:])
        return text_response(NOT_FOUND_TEXT, status=404)

    def _health(self, check: str, part: str) -> web.Response:
        """Alive as soon as it answers; ready and healthy once the parts are in step with the store."""
        if part not in ("", "ping", "informer-sync"):
            return text_response(NOT_FOUND_TEXT, status=404)
        if check == "livez" or part == "ping" or self._synced():
            return text_response("ok")
        lines = ("[+]ping ok", "[-]informer-sync failed: reason withheld", f"{check} check failed")
        return text_response("\n".join(lines) + "\n", status=500)


def _openapi(rest: tuple[str, ...]) -> web.Response:
    if not rest:
        return object_response(openapi.index(SERVED))
    legacy = rest[0] == "api" and len(rest) == 2
    group, version = (
        ("", rest[1]) if legacy else (rest[1], rest[2]) if rest[0] == "apis" and len(rest) == 3 else ("", "")
    )
    if not any(kind.group == group and kind.version == version for kind in SERVED):
        return text_response(NOT_FOUND_TEXT, status=404)
    return raw_json_response(openapi.document(group, version))


def _only_reads(method: str) -> None:
    if method not in ("GET", "HEAD"):
        raise MethodNotAllowed
