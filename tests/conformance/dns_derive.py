"""EndpointSlices for recorded cases that leave them to the controllers: the real controllers run over the fixture.

Only Services without a slice in the fixture are given to them; a fixture's own slices are complete as they stand.
"""

from __future__ import annotations

import asyncio
import copy
import importlib.util
from collections.abc import Iterable, Mapping
from typing import Any

from emulator.api.errors import AlreadyExists, NotFound
from emulator.api.kinds import ENDPOINT_SLICE, Kind
from emulator.api.meta import JsonObject, key_of, labels_of
from emulator.client.io.informer import Informers
from emulator.config.settings import ClusterConfig
from emulator.dns.records import SERVICE_NAME_LABEL
from emulator.io.tasks import running
from tests.conformance.dns_live import StaticClient

RUNNER = "emulator.controllers.io.runner"
QUIET_SECONDS = 0.3  # without a write: the controllers have settled
SETTLE_SECONDS = 10.0


class WritableClient(StaticClient):
    """A StaticClient that controllers may write through: versions and generated names, no validation."""

    def __init__(self, objects: Iterable[JsonObject]) -> None:
        self.writes = 0
        super().__init__(self._stamped(copy.deepcopy(object)) for object in objects)

    async def get(self, kind: Kind, name: str, namespace: str = "") -> JsonObject:
        for object in (await self.list(kind)).items:
            if key_of(object) == (namespace, name):
                return object
        raise NotFound.of(kind.resource, name)

    async def create(self, kind: Kind, object: JsonObject, *, dry_run: bool = False) -> JsonObject:
        made = {"apiVersion": kind.api_version, "kind": kind.kind, **copy.deepcopy(object)}
        metadata = made["metadata"]
        if not metadata.get("name"):
            metadata["name"] = f"{metadata['generateName']}{self.writes:05}"
        if any(key_of(held) == key_of(made) for held in (await self.list(kind)).items):
            raise AlreadyExists.of(kind.resource, metadata["name"])
        self.put(self._stamped(made))
        return made

    async def update(self, kind: Kind, object: JsonObject, *, subresource: str = "") -> JsonObject:
        held = await self.get(kind, *reversed(key_of(object)))
        made = {**copy.deepcopy(object), "apiVersion": kind.api_version, "kind": kind.kind}
        if subresource:
            made = {**held, subresource: made.get(subresource)}
        made["metadata"] = {**made["metadata"], "uid": held["metadata"]["uid"]}
        self.put(self._stamped(made))
        return made

    async def patch(self, kind: Kind, name: str, namespace: str = "", *, patch: Any, **_: Any) -> JsonObject:
        made: JsonObject = _merged(await self.get(kind, name, namespace), patch)
        self.put(self._stamped(made))
        return made

    async def delete(self, kind: Kind, name: str, namespace: str = "", **_: Any) -> JsonObject:
        held = await self.get(kind, name, namespace)
        self.writes += 1
        self.remove(held)
        return held

    def _stamped(self, object: JsonObject) -> JsonObject:
        self.writes += 1
        metadata = {"uid": f"uid-{self.writes}", **object["metadata"], "resourceVersion": str(self.writes)}
        object["metadata"] = metadata
        return object


def controllers_exist() -> bool:
    try:
        return importlib.util.find_spec(RUNNER) is not None
    except ModuleNotFoundError:
        return False


async def derive_slices(fixture: Iterable[JsonObject]) -> list[JsonObject]:
    """The slices the controllers make for the Services of the fixture that have none."""
    objects = list(fixture)
    served = {_service_of(object) for object in objects if object["kind"] == "EndpointSlice"}
    given = [
        object
        for object in objects
        if object["kind"] != "EndpointSlice"
        and not (object["kind"] in ("Service", "Endpoints") and key_of(object) in served)
    ]
    open_services = {key_of(object) for object in given if object["kind"] == "Service"}
    client: Any = WritableClient([*map(_placed, given), NODE_OBJECT])
    informers = Informers(client)
    runner = importlib.import_module(RUNNER).ControllerRunner(client, informers, ClusterConfig())
    async with running(informers, runner):
        before, quiet = -1, 0.0
        async with asyncio.timeout(SETTLE_SECONDS):
            while quiet < QUIET_SECONDS:
                quiet = quiet + 0.05 if client.writes == before else 0.0
                before = client.writes
                await asyncio.sleep(0.05)
    made = (await client.list(ENDPOINT_SLICE)).items
    return [object for object in made if _service_of(object) in open_services]


def _placed(object: JsonObject) -> JsonObject:
    """A pod that runs stands on a node, or its Services' slices leave it out; the fixtures do not tell which."""
    if object["kind"] != "Pod" or object["spec"].get("nodeName"):
        return object
    return {**object, "spec": {**object["spec"], "nodeName": NODE_OBJECT["metadata"]["name"]}}


NODE_OBJECT: JsonObject = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}, "spec": {}, "status": {}}


def _service_of(slice_: Mapping[str, Any]) -> tuple[str, str]:
    return (slice_["metadata"].get("namespace") or "", labels_of(slice_).get(SERVICE_NAME_LABEL, ""))


def _merged(held: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(held) if isinstance(held, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result
