"""The subresources of a pod that are streams: log, exec, attach, portforward. Says who answers, and refuses.

Whatever can be refused is refused before a connection is taken over, as a Status; what upstream's kubelet refuses is
told as it tells it, as plain text, which kubectl shows after its own words.
Source: pkg/registry/core/pod/rest/{log,subresources}.go, k8s.io/apimachinery pkg/util/proxy/upgradeaware.go.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlencode

from aiohttp import web

from emulator.api.errors import ApiError, BadRequest
from emulator.api.kinds import NODE, POD
from emulator.api.meta import JsonObject
from emulator.apiserver import podtargets
from emulator.apiserver.goerrors import host_port
from emulator.apiserver.io import podlog, portforward, remotecommand
from emulator.apiserver.io.respond import text_response
from emulator.apiserver.io.sessions import Sessions
from emulator.apiserver.io.upgrade import is_spdy, is_websocket
from emulator.apiserver.parameters import Query, text
from emulator.apiserver.podtargets import CommandOptions, ContainerNotFound
from emulator.apiserver.requestinfo import ResourceRequest
from emulator.io.podstreams import Ended, PodStreams, Streams
from emulator.registry.io.pipeline import Registry


class PodConnections:
    """Serves them for one registry. pod_streams: of whoever runs the pods; None when nobody does."""

    def __init__(self, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._registry = registry
        self._clock = clock
        self.sessions = Sessions(registry)
        self.pod_streams: PodStreams | None = None

    async def serve(self, request: web.BaseRequest, target: ResourceRequest, query: Query) -> web.StreamResponse:
        """Raises ApiError."""
        try:
            if target.subresource == "log":
                return await self._log(request, target, query)
            pod = await self._registry.get(POD, target.name, target.namespace)
            if target.subresource == "portforward":
                return await self._forward(request, pod, query)
            return await self._command(request, target, pod, query)
        except ContainerNotFound as error:
            return text_response(error.message, status=error.code)

    # -- log ---------------------------------------------------------------------------------------------------

    async def _log(self, request: web.BaseRequest, target: ResourceRequest, query: Query) -> web.StreamResponse:
        options = podtargets.log_options(query, target.name, at=self._clock())
        pod = await self._registry.get(POD, target.name, target.namespace)
        container = podtargets.container_of(pod, options.container)
        node = (pod.get("spec") or {}).get("nodeName")
        if not node:
            return web.Response(status=204)
        streams = self.pod_streams
        if streams is None:
            address = await self._kubelet(node)
            asked = urlencode(sorted((name, value) for name, values in query.items() for value in values))
            place = f"{target.namespace}/{target.name}/{container}{'?' if asked else ''}{asked}"
            url = f"https://{address}/containerLogs/{place}"
            raise _unreachable(f'Get "{url}": {_refused(address)}')
        podtargets.check_has_log(pod, container, previous=options.previous)
        options = podtargets.with_container(options, container)
        return await podlog.serve_log(request, self.sessions, pod, streams, options)

    # -- exec, attach ------------------------------------------------------------------------------------------

    async def _command(
        self, request: web.BaseRequest, target: ResourceRequest, pod: JsonObject, query: Query
    ) -> web.StreamResponse:
        exec = target.subresource == "exec"
        container = podtargets.container_of(pod, text(query, "container"))
        streams = await self._streams_of(request, pod)
        options = podtargets.command_options(query, container, exec=exec)
        podtargets.check_running(pod, container)
        serve = remotecommand.serve_websocket if is_websocket(request) else remotecommand.serve_spdy
        return await serve(request, self.sessions, pod, options, _runner(streams, pod, options, exec=exec))

    # -- portforward -------------------------------------------------------------------------------------------

    async def _forward(self, request: web.BaseRequest, pod: JsonObject, query: Query) -> web.StreamResponse:
        streams = await self._streams_of(request, pod)
        metadata = pod["metadata"]

        def connect(port: int) -> portforward.Connection:
            return streams.connect(metadata["namespace"], metadata["name"], port)

        if is_websocket(request):
            return await portforward.serve_websocket(
                request, self.sessions, pod, connect, lambda: podtargets.ports_of(query)
            )
        return await portforward.serve_spdy(request, self.sessions, pod, connect)

    # -- where the pod is --------------------------------------------------------------------------------------

    async def _streams_of(self, request: web.BaseRequest, pod: JsonObject) -> PodStreams:
        """Raises BadRequest, and what upstream says of a node that does not answer."""
        node, streams = podtargets.node_of(pod), self.pod_streams
        address = await self._kubelet(node) if streams is None else ""
        if not is_websocket(request) and not is_spdy(request):
            raise BadRequest("Upgrade request required")
        if streams is None:
            raise _unreachable(f"error dialing backend: {_refused(address)}")
        return streams

    async def _kubelet(self, node: str) -> str:
        """Host and port. Raises NotFound, and ApiError for a node without an address."""
        return host_port(*podtargets.node_address(await self._registry.get(NODE, node)))


def _runner(streams: PodStreams, pod: JsonObject, options: CommandOptions, *, exec: bool) -> remotecommand.Run:
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]

    async def run(ends: Streams) -> Ended:
        if exec:
            return await streams.exec(namespace, name, options.container, options.command, ends)
        return await streams.attach(namespace, name, options.container, ends)

    return run


def _refused(address: str) -> str:
    return f"dial tcp {address}: connect: connection refused"


def _unreachable(why: str) -> ApiError:
    return ApiError(why, reason="")
