"""Namespaces: what they hold from the start, and how they end."""

from __future__ import annotations

from typing import Any

from emulator.api.kinds import CONFIG_MAP, NAMESPACE, POD, SERVICE, SERVICE_ACCOUNT
from emulator.api.meta import JsonObject, ObjectKey
from emulator.client.index import Change
from emulator.controllers import namespace
from emulator.controllers.changes import NOTHING, Changes
from emulator.controllers.namespace import ROOT_CA, SYSTEM, plan_namespace
from tests.unit.controllers.world import AT, NS, World, make, pod, service, settle

KEY = ObjectKey("", NS)
GOING = {"deletionTimestamp": "2026-03-04T05:00:00Z"}


def plan(world: World, key: ObjectKey = KEY, ca: str = "CA") -> Changes:
    return plan_namespace(key, world, AT, ca=ca)


def space(name: str = NS, *finalizers: str, **metadata: Any) -> JsonObject:
    spec = {"finalizers": list(finalizers) or ["kubernetes"]}
    phase = "Terminating" if "deletionTimestamp" in metadata else "Active"
    return make(NAMESPACE, name, metadata=metadata, spec=spec, status={"phase": phase})


def conditions(world: World) -> dict[str, tuple[str, str, str]]:
    held = world.the(NAMESPACE, NS)["status"]["conditions"]
    return {c["type"]: (c["status"], c["reason"], c["message"]) for c in held}


def test_the_systems_namespaces_come_again_and_others_do_not() -> None:
    world = World()
    for name in SYSTEM:
        assert settle(world, lambda key, view: plan(view, key), ObjectKey("", name)) == 2
        assert world.the(NAMESPACE, name)
    assert plan(world) == NOTHING


def test_what_a_namespace_holds_from_the_start() -> None:
    world = World(space())
    settle(world, lambda key, view: plan(view, key), KEY)
    assert world.the(SERVICE_ACCOUNT, "default")
    assert world.the(CONFIG_MAP, ROOT_CA)["data"] == {"ca.crt": "CA"}
    world.put({**world.the(CONFIG_MAP, ROOT_CA), "data": {"ca.crt": "bent"}})
    world.remove(SERVICE_ACCOUNT, "default")
    settle(world, lambda key, view: plan(view, key), KEY)
    assert world.the(CONFIG_MAP, ROOT_CA)["data"] == {"ca.crt": "CA"}
    assert world.the(SERVICE_ACCOUNT, "default")


def test_no_ca_no_config_map() -> None:
    world = World(space())
    world.apply(plan(world, ca=""))
    assert world.get(CONFIG_MAP, ROOT_CA, NS) is None


CLEAN = {
    "NamespaceDeletionDiscoveryFailure": ("False", "ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "False",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "False",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("False", "ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": (
        "False",
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
}


def test_an_empty_namespace_says_so_then_goes() -> None:
    world = World(space(**GOING))
    world.apply(plan(world))
    assert conditions(world) == CLEAN
    assert [c["type"] for c in world.the(NAMESPACE, NS)["status"]["conditions"]] == list(CLEAN)
    assert world.the(NAMESPACE, NS)["status"]["phase"] == "Terminating"
    changes = plan(world)
    assert [write.subresource for write in changes.updates] == ["finalize"]
    world.apply(changes)
    assert world.get(NAMESPACE, NS) is None


def test_pods_go_before_the_rest() -> None:
    elsewhere = pod("b", metadata={"namespace": "other"})
    world = World(space(**GOING), service(), pod("a"), elsewhere)
    world.apply(plan(world))
    assert world.get(POD, "a", NS) is None
    assert world.the(SERVICE, "web")
    world.apply(plan(world))
    assert world.get(SERVICE, "web", NS) is None
    settle(world, lambda key, view: plan(view), KEY)
    assert world.get(NAMESPACE, NS) is None
    assert world.the(POD, "b", "other")


def test_what_remains_is_told_and_waited_for() -> None:
    def held(name: str, *finalizers: str) -> JsonObject:
        return make(CONFIG_MAP, name, metadata={"finalizers": list(finalizers)})

    world = World(space(**GOING), held("a", "example.com/x", "example.com/y"), held("b", "example.com/y"), service())
    settle(world, lambda key, view: plan(view), KEY)
    finalizers = "example.com/x in 1 resource instances", "example.com/y in 2 resource instances"
    assert conditions(world) == {
        **CLEAN,
        "NamespaceContentRemaining": (
            "True",
            "SomeResourcesRemain",
            "Some resources are remaining: configmaps. has 2 resource instances",
        ),
        "NamespaceFinalizersRemaining": (
            "True",
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {', '.join(finalizers)}",
        ),
    }
    since = {c["type"]: c["lastTransitionTime"] for c in world.the(NAMESPACE, NS)["status"]["conditions"]}
    world.remove(CONFIG_MAP, "a")
    later = plan_namespace(KEY, world, AT.replace(year=2027), ca="").updates[0].object
    assert {c["type"]: c["lastTransitionTime"] for c in later["status"]["conditions"]} == since, "still True"
    world.remove(CONFIG_MAP, "b")
    settle(world, lambda key, view: plan(view), KEY)
    assert world.get(NAMESPACE, NS) is None


def test_pods_that_remain_hold_up_the_rest() -> None:
    world = World(space(**GOING), service(), pod("a", metadata={"finalizers": ["example.com/x"]}))
    settle(world, lambda key, view: plan(view), KEY)
    assert world.the(SERVICE, "web")
    assert conditions(world)["NamespaceContentRemaining"][2] == (
        "Some resources are remaining: pods. has 1 resource instances"
    )


def test_groups_are_named() -> None:
    slice = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4"}
    world = World(space(**GOING), {**slice, "metadata": {"name": "s", "namespace": NS, "finalizers": ["a/b"]}})
    settle(world, lambda key, view: plan(view), KEY)
    assert "endpointslices.discovery.k8s.io has 1 resource" in conditions(world)["NamespaceContentRemaining"][2]


def test_finalizers_of_others_stay_in_the_spec() -> None:
    world = World(space(NS, "example.com/mine", "kubernetes", **GOING))
    settle(world, lambda key, view: plan(view), KEY)
    assert world.the(NAMESPACE, NS)["spec"]["finalizers"] == ["example.com/mine"]


def test_whose_keys() -> None:
    watches = namespace.controller("CA").watches
    active, going = World(space()), World(space(**GOING))
    config_map, one = make(CONFIG_MAP, "a"), pod("a")
    assert list(watches[CONFIG_MAP](Change("ADDED", CONFIG_MAP, config_map, None), active)) == []
    assert list(watches[CONFIG_MAP](Change("DELETED", CONFIG_MAP, config_map, config_map), active)) == [KEY]
    assert list(watches[POD](Change("DELETED", POD, one, one), active)) == []
    assert list(watches[POD](Change("DELETED", POD, one, one), going)) == [KEY]
    assert list(watches[NAMESPACE](Change("ADDED", NAMESPACE, space(), None), active)) == [KEY]
