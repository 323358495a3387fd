"""Ingresses of our classes have the controller's address; others are left alone."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.kinds import CONFIG_MAP, INGRESS, INGRESS_CLASS, SERVICE
from emulator.api.meta import JsonObject, ObjectKey
from emulator.client.index import Change
from emulator.config.addons import ADDONS
from emulator.controllers import ingressstatus
from emulator.controllers.changes import NOTHING, Changes
from emulator.controllers.ingressstatus import plan_ingress_status
from emulator.routing.ingressclasses import built_in_classes, ingress_class
from emulator.routing.ingressservice import ingress_service
from tests.unit.controllers.world import AT, NS, World, make, settle

ADDRESS = "127.0.0.1"
KEY = ObjectKey(NS, "web")
FOREIGN = {**ingress_class("traefik"), "spec": {"controller": "traefik.io/ingress-controller"}}


def plan(key: ObjectKey, world: World) -> Changes:
    return plan_ingress_status(key, world, AT, address=ADDRESS)


def ingress(name: str | None = "nginx", *points: JsonObject, annotation: str | None = None) -> JsonObject:
    metadata: JsonObject = {"annotations": {"kubernetes.io/ingress.class": annotation}} if annotation else {}
    spec: dict[str, Any] = {} if name is None else {"ingressClassName": name}
    balancer = {"ingress": list(points)} if points else {}
    return make(INGRESS, "web", metadata=metadata, spec=spec, status={"loadBalancer": balancer})


def world(made: JsonObject) -> World:
    return World(*built_in_classes(), ingress_class("inner"), FOREIGN, made)


OURS = [
    ingress(), ingress("public"), ingress("inner"), ingress(None), ingress(None, annotation="nginx"),
    ingress(None, annotation="public"), ingress("nginx", {"ip": "192.0.2.1"}), ingress("nginx", annotation="traefik"),
]  # fmt: skip


@pytest.mark.parametrize("made", OURS)
def test_ours_have_the_address(made: JsonObject) -> None:
    given = world(made)
    assert settle(given, plan, KEY) == 1
    assert given.the(INGRESS, "web")["status"] == {"loadBalancer": {"ingress": [{"ip": ADDRESS}]}}


@pytest.mark.parametrize("made", [ingress("traefik"), ingress("absent"), ingress(None, annotation="traefik")])
def test_others_are_left_alone(made: JsonObject) -> None:
    assert plan(KEY, world(made)) == NOTHING


def test_an_ingress_that_goes_or_is_gone_is_left_alone() -> None:
    leaving = ingress()
    leaving["metadata"]["deletionTimestamp"] = "2026-03-04T05:00:00Z"
    assert plan(KEY, world(leaving)) == NOTHING
    assert plan(ObjectKey(NS, "absent"), world(ingress())) == NOTHING


def test_a_class_that_comes_later_makes_its_ingresses_ours() -> None:
    given = World(*built_in_classes(), ingress("late"))
    assert plan(KEY, given) == NOTHING
    late = given.put(ingress_class("late"))
    watched = ingressstatus.controller(ADDRESS).watches[INGRESS_CLASS]
    assert list(watched(Change("ADDED", INGRESS_CLASS, late, None), given)) == [KEY]
    assert settle(given, plan, KEY) == 1


def balanced(*points: JsonObject) -> JsonObject:
    return {**ingress_service("192.0.2.254"), "status": {"loadBalancer": {"ingress": list(points)}}}


def test_the_controllers_own_service_comes_first() -> None:
    made = ingress()
    given = World(*built_in_classes(), made, balanced({"ip": "192.0.2.254", "ipMode": "VIP"}))
    assert settle(given, plan, KEY) == 1
    assert given.the(INGRESS, "web")["status"] == {"loadBalancer": {"ingress": [{"ip": "192.0.2.254"}]}}


def test_a_service_that_waits_for_its_address_leaves_ingresses_without_one() -> None:
    assert plan(KEY, World(*built_in_classes(), ingress(), balanced())) == NOTHING


def test_every_ingress_is_looked_at_when_the_service_changes_but_no_other() -> None:
    given = world(ingress())
    watches = ingressstatus.controller(ADDRESS).watches
    ours = Change("MODIFIED", SERVICE, balanced(), None)
    other = Change("MODIFIED", SERVICE, make(SERVICE, "web"), None)
    assert list(watches[SERVICE](ours, given)) == [KEY]
    assert list(watches[SERVICE](other, given)) == []


def switch(value: str) -> JsonObject:
    metadata = {"name": ADDONS.name, "namespace": ADDONS.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ingress": value}}


def test_switched_off_it_takes_its_address_back() -> None:
    given = world(ingress("nginx", {"ip": ADDRESS}))
    off = given.put(switch("false"))
    watched = ingressstatus.controller(ADDRESS).watches[CONFIG_MAP]
    assert list(watched(Change("ADDED", CONFIG_MAP, off, None), given)) == [KEY]
    assert settle(given, plan, KEY) == 1
    assert given.the(INGRESS, "web")["status"] == {"loadBalancer": {}}
    given.put(switch("true"))
    assert settle(given, plan, KEY) == 1
    assert given.the(INGRESS, "web")["status"] == {"loadBalancer": {"ingress": [{"ip": ADDRESS}]}}


def test_switched_off_it_leaves_what_others_published() -> None:
    given = world(ingress("nginx", {"ip": "192.0.2.1"}))
    given.put(switch("false"))
    assert plan(KEY, given) == NOTHING
