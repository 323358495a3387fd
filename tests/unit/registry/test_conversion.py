"""The shapes of old, and events.k8s.io: each way by table, and through the registry as one stored object."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from emulator.api.errors import BadRequest, Invalid
from emulator.api.kinds import (
    DAEMON_SET,
    DAEMON_SET_V1BETA1,
    DEPLOYMENT,
    DEPLOYMENT_V1BETA1,
    EVENT,
    EVENT_V1,
    EXTENSIONS_INGRESS,
    INGRESS,
    INGRESS_V1BETA1,
    KINDS,
    SERVED,
    SHAPES,
    Kind,
)
from emulator.api.meta import JsonObject
from emulator.registry.conversion.shapes import from_storage, stored_selector, to_storage
from emulator.registry.conversion.workloads import ROLLBACK_TO, TEMPLATE_GENERATION, UNLIMITED
from tests.unit.registry.support import make_registry

LABELS = {"app": "fluentd"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def of(kind: Kind, **fields: Any) -> JsonObject:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": "x", "namespace": "default"},
        **fields,
    }


def path(**fields: Any) -> JsonObject:
    return {"rules": [{"http": {"paths": [fields]}}]}


@pytest.mark.parametrize("kind", [INGRESS_V1BETA1, EXTENSIONS_INGRESS])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            {"backend": {"serviceName": "testsvc", "servicePort": 80}},
            {"defaultBackend": {"service": {"name": "testsvc", "port": {"number": 80}}}},
        ),
        (
            {"backend": {"serviceName": "testsvc", "servicePort": "80"}},
            {"defaultBackend": {"service": {"name": "testsvc", "port": {"name": "80"}}}},
        ),
        (
            path(path="/testpath", pathType="Exact", backend={"serviceName": "test", "servicePort": "http"}),
            path(path="/testpath", pathType="Exact", backend={"service": {"name": "test", "port": {"name": "http"}}}),
        ),
        (
            {"backend": {"resource": {"kind": "K", "name": "r"}, "servicePort": 0}},
            {"defaultBackend": {"resource": {"kind": "K", "name": "r"}}},
        ),
        ({"ingressClassName": "c", "rules": [{"host": "a"}]}, {"ingressClassName": "c", "rules": [{"host": "a"}]}),
    ],
)
def test_ingress_both_ways(kind: Kind, old: JsonObject, new: JsonObject) -> None:
    assert to_storage(kind, of(kind, spec=copy.deepcopy(old))) == of(INGRESS, spec=new)
    assert from_storage(kind, of(INGRESS, spec=copy.deepcopy(new))) == of(kind, spec=old)


def test_a_path_without_a_type_is_the_controllers_own() -> None:
    sent = of(INGRESS_V1BETA1, spec=path(backend={"serviceName": "s", "servicePort": 1}))
    stored = to_storage(INGRESS_V1BETA1, sent)
    assert stored["spec"]["rules"][0]["http"]["paths"][0]["pathType"] == "ImplementationSpecific"


def test_defaults_of_an_old_daemon_set() -> None:
    stored = to_storage(DAEMON_SET_V1BETA1, of(DAEMON_SET_V1BETA1, spec={"template": copy.deepcopy(TEMPLATE)}))
    assert stored["apiVersion"] == "apps/v1"
    assert stored["metadata"]["labels"] == LABELS
    assert stored["spec"] == {
        "template": TEMPLATE,
        "selector": {"matchLabels": LABELS},
        "updateStrategy": {"type": "OnDelete"},
        "revisionHistoryLimit": 10,
    }


def test_defaults_of_an_old_deployment() -> None:
    stored = to_storage(DEPLOYMENT_V1BETA1, of(DEPLOYMENT_V1BETA1, spec={"template": copy.deepcopy(TEMPLATE)}))
    assert stored["spec"] == {
        "template": TEMPLATE,
        "selector": {"matchLabels": LABELS},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}},
        "progressDeadlineSeconds": UNLIMITED,
        "revisionHistoryLimit": UNLIMITED,
    }


@pytest.mark.parametrize(
    ("old", "new", "annotation", "field", "text", "value"),
    [
        (DAEMON_SET_V1BETA1, DAEMON_SET, TEMPLATE_GENERATION, "templateGeneration", "3", 3),
        (DEPLOYMENT_V1BETA1, DEPLOYMENT, ROLLBACK_TO, "rollbackTo", "2", {"revision": 2}),
    ],
)
def test_fields_that_v1_gave_up(old: Kind, new: Kind, annotation: str, field: str, text: str, value: object) -> None:
    stored = of(new, spec={})
    stored["metadata"]["annotations"] = {annotation: text}
    shown = from_storage(old, stored)
    assert shown["spec"][field] == value
    assert "annotations" not in shown["metadata"]
    assert to_storage(old, shown)["metadata"]["annotations"] == {annotation: text}
    assert stored["metadata"]["annotations"] == {annotation: text}  # what is stored is shared


def test_an_event_both_ways() -> None:
    shown = of(
        EVENT_V1,
        regarding={"kind": "Pod", "name": "p"},
        note="hello",
        reportingController="example.com/c",
        reportingInstance="c-1",
        deprecatedSource={"component": "kubelet"},
        deprecatedFirstTimestamp=None,
        deprecatedLastTimestamp="2026-01-01T00:00:00Z",
        deprecatedCount=2,
        reason="Started",
        type="Normal",
    )
    stored = to_storage(EVENT_V1, copy.deepcopy(shown))
    assert stored["involvedObject"] == shown["regarding"]
    assert (stored["message"], stored["reportingComponent"], stored["count"]) == ("hello", "example.com/c", 2)
    assert from_storage(EVENT_V1, stored) == shown


def test_field_selectors_in_the_shapes_own_words() -> None:
    assert stored_selector(EVENT_V1, "regarding.name=a\\,b,reason!=X") == "reason!=X,involvedObject.name=a\\,b"
    assert stored_selector(EVENT, "involvedObject.name=a") == "involvedObject.name=a"
    assert stored_selector(INGRESS_V1BETA1, "metadata.name=a") == "metadata.name=a"
    with pytest.raises(BadRequest, match=r"field label not supported: involvedObject.name"):
        stored_selector(EVENT_V1, "involvedObject.name=a")


def test_shapes_come_last_and_say_little() -> None:
    assert set(SHAPES) <= set(SERVED)
    assert all(shape.storage in KINDS and shape.resource == shape.stored.resource for shape in SHAPES)
    old = [INGRESS_V1BETA1, DAEMON_SET_V1BETA1, DEPLOYMENT_V1BETA1, EXTENSIONS_INGRESS]
    assert not any(shape.short_names or shape.categories for shape in old)
    assert all(SERVED.index(shape) > SERVED.index(kind) for shape in old for kind in KINDS)


OLD_INGRESS = of(INGRESS_V1BETA1, spec={"backend": {"serviceName": "s", "servicePort": 80}})


async def test_one_object_in_every_shape() -> None:
    registry = make_registry()
    made = (await registry.create(INGRESS_V1BETA1, OLD_INGRESS, "default")).object
    assert made["spec"] == OLD_INGRESS["spec"]
    modern = await registry.get(INGRESS, "x", "default")
    assert modern["spec"] == {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}
    assert modern["metadata"]["uid"] == made["metadata"]["uid"]
    older = (await registry.list(EXTENSIONS_INGRESS)).items
    assert [(item["apiVersion"], item["spec"]) for item in older] == [("extensions/v1beta1", OLD_INGRESS["spec"])]
    gone = await registry.delete(EXTENSIONS_INGRESS, "x", "default")
    assert gone.object["apiVersion"] == "extensions/v1beta1"
    assert (await registry.list(INGRESS)).items == []


async def test_a_patch_is_applied_to_what_the_client_sees() -> None:
    registry = make_registry()
    await registry.create(INGRESS_V1BETA1, OLD_INGRESS, "default")
    patch = {"spec": {"backend": {"servicePort": "http"}}}
    written = await registry.patch(INGRESS_V1BETA1, "x", "default", patch, "merge")
    assert written.object["spec"] == {"backend": {"serviceName": "s", "servicePort": "http"}}
    assert written.object["metadata"]["generation"] == 2
    unchanged = await registry.update(INGRESS_V1BETA1, "x", "default", written.object)
    assert unchanged.object["metadata"]["resourceVersion"] == written.object["metadata"]["resourceVersion"]


async def test_unknown_fields_are_those_of_the_shape() -> None:
    registry = make_registry()
    sent = of(INGRESS_V1BETA1, spec={**OLD_INGRESS["spec"], "defaultBackend": {}})
    assert (await registry.create(INGRESS_V1BETA1, sent, "default")).warnings == ['unknown field "spec.defaultBackend"']


async def test_mistakes_are_told_in_the_stored_kinds_words() -> None:
    registry = make_registry()
    sent = of(INGRESS_V1BETA1, spec={"backend": {"serviceName": "s", "servicePort": "80"}})
    with pytest.raises(Invalid, match=r"spec.defaultBackend.service.port.name: Invalid value"):
        await registry.create(INGRESS_V1BETA1, sent, "default")


async def test_a_watch_speaks_the_shape() -> None:
    registry = make_registry()
    async with registry.watch(INGRESS_V1BETA1, "default", resource_version="0", timeout_seconds=5) as events:
        await registry.create(
            INGRESS, of(INGRESS, spec={"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}), "default"
        )
        event = await anext(events)
    assert (event.type, event.object["apiVersion"]) == ("ADDED", "networking.k8s.io/v1beta1")
    assert event.object["spec"] == OLD_INGRESS["spec"]


async def test_the_stricter_rules_of_events_v1() -> None:
    registry = make_registry()
    sent = of(EVENT_V1, deprecatedCount=1, regarding={"namespace": "default"}, type="Odd")
    with pytest.raises(Invalid) as raised:
        await registry.create(EVENT_V1, sent, "default")
    assert [str(error) for error in raised.value.errors] == [
        "eventTime: Required value",
        'type: Invalid value: "": has invalid value: Odd',
        'count: Invalid value: "": needs to be unset',
    ]
    await registry.create(EVENT, of(EVENT, count=1, involvedObject={"namespace": "default"}, type="Odd"), "default")
