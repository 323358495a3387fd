"""Lists in pages, selectors, resourceVersion semantics, and watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from emulator.api.errors import ApiError, BadRequest, Expired, Invalid
from emulator.api.kinds import CONFIG_MAP, POD, SERVICE
from emulator.registry.io import reader
from emulator.registry.io.pipeline import Registry
from emulator.registry.options import Listing, WatchEvent
from emulator.registry.paging import ContinueExpired
from emulator.store.io.memory import MemoryStore
from tests.unit.registry.support import changed, config_map, make_registry, pod, service

SECONDS = 5.0


async def filled(count: int = 5, *, store: MemoryStore | None = None) -> Registry:
    registry = make_registry(store)
    for number in range(count):
        labelled = changed(config_map(f"c{number}", k="v"), labels={"par": "odd" if number % 2 else "even"})
        await registry.create(CONFIG_MAP, labelled, "default")
    return registry


def names(listing: Listing) -> list[str]:
    return [item["metadata"]["name"] for item in listing.items]


async def take(events: AsyncIterator[WatchEvent], count: int) -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []
    async with asyncio.timeout(SECONDS):
        for _ in range(count):
            event = await anext(events)
            told.append((event.type, event.object["metadata"].get("name", "")))
    return told


async def test_a_list_says_its_revision_and_shares_its_items() -> None:
    registry = await filled()
    listing = await registry.list(CONFIG_MAP)
    assert names(listing) == ["c0", "c1", "c2", "c3", "c4"]
    assert listing.items[0] is await registry.get(CONFIG_MAP, "c0", "default")
    assert int(listing.resource_version) >= int(listing.items[-1]["metadata"]["resourceVersion"])
    assert (listing.continue_token, listing.remaining) == ("", None)


async def test_a_missing_namespace_lists_empty() -> None:
    assert (await (await filled()).list(CONFIG_MAP, "nowhere")).items == []


@pytest.mark.parametrize(
    ("label_selector", "field_selector", "found"),
    [
        ("par=odd", "", ["c1", "c3"]),
        ("par notin (odd)", "", ["c0", "c2", "c4"]),
        ("", "metadata.name=c3", ["c3"]),
        ("", "metadata.name!=c3,metadata.namespace=default", ["c0", "c1", "c2", "c4"]),
        ("par=odd", "metadata.name=c0", []),
        ("", "metadata.name=missing", []),
    ],
)
async def test_selectors(label_selector: str, field_selector: str, found: list[str]) -> None:
    registry = await filled()
    for namespace in ("", "default"):
        listing = await registry.list(
            CONFIG_MAP, namespace, label_selector=label_selector, field_selector=field_selector
        )
        assert names(listing) == found


async def test_field_selectors_of_a_kind() -> None:
    registry = make_registry()
    await registry.create(SERVICE, service("a"), "default")
    await registry.create(SERVICE, service("b", type="NodePort"), "default")
    await registry.create(POD, pod("p", nodeName="node-1"), "default")
    assert names(await registry.list(SERVICE, field_selector="spec.type=NodePort")) == ["b"]
    assert names(await registry.list(POD, field_selector="spec.nodeName=node-1,status.phase!=Running")) == ["p"]


async def test_fields_that_cannot_be_selected() -> None:
    registry = make_registry()
    with pytest.raises(BadRequest) as raised:
        await registry.list(CONFIG_MAP, field_selector="data.k=c3")
    assert raised.value.message == (
        '"data.k" is not a known field selector: only "metadata.name", "metadata.namespace"'
    )
    with pytest.raises(BadRequest, match=r"field label not supported: spec\.ports"):
        await registry.list(SERVICE, field_selector="spec.ports=1")


async def test_pages_show_the_revision_of_the_first() -> None:
    registry = await filled()
    first = await registry.list(CONFIG_MAP, "default", limit=2)
    assert (names(first), first.remaining) == (["c0", "c1"], 3)
    await registry.delete(CONFIG_MAP, "c2", "default")
    await registry.create(CONFIG_MAP, config_map("c22"), "default")
    second = await registry.list(CONFIG_MAP, "default", limit=2, continue_token=first.continue_token)
    assert (names(second), second.remaining) == (["c2", "c3"], 1)
    third = await registry.list(CONFIG_MAP, "default", limit=2, continue_token=second.continue_token)
    assert (names(third), third.remaining, third.continue_token) == (["c4"], None, "")
    assert first.resource_version == second.resource_version == third.resource_version


async def test_pages_of_a_selection_are_full_and_uncounted() -> None:
    registry = await filled()
    first = await registry.list(CONFIG_MAP, limit=2, label_selector="par=even")
    assert (names(first), first.remaining) == (["c0", "c2"], None)
    second = await registry.list(CONFIG_MAP, limit=2, label_selector="par=even", continue_token=first.continue_token)
    assert (names(second), second.continue_token) == (["c4"], "")


async def test_a_token_outlived_by_compaction_expires_and_can_go_on_inconsistently() -> None:
    store = MemoryStore()
    registry = await filled(store=store)
    first = await registry.list(CONFIG_MAP, "default", limit=2)
    await registry.create(CONFIG_MAP, config_map("c22"), "default")
    await store.compact(await store.revision())
    with pytest.raises(ContinueExpired) as raised:
        await registry.list(CONFIG_MAP, "default", limit=2, continue_token=first.continue_token)
    assert raised.value.code == 410
    on = await registry.list(CONFIG_MAP, "default", continue_token=raised.value.token)
    assert names(on) == ["c2", "c22", "c3", "c4"]


async def test_an_exact_revision_and_one_at_least() -> None:
    store = MemoryStore()
    registry = await filled(2, store=store)
    at = (await registry.list(CONFIG_MAP)).resource_version
    await registry.create(CONFIG_MAP, config_map("later"), "default")
    exact = await registry.list(CONFIG_MAP, resource_version=at, resource_version_match="Exact")
    assert (names(exact), exact.resource_version) == (["c0", "c1"], at)
    assert names(await registry.list(CONFIG_MAP, resource_version=at, limit=5)) == ["c0", "c1"]
    for match in ("", "NotOlderThan"):
        newer = await registry.list(CONFIG_MAP, resource_version=at, resource_version_match=match)
        assert names(newer) == ["c0", "c1", "later"]
    await store.compact(await store.revision())
    with pytest.raises(Expired, match="The resourceVersion for the provided list is too old"):
        await registry.list(CONFIG_MAP, resource_version=at, resource_version_match="Exact")


async def test_revisions_that_are_none() -> None:
    registry = await filled(1)
    with pytest.raises(ApiError, match="Too large resource version: 9999, current: ") as raised:
        await registry.list(CONFIG_MAP, resource_version="9999")
    assert (raised.value.code, raised.value.reason) == (504, "Timeout")
    with pytest.raises(BadRequest, match="invalid resource version"):
        await registry.list(CONFIG_MAP, resource_version="abc")
    token = (await (await filled(3)).list(CONFIG_MAP, limit=1)).continue_token
    with pytest.raises(BadRequest, match="not allowed when using continue"):
        await registry.list(CONFIG_MAP, resource_version="5", continue_token=token)
    with pytest.raises(Invalid, match=r'strconv\.ParseUint: parsing "abc": invalid syntax'):
        async with registry.watch(CONFIG_MAP, resource_version="abc"):
            pass


async def test_a_watch_tells_transitions_of_its_selector() -> None:
    registry = make_registry()
    async with registry.watch(CONFIG_MAP, "default", label_selector="w=1") as events:
        made = (await registry.create(CONFIG_MAP, changed(config_map("a", k="a"), labels={"w": "1"}), "default")).object
        await registry.update(CONFIG_MAP, "a", "default", changed(made, data={"k": "2"}))
        await registry.update(CONFIG_MAP, "a", "default", changed(config_map("a", k="2"), labels={"w": "0"}))
        await registry.update(CONFIG_MAP, "a", "default", changed(config_map("a", k="3"), labels={"w": "0"}))
        last = (
            await registry.update(CONFIG_MAP, "a", "default", changed(config_map("a", k="2"), labels={"w": "1"}))
        ).object
        await registry.delete(CONFIG_MAP, "a", "default")
        async with asyncio.timeout(SECONDS):
            told = [await anext(events) for _ in range(5)]
    assert [event.type for event in told] == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]
    left, gone = told[2].object, told[4].object
    assert (left["data"], left["metadata"]["labels"]) == ({"k": "2"}, {"w": "1"})
    versions = [int(event.object["metadata"]["resourceVersion"]) for event in told]
    assert versions == sorted(versions)
    assert len(set(versions)) == 5
    assert gone["data"] == last["data"]


@pytest.mark.parametrize("resource_version", ["", "0"])
async def test_a_watch_without_a_revision_begins_with_what_is_there(resource_version: str) -> None:
    registry = await filled(2)
    async with registry.watch(
        CONFIG_MAP, "default", resource_version=resource_version, field_selector="metadata.name=c1"
    ) as events:
        await registry.delete(CONFIG_MAP, "c1", "default")
        assert await take(events, 2) == [("ADDED", "c1"), ("DELETED", "c1")]


async def test_a_watch_from_a_revision_replays() -> None:
    registry = await filled(1)
    at = (await registry.list(CONFIG_MAP)).resource_version
    await registry.create(CONFIG_MAP, config_map("later"), "default")
    async with registry.watch(CONFIG_MAP, resource_version=at) as events:
        assert await take(events, 1) == [("ADDED", "later")]


async def test_initial_events_end_with_a_bookmark() -> None:
    registry = await filled(2)
    async with registry.watch(
        CONFIG_MAP, "default", send_initial_events=True, allow_bookmarks=True, label_selector="par=odd"
    ) as events:
        assert await take(events, 1) == [("ADDED", "c1")]
        bookmark = await anext(events)
        assert bookmark.type == "BOOKMARK"
        assert bookmark.object == {
            "kind": "ConfigMap",
            "apiVersion": "v1",
            "metadata": {
                "resourceVersion": (await registry.list(CONFIG_MAP)).resource_version,
                "annotations": {"k8s.io/initial-events-end": "true"},
            },
        }
        await registry.create(CONFIG_MAP, changed(config_map("b"), labels={"par": "odd"}), "default")
        assert await take(events, 1) == [("ADDED", "b")]


async def test_initial_events_can_be_refused() -> None:
    registry = await filled(1)
    async with registry.watch(CONFIG_MAP, send_initial_events=False, timeout_seconds=0.05) as events:
        assert [event async for event in events] == []


async def test_a_forgotten_revision_is_told_as_expired() -> None:
    store = MemoryStore()
    registry = await filled(3, store=store)
    await store.compact(await store.revision())
    async with registry.watch(CONFIG_MAP, resource_version="2") as events:
        with pytest.raises(Expired) as raised:
            await anext(events)
    assert raised.value.message == f"too old resource version: 2 ({await store.revision()})"
    assert (raised.value.code, raised.value.reason) == (410, "Expired")


async def test_a_slow_watcher_expires() -> None:
    registry = make_registry(MemoryStore(queue_limit=3))
    async with registry.watch(CONFIG_MAP) as events:
        for number in range(10):
            await registry.create(CONFIG_MAP, config_map(f"c{number}"), "default")
        with pytest.raises(Expired):
            await anext(events)


async def test_a_watch_ends_in_time_and_tells_how_far_it_got(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "BOOKMARK_SECONDS", 0.01)
    registry = make_registry()
    async with registry.watch(CONFIG_MAP, resource_version="1", allow_bookmarks=True, timeout_seconds=0.1) as events:
        await registry.create(SERVICE, service("webapp"), "default")
        told = [event async for event in events]
    assert {event.type for event in told} == {"BOOKMARK"}
    assert told[-1].object["metadata"]["resourceVersion"] == (await registry.list(CONFIG_MAP)).resource_version
