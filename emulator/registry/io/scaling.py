"""Reading and writing the /scale of an object: a small document of its own over the registry's ordinary writes.

Source: pkg/registry/apps/deployment/storage/storage.go (ScaleREST).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from emulator.api.errors import Conflict
from emulator.api.kinds import SCALE_KIND, Kind
from emulator.api.meta import JsonObject
from emulator.registry.applying import scale_configuration
from emulator.registry.decoding import decoded, patched
from emulator.registry.io.commits import ATTEMPTS
from emulator.registry.io.pipeline import Registry
from emulator.registry.metadata import ensure_name, ensure_namespace
from emulator.registry.options import WriteOptions, Written
from emulator.registry.scale import scale_of, scaled

SUBRESOURCE = "scale"


class Scaling:
    """The Scales of one registry's objects. Raises the ApiError kinds."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def get(self, kind: Kind, name: str, namespace: str) -> JsonObject:
        return scale_of(await self._registry.get(kind.stored, name, namespace))

    async def update(
        self, kind: Kind, name: str, namespace: str, scale: JsonObject, *, options: WriteOptions
    ) -> Written:
        """Replace; with a resourceVersion only if the object still has it."""
        return await self._write(kind, name, namespace, lambda _: decoded(SCALE_KIND, scale, options), options)

    async def patch(
        self, kind: Kind, name: str, namespace: str, patch: Any, patch_type: str, *, options: WriteOptions
    ) -> Written:
        """patch_type: as of Registry.patch."""
        if patch_type == "apply":
            config = scale_configuration(kind.stored, patch)
            written = await self._registry.patch(
                kind.stored, name, namespace, config, patch_type, subresource=SUBRESOURCE, options=options
            )
            return Written(scale_of(written.object), written.warnings)

        def change(present: JsonObject) -> tuple[JsonObject, list[str]]:
            return patched(SCALE_KIND, present, patch, patch_type, options)

        return await self._write(kind, name, namespace, change, options)

    async def _write(
        self,
        kind: Kind,
        name: str,
        namespace: str,
        change: Callable[[JsonObject], tuple[JsonObject, list[str]]],
        options: WriteOptions,
    ) -> Written:
        for attempt in range(ATTEMPTS):
            object = await self._registry.get(kind.stored, name, namespace)
            present = scale_of(object)
            scale, warnings = change(present)
            metadata = scale["metadata"]
            ensure_namespace(kind, metadata, namespace)
            ensure_name(metadata, name)
            wanted = scaled(kind.stored, object, scale)
            try:
                written = await self._registry.update(
                    kind.stored,
                    name,
                    namespace,
                    wanted,
                    subresource=SUBRESOURCE,
                    options=replace(options, duplicates=()),
                )
            except Conflict:
                meant = metadata.get("resourceVersion") or present["metadata"]["resourceVersion"]
                if meant != present["metadata"]["resourceVersion"] or attempt == ATTEMPTS - 1:
                    raise
                continue
            return Written(scale_of(written.object), [*warnings, *written.warnings])
        raise Conflict.of(kind.resource, name)
