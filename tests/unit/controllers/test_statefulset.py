from __future__ import annotations

from typing import Any

import pytest

from emulator.api.kinds import CONTROLLER_REVISION, PERSISTENT_VOLUME_CLAIM, POD, STATEFUL_SET
from emulator.api.meta import JsonObject, ObjectKey, labels_of
from emulator.controllers.statefulset import CONTROLLER
from tests.support.world import World

KEY = ObjectKey("default", "web")


def stateful_set(replicas: int = 3, **spec: Any) -> JsonObject:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "serviceName": "nginx",
            "selector": {"matchLabels": {"app": "web"}},
            "podManagementPolicy": "OrderedReady",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:1"}]},
            },
            **spec,
        },
    }


def step(world: World) -> list[str]:
    """One settling and one turn of the kubelet; the names there were between."""
    world.settle(CONTROLLER, KEY)
    found = names(world)
    world.kubelet()
    return found


def settled(world: World) -> World:
    for _ in range(20):
        step(world)
    return world


def names(world: World) -> list[str]:
    return [pod["metadata"]["name"] for pod in world.pods()]


def images(world: World) -> list[str]:
    return [pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in world.pods()]


def status(world: World) -> JsonObject:
    held = world.get(STATEFUL_SET, "web", "default")
    assert held is not None
    found: JsonObject = held["status"]
    return found


def change(world: World, **spec: Any) -> None:
    world.edit(STATEFUL_SET, "web", lambda held: held["spec"].update(spec))


def new_image(world: World, image: str = "web:2") -> None:
    def edit(held: JsonObject) -> None:
        held["spec"]["template"]["spec"]["containers"][0]["image"] = image

    world.edit(STATEFUL_SET, "web", edit)


def test_pods_come_one_after_the_other() -> None:
    world = World(stateful_set())
    seen = [step(world) for _ in range(4)]
    assert seen == [["web-0"], ["web-0", "web-1"], ["web-0", "web-1", "web-2"], ["web-0", "web-1", "web-2"]]
    world.settle(CONTROLLER, KEY)
    (revision,) = (each["metadata"]["name"] for each in world.all(CONTROLLER_REVISION))
    assert status(world) == {
        "observedGeneration": 1,
        "replicas": 3,
        "readyReplicas": 3,
        "currentReplicas": 3,
        "updatedReplicas": 3,
        "currentRevision": revision,
        "updateRevision": revision,
        "collisionCount": 0,
        "availableReplicas": 3,
    }
    assert world.events[0] == ("SuccessfulCreate", "create Pod web-0 in StatefulSet web successful")


def test_identity() -> None:
    world = World(stateful_set(1, ordinals={"start": 5}))
    step(world)
    (pod,) = world.pods()
    (revision,) = world.all(CONTROLLER_REVISION)
    assert pod["metadata"]["name"] == "web-5"
    assert pod["metadata"]["generateName"] == "web-"
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("web-5", "nginx")
    assert labels_of(pod) == {
        "app": "web",
        "statefulset.kubernetes.io/pod-name": "web-5",
        "apps.kubernetes.io/pod-index": "5",
        "controller-revision-hash": revision["metadata"]["name"],
    }
    assert set(labels_of(revision)) == {"app", "controller.kubernetes.io/hash"}


def test_no_next_pod_before_the_last_is_ready_but_parallel_does_not_wait() -> None:
    world = World(stateful_set())
    for _ in range(3):
        world.settle(CONTROLLER, KEY)
    assert names(world) == ["web-0"]
    assert (status(world)["replicas"], status(world)["availableReplicas"]) == (1, 0)
    world = World(stateful_set(podManagementPolicy="Parallel"))
    assert step(world) == ["web-0", "web-1", "web-2"]
    change(settled(world), replicas=0)
    world.settle(CONTROLLER, KEY)
    assert all(pod["metadata"].get("deletionTimestamp") for pod in world.pods())


def test_scales_down_from_the_last() -> None:
    world = settled(World(stateful_set()))
    change(world, replicas=1)
    seen = [step(world) for _ in range(3)]
    assert seen == [["web-0", "web-1", "web-2"], ["web-0", "web-1"], ["web-0"]]
    assert status(world)["replicas"] == 1
    assert ("SuccessfulDelete", "delete Pod web-2 in StatefulSet web successful") in world.events


@pytest.mark.parametrize(("partition", "expected"), [(0, "222"), (2, "112"), (3, "111"), (9, "111")])
def test_rolls_from_the_last_down_to_the_partition(partition: int, expected: str) -> None:
    world = settled(World(stateful_set()))
    change(world, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": partition}})
    new_image(world)
    fewest, order = 3, []
    for _ in range(12):
        world.settle(CONTROLLER, KEY)
        going_on = [
            p for p in world.pods() if not p["metadata"].get("deletionTimestamp") and p["status"]["phase"] == "Running"
        ]
        fewest = min(fewest, len(going_on))
        order.append("".join(images(world)))
        world.kubelet()
    world.settle(CONTROLLER, KEY)
    assert order[-1] == expected
    assert fewest >= 2
    first, second = (each["metadata"]["name"] for each in world.all(CONTROLLER_REVISION))
    done = partition == 0
    update = status(world)["updateRevision"]
    assert {first, second} == {update, status(world)["currentRevision"]} or done
    assert (status(world)["currentRevision"] == update) == done
    assert status(world).get("updatedReplicas", 0) == expected.count("2")


@pytest.mark.parametrize(("most", "fewest"), [(1, 3), (2, 2), ("50%", 2), ("10%", 3), (4, 0)])
def test_several_at_once_where_so_many_may_be_unavailable(most: int | str, fewest: int) -> None:
    world = settled(World(stateful_set(4)))
    change(world, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": most}})
    new_image(world)
    seen = 4
    for _ in range(20):
        world.settle(CONTROLLER, KEY)
        staying = [pod for pod in world.pods() if not pod["metadata"].get("deletionTimestamp")]
        seen = min(seen, sum(pod["status"]["phase"] == "Running" for pod in staying))
        world.kubelet()
    assert images(world) == ["2"] * 4
    assert seen == fewest


def test_below_the_partition_a_lost_pod_comes_back_as_it_was() -> None:
    world = settled(World(stateful_set()))
    change(world, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    new_image(world)
    settled(world)
    world.delete(POD, ObjectKey("default", "web-0"))
    settled(world)
    assert "".join(images(world)) == "112"


def test_on_delete_and_back_to_a_former_template() -> None:
    world = settled(World(stateful_set(updateStrategy={"type": "OnDelete"})))
    new_image(world)
    assert "".join(images(settled(world))) == "111"
    world.delete(POD, ObjectKey("default", "web-1"))
    assert "".join(images(settled(world))) == "121"
    new_image(world, "web:1")
    settled(world)
    assert sorted(each["revision"] for each in world.all(CONTROLLER_REVISION)) == [2, 3]


def test_history_is_bounded() -> None:
    world = settled(World(stateful_set(1, revisionHistoryLimit=1)))
    for number in range(2, 6):
        new_image(world, f"web:{number}")
        settled(world)
    assert sorted(each["revision"] for each in world.all(CONTROLLER_REVISION)) == [4, 5]


def test_a_failed_pod_is_made_anew_under_its_name() -> None:
    world = settled(World(stateful_set()))
    uids = [pod["metadata"]["uid"] for pod in world.pods()]
    world.set_phase(world.pods()[1], "Failed")
    settled(world)
    assert [pod["metadata"]["uid"] == uid for pod, uid in zip(world.pods(), uids, strict=True)] == [True, False, True]
    assert ("RecreatingFailedPod", "StatefulSet default/web is recreating failed Pod web-1") in world.events


def test_min_ready_seconds_hold_back() -> None:
    world = World(stateful_set(2, minReadySeconds=30))
    settled(world)
    assert names(world) == ["web-0"]
    assert CONTROLLER.plan(KEY, world, world.at).retry_after_seconds == 30
    world.wait(30)
    settled(world)
    assert names(world) == ["web-0", "web-1"]
    assert (status(world)["readyReplicas"], status(world)["availableReplicas"]) == (2, 1)


CLAIM = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {"a": 1}}


@pytest.mark.parametrize(
    ("policy", "before", "condemned"),
    [
        ({}, [], []),
        ({"whenDeleted": "Delete", "whenScaled": "Retain"}, ["StatefulSet"], ["StatefulSet"]),
        ({"whenDeleted": "Retain", "whenScaled": "Delete"}, [], ["Pod"]),
        ({"whenDeleted": "Delete", "whenScaled": "Delete"}, ["StatefulSet"], ["Pod"]),
    ],
)
def test_claims_and_what_they_go_with(policy: JsonObject, before: list[str], condemned: list[str]) -> None:
    world = settled(World(stateful_set(2, volumeClaimTemplates=[CLAIM], persistentVolumeClaimRetentionPolicy=policy)))

    def owners(name: str) -> list[str]:
        claim = world.get(PERSISTENT_VOLUME_CLAIM, name, "default")
        assert claim is not None
        return [owner["kind"] for owner in claim["metadata"].get("ownerReferences") or ()]

    assert world.pods()[1]["spec"]["volumes"] == [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-1"}}
    ]
    assert [owners("data-web-0"), owners("data-web-1")] == [before, before]
    change(world, replicas=1)
    settled(world)
    assert [owners("data-web-0"), owners("data-web-1")] == [before, condemned]
    assert world.events[0][1] == "create Claim data-web-0 Pod web-0 in StatefulSet web success"


def test_adopts_only_pods_of_its_names() -> None:
    def orphan(name: str) -> JsonObject:
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": "web"}},
            "spec": {"nodeName": "n", "containers": [{"name": "web", "image": "web:1"}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }

    world = settled(World(stateful_set(1), orphan("web-0"), orphan("other")))
    mine = {pod["metadata"]["name"]: bool(pod["metadata"].get("ownerReferences")) for pod in world.pods()}
    assert mine == {"other": False, "web-0": True}
    assert labels_of(world.pods()[1])["statefulset.kubernetes.io/pod-name"] == "web-0"
