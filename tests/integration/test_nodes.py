"""Nodes that live, fall silent, are drained of pods and go: the whole cluster on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from emulator import Cluster, ClusterConfig
from emulator.api.kinds import DEPLOYMENT, ENDPOINT_SLICE, EVENT, LEASE, NODE, POD, SERVICE
from emulator.api.meta import JsonObject, condition_of
from tests.support.api import eventually

TEMPLATE: JsonObject = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 8080}]}]},
}


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(replace(ClusterConfig(dns_port=0), nodes=2)) as made:
        yield made


async def deploy(cluster: Cluster, replicas: int, **spec: Any) -> None:
    template = {**TEMPLATE, "spec": {**TEMPLATE["spec"], **spec}}
    await cluster.apply(
        [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "web"},
                "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template},
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "web"},
                "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
            },
        ]
    )
    await ready(cluster, replicas)


async def pods(cluster: Cluster, node: str = "") -> list[JsonObject]:
    listed = (await cluster.client.list(POD, "default")).items
    return [pod for pod in listed if node in ("", pod["spec"].get("nodeName"))]


async def ready(cluster: Cluster, replicas: int) -> None:
    async def check() -> bool:
        status = (await cluster.client.get(DEPLOYMENT, "web", "default")).get("status") or {}
        return bool(status.get("readyReplicas", 0) == replicas == status.get("replicas", 0))

    await eventually(check)


async def annotate(cluster: Cluster, **annotations: str | None) -> None:
    named = {f"kubemu.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    await cluster.client.patch(NODE, "node-2", patch={"metadata": {"annotations": named}})


async def serving_nodes(cluster: Cluster) -> set[str]:
    slices = (
        await cluster.client.list(ENDPOINT_SLICE, "default", label_selector="kubernetes.io/service-name=web")
    ).items
    return {
        endpoint["nodeName"]
        for each in slices
        for endpoint in each.get("endpoints") or ()
        if endpoint["conditions"]["ready"]
    }


async def status_of_node(cluster: Cluster) -> str:
    node = await cluster.client.get(NODE, "node-2")
    return str((condition_of(node, "Ready") or {}).get("status"))


async def test_every_node_renews_its_lease(cluster: Cluster) -> None:
    async def check() -> bool:
        return len((await cluster.client.list(LEASE, "kube-node-lease")).items) == 2

    await eventually(check)
    lease = await cluster.client.get(LEASE, "node-1", "kube-node-lease")
    assert lease["spec"]["holderIdentity"] == "node-1"
    assert lease["metadata"]["ownerReferences"][0]["kind"] == "Node"


@pytest.mark.parametrize(
    ("word", "status", "taint"), [("false", "False", "not-ready"), ("unknown", "Unknown", "unreachable")]
)
async def test_a_node_that_is_steered_into_trouble_and_back(
    cluster: Cluster, word: str, status: str, taint: str
) -> None:
    await deploy(cluster, 4)
    assert {len(await pods(cluster, node)) for node in ("node-1", "node-2")} == {2}
    await annotate(cluster, ready=word, grace_seconds="0.2")

    async def out() -> bool:
        return await status_of_node(cluster) == status and await serving_nodes(cluster) == {"node-1"}

    await eventually(out)
    node = await cluster.client.get(NODE, "node-2")
    found = {(each["key"].removeprefix("node.kubernetes.io/"), each["effect"]) for each in node["spec"]["taints"]}
    assert found == {(taint, "NoExecute"), (taint, "NoSchedule")}
    assert len(await pods(cluster, "node-2")) == 2  # they tolerate it for 300 seconds
    if word == "unknown":
        reasons = {event["reason"] for event in (await cluster.client.list(EVENT, "default")).items}
        assert "NodeNotReady" in reasons
    await annotate(cluster, ready=None)

    async def back() -> bool:
        node = await cluster.client.get(NODE, "node-2")
        return not node["spec"].get("taints") and await serving_nodes(cluster) == {"node-1", "node-2"}

    await eventually(back)
    await ready(cluster, 4)


async def test_pods_leave_a_node_when_their_toleration_is_over(cluster: Cluster) -> None:
    short = [
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
    ]
    await deploy(cluster, 4, tolerations=short)
    await annotate(cluster, ready="false")

    async def moved() -> bool:
        return len(await pods(cluster, "node-1")) == 4 and not await pods(cluster, "node-2")

    await eventually(moved)
    await ready(cluster, 4)
    reasons = {event["reason"] for event in (await cluster.client.list(EVENT, "default")).items}
    assert "TaintManagerEviction" in reasons


async def test_a_taint_that_nothing_may_run_with_empties_the_node(cluster: Cluster) -> None:
    await deploy(cluster, 4)
    taints = [{"key": "maintenance", "effect": "NoExecute"}]
    await cluster.client.patch(NODE, "node-2", patch={"spec": {"taints": taints}})

    async def moved() -> bool:
        return len(await pods(cluster, "node-1")) == 4 and not await pods(cluster, "node-2")

    await eventually(moved)


async def test_pods_beyond_the_room_wait_until_some_comes(cluster: Cluster) -> None:
    for name in ("node-1", "node-2"):
        node = await cluster.client.get(NODE, name)
        allocatable = {**node["status"]["allocatable"], "pods": "2"}
        await cluster.client.update(
            NODE, {**node, "status": {**node["status"], "allocatable": allocatable}}, subresource="status"
        )
    await deploy(cluster, 4)
    await cluster.client.patch(DEPLOYMENT, "web", "default", patch={"spec": {"replicas": 5}})

    async def told() -> bool:
        events = (await cluster.client.list(EVENT, "default")).items
        return any(
            event["reason"] == "FailedScheduling"
            and event["message"].startswith("0/2 nodes are available: 2 Too many pods.")
            for event in events
        )

    await eventually(told)
    running = next(pod for pod in await pods(cluster) if pod["spec"].get("nodeName"))
    await cluster.client.patch(DEPLOYMENT, "web", "default", patch={"spec": {"replicas": 4}})
    await ready(cluster, 4)
    assert running["metadata"]["name"] in {pod["metadata"]["name"] for pod in await pods(cluster)}
    await cluster.client.create(
        POD,
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "late", "namespace": "default"},
            "spec": TEMPLATE["spec"],
        },
    )
    await cluster.client.patch(DEPLOYMENT, "web", "default", patch={"spec": {"replicas": 3}})

    async def bound() -> bool:
        return bool((await cluster.client.get(POD, "late", "default"))["spec"].get("nodeName"))

    await eventually(bound)
    assert (await cluster.client.get(SERVICE, "web", "default"))["spec"]["clusterIP"]


async def test_a_node_that_was_deleted_and_put_back_takes_pods_again(cluster: Cluster) -> None:
    await cluster.mark_baseline()
    await deploy(cluster, 2)
    node = await cluster.client.get(NODE, "node-2")
    await cluster.client.patch(NODE, "node-1", patch={"spec": {"unschedulable": True}})
    await cluster.client.delete(NODE, "node-2")
    await cluster.reset()

    async def whole() -> bool:
        found = {each["metadata"]["name"]: each for each in (await cluster.client.list(NODE)).items}
        statuses = [(condition_of(each, "Ready") or {}).get("status") for each in found.values()]
        taints = [each["spec"].get("taints") for each in found.values()]
        capacities = [(each.get("status") or {}).get("allocatable") for each in found.values()]
        return statuses == ["True"] * 2 and taints == [None] * 2 and capacities == [node["status"]["allocatable"]] * 2

    await eventually(whole)
    await deploy(cluster, 4)
    assert {len(await pods(cluster, name)) for name in ("node-1", "node-2")} == {2}

    async def alive() -> bool:
        leases = (await cluster.client.list(LEASE, "kube-node-lease")).items
        return {lease["metadata"]["name"] for lease in leases} == {"node-1", "node-2"}

    await eventually(alive, seconds=15.0)


async def test_labels_and_taints_come_from_a_manifest(cluster: Cluster) -> None:
    """A Node among the manifests of `kubemu up -f` says how a node is to be."""
    taint = {"key": "only", "value": "special", "effect": "NoSchedule"}
    await cluster.apply(
        [
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": "node-2", "labels": {"ssd": "true", "topology.kubernetes.io/zone": "b"}},
                "spec": {"taints": [taint]},
            }
        ]
    )
    node = await cluster.client.get(NODE, "node-2")
    assert node["metadata"]["labels"]["ssd"] == "true"
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "node-2"
    assert node["spec"]["podCIDR"] == "127.1.8.0/21"
    await deploy(cluster, 2)
    assert len(await pods(cluster, "node-1")) == 2
    node = await cluster.client.get(NODE, "node-2")
    assert node["spec"]["taints"] == [taint]
