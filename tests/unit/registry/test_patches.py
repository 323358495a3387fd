"""Patches in the pipeline: applied to what is there now, validated like any write, retried on conflict."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.errors import BadRequest, Conflict, Invalid, NotFound, UnsupportedMediaType
from emulator.api.kinds import CONFIG_MAP, SERVICE
from emulator.api.meta import JsonObject
from emulator.registry.options import WriteOptions
from emulator.store.history import Event
from emulator.store.io.memory import MemoryStore
from tests.unit.registry.support import changed, config_map, make_registry, service

STRICT = WriteOptions(field_validation="Strict")


@pytest.mark.parametrize(
    ("patch_type", "patch"),
    [
        ("merge", {"spec": {"type": "NodePort"}}),
        ("strategic", {"spec": {"type": "NodePort"}}),
        ("json", [{"op": "replace", "path": "/spec/type", "value": "NodePort"}]),
    ],
)
async def test_a_patch_goes_through_the_whole_pipeline(patch_type: str, patch: Any) -> None:
    registry = make_registry()
    made = (await registry.create(SERVICE, service("webapp"), "default")).object
    patched = (await registry.patch(SERVICE, "webapp", "default", patch, patch_type)).object
    assert patched["spec"]["ports"][0]["nodePort"] >= 30086
    assert patched["spec"]["externalTrafficPolicy"] == "Cluster"
    assert patched["spec"]["clusterIP"] == made["spec"]["clusterIP"]
    assert "nodePort" not in made["spec"]["ports"][0]


async def test_every_change_of_type_by_patch() -> None:
    registry = make_registry()
    await registry.create(SERVICE, service("webapp"), "default")
    address = None
    for patch, keeps in (
        ({"spec": {"type": "NodePort"}}, True),
        ({"spec": {"type": "LoadBalancer"}}, True),
        ({"spec": {"type": "ClusterIP"}}, True),
        ({"spec": {"type": "ExternalName", "externalName": "x.example.com"}}, False),
        ({"spec": {"type": "ClusterIP", "externalName": None}}, True),
    ):
        spec = (await registry.patch(SERVICE, "webapp", "default", patch, "merge")).object["spec"]
        assert spec["type"] == patch["spec"]["type"]
        assert ("clusterIP" in spec) == keeps
        address = spec.get("clusterIP")
    with pytest.raises(Invalid, match=r"spec.clusterIPs\[0\]: Invalid value: \[\"None\"\]: may not change once set"):
        await registry.patch(SERVICE, "webapp", "default", {"spec": {"clusterIP": "None"}}, "merge")
    assert len(registry._commits.allocators.addresses) == 1
    assert len(registry._commits.allocators.ports) == 0
    assert (await registry.get(SERVICE, "webapp", "default"))["spec"]["clusterIP"] == address


async def test_an_empty_patch_changes_nothing() -> None:
    registry = make_registry()
    made = (await registry.create(SERVICE, service("webapp"), "default")).object
    assert (await registry.patch(SERVICE, "webapp", "default", {}, "merge")).object is made


async def test_what_is_not_there_cannot_be_patched() -> None:
    with pytest.raises(NotFound, match='services "nope" not found'):
        await make_registry().patch(SERVICE, "nope", "default", {}, "merge")


async def test_a_stale_version_in_the_patch_conflicts() -> None:
    registry = make_registry()
    made = (await registry.create(CONFIG_MAP, config_map("a"), "default")).object
    await registry.patch(CONFIG_MAP, "a", "default", {"data": {"k": "1"}}, "merge")
    stale = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"k": "2"}}
    with pytest.raises(Conflict, match="the object has been modified"):
        await registry.patch(CONFIG_MAP, "a", "default", stale, "merge")


async def test_a_patch_cannot_rename() -> None:
    registry = make_registry()
    await registry.create(CONFIG_MAP, config_map("a"), "default")
    with pytest.raises(BadRequest, match=r"the name of the object \(b\) does not match the name on the URL \(a\)"):
        await registry.patch(CONFIG_MAP, "a", "default", {"metadata": {"name": "b"}}, "merge")


async def test_a_patch_of_an_unknown_type() -> None:
    registry = make_registry()
    await registry.create(CONFIG_MAP, config_map("a"), "default")
    with pytest.raises(UnsupportedMediaType):
        await registry.patch(CONFIG_MAP, "a", "default", {}, "other")


async def test_a_patched_status_is_all_that_changes() -> None:
    registry = make_registry()
    made = (await registry.create(SERVICE, service("webapp", type="LoadBalancer"), "default")).object
    patch = {"spec": {"selector": {"x": "y"}}, "status": {"loadBalancer": {"ingress": [{"ip": "10.64.140.43"}]}}}
    told = (await registry.patch(SERVICE, "webapp", "default", patch, "merge", subresource="status")).object
    assert told["spec"] == made["spec"]
    assert told["status"]["loadBalancer"]["ingress"] == [{"ip": "10.64.140.43", "ipMode": "VIP"}]


async def test_unknown_fields_are_refused_told_or_dropped() -> None:
    registry = make_registry()
    made = (await registry.create(SERVICE, service("webapp"), "default")).object
    patch = {"spec": {"bogus": 1}}
    with pytest.raises(Invalid) as raised:
        await registry.patch(SERVICE, "webapp", "default", patch, "strategic", options=STRICT)
    assert raised.value.message == (
        ' "" is invalid: patch: Invalid value: "map[spec:map[bogus:1]]": strict decoding error: '
        'unknown field "spec.bogus"'
    )
    written = await registry.patch(SERVICE, "webapp", "default", patch, "merge")
    assert (written.object, written.warnings) == (made, ['unknown field "spec.bogus"'])
    quiet = await registry.patch(
        SERVICE, "webapp", "default", patch, "merge", options=WriteOptions(field_validation="Ignore")
    )
    assert quiet.warnings == []


async def test_field_validation_of_a_create() -> None:
    registry = make_registry()
    sent = service("a", ports=[{"port": 80, "tgtPort": 1}])
    with pytest.raises(BadRequest) as raised:
        await registry.create(SERVICE, sent, "default", options=STRICT)
    assert raised.value.message == (
        'Service in version "v1" cannot be handled as a Service: strict decoding error: unknown field '
        '"spec.ports[0].tgtPort"'
    )
    duplicates = WriteOptions(duplicates=('duplicate field "metadata.name"',))
    written = await registry.create(SERVICE, sent, "default", options=duplicates)
    assert written.warnings == ['duplicate field "metadata.name"', 'unknown field "spec.ports[0].tgtPort"']
    assert "tgtPort" not in written.object["spec"]["ports"][0]


class ContestedStore(MemoryStore):
    """Another writer gets in before each of the next commits."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def commit(self, resource: str, key: str, object: JsonObject | None, *, expected: str) -> Event:
        if resource == CONFIG_MAP.resource and expected and self.times:
            self.times -= 1
            present = await self.get(resource, key)
            assert present is not None
            count = int(present.get("data", {}).get("count", 0)) + 1
            await super().commit(resource, key, changed(present, data={"count": str(count)}), expected=expected)
        return await super().commit(resource, key, object, expected=expected)


async def test_a_contested_patch_is_applied_again_to_the_new_state() -> None:
    store = ContestedStore(0)
    registry = make_registry(store)
    await registry.create(CONFIG_MAP, config_map("a"), "default")
    store.times = 5
    patched = (await registry.patch(CONFIG_MAP, "a", "default", {"data": {"k": "v"}}, "merge")).object
    assert patched["data"] == {"count": "5", "k": "v"}


async def test_a_patch_that_always_loses_gives_up() -> None:
    store = ContestedStore(0)
    registry = make_registry(store)
    await registry.create(CONFIG_MAP, config_map("a"), "default")
    store.times = 100
    with pytest.raises(Conflict):
        await registry.patch(CONFIG_MAP, "a", "default", {"data": {"k": "v"}}, "merge")


async def test_a_contested_update_with_a_version_conflicts_and_without_wins() -> None:
    store = ContestedStore(0)
    registry = make_registry(store)
    made = (await registry.create(CONFIG_MAP, config_map("a"), "default")).object
    store.times = 1
    with pytest.raises(Conflict):
        await registry.update(CONFIG_MAP, "a", "default", changed(made, data={"k": "v"}))
    store.times = 1
    written = await registry.update(CONFIG_MAP, "a", "default", config_map("a", k="v"))
    assert written.object["data"] == {"k": "v"}


async def test_a_contested_delete_goes_on() -> None:
    store = ContestedStore(0)
    registry = make_registry(store)
    await registry.create(CONFIG_MAP, config_map("a"), "default")
    store.times = 2
    assert (await registry.delete(CONFIG_MAP, "a", "default")).gone
