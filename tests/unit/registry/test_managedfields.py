"""metadata.managedFields through the pipeline: who owns what after each kind of write, and what an apply answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from emulator.api.errors import ApiError, BadRequest, Conflict, Invalid, NotFound
from emulator.api.kinds import (
    CONFIG_MAP,
    DAEMON_SET,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    EVENT,
    INGRESS_V1BETA1,
    POD,
    SECRET,
    SERVICE,
    Kind,
)
from emulator.api.meta import JsonObject
from emulator.registry.io.pipeline import Registry
from emulator.registry.io.scaling import Scaling
from emulator.registry.managed_entries import ApplyConflict, ManagerKey, conflict_error
from emulator.registry.managedfields import LAST_APPLIED, last_applied_text
from emulator.registry.options import WriteOptions, Written
from tests.unit.registry.support import config_map, make_registry, service

NS = "default"


def by(manager: str, *, force: bool = False, dry_run: bool = False) -> WriteOptions:
    return WriteOptions(field_manager=manager, force=force, dry_run=dry_run)


async def apply(registry: Registry, kind: Kind, config: JsonObject, options: WriteOptions, **more: Any) -> Written:
    config = {"apiVersion": kind.api_version, "kind": kind.kind, **config}
    return await registry.patch(kind, config["metadata"]["name"], NS, config, "apply", options=options, **more)


def owners(object: JsonObject) -> dict[str, Any]:
    """`manager operation [subresource]` -> fieldsV1, in the order of the entries."""
    found = {}
    for entry in object["metadata"].get("managedFields", ()):
        name = " ".join(
            (entry["manager"], entry["operation"], *([entry["subresource"]] if "subresource" in entry else []))
        )
        found[name] = entry["fieldsV1"]
    return found


def times(object: JsonObject) -> dict[str, str | None]:
    return {entry["manager"]: entry.get("time") for entry in object["metadata"]["managedFields"]}


# -- creates and updates ----------------------------------------------------------------------------------------------


async def test_a_create_owns_what_was_sent_and_defaulted_but_nothing_that_was_allocated() -> None:
    made = (await make_registry().create(SERVICE, service("web"), NS, options=by("me"))).object
    entry = made["metadata"]["managedFields"][0]
    assert list(entry) == ["manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("me", "Update", "v1")
    assert entry["time"] == made["metadata"]["creationTimestamp"]
    assert entry["fieldsV1"] == {
        "f:metadata": {"f:labels": {".": {}, "f:run": {}}},
        "f:spec": {
            "f:internalTrafficPolicy": {},
            "f:ports": {
                ".": {},
                'k:{"port":8080,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {}},
            },
            "f:selector": {},
            "f:sessionAffinity": {},
            "f:type": {},
        },
    }


async def test_structs_that_are_always_there_belong_to_nobody() -> None:
    registry = make_registry()
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "x"}]}}
    spec = owners((await registry.create(POD, pod, NS, options=by("me"))).object)["me Update"]["f:spec"]
    assert "." not in spec
    assert "." not in spec["f:containers"]
    assert spec["f:containers"]['k:{"name":"a"}']["f:resources"] == {}
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"namespace": NS},
        "source": {"component": "c"},
        "reason": "R",
    }
    assert owners((await registry.create(EVENT, event, NS, options=by("me"))).object)["me Update"] == {
        "f:involvedObject": {},
        "f:reason": {},
        "f:source": {"f:component": {}},
    }


async def test_a_manager_without_a_name_is_unknown() -> None:
    made = (await make_registry().create(CONFIG_MAP, config_map("a", x="1"), NS)).object
    assert list(owners(made)) == ["unknown Update"]


async def test_an_update_takes_what_it_changes_and_leaves_the_rest() -> None:
    registry = make_registry()
    await registry.create(CONFIG_MAP, config_map("a", x="1", y="1"), NS, options=by("one"))
    patch = {"data": {"y": "2", "z": "1"}}
    changed = (await registry.patch(CONFIG_MAP, "a", NS, patch, "merge", options=by("two"))).object
    assert owners(changed) == {
        "one Update": {"f:data": {".": {}, "f:x": {}}},
        "two Update": {"f:data": {"f:y": {}, "f:z": {}}},
    }
    before = times(changed)
    changed = (await registry.patch(CONFIG_MAP, "a", NS, {"data": {"y": None}}, "merge", options=by("one"))).object
    assert owners(changed) == {
        "one Update": {"f:data": {".": {}, "f:x": {}}},
        "two Update": {"f:data": {"f:z": {}}},
    }
    assert times(changed) == before, "who only takes away has changed nothing that is there"


async def test_a_write_that_changes_nothing_keeps_owners_and_times() -> None:
    registry = make_registry()
    made = (await registry.create(CONFIG_MAP, config_map("a", x="1"), NS, options=by("one"))).object
    again = (await registry.patch(CONFIG_MAP, "a", NS, {"data": {"x": "1"}}, "merge", options=by("two"))).object
    assert again is made


async def test_the_status_has_its_own_entry_and_the_rest_of_the_request_is_not_owned() -> None:
    registry = make_registry()
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "x"}]}}
    made = (await registry.create(POD, pod, NS, options=by("me"))).object
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    sent = {**made, "status": status, "spec": {**made["spec"], "hostname": "no"}}
    sent["metadata"] = {**made["metadata"], "managedFields": []}
    changed = (await registry.update(POD, "p", NS, sent, subresource="status", options=by("kubelet"))).object
    found = owners(changed)
    assert set(found) == {"me Update", "kubelet Update status"}
    ready: JsonObject = {
        ".": {},
        **{f"f:{name}": {} for name in ("lastProbeTime", "lastTransitionTime", "status", "type")},
    }
    assert found["kubelet Update status"] == {
        "f:status": {"f:conditions": {".": {}, 'k:{"type":"Ready"}': ready}, "f:phase": {}}
    }
    spoilt = {**changed, "status": {}}
    changed = (await registry.update(POD, "p", NS, spoilt, options=by("me"))).object
    assert changed["status"]["phase"] == "Running"
    assert set(owners(changed)) == {"me Update", "kubelet Update status"}


@pytest.mark.parametrize("nothing", [[], [{}]])
async def test_a_client_may_reset_the_owners(nothing: list[Any]) -> None:
    registry = make_registry()
    made = (await registry.create(CONFIG_MAP, config_map("a", x="1"), NS, options=by("one"))).object
    sent = {**made, "metadata": {**made["metadata"], "managedFields": nothing}}
    changed = (await registry.update(CONFIG_MAP, "a", NS, sent, options=by("one"))).object
    assert "managedFields" not in changed["metadata"]
    changed = (await registry.patch(CONFIG_MAP, "a", NS, {"data": {"x": "2"}}, "merge", options=by("two"))).object
    assert "managedFields" not in changed["metadata"], "nobody is tracked before the first apply"
    applied = (await apply(registry, CONFIG_MAP, {"metadata": {"name": "a"}, "data": {"x": "2"}}, by("m"))).object
    assert owners(applied) == {
        "m Apply": {"f:data": {"f:x": {}}},
        "before-first-apply Update": {"f:data": {".": {}, "f:x": {}}},
    }


async def test_a_client_may_write_the_owners_and_nonsense_is_ignored() -> None:
    registry = make_registry()
    made = (await registry.create(CONFIG_MAP, config_map("a", x="1"), NS, options=by("one"))).object
    entry = {**made["metadata"]["managedFields"][0], "manager": "other"}

    async def put(entries: Any) -> dict[str, Any]:
        operations = [{"op": "replace", "path": "/metadata/managedFields", "value": entries}]
        return owners((await registry.patch(CONFIG_MAP, "a", NS, operations, "json", options=by("one"))).object)

    assert list(await put([entry])) == ["other Update"]
    for nonsense in (
        [{**entry, "operation": "Create"}],
        [{**entry, "apiVersion": ""}],
        [{**entry, "fieldsType": "FieldsV2"}],
        [{**entry, "fieldsV1": {"data": {}}}],
    ):
        assert list(await put(nonsense)) == ["other Update"]
    assert list(await put([entry, {**entry, "manager": "older", "apiVersion": "v0"}])) == ["other Update"]


async def test_old_updates_are_put_together() -> None:
    registry = make_registry()
    await registry.create(CONFIG_MAP, config_map("a", x="1"), NS, options=by("m00"))
    for number in range(1, 13):
        patch = {"data": {f"k{number}": "1"}}
        changed = (await registry.patch(CONFIG_MAP, "a", NS, patch, "merge", options=by(f"m{number:02}"))).object
    found = owners(changed)
    assert len(found) == 10
    assert found["ancient-changes Update"]["f:data"].keys() == {".", "f:x", "f:k1", "f:k2", "f:k3"}
    assert next(iter(found)) == "ancient-changes Update"


# -- applied configurations -------------------------------------------------------------------------------------------


async def test_apply_creates_owns_what_it_says_and_does_nothing_twice() -> None:
    registry = make_registry()
    config = {"metadata": {"name": "web"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}}
    made = await apply(registry, SERVICE, config, by("one"))
    assert made.created
    assert owners(made.object) == {
        "one Apply": {
            "f:spec": {
                "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}},
                "f:selector": {},
            }
        }
    }
    again = await apply(registry, SERVICE, config, by("one"))
    assert not again.created
    assert again.object is made.object


async def test_fields_a_configuration_drops_go_unless_others_own_them() -> None:
    registry = make_registry()
    await apply(registry, CONFIG_MAP, {"metadata": {"name": "a"}, "data": {"x": "1", "y": "1"}}, by("one"))
    both = await apply(registry, CONFIG_MAP, {"metadata": {"name": "a"}, "data": {"y": "1", "z": "1"}}, by("two"))
    assert owners(both.object) == {
        "one Apply": {"f:data": {"f:x": {}, "f:y": {}}},
        "two Apply": {"f:data": {"f:y": {}, "f:z": {}}},
    }
    left = await apply(registry, CONFIG_MAP, {"metadata": {"name": "a"}, "data": {}}, by("one"))
    assert left.object["data"] == {"y": "1", "z": "1"}
    left = await apply(registry, CONFIG_MAP, {"metadata": {"name": "a"}}, by("two"))
    assert "data" not in left.object
    assert owners(left.object) == {"one Apply": {"f:data": {}}}


async def test_a_new_owner_of_the_same_values_has_no_time_yet() -> None:
    registry = make_registry()
    config = {"metadata": {"name": "a"}, "data": {"x": "1"}}
    await apply(registry, CONFIG_MAP, config, by("one"))
    found = (await apply(registry, CONFIG_MAP, config, by("two"))).object
    assert times(found)["two"] is None
    assert list(owners(found)) == ["two Apply", "one Apply"], "no time sorts first"


async def test_a_conflict_names_who_and_what() -> None:
    registry = make_registry()
    await registry.create(CONFIG_MAP, config_map("a", x="1", y="1"), NS, options=by("one"))
    config = {"metadata": {"name": "a"}, "data": {"x": "2"}}
    with pytest.raises(ApplyConflict) as raised:
        await apply(registry, CONFIG_MAP, config, by("two"))
    assert raised.value.status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'Apply failed with 1 conflict: conflict with "one" using v1: .data.x',
        "reason": "Conflict",
        "details": {
            "causes": [
                {"reason": "FieldManagerConflict", "message": 'conflict with "one" using v1', "field": ".data.x"}
            ]
        },
        "code": 409,
    }
    forced = await apply(registry, CONFIG_MAP, config, by("two", force=True))
    assert owners(forced.object) == {
        "two Apply": {"f:data": {"f:x": {}}},
        "one Update": {"f:data": {".": {}, "f:y": {}}},
    }


def test_several_conflicts_are_grouped_by_manager() -> None:
    keys = [ManagerKey("b", "Apply", ""), ManagerKey("a", "Update", "apps/v1", "status"), ManagerKey("b", "Apply", "")]
    paths = [("f:x",), ("f:status", "f:replicas"), ("f:y",)]
    error = conflict_error(list(zip(keys, paths, strict=True)))
    assert error.message == (
        'Apply failed with 3 conflicts: conflicts with "a" with subresource "status" using apps/v1:\n'
        '- .status.replicas\nconflicts with "b":\n- .x\n- .y'
    )
    assert [cause["field"] for cause in (error.details or {})["causes"]] == [".status.replicas", ".x", ".y"]


async def test_equal_values_are_shared_without_a_conflict() -> None:
    registry = make_registry()
    await registry.create(SERVICE, service("web"), NS, options=by("one"))
    config = {"metadata": {"name": "web"}, "spec": {"type": "ClusterIP", "ports": [{"port": 8080}]}}
    shared = await apply(registry, SERVICE, config, by("two"))
    assert {name for name, fields in owners(shared.object).items() if "f:type" in fields["f:spec"]} == {
        "one Update",
        "two Apply",
    }


async def test_a_dry_run_answers_and_stores_nothing() -> None:
    registry = make_registry()
    config = {"metadata": {"name": "a"}, "data": {"x": "1"}}
    made = await apply(registry, CONFIG_MAP, config, by("m", dry_run=True))
    assert made.created
    assert list(owners(made.object)) == ["m Apply"]
    with pytest.raises(NotFound):
        await registry.get(CONFIG_MAP, "a", NS)


REFUSED: list[tuple[str, JsonObject, type[ApiError], str]] = [
    ("other kind", {"kind": "Secret"}, BadRequest, "invalid object type: /v1, Kind=Secret"),
    ("other group", {"apiVersion": "apps/v1"}, BadRequest, "invalid object type: apps/v1, Kind=ConfigMap"),
    ("no type", {"apiVersion": None, "kind": None}, BadRequest, "invalid object type: /, Kind="),
    (
        "managed fields",
        {"metadata": {"name": "a", "managedFields": []}},
        BadRequest,
        "metadata.managedFields must be nil",
    ),
    (
        "other name",
        {"metadata": {"name": "b"}},
        BadRequest,
        "the name of the object (b) does not match the name on the URL (a)",
    ),
    (
        "other namespace",
        {"metadata": {"name": "a", "namespace": "b"}},
        BadRequest,
        "the namespace of the provided object does not match the namespace sent on the request",
    ),
    (
        "unknown field",
        {"bogus": 1},
        ApiError,
        "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .bogus: field not declared in schema",
    ),
    (
        "uid of a new object",
        {"metadata": {"name": "a", "uid": "u"}},
        Conflict,
        (
            'Operation cannot be fulfilled on configmaps "a": uid mismatch: the provided object specified uid u, '
            "and no existing object was found"
        ),
    ),
]


@pytest.mark.parametrize(("name", "change", "kind", "text"), REFUSED, ids=[case[0] for case in REFUSED])
async def test_what_is_refused(name: str, change: JsonObject, kind: type[ApiError], text: str) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, **change}
    with pytest.raises(kind) as raised:
        await make_registry().patch(CONFIG_MAP, "a", NS, config, "apply", options=by("m"))
    assert raised.value.message == text
    if name == "unknown field":
        assert (raised.value.code, raised.value.reason) == (500, "")


async def test_a_version_in_the_configuration_must_be_the_present_one() -> None:
    registry = make_registry()
    made = (await apply(registry, CONFIG_MAP, {"metadata": {"name": "a"}, "data": {"x": "1"}}, by("m"))).object
    stale = {"metadata": {"name": "a", "resourceVersion": "1"}, "data": {"x": "2"}}
    with pytest.raises(Conflict, match="the object has been modified"):
        await apply(registry, CONFIG_MAP, stale, by("m"))
    fresh = {"metadata": {"name": "a", "resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"x": "2"}}
    assert (await apply(registry, CONFIG_MAP, fresh, by("m"))).object["data"] == {"x": "2"}


async def test_what_is_invalid_is_refused_and_changes_nobody() -> None:
    registry = make_registry()
    made = (
        await apply(registry, SERVICE, {"metadata": {"name": "w"}, "spec": {"ports": [{"port": 80}]}}, by("m"))
    ).object
    bad = {"metadata": {"name": "w"}, "spec": {"ports": [{"port": 80}, {"port": 99999, "name": "x"}]}}
    with pytest.raises(Invalid):
        await apply(registry, SERVICE, bad, by("m"))
    assert await registry.get(SERVICE, "w", NS) is made


async def test_apply_to_the_status_never_creates_and_owns_only_the_status() -> None:
    registry = make_registry()
    config = {"metadata": {"name": "p"}, "status": {"phase": "Running"}}
    with pytest.raises(NotFound):
        await apply(registry, POD, config, by("m"), subresource="status")
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "x"}]}}
    await registry.create(POD, pod, NS, options=by("me"))
    config["spec"] = {"nodeName": "n"}
    found = (await apply(registry, POD, config, by("m"), subresource="status")).object
    assert found["status"]["phase"] == "Running"
    assert "nodeName" not in found["spec"]
    assert owners(found)["m Apply status"] == {"f:status": {"f:phase": {}}}
    with pytest.raises(ApplyConflict, match=r'conflict with "m" with subresource "status": \.status\.phase'):
        await apply(
            registry, POD, {"metadata": {"name": "p"}, "status": {"phase": "Failed"}}, by("n"), subresource="status"
        )


async def test_null_removes_nothing_and_is_owned() -> None:
    registry = make_registry()
    found = (await apply(registry, SECRET, {"metadata": {"name": "s"}, "data": None, "type": "a/b"}, by("m"))).object
    assert owners(found) == {"m Apply": {"f:data": {}, "f:type": {}}}
    assert "data" not in found


async def test_lists_in_a_slice_are_owned_whole() -> None:
    registry = make_registry()
    config = {
        "metadata": {"name": "s"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.0.1"]}],
        "ports": [{"port": 80}],
    }
    found = (await apply(registry, ENDPOINT_SLICE, config, by("m"))).object
    assert owners(found) == {"m Apply": {"f:addressType": {}, "f:endpoints": {}, "f:ports": {}}}


# -- kubectl's annotation ---------------------------------------------------------------------------------------------


async def test_kubectl_takes_over_what_client_side_apply_set_and_keeps_its_annotation_true() -> None:
    registry = make_registry()
    first = config_map("a", x="1", y="1")
    sent = {**first, "metadata": {"name": "a", "annotations": {LAST_APPLIED: json.dumps(first)}}}
    await registry.create(CONFIG_MAP, sent, NS, options=by("kubectl-client-side-apply"))
    second = config_map("a", x="2", y="1")
    with pytest.raises(ApplyConflict):
        await apply(registry, CONFIG_MAP, second, by("other"))
    found = (await apply(registry, CONFIG_MAP, second, by("kubectl"))).object
    assert found["data"] == {"x": "2", "y": "1"}
    assert found["metadata"]["annotations"][LAST_APPLIED] == last_applied_text(second)
    assert owners(found)["kubectl Apply"] == {"f:data": {"f:x": {}, "f:y": {}}}

    await registry.patch(CONFIG_MAP, "a", NS, {"data": {"y": "9"}}, "merge", options=by("edit"))
    with pytest.raises(ApplyConflict, match=r'1 conflict: conflict with "edit" using v1: \.data\.y'):
        await apply(registry, CONFIG_MAP, config_map("a", x="3", y="1"), by("kubectl"))


def test_the_annotation_is_written_as_go_writes_it() -> None:
    config = {"kind": "A", "metadata": {"name": "a", "annotations": {LAST_APPLIED: "x", "b": "<&>"}}}
    assert last_applied_text(config) == (
        '{"kind":"A","metadata":{"annotations":{"b":"\\u003c\\u0026\\u003e"},"name":"a"}}\n'
    )


# -- scale, and other shapes ------------------------------------------------------------------------------------------

DEPLOYMENT_CONFIG: JsonObject = {
    "metadata": {"name": "d"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}},
    },
}
SCALE_CONFIG: JsonObject = {
    "apiVersion": "autoscaling/v1",
    "kind": "Scale",
    "metadata": {"name": "d"},
    "spec": {"replicas": 3},
}


async def test_who_scales_owns_the_replicas_alone_and_without_a_time() -> None:
    registry = make_registry()
    scaling = Scaling(registry)
    await apply(registry, DEPLOYMENT, DEPLOYMENT_CONFIG, by("m"))
    await scaling.patch(DEPLOYMENT, "d", NS, {"spec": {"replicas": 2}}, "merge", options=by("me"))
    found = await registry.get(DEPLOYMENT, "d", NS)
    assert owners(found)["me Update scale"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in owners(found)["m Apply"]["f:spec"]
    assert times(found)["me"] is None
    with pytest.raises(ApplyConflict, match=r'conflict with "me" with subresource "scale" using apps/v1: \.spec\.repl'):
        await scaling.patch(DEPLOYMENT, "d", NS, SCALE_CONFIG, "apply", options=by("auto"))
    scale = (await scaling.patch(DEPLOYMENT, "d", NS, SCALE_CONFIG, "apply", options=by("auto", force=True))).object
    assert scale["spec"] == {"replicas": 3}
    found = await registry.get(DEPLOYMENT, "d", NS)
    assert owners(found)["auto Apply scale"] == {"f:spec": {"f:replicas": {}}}
    assert "me Update scale" not in owners(found)


async def test_what_is_applied_to_scale_must_be_a_scale() -> None:
    registry = make_registry()
    await apply(registry, DEPLOYMENT, DEPLOYMENT_CONFIG, by("m"))
    wrong = {**SCALE_CONFIG, "apiVersion": "apps/v1", "kind": "Deployment"}
    with pytest.raises(BadRequest, match="invalid object type: apps/v1, Kind=Deployment"):
        await Scaling(registry).patch(DEPLOYMENT, "d", NS, wrong, "apply", options=by("m"))


async def test_an_old_shape_is_applied_as_what_it_is_stored_as() -> None:
    registry = make_registry()
    backend = {"serviceName": "web", "servicePort": 80}
    config = {"metadata": {"name": "i"}, "spec": {"backend": backend}}
    found = (await apply(registry, INGRESS_V1BETA1, config, by("m"))).object
    assert found["spec"]["backend"] == backend
    assert owners(found)["m Apply"]["f:spec"].keys() == {"f:defaultBackend"}
    assert found["metadata"]["managedFields"][0]["apiVersion"] == "networking.k8s.io/v1"
    with pytest.raises(BadRequest, match=r"invalid object type: networking\.k8s\.io/v1, Kind=Ingress"):
        await registry.patch(
            INGRESS_V1BETA1,
            "i",
            NS,
            {**config, "apiVersion": "networking.k8s.io/v1", "kind": "Ingress"},
            "apply",
            options=by("m"),
        )


async def test_the_maker_of_a_daemon_set_owns_the_annotation_go_s_conversion_makes() -> None:
    spec = {key: value for key, value in DEPLOYMENT_CONFIG["spec"].items() if key != "replicas"}
    object = {"metadata": {"name": "d"}, "spec": spec}
    made = (await make_registry().create(DAEMON_SET, object, NS, options=by("me"))).object
    assert owners(made)["me Update"]["f:metadata"] == {
        "f:annotations": {".": {}, "f:deprecated.daemonset.template.generation": {}}
    }
    applied = (await apply(make_registry(), DAEMON_SET, object, by("me"))).object
    assert "f:metadata" not in owners(applied)["me Apply"]
