"""The verbs: a request for a resource -> a call of the registry -> an answer.

Nothing about objects is decided here. Warnings gathered before an error are told with the error too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from aiohttp import web

from emulator.api.errors import ApiError, BadRequest, RequestEntityTooLarge
from emulator.api.kinds import (
    BINDING,
    COMPONENT_STATUS,
    EVICTION,
    EVICTION_KIND,
    POD,
    REVIEWS,
    SCALE_KIND,
    SERVICE_ACCOUNT,
    TOKEN,
    TOKEN_REQUEST,
    TOKEN_REVIEW,
)
from emulator.api.meta import JsonObject
from emulator.api.schema import decode
from emulator.apiserver import reviews, shapes
from emulator.apiserver.bodies import Body, decode_delete_options, decode_object, decode_patch
from emulator.apiserver.componentstatus import component_status, component_statuses
from emulator.apiserver.deprecation import deprecation_warnings
from emulator.apiserver.io.accounts import Accounts
from emulator.apiserver.io.limits import MAX_REQUESTS, MAX_WATCHES, Slots
from emulator.apiserver.io.podconnect import PodConnections
from emulator.apiserver.io.respond import error_response, object_response
from emulator.apiserver.io.serviceproxy import Dial, Proxy
from emulator.apiserver.io.watch import Watches
from emulator.apiserver.negotiation import Form, body_type, form_of, patch_type
from emulator.apiserver.orphans import deletion_warnings, propagation_for
from emulator.apiserver.parameters import (
    Query,
    delete_parameters,
    list_parameters,
    text,
    write_parameters,
)
from emulator.apiserver.requestinfo import CONNECT, PROXY, ResourceRequest
from emulator.apiserver.users import User
from emulator.io.clock import randrange, utc_now
from emulator.registry.io.pipeline import Registry
from emulator.registry.io.podwrites import PodWrites
from emulator.registry.io.scaling import Scaling
from emulator.registry.options import DeleteOptions, WriteOptions
from emulator.registry.scale import is_scale

MAX_BODY_BYTES = 3 * 1024 * 1024  # kube-apiserver's MaxRequestBodyBytes
REQUEST_SECONDS = 60.0  # kube-apiserver --request-timeout
NO_STREAM_DEADLINE = ("watch", CONNECT)


class RequestTimeout(ApiError):
    """The request was not done in time."""

    code, reason = 504, "Timeout"


@dataclass(slots=True)
class Call:
    """One request for a resource while it is answered."""

    request: web.BaseRequest
    target: ResourceRequest
    query: Query
    user: User
    form: Form
    warnings: list[str] = field(default_factory=list)


class Handlers:
    """Answers resource requests from one registry."""

    def __init__(
        self,
        registry: Registry,
        accounts: Accounts,
        of_token: Callable[[str], Awaitable[User | None]],
        *,
        clock: Callable[[], datetime] = utc_now,
        rng: Callable[[int], int] = randrange,
        dial: Dial | None = None,
    ) -> None:
        self._registry = registry
        self._pod_writes = PodWrites(registry, clock=clock)
        self.connections = PodConnections(registry, clock)
        self.proxy = Proxy(registry, self.connections.sessions, rng, dial)
        self._scaling = Scaling(registry)
        self._accounts = accounts
        self._of_token = of_token
        self._clock = clock
        self.watches = Watches(registry, clock, rng)
        self.watch_slots, self.request_slots = Slots(MAX_WATCHES), Slots(MAX_REQUESTS)
        self._verbs: dict[str, Callable[[Call], Awaitable[web.StreamResponse]]] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }

    async def handle(
        self, request: web.BaseRequest, target: ResourceRequest, query: Query, user: User
    ) -> web.StreamResponse:
        warnings = deprecation_warnings(target.kind)
        try:
            if target.verb == CONNECT or target.subresource == "log":
                return await self._connect(request, target, query)
            form = form_of(request.headers.get("Accept", ""))
            call = Call(request, target, query, user, form, warnings)
            if target.verb in NO_STREAM_DEADLINE:
                with self.watch_slots.one():
                    return await self._watch(call)
            with self.request_slots.one():
                async with asyncio.timeout(REQUEST_SECONDS) as limit:
                    return await self._verbs[target.verb](call)
        except ApiError as error:
            return error_response(error, warnings=warnings)
        except TimeoutError:
            if target.verb in NO_STREAM_DEADLINE or target.subresource == "log" or not limit.expired():
                raise
            why = "Timeout: request did not complete within requested timeout - context deadline exceeded"
            return error_response(RequestTimeout(why), warnings=warnings)

    def _answer(self, call: Call, object: JsonObject, *, status: int = 200) -> web.Response:
        include = shapes.include_object(text(call.query, "includeObject"))
        kind = SCALE_KIND if is_scale(call.target.kind, call.target.subresource) else call.target.kind
        body = shapes.shape_object(kind, object, call.form, include=include, at=self._clock())
        return object_response(body, form=call.form, status=status, warnings=call.warnings)

    async def _get(self, call: Call) -> web.Response:
        target = call.target
        if target.kind is COMPONENT_STATUS:
            return self._answer(call, component_status(target.name))
        reader = self._scaling if is_scale(target.kind, target.subresource) else self._registry
        return self._answer(call, await reader.get(target.kind, target.name, target.namespace))

    async def _list(self, call: Call) -> web.Response:
        target, parameters = call.target, list_parameters(call.query, watch=False)
        include = shapes.include_object(text(call.query, "includeObject"))
        if target.kind is COMPONENT_STATUS:
            items = component_statuses(parameters.label_selector, parameters.field_selector)
            body = shapes.shape_list(target.kind, items, {}, call.form, include=include, at=self._clock())
            return object_response(body, form=call.form, warnings=call.warnings)
        listing = await self._registry.list(
            target.kind,
            target.namespace,
            label_selector=parameters.label_selector,
            field_selector=parameters.field_selector,
            limit=parameters.limit,
            continue_token=parameters.continue_token,
            resource_version=parameters.resource_version,
            resource_version_match=parameters.resource_version_match,
        )
        metadata = shapes.list_metadata(listing.resource_version, listing.continue_token, listing.remaining)
        body = shapes.shape_list(target.kind, listing.items, metadata, call.form, include=include, at=self._clock())
        return object_response(body, form=call.form, warnings=call.warnings)

    async def _watch(self, call: Call) -> web.StreamResponse:
        parameters = list_parameters(call.query, watch=True)
        include = shapes.include_object(text(call.query, "includeObject"))
        return await self.watches.serve(call.request, call.target, parameters, call.form, include, call.warnings)

    async def _connect(self, request: web.BaseRequest, target: ResourceRequest, query: Query) -> web.StreamResponse:
        """What is answered in the words of a pod, whatever form the client accepts."""
        self.connections.sessions.check_room()
        if target.subresource == PROXY:
            return await self.proxy.serve(request, target)
        return await self.connections.serve(request, target, query)

    async def _create(self, call: Call) -> web.Response:
        target, options = call.target, self._write_options(call, "CreateOptions")
        if target.kind in REVIEWS:
            return await self._review(call)
        if target.kind is SERVICE_ACCOUNT and target.subresource == TOKEN.name:
            return await self._issue_token(call)
        if target.kind is BINDING or (target.kind is POD and target.subresource):
            return await self._write_pod(call, options)
        body = await self._body(call)
        options = replace(options, duplicates=body.duplicates)
        written = await self._registry.create(target.kind, body.object, target.namespace, options=options)
        call.warnings += written.warnings
        return self._answer(call, written.object, status=201)

    async def _write_pod(self, call: Call, options: WriteOptions) -> web.Response:
        """pods/binding, bindings and pods/eviction."""
        target, evicts = call.target, call.target.subresource == EVICTION.name
        type = body_type(call.request.headers.get("Content-Type", ""))
        body = decode_object(EVICTION_KIND if evicts else BINDING, type, await read_body(call.request))
        options = replace(options, duplicates=body.duplicates)
        write = self._pod_writes.evict if evicts else self._pod_writes.bind
        written = await write(target.name, target.namespace, body.object, options=options)
        call.warnings += written.warnings
        return object_response(written.object, form=call.form, status=201, warnings=call.warnings)

    async def _review(self, call: Call) -> web.Response:
        kind, asked = call.target.kind, (await self._body(call)).object
        token = (asked.get("spec") or {}).get("token")
        reviewed = await self._of_token(token) if kind is TOKEN_REVIEW and isinstance(token, str) else None
        at = self._clock()
        asked = decode(kind, asked).object
        body = reviews.answer(kind, asked, call.user, call.target.namespace, reviewed=reviewed, at=at)
        return object_response(body, form=call.form, status=201, warnings=call.warnings)

    async def _issue_token(self, call: Call) -> web.Response:
        type = body_type(call.request.headers.get("Content-Type", ""))
        asked = decode_object(TOKEN_REQUEST, type, await read_body(call.request)).object
        asked = decode(TOKEN_REQUEST, asked).object
        body = await self._accounts.issue(call.target.namespace, call.target.name, asked)
        return object_response(body, form=call.form, status=201, warnings=call.warnings)

    async def _update(self, call: Call) -> web.Response:
        target, options = call.target, self._write_options(call, "UpdateOptions")
        body = await self._body(call)
        options = replace(options, duplicates=body.duplicates)
        place = (target.kind, target.name, target.namespace)
        if is_scale(target.kind, target.subresource):
            written = await self._scaling.update(*place, body.object, options=options)
        else:
            written = await self._registry.update(*place, body.object, subresource=target.subresource, options=options)
        call.warnings += written.warnings
        return self._answer(call, written.object, status=201 if written.created else 200)

    async def _patch(self, call: Call) -> web.Response:
        type = patch_type(call.request.headers.get("Content-Type", ""))
        target, options = call.target, self._write_options(call, "PatchOptions", apply=type == "apply")
        place = (target.kind, target.name, target.namespace)
        try:
            patch, duplicates = decode_patch(type, await read_body(call.request))
        except BadRequest:
            if type != "apply":
                await self._registry.get(*place)  # a patch is read once there is something to patch
            raise
        options = replace(options, duplicates=duplicates)
        if is_scale(target.kind, target.subresource):
            written = await self._scaling.patch(*place, patch, type, options=options)
        else:
            written = await self._registry.patch(*place, patch, type, subresource=target.subresource, options=options)
        call.warnings += written.warnings
        return self._answer(call, written.object, status=201 if written.created else 200)

    async def _delete(self, call: Call) -> web.Response:
        target, options = call.target, await self._delete_options(call)
        deleted = await self._registry.delete(target.kind, target.name, target.namespace, options=options)
        if deleted.gone and not deleted.returns_object:
            return self._answer(call, shapes.deleted_status(target.kind, deleted.object))
        return self._answer(call, deleted.object)

    async def _delete_collection(self, call: Call) -> web.Response:
        target, options = call.target, await self._delete_options(call)
        parameters = list_parameters(call.query, watch=False)
        listing = await self._registry.delete_collection(
            target.kind,
            target.namespace,
            label_selector=parameters.label_selector,
            field_selector=parameters.field_selector,
            limit=parameters.limit,
            options=options,
        )
        metadata = shapes.list_metadata(listing.resource_version)
        body = shapes.shape_list(target.kind, listing.items, metadata, call.form, include="Metadata", at=self._clock())
        return object_response(body, form=call.form, warnings=call.warnings)

    async def _body(self, call: Call) -> Body:
        type = body_type(call.request.headers.get("Content-Type", ""))
        target = call.target
        wanted = SCALE_KIND if is_scale(target.kind, target.subresource) else target.kind
        return decode_object(wanted, type, await read_body(call.request))

    def _write_options(self, call: Call, options_kind: str, *, apply: bool = False) -> WriteOptions:
        user_agent = call.request.headers.get("User-Agent", "")
        found = write_parameters(call.query, options_kind, user_agent=user_agent, apply=apply)
        return WriteOptions(
            found.dry_run, found.field_manager, found.field_validation, call.user.name, force=found.force
        )

    async def _delete_options(self, call: Call) -> DeleteOptions:
        raw = await read_body(call.request)
        body = None
        if raw:
            body = decode_delete_options(body_type(call.request.headers.get("Content-Type", "")), raw)
        found = delete_parameters(call.query, body)
        call.warnings += deletion_warnings(call.target.kind, found.propagation)
        return DeleteOptions(
            dry_run=found.dry_run,
            propagation=propagation_for(call.target.kind, found.propagation),
            grace_period_seconds=found.grace_period_seconds,
            uid=found.uid,
            resource_version=found.resource_version,
            user=call.user.name,
        )


async def read_body(request: web.BaseRequest) -> bytes:
    """The body, at most MAX_BODY_BYTES, also when it came compressed. Raises RequestEntityTooLarge."""
    if not request.can_read_body:
        return b""
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _too_large()
    parts: list[bytes] = []
    size = 0
    while chunk := await request.content.readany():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large() -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"Request entity too large: limit is {MAX_BODY_BYTES}")
