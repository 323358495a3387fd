"""What a new Pod gets from its service account and its priority class, and what is forbidden."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from emulator.api.errors import Forbidden
from emulator.api.meta import JsonObject
from emulator.registry.kinds.pod_admission import MOUNT_PATH, admit_pod
from tests.unit.registry.kinds.support import context

UID = "0f0e0d0c-0b0a-4908-8706-050403020100"


def account(name: str = "default", **fields: Any) -> JsonObject:
    return {"metadata": {"name": name, "namespace": "n"}, **fields}


def priority(name: str, value: int, **fields: Any) -> JsonObject:
    return {"metadata": {"name": name}, "value": value, **fields}


def admitted(
    spec: JsonObject, accounts: list[JsonObject] | None = None, classes: list[JsonObject] | None = None
) -> JsonObject:
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": UID},
        "spec": {"containers": [{"name": "c", "image": "x"}], **copy.deepcopy(spec)},
    }
    stored = {"serviceaccounts": accounts or [], "priorityclasses.scheduling.k8s.io": classes or []}
    admit_pod(pod, stored, context())
    found: JsonObject = pod["spec"]
    return found


def refusal(spec: JsonObject, **stored: Any) -> str:
    with pytest.raises(Forbidden) as caught:
        admitted(spec, **stored)
    return caught.value.message


def test_the_token_is_mounted_into_every_container_once() -> None:
    own = {"name": "own", "mountPath": MOUNT_PATH}
    spec = admitted({"initContainers": [{"name": "i"}, {"name": "j", "volumeMounts": [own]}]})
    (volume,) = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert len(volume["name"]) == len("kube-api-access-") + 5
    assert [next(iter(source)) for source in volume["projected"]["sources"]] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]
    mount = {"name": volume["name"], "readOnly": True, "mountPath": MOUNT_PATH}
    assert [c["volumeMounts"] for c in spec["initContainers"] + spec["containers"]] == [[mount], [own], [mount]]


def test_a_volume_of_that_name_is_used_again() -> None:
    held = {"name": "kube-api-access-mine", "emptyDir": {}}
    spec = admitted({"volumes": [held]})
    assert spec["volumes"] == [held]
    assert spec["containers"][0]["volumeMounts"][0]["name"] == "kube-api-access-mine"


@pytest.mark.parametrize(
    ("pod_says", "account_says", "mounted"),
    [(None, None, True), (None, False, False), (True, False, True), (False, True, False), (False, None, False)],
)
def test_who_wants_no_token_gets_none(pod_says: bool | None, account_says: bool | None, mounted: bool) -> None:
    fields: dict[str, Any] = {} if account_says is None else {"automountServiceAccountToken": account_says}
    spec = {} if pod_says is None else {"automountServiceAccountToken": pod_says}
    assert ("volumes" in admitted(spec, [account(**fields)])) is mounted


def test_pull_secrets_come_from_the_account_unless_the_pod_has_its_own() -> None:
    accounts = [account(imagePullSecrets=[{"name": "a"}])]
    assert admitted({}, accounts)["imagePullSecrets"] == [{"name": "a"}]
    assert admitted({"imagePullSecrets": [{"name": "b"}]}, accounts)["imagePullSecrets"] == [{"name": "b"}]


def test_an_account_must_be_there_but_for_the_default_one() -> None:
    assert refusal({"serviceAccountName": "robot"}) == (
        'pods "p" is forbidden: error looking up service account n/robot: serviceaccount "robot" not found'
    )
    assert admitted({"serviceAccountName": "robot"}, [account("robot")])["serviceAccountName"] == "robot"
    assert admitted({})["serviceAccountName"] == "default"


def test_a_priority_comes_from_its_class() -> None:
    classes = [priority("high", 7, preemptionPolicy="Never"), priority("usual", 3, globalDefault=True)]
    high = admitted({"priorityClassName": "high"}, classes=classes)
    assert (high["priority"], high["preemptionPolicy"]) == (7, "Never")
    usual = admitted({}, classes=classes)
    assert (usual["priorityClassName"], usual["priority"]) == ("usual", 3)
    assert admitted({"priorityClassName": "system-node-critical"})["priority"] == 2000001000
    assert admitted({"priority": 0})["priority"] == 0


def test_priorities_that_are_forbidden() -> None:
    assert refusal({"priorityClassName": "x"}) == 'pods "p" is forbidden: no PriorityClass with name x was found'
    assert refusal({"priority": 5}) == (
        'pods "p" is forbidden: the integer value of priority (5) must not be provided in pod spec; '
        "priority admission controller computed 0 from the given PriorityClass name"
    )
    assert refusal({"preemptionPolicy": "Never"}).startswith(
        'pods "p" is forbidden: the string value of PreemptionPolicy (Never) must not be provided in pod spec'
    )
