"""One write at a time: default, admit, prepare, allocate, validate, commit; a failure at any step leaves nothing behind.

What a request asks for is decided in pipeline.py; here it is done. Objects that come out are shared.
Source: k8s.io/apiserver pkg/registry/generic/registry/store.go.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from emulator.api.errors import AlreadyExists, ApiError, Invalid
from emulator.api.kinds import ENDPOINTS, IP_ADDRESS, NAMESPACE, SERVICE, Kind
from emulator.api.meta import JsonObject
from emulator.config.settings import ClusterConfig
from emulator.registry import service_allocation
from emulator.registry.admission import admit_create
from emulator.registry.allocation import Allocators, Operation
from emulator.registry.decoding import decoded, validation_errors
from emulator.registry.deletion import Deletion, goes_with_update
from emulator.registry.initial import addresses_of, ip_address
from emulator.registry.managedfields import Entries, updated
from emulator.registry.metadata import (
    bump_generation,
    fill_create,
    generate_name,
    is_unchanged,
    keep_identity,
    key_in,
    refuse_version,
    separate_status,
    validate_metadata_update,
)
from emulator.registry.options import Deleted, WriteOptions, Written
from emulator.registry.strategies import strategy_of
from emulator.registry.strategy import Context, Strategy
from emulator.store.history import Superseded, version_of
from emulator.store.io.store import Store

ATTEMPTS = 6  # a patch is tried again up to five times, as upstream's MaxRetryWhenPatchConflicts
NAME_ATTEMPTS = 8  # of generated names, as upstream's RetryGenerateName
OWN_WRITE = WriteOptions(field_manager="kube-apiserver")


class Commits:
    """Takes one decoded object through the steps of its write. Raises the ApiError kinds, and Superseded."""

    def __init__(
        self, store: Store, config: ClusterConfig, clock: Callable[[], datetime], rng: Callable[[int], int]
    ) -> None:
        self.allocators = Allocators(config.addresses.services, config.node_port_range)
        self.rng = rng
        self._store = store
        self._config = config
        self._clock = clock

    async def ensure(self, kind: Kind, object: JsonObject) -> None:
        """Make an object of the server's own; one that is there is left as it is."""
        if await self._store.get(kind.resource, object["metadata"]["name"]) is None:
            own, warnings = decoded(kind, object, OWN_WRITE)
            with suppress(AlreadyExists):
                await self.create(strategy_of(kind), own, warnings, OWN_WRITE, kind)

    async def show_addresses(self, before: JsonObject | None, service: JsonObject | None) -> None:
        """Each address a Service has from the ranges is an IPAddress too, for as long as the Service has it."""
        had, has = addresses_of(before), addresses_of(service)
        for address in sorted(had - has):
            await self._take_away(IP_ADDRESS, address)
        for address in sorted(has - had):
            assert service is not None
            await self.ensure(IP_ADDRESS, ip_address(service, address))

    async def create(
        self,
        strategy: Strategy,
        object: JsonObject,
        warnings: list[str],
        options: WriteOptions,
        shape: Kind,
        entries: Entries | None = None,
    ) -> Written:
        """shape: the kind the client speaks of it as; entries: its managedFields if they are known already."""
        kind, at = strategy.kind, self._clock()
        context = Context(self._config, at, api_version=shape.api_version)
        metadata = object["metadata"]
        generated = bool(metadata.get("generateName")) and not metadata.get("name")
        sent = metadata.get("managedFields")
        strategy.default(object, context)
        fill_create(kind, object, at=at, rng=self.rng, generation=strategy.has_generation)
        if entries is None:
            entries = updated(kind, None, object, sent, manager=options.field_manager, at=at)
        if entries:
            metadata["managedFields"] = entries
        if kind.namespaced:
            admit_create(kind, object, await self._store.get(NAMESPACE.resource, metadata.get("namespace", "")))
        if strategy.admission_kinds:
            shown = {
                other.resource: (await self._store.values(other.resource))[0] for other in strategy.admission_kinds
            }
            strategy.admit_create(object, shown, context)
        strategy.prepare_create(object, context)
        operation = Operation(dry_run=options.dry_run, rng=self.rng)
        try:
            if kind.resource == SERVICE.resource:
                service_allocation.allocate_create(self.allocators, operation, object)
            self._validate(strategy, object, None, context)
            warnings = [*warnings, *strategy.warnings(object, None, context)]
            stored = await self._insert(kind, object, generated=generated, dry_run=options.dry_run)
        except ApiError:
            operation.revert()
            raise
        operation.commit()
        if kind.resource == SERVICE.resource and not options.dry_run:
            await self.show_addresses(None, stored)
        return Written(stored, warnings, created=True)

    async def _insert(self, kind: Kind, object: JsonObject, *, generated: bool, dry_run: bool) -> JsonObject:
        """Commit under its name; a generated name that is taken is made up anew. Raises AlreadyExists."""
        metadata = object["metadata"]
        for _ in range(NAME_ATTEMPTS if generated else 1):
            key = key_in(metadata.get("namespace", ""), metadata["name"])
            if dry_run:
                if await self._store.get(kind.resource, key) is None:
                    return object
            else:
                refuse_version(metadata)
                try:
                    return (await self._store.commit(kind.resource, key, object, expected="")).object
                except Superseded:
                    pass
            if generated:
                taken, metadata["name"] = metadata["name"], generate_name(metadata["generateName"], self.rng)
            else:
                taken = metadata["name"]
        raise AlreadyExists.of(kind.resource, taken)

    async def replace(
        self,
        strategy: Strategy,
        key: str,
        object: JsonObject,
        old: JsonObject,
        subresource: str,
        warnings: list[str],
        options: WriteOptions,
        shape: Kind,
        entries: Entries | None = None,
    ) -> Written:
        """Raises Superseded when the object changed after `old` was read. entries: as of `_create`."""
        kind, at = strategy.kind, self._clock()
        context = Context(self._config, at, subresource, True, shape.api_version)
        sent = object["metadata"].get("managedFields")
        keep_identity(object, old)
        strategy.default(object, context)
        if entries is None and subresource == "binding":
            entries = old["metadata"].get("managedFields")  # upstream's binding owns nothing
        elif entries is None:
            manager = options.field_manager
            entries = updated(kind, old, object, sent, manager=manager, subresource=subresource, at=at)
        if entries:
            object["metadata"]["managedFields"] = entries
        separate_status(kind, object, old, subresource)
        strategy.prepare_update(object, old, context)
        if strategy.has_generation and subresource in ("", "scale", "ephemeralcontainers", "resize"):
            bump_generation(object, old)
        operation = Operation(dry_run=options.dry_run, rng=self.rng)
        try:
            if kind.resource == SERVICE.resource and not subresource:
                service_allocation.allocate_update(self.allocators, operation, object, old)
            self._validate(strategy, object, old, context)
            warnings = [*warnings, *strategy.warnings(object, old, context)]
            if is_unchanged(object, old):
                operation.revert()
                return Written(old, warnings)
            if options.dry_run:
                operation.revert()
                return Written(object, warnings)
            if goes_with_update(kind, object, old):
                await self._remove(strategy, key, old)
                return Written(object, warnings)
            event = await self._store.commit(kind.resource, key, object, expected=version_of(old))
        except (ApiError, Superseded):
            operation.revert()
            raise
        if kind.resource == SERVICE.resource and not subresource:
            await self.show_addresses(old, event.object)  # before anybody else can have what it gave back
        operation.commit()
        return Written(event.object, warnings)

    def _validate(self, strategy: Strategy, object: JsonObject, old: JsonObject | None, context: Context) -> None:
        errors = validation_errors(strategy, object)
        if old is not None:
            errors += validate_metadata_update(object["metadata"], old["metadata"])
        errors += strategy.validate(object, context)
        if old is not None:
            errors += strategy.validate_update(object, old, context)
        if errors:
            kind = strategy.kind
            raise Invalid.of(kind.kind, kind.group, object["metadata"].get("name", ""), errors)

    async def carry_out(self, strategy: Strategy, key: str, old: JsonObject, plan: Deletion) -> Deleted:
        object = old
        if plan.mark is not None:
            event = await self._store.commit(strategy.kind.resource, key, plan.mark, expected=version_of(old))
            object = event.object
        if plan.remove:
            object = await self._remove(strategy, key, object)
        return Deleted(object, plan.remove, strategy.returns_deleted_object)

    async def _remove(self, strategy: Strategy, key: str, object: JsonObject) -> JsonObject:
        """The last state of what is gone now. Raises Superseded."""
        event = await self._store.commit(strategy.kind.resource, key, None, expected=version_of(object))
        if strategy.kind.resource == SERVICE.resource:
            await self.show_addresses(object, None)
            operation = Operation(dry_run=False, rng=self.rng)
            service_allocation.release(self.allocators, operation, object)
            operation.commit()
            # A Service takes its Endpoints with it at once; its EndpointSlices are the garbage collector's.
            await self._take_away(ENDPOINTS, key)
        return event.object

    async def _take_away(self, kind: Kind, key: str) -> None:
        """What goes with another object, if it is there."""
        for _ in range(ATTEMPTS):
            held = await self._store.get(kind.resource, key)
            if held is None:
                return
            try:
                await self._store.commit(kind.resource, key, None, expected=version_of(held))
                return
            except Superseded:
                continue
