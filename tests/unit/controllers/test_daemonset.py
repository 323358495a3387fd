from __future__ import annotations

from typing import Any

import pytest

from emulator.api.kinds import CONTROLLER_REVISION, DAEMON_SET, NODE, POD
from emulator.api.meta import JsonObject, ObjectKey, key_of, labels_of
from emulator.controllers.daemonpods import place_on, target_node
from emulator.controllers.daemonset import CONTROLLER
from tests.support.world import World, reasons

KEY = ObjectKey("default", "agent")


def daemon_set(strategy: JsonObject | None = None, **template_spec: Any) -> JsonObject:
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "annotations": {"deprecated.daemonset.template.generation": "1"}},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{"name": "agent", "image": "agent:1"}], **template_spec},
            },
            "updateStrategy": strategy
            or {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            "revisionHistoryLimit": 10,
        },
    }


def node(name: str, labels: dict[str, str] | None = None, **spec: Any) -> JsonObject:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels or {}}, "spec": spec}


def settled(world: World, rounds: int = 12) -> World:
    for _ in range(rounds):
        world.settle(CONTROLLER, KEY)
        world.kubelet()
    world.settle(CONTROLLER, KEY)
    return world


def status(world: World) -> JsonObject:
    held = world.get(DAEMON_SET, "agent", "default")
    assert held is not None
    found: JsonObject = held["status"]
    return found


def new_image(world: World) -> None:
    def change(held: JsonObject) -> None:
        held["spec"]["template"]["spec"]["containers"][0]["image"] += "0"
        number = int(held["metadata"]["annotations"]["deprecated.daemonset.template.generation"])
        held["metadata"]["annotations"]["deprecated.daemonset.template.generation"] = str(number + 1)

    world.edit(DAEMON_SET, "agent", change)


def images(world: World) -> list[str]:
    return [pod["spec"]["containers"][0]["image"] for pod in world.pods()]


NO_SCHEDULE = {"key": "k", "value": "v", "effect": "NoSchedule"}
NO_EXECUTE = {"key": "k", "value": "v", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("template", "labels", "node_spec", "expected"),
    [
        ({}, {}, {}, (True, True)),
        ({"nodeSelector": {"ssd": "true"}}, {}, {}, (False, False)),
        ({"nodeSelector": {"ssd": "true"}}, {"ssd": "true"}, {}, (True, True)),
        ({"nodeName": "n1"}, {}, {}, (True, True)),
        ({"nodeName": "n2"}, {}, {}, (False, False)),
        ({}, {}, {"taints": [NO_SCHEDULE]}, (False, True)),
        ({}, {}, {"taints": [NO_EXECUTE]}, (False, False)),
        ({}, {}, {"taints": [{"key": "k", "effect": "PreferNoSchedule"}]}, (True, True)),
        ({"tolerations": [{"key": "k", "operator": "Exists"}]}, {}, {"taints": [NO_EXECUTE]}, (True, True)),
        ({}, {}, {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]}, (True, True)),
        ({}, {}, {"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}, (True, True)),
        (
            {},
            {},
            {"taints": [{"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}]},
            (False, True),
        ),
        (
            {"hostNetwork": True},
            {},
            {"taints": [{"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}]},
            (True, True),
        ),
    ],
)
def test_which_nodes_it_runs_on(
    template: JsonObject, labels: dict[str, str], node_spec: JsonObject, expected: tuple[bool, bool]
) -> None:
    assert place_on(daemon_set(**template), node("n1", labels, **node_spec)) == expected


def test_a_pod_on_each_node_bound_by_affinity() -> None:
    world = settled(World(daemon_set(), node("n1"), node("n2")))
    assert [target_node(pod) for pod in world.pods()] == ["n1", "n2"]
    pod = world.pods()[0]
    (term,) = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    (revision,) = world.all(CONTROLLER_REVISION)
    assert labels_of(pod) == {
        "app": "agent",
        "controller-revision-hash": labels_of(revision)["controller-revision-hash"],
        "pod-template-generation": "1",
    }
    assert [t["key"].rpartition("/")[2] for t in pod["spec"]["tolerations"]] == [
        "not-ready",
        "unreachable",
        "disk-pressure",
        "memory-pressure",
        "pid-pressure",
        "unschedulable",
    ]
    assert revision["metadata"]["name"] == "agent-" + labels_of(revision)["controller-revision-hash"]
    assert revision["revision"] == 1
    assert revision["data"]["spec"]["template"]["$patch"] == "replace"
    assert status(world) == {
        "currentNumberScheduled": 2,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 2,
        "numberReady": 2,
        "observedGeneration": 1,
        "updatedNumberScheduled": 2,
        "numberAvailable": 2,
    }
    assert world.events[0] == ("SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")


def test_without_nodes_all_is_zero() -> None:
    world = settled(World(daemon_set()))
    assert status(world) == {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
        "observedGeneration": 1,
    }


def test_the_first_status_counts_the_new_pods() -> None:
    world = World(daemon_set(), node("n1"))
    world.settle(CONTROLLER, KEY)
    assert (status(world)["currentNumberScheduled"], status(world)["numberUnavailable"]) == (1, 1)


def test_follows_labels_and_taints_of_nodes() -> None:
    world = settled(World(daemon_set(nodeSelector={"ssd": "true"}), node("n1"), node("n2", {"ssd": "true"})))
    assert [target_node(pod) for pod in world.pods()] == ["n2"]
    world.edit(NODE, "n1", lambda n: n["metadata"]["labels"].update(ssd="true"))
    world.edit(NODE, "n2", lambda n: n["spec"].update(taints=[NO_SCHEDULE]))
    settled(world)
    assert sorted(target_node(pod) for pod in world.pods()) == ["n1", "n2"]
    assert (status(world)["desiredNumberScheduled"], status(world)["numberMisscheduled"]) == (1, 1)
    world.edit(NODE, "n2", lambda n: n["spec"].update(taints=[NO_EXECUTE]))
    settled(world)
    assert [target_node(pod) for pod in world.pods()] == ["n1"]
    assert reasons(world)[-1] == "SuccessfulDelete"


def test_ended_and_double_pods_are_replaced() -> None:
    world = settled(World(daemon_set(), node("n1")))
    world.wait(60)
    world.set_phase(world.pods()[0], "Failed")
    settled(world)
    assert reasons(world)[-3:] == ["FailedDaemonPod", "SuccessfulDelete", "SuccessfulCreate"]
    (kept,) = world.pods()
    twin = {**kept, "metadata": {k: v for k, v in kept["metadata"].items() if k not in ("uid", "creationTimestamp")}}
    world.wait(60)
    world.create({**twin, "metadata": {**twin["metadata"], "name": "agent-0"}})
    settled(world)
    assert [pod["metadata"]["name"] for pod in world.pods()] == [kept["metadata"]["name"]]


def test_rolling_update_one_node_at_a_time() -> None:
    world = settled(World(daemon_set(), *(node(f"n{n}") for n in range(4))))
    new_image(world)
    for _ in range(20):
        world.settle(CONTROLLER, KEY)
        serving = [
            p for p in world.pods() if p["status"]["phase"] == "Running" and "deletionTimestamp" not in p["metadata"]
        ]
        assert len(serving) >= 3
        world.kubelet()
    assert images(world) == ["agent:10"] * 4
    assert [r["revision"] for r in world.all(CONTROLLER_REVISION)] == [1, 2]
    assert status(world)["updatedNumberScheduled"] == 4
    assert status(world)["observedGeneration"] == 2


def test_rolling_update_with_surge_keeps_all_serving() -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "30%"}}
    world = settled(World(daemon_set(strategy), *(node(f"n{n}") for n in range(4))))
    new_image(world)
    most = 0
    for _ in range(20):
        world.settle(CONTROLLER, KEY)
        going_on = [p for p in world.pods() if "deletionTimestamp" not in p["metadata"]]
        most = max(most, len(going_on))
        assert len({target_node(p) for p in going_on if p["status"]["phase"] == "Running"}) == 4
        world.kubelet()
    assert most == 6  # 30 % of 4, rounded up
    assert images(world) == ["agent:10"] * 4


def test_on_delete_waits_for_the_deletion() -> None:
    world = settled(World(daemon_set({"type": "OnDelete"}), node("n1"), node("n2")))
    new_image(world)
    settled(world)
    assert images(world) == ["agent:1", "agent:1"]
    assert "updatedNumberScheduled" not in status(world)
    world.delete(POD, key_of(world.pods()[0]))
    settled(world)
    assert sorted(images(world)) == ["agent:1", "agent:10"]


def test_a_template_of_old_gets_the_newest_number_and_history_is_bounded() -> None:
    world = settled(World(daemon_set(), node("n1")))
    for _ in range(2):
        new_image(world)
        settled(world)
    world.edit(DAEMON_SET, "agent", lambda d: d["spec"].update(revisionHistoryLimit=1))

    def back(held: JsonObject) -> None:
        held["spec"]["template"]["spec"]["containers"][0]["image"] = "agent:1"
        held["metadata"]["annotations"]["deprecated.daemonset.template.generation"] = "4"

    world.edit(DAEMON_SET, "agent", back)
    settled(world)
    assert sorted(r["revision"] for r in world.all(CONTROLLER_REVISION)) == [3, 4]


def test_adopts_and_releases() -> None:
    stray = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stray", "labels": {"app": "agent"}},
        "spec": {"nodeName": "n1", "containers": []},
        "status": {"phase": "Running"},
    }
    world = settled(World(daemon_set({"type": "OnDelete"}), node("n1"), stray))
    (pod,) = world.pods()
    assert pod["metadata"]["ownerReferences"][0]["name"] == "agent"
    world.edit(POD, "stray", lambda p: p["metadata"].update(labels={}))
    settled(world)
    assert len(world.pods()) == 2
