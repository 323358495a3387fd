"""Garbage: dependents without owners, and how owners go in the foreground, in the background or leaving orphans."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.kinds import CONFIG_MAP, NODE, POD, SECRET, SERVICE
from emulator.api.meta import JsonObject, ObjectKey
from emulator.client.index import Change
from emulator.controllers import garbage
from emulator.controllers.changes import NOTHING, Delete, Propagation
from emulator.controllers.garbage import plan_garbage
from tests.unit.controllers.world import AT, NS, World, make, node, pod

GOING = {"deletionTimestamp": "2026-03-04T05:00:00Z"}
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


def key(name: str, resource: str = "configmaps", namespace: str = NS) -> ObjectKey:
    return ObjectKey(namespace, f"{resource}/{name}")


def owner(name: str, *, uid: str = "", **more: Any) -> JsonObject:
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid or f"uid-configmaps-{name}", **more}


def item(name: str, *owners: JsonObject, **metadata: Any) -> JsonObject:
    return make(CONFIG_MAP, name, metadata={"ownerReferences": list(owners), **metadata})


def names(world: World) -> list[str]:
    return sorted(world.in_namespace(CONFIG_MAP, NS))


def collect(world: World) -> None:
    """Run the controller as the loop does, until no change names a key whose plan writes."""
    waiting = list(dict.fromkeys(k for change in world.changes for k in keys(change, world)))
    for _ in range(200):
        if not waiting:
            return
        world.changes.clear()
        changes = plan_garbage(waiting.pop(0), world, AT)
        world.apply(changes)
        found = [k for change in world.changes for k in keys(change, world)]
        waiting = list(dict.fromkeys([*waiting, *found]))
    raise AssertionError(f"never done: {waiting}")


def keys(change: Change, world: World) -> list[ObjectKey]:
    return list(garbage.CONTROLLER.watches[change.kind](change, world))


OWNERS: list[tuple[str, list[JsonObject], list[JsonObject], bool]] = [
    ("none", [], [], True),
    ("there", [owner("o")], [item("o")], True),
    ("gone", [owner("o")], [], False),
    ("another of its name", [owner("o", uid="before")], [item("o")], False),
    ("in another namespace", [owner("o")], [item("o", namespace="other")], False),
    ("of a kind that is not served", [{**owner("o"), "apiVersion": "example.com/v1", "kind": "Thing"}], [], True),
    ("of another kind", [{**owner("o"), "kind": "Secret"}], [item("o")], False),
    (
        "of no namespace",
        [{**owner("n1"), "kind": "Node", "uid": "uid-nodes-n1"}],
        [node("n1")],
        True,
    ),
    ("going", [owner("o")], [item("o", **GOING, finalizers=["example.com/x"])], True),
]


@pytest.mark.parametrize(("owners", "others", "stays"), [c[1:] for c in OWNERS], ids=[c[0] for c in OWNERS])
def test_owners(owners: list[JsonObject], others: list[JsonObject], stays: bool) -> None:
    world = World(item("d", *owners), *others)
    collect(world)
    assert (world.get(CONFIG_MAP, "d", NS) is not None) == stays


def test_one_of_two_owners_gone() -> None:
    world = World(item("d", owner("gone"), owner("o", controller=True)), item("o"))
    collect(world)
    assert world.the(CONFIG_MAP, "d")["metadata"]["ownerReferences"] == [owner("o", controller=True)]


def test_an_object_without_a_namespace_keeps_an_owner_that_has_one() -> None:
    odd = make(NODE, "n1", metadata={"ownerReferences": [owner("o")]}, spec={})
    assert plan_garbage(key("n1", "nodes", ""), World(odd), AT) == NOTHING


def test_a_deletion_is_of_this_very_object_as_its_finalizers_say() -> None:
    cases: list[tuple[list[str], Propagation]]
    cases = [([], "Background"), ([ORPHAN], "Orphan"), ([FOREGROUND], "Foreground")]
    for finalizers, wanted in cases:
        world = World(item("d", owner("gone"), finalizers=finalizers))
        (delete,) = plan_garbage(key("d"), world, AT).deletes
        assert delete == Delete(CONFIG_MAP, ObjectKey(NS, "d"), "uid-configmaps-d", propagation=wanted)


def test_what_is_going_already_is_left_to_its_finalizers() -> None:
    world = World(item("d", owner("gone"), **GOING, finalizers=["example.com/x"]))
    assert plan_garbage(key("d"), world, AT) == NOTHING


def test_background_cascades() -> None:
    world = World(item("o"), item("a", owner("o")), item("b", owner("a")), item("c"))
    collect(world)
    assert names(world) == ["a", "b", "c", "o"]
    world.remove(CONFIG_MAP, "o")
    collect(world)
    assert names(world) == ["c"]


def start(world: World, name: str, propagation: Any) -> None:
    uid = world.the(CONFIG_MAP, name)["metadata"]["uid"]
    world.delete(Delete(CONFIG_MAP, ObjectKey(NS, name), uid, propagation=propagation))


def test_foreground_takes_dependents_first() -> None:
    held = item("b", owner("a", blockOwnerDeletion=True), finalizers=["example.com/x"])
    world = World(item("o"), item("a", owner("o", blockOwnerDeletion=True)), held, item("c", owner("o")))
    start(world, "o", "Foreground")
    collect(world)
    assert names(world) == ["a", "b", "o"], "b is held by its finalizer, and so is what waits for it"
    assert world.the(CONFIG_MAP, "a")["metadata"]["finalizers"] == [FOREGROUND]
    freed = world.the(CONFIG_MAP, "b")
    world.put({**freed, "metadata": {**freed["metadata"], "finalizers": []}})
    world.remove(CONFIG_MAP, "b")
    collect(world)
    assert names(world) == []


def test_foreground_does_not_wait_for_dependents_that_do_not_block() -> None:
    world = World(item("o"), item("a", owner("o"), finalizers=["example.com/x"]))
    start(world, "o", "Foreground")
    collect(world)
    assert names(world) == ["a"]


def test_foreground_leaves_dependents_of_another_owner() -> None:
    world = World(
        item("o"), item("p"), item("a", owner("o", blockOwnerDeletion=True), owner("p", blockOwnerDeletion=True))
    )
    start(world, "o", "Foreground")
    collect(world)
    assert names(world) == ["a", "p"]
    assert world.the(CONFIG_MAP, "a")["metadata"]["ownerReferences"] == [owner("p", blockOwnerDeletion=True)]


def test_owners_of_one_another_do_not_wait_for_ever() -> None:
    world = World(item("a", owner("b", blockOwnerDeletion=True)), item("b", owner("a", blockOwnerDeletion=True)))
    start(world, "a", "Foreground")
    collect(world)
    assert names(world) == []


def test_orphans_lose_their_reference_and_nothing_else() -> None:
    world = World(item("o"), item("a", owner("o"), owner("p")), item("p"), item("b", owner("o")))
    start(world, "o", "Orphan")
    collect(world)
    assert names(world) == ["a", "b", "p"]
    assert world.the(CONFIG_MAP, "a")["metadata"]["ownerReferences"] == [owner("p")]
    assert "ownerReferences" not in world.the(CONFIG_MAP, "b")["metadata"]


def test_dependents_of_other_kinds() -> None:
    service_owner = {"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "uid-services-web"}
    world = World(
        make(SERVICE, "web", spec={}),
        make(SECRET, "s", metadata={"ownerReferences": [service_owner]}),
        pod("p", metadata={"ownerReferences": [service_owner]}),
    )
    world.remove(SERVICE, "web")
    collect(world)
    assert (world.get(SECRET, "s", NS), world.get(POD, "p", NS)) == (None, None)


def test_a_gone_key_is_nothing() -> None:
    assert plan_garbage(key("d"), World(), AT) == NOTHING
