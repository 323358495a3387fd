"""Values as the server's internal types print them."""

from __future__ import annotations

import pytest

from emulator.registry.kinds.internal_form import _TYPES, _json_name, shown_policy, shown_template
from tests.unit.registry.kinds.support import created
from tests.unit.registry.kinds.workloads import job


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("DNSPolicy", "dnsPolicy"),
        ("HostPID", "hostPID"),
        ("HostIP", "hostIP"),
        ("OS", "os"),
        ("SELinuxOptions", "seLinuxOptions"),
        ("FSGroupChangePolicy", "fsGroupChangePolicy"),
        ("APIVersion", "apiVersion"),
        ("AWSElasticBlockStore", "awsElasticBlockStore"),
        ("DownwardAPI", "downwardAPI"),
        ("CephFS", "cephfs"),
        ("Name", "name"),
    ],
)
def test_json_names(name: str, wanted: str) -> None:
    assert _json_name(name) == wanted


def test_every_type_is_there() -> None:
    for members in _TYPES.values():
        for text in members.split():
            type = text.partition(":")[2].strip("[]*")
            assert type in _TYPES or type in ("s", "i", "b", "p")


def test_a_template() -> None:
    shown = shown_template(created("jobs.batch", job())["spec"]["template"])
    assert list(shown) == ["labels", "Spec"]
    spec = shown["Spec"]
    assert list(spec)[:4] == ["Volumes", "InitContainers", "Containers", "EphemeralContainers"]
    assert (spec["Volumes"], spec["RestartPolicy"], spec["NodeName"]) == (None, "Never", "")
    assert spec["SecurityContext"]["HostNetwork"] is False
    (container,) = spec["Containers"]
    assert (container["Name"], container["Image"], container["Command"]) == ("c", "nginx:1", None)
    assert container["Resources"] == {"Limits": None, "Requests": None, "Claims": None}
    assert (container["Stdin"], container["TTY"]) == (False, False)


def test_what_stands_elsewhere() -> None:
    pod = {
        "hostNetwork": True,
        "nodeSelector": {"b": "2", "a": "1"},
        "volumes": [{"name": "v", "emptyDir": {}}],
        "containers": [{"name": "c", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    }
    spec = shown_template({"spec": pod})["Spec"]
    assert spec["SecurityContext"]["HostNetwork"] is True
    assert list(spec["NodeSelector"].items()) == [("a", "1"), ("b", "2")]
    assert spec["Volumes"][0]["EmptyDir"] == {"Medium": "", "SizeLimit": None}
    assert spec["Containers"][0]["Env"] == [
        {
            "Name": "A",
            "Value": "",
            "ValueFrom": {
                "FieldRef": None,
                "ResourceFieldRef": None,
                "ConfigMapKeyRef": None,
                "SecretKeyRef": {"Name": "s", "Key": "k", "Optional": None},
                "FileKeyRef": None,
            },
        }
    ]
    assert spec["Affinity"] == {"NodeAffinity": {"PreferredDuringSchedulingIgnoredDuringExecution": []}}


def test_policies() -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}
    assert shown_policy("PodFailurePolicy", {"rules": [rule]}) == {
        "Rules": [
            {
                "Action": "FailJob",
                "OnExitCodes": {"ContainerName": None, "Operator": "In", "Values": [1]},
                "OnPodConditions": None,
            }
        ]
    }
    assert shown_policy("SuccessPolicy", None) is None
