"""Hashes of templates: equal to recorded ones, and what goes into them."""

from __future__ import annotations

import pytest

from emulator.api.fields import table
from emulator.api.meta import JsonObject
from emulator.controllers.godump import dump
from emulator.controllers.gotypes import structs
from emulator.controllers.revisions import data_hash, fnv_1, fnv_1a, go_json, template_hash

RECORDED: JsonObject = {  # name web-799c4bd947 in a recording of Kubernetes 1.36.2
    "metadata": {"labels": {"app": "web"}},
    "spec": {
        "containers": [
            {
                "name": "c",
                "image": "nginx:1",
                "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent",
            }
        ],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    },
}


def test_a_recorded_hash() -> None:
    assert template_hash(RECORDED) == "799c4bd947"


def test_collisions_and_changes_give_other_hashes() -> None:
    changed = {**RECORDED, "metadata": {"labels": {"app": "web", "tier": "front"}}}
    hashes = {template_hash(RECORDED), template_hash(RECORDED, 0), template_hash(RECORDED, 1), template_hash(changed)}
    assert len(hashes) == 4


@pytest.mark.parametrize(("text", "wanted"), [("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)])
def test_fnv_1a_of_its_specification(text: str, wanted: int) -> None:
    assert fnv_1a(text.encode()) == wanted


@pytest.mark.parametrize(("text", "wanted"), [("", 0x811C9DC5), ("a", 0x050C5D7E), ("foobar", 0x31F0B262)])
def test_fnv_1_of_its_specification(text: str, wanted: int) -> None:
    assert fnv_1(text.encode()) == wanted


VALUES = [
    ({"spec": {"priority": 5}}, "Priority:(*int32)5"),
    ({"spec": {}}, "Priority:(*int32)<nil>"),
    ({"spec": {"nodeSelector": {"b": "2", "a": "1"}}}, "NodeSelector:(map[string]string)map[a:1 b:2]"),
    ({"spec": {"imagePullSecrets": [{"name": "x"}, {"name": "y"}]}}, "[{Name:(string)x} {Name:(string)y}]"),
    ({"spec": {"os": {"name": "linux"}}}, "OS:(*v1.PodOS){Name:(v1.OSName)linux}"),
    (
        {"spec": {"overhead": {"cpu": "250m"}}},
        (
            "map[cpu:{i:(resource.int64Amount){value:(int64)250 scale:(resource.Scale)-3} "
            "d:(resource.infDecAmount){Dec:(*inf.Dec)<nil>} s:(string)250m Format:(resource.Format)DecimalSI}]"
        ),
    ),
    (
        {"spec": {"overhead": {"memory": "100Mi"}}},
        (
            "{value:(int64)104857600 scale:(resource.Scale)0} "
            "d:(resource.infDecAmount){Dec:(*inf.Dec)<nil>} s:(string)100Mi Format:(resource.Format)BinarySI}"
        ),
    ),
    (  # the text of a multiple of 8 is not kept: it might be spelled with a greater suffix
        {"spec": {"overhead": {"memory": "64Mi"}}},
        (
            "{value:(int64)67108864 scale:(resource.Scale)0} "
            "d:(resource.infDecAmount){Dec:(*inf.Dec)<nil>} s:(string) Format:(resource.Format)BinarySI}"
        ),
    ),
    ({"spec": {"overhead": {"cpu": "2"}}}, "{value:(int64)2 scale:(resource.Scale)0}"),
    (
        {"spec": {"overhead": {"cpu": "0"}}},
        (
            "{value:(int64)0 scale:(resource.Scale)0} "
            "d:(resource.infDecAmount){Dec:(*inf.Dec)<nil>} s:(string)0 Format:(resource.Format)DecimalSI}"
        ),
    ),
    (
        {"spec": {"containers": [{"name": "c", "livenessProbe": {"httpGet": {"port": "http"}}}]}},
        "Port:(intstr.IntOrString){Type:(intstr.Type)1 IntVal:(int32)0 StrVal:(string)http}",
    ),
    (
        {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}},
        (
            "{Name:(string)v VolumeSource:(v1.VolumeSource){HostPath:(*v1.HostPathVolumeSource)<nil> "
            "EmptyDir:(*v1.EmptyDirVolumeSource){Medium:(v1.StorageMedium) SizeLimit:(*resource.Quantity)<nil>}"
        ),
    ),
]


@pytest.mark.parametrize(("template", "part"), VALUES, ids=[part[:40] for _, part in VALUES])
def test_the_dump(template: JsonObject, part: str) -> None:
    assert part in dump(template)


def test_every_field_of_the_api_is_known_to_the_dump() -> None:
    """The struct tables hold just the fields that the API's own tables have."""
    core = table("core")
    for name, fields in structs().items():
        if name in ("v1.EphemeralContainerCommon", "v1.ProbeHandler", "v1.VolumeSource"):
            continue
        short = name.removeprefix("v1.")
        message = core.messages.get(f"core.v1.{short}") or table("apps").messages[f"meta.v1.{short}"]
        own = {json_name for _, _, json_name in fields if json_name}
        for _, of, json_name in fields:
            own |= set() if json_name else {inner for _, _, inner in structs()[of]}
        assert own == set(message.fields), name


def test_data_of_a_statefulset() -> None:
    assert go_json({"b": "<&>", "a": [1, None]}) == '{"a":[1,null],"b":"\\u003c\\u0026\\u003e"}'
    data = {"spec": {"template": {"$patch": "replace"}}}
    assert data_hash(data, 0) != data_hash(data, 1)
