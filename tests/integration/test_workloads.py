"""Workloads from the API to running pods: controllers, scheduler and node agent together, on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from emulator.api.kinds import (
    CONTROLLER_REVISION,
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    EVENT,
    JOB,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
    REPLICA_SET,
    STATEFUL_SET,
    Kind,
)
from emulator.api.meta import JsonObject, condition_of, labels_of
from emulator.client.io.informer import Informers
from emulator.client.io.inprocess import InProcessClient
from emulator.client.io.protocol import Propagation
from emulator.config.settings import ClusterConfig
from emulator.controllers.io.runner import ControllerRunner
from emulator.io.hostnet import HostNetwork
from emulator.io.tasks import Service, running
from emulator.node.io.kubelet import NodeAgent
from emulator.registry.io.pipeline import Registry
from emulator.store.io.memory import MemoryStore
from tests.support.api import eventually

LABELS = {"app": "web"}


@dataclass
class World:
    client: InProcessClient

    async def create(self, kind: Kind, name: str, **spec: Any) -> JsonObject:
        metadata = {"name": name, "namespace": "default"}
        made = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}
        return await self.client.create(kind, made)

    async def patch(self, kind: Kind, name: str, **spec: Any) -> None:
        await self.client.patch(kind, name, "default", patch={"spec": spec}, patch_type="strategic")

    async def until(self, kind: Kind, name: str, wanted: Callable[[JsonObject], bool]) -> JsonObject:
        """The object, once it is as wanted."""
        found: JsonObject = {}

        async def check() -> bool:
            found.clear()
            found.update(await self.client.get(kind, name, "default"))
            return wanted(found)

        try:
            await eventually(check)
        except TimeoutError:
            raise AssertionError(found) from None
        return found

    async def status(self, kind: Kind, name: str, **wanted: Any) -> JsonObject:
        """The status, once these fields are so and it is about the present spec; 0 is an absent field."""

        def check(held: JsonObject) -> bool:
            status = held.get("status") or {}
            current = status.get("observedGeneration", held["metadata"]["generation"]) == held["metadata"]["generation"]
            return current and all(status.get(field, 0) == value for field, value in wanted.items())

        found: JsonObject = (await self.until(kind, name, check))["status"]
        return found

    async def gone(self, kind: Kind, *, count: int = 0) -> None:
        async def check() -> bool:
            return len(await self.all(kind)) == count

        await eventually(check)

    async def all(self, kind: Kind) -> list[JsonObject]:
        listed = (await self.client.list(kind, "default" if kind.namespaced else "")).items
        return sorted(listed, key=lambda each: str(each["metadata"]["name"]))

    async def told(self, reason: str) -> list[str]:
        """Messages of the Events with this reason, the oldest first."""
        events = sorted(await self.all(EVENT), key=lambda each: int(each["metadata"]["resourceVersion"]))
        return [each["message"] for each in events if each["reason"] == reason]


@asynccontextmanager
async def cluster(nodes: int) -> AsyncIterator[World]:
    config = replace(ClusterConfig(), nodes=nodes)
    client = InProcessClient(Registry(MemoryStore(), config))
    informers = Informers(client)
    parts: list[Service] = [informers, ControllerRunner(client, informers, config)]
    if nodes:
        parts.insert(1, NodeAgent(client, informers, HostNetwork(), config))
    async with running(*parts):
        yield World(client)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with cluster(2) as made:
        yield made


@pytest.fixture
async def bare() -> AsyncIterator[World]:
    """Without nodes: pods stay Pending."""
    async with cluster(0) as made:
        yield made


def template(image: str = "web:1", **spec: Any) -> JsonObject:
    return {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": image}], **spec}}


def new_image(image: str) -> JsonObject:
    return {"spec": {"containers": [{"name": "c", "image": image}]}}


def reason(object: JsonObject, type: str) -> str:
    return str((condition_of(object, type) or {}).get("reason"))


async def test_a_deployment_rolls_out_and_back(world: World) -> None:
    await world.create(DEPLOYMENT, "web", replicas=3, selector={"matchLabels": LABELS}, template=template())
    status = await world.status(DEPLOYMENT, "web", availableReplicas=3)
    assert {status["replicas"], status["updatedReplicas"], status["readyReplicas"]} == {3}
    held = await world.until(DEPLOYMENT, "web", lambda held: reason(held, "Progressing") == "NewReplicaSetAvailable")
    assert reason(held, "Available") == "MinimumReplicasAvailable"
    (first,) = await world.all(REPLICA_SET)
    name = first["metadata"]["name"]
    assert (condition_of(held, "Progressing") or {})["message"] == f'ReplicaSet "{name}" has successfully progressed.'
    await world.patch(DEPLOYMENT, "web", template=new_image("web:2"))
    await world.status(DEPLOYMENT, "web", updatedReplicas=3, availableReplicas=3, replicas=3)
    assert len(await world.all(REPLICA_SET)) == 2
    await world.patch(DEPLOYMENT, "web", template=new_image("web:1"))
    await world.status(DEPLOYMENT, "web", updatedReplicas=3, availableReplicas=3, replicas=3)
    held = await world.until(
        DEPLOYMENT, "web", lambda d: d["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    )
    found = await world.client.get(REPLICA_SET, name, "default")
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"
    assert found["spec"]["replicas"] == 3
    assert (await world.told("ScalingReplicaSet"))[0] == f"Scaled up replica set {name} from 0 to 3"
    await world.client.delete(DEPLOYMENT, "web", "default", propagation="Foreground")
    for kind in (DEPLOYMENT, REPLICA_SET, POD):
        await world.gone(kind)


async def test_a_deployment_that_cannot_progress_says_so(bare: World) -> None:
    await bare.create(
        DEPLOYMENT,
        "web",
        replicas=1,
        selector={"matchLabels": LABELS},
        template=template(),
        progressDeadlineSeconds=1,
    )
    held = await bare.until(DEPLOYMENT, "web", lambda d: reason(d, "Progressing") == "ProgressDeadlineExceeded")
    assert (condition_of(held, "Progressing") or {})["status"] == "False"
    assert reason(held, "Available") == "MinimumReplicasUnavailable"


async def test_a_thousand_pods_are_made_once_each(bare: World) -> None:
    await bare.create(DEPLOYMENT, "web", replicas=1000, selector={"matchLabels": LABELS}, template=template())
    await bare.status(DEPLOYMENT, "web", replicas=1000)
    assert len(await bare.all(POD)) == 1000
    assert len(await bare.told("SuccessfulCreate")) == 10
    await bare.patch(DEPLOYMENT, "web", replicas=3)
    await bare.status(DEPLOYMENT, "web", replicas=3)
    assert len(await bare.all(POD)) == 3


async def test_jobs_run_and_end(world: World) -> None:
    once = {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
    await world.create(JOB, "many", completions=5, parallelism=2, template=once)
    await world.create(JOB, "numbered", completions=3, parallelism=3, completionMode="Indexed", template=once)
    await world.create(JOB, "queue", parallelism=3, template=once)
    for name, count in (("many", 5), ("numbered", 3), ("queue", 3)):
        job = await world.until(JOB, name, lambda held: reason(held, "Complete") == "CompletionsReached")
        status = job["status"]
        assert status["succeeded"] == count
        assert [each["type"] for each in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
        assert (status["ready"], status["terminating"], status["uncountedTerminatedPods"]) == (0, 0, {})
        assert "completionTime" in status
    numbered = await world.client.get(JOB, "numbered", "default")
    assert numbered["status"]["completedIndexes"] == "0-2"
    pods = [pod for pod in await world.all(POD) if labels_of(pod)["job-name"] == "numbered"]
    assert sorted(pod["spec"]["hostname"] for pod in pods) == ["numbered-0", "numbered-1", "numbered-2"]
    assert all("finalizers" not in pod["metadata"] for pod in await world.all(POD))
    assert (await world.told("Completed")) == ["Job completed"] * 3


async def test_a_job_fails_for_good(world: World) -> None:
    failing = {
        "metadata": {"annotations": {"kubemu.dev/exit-code": "3"}},
        "spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"},
    }
    await world.create(JOB, "broken", backoffLimit=0, ttlSecondsAfterFinished=1, template=failing)
    job = await world.until(JOB, "broken", lambda held: reason(held, "Failed") == "BackoffLimitExceeded")
    assert job["status"]["failed"] == 1
    assert [each["type"] for each in job["status"]["conditions"]] == ["FailureTarget", "Failed"]
    assert (await world.told("BackoffLimitExceeded")) == ["Job has reached the specified backoff limit"]
    await world.gone(JOB)
    await world.gone(POD)


async def test_a_job_is_suspended_and_resumed(bare: World) -> None:
    once = {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
    await bare.create(JOB, "late", parallelism=2, completions=2, template=once)
    await bare.status(JOB, "late", active=2)
    await bare.patch(JOB, "late", suspend=True)
    await bare.gone(POD)
    held = await bare.until(JOB, "late", lambda job: reason(job, "Suspended") == "JobSuspended")
    assert "startTime" not in held["status"]
    await bare.patch(JOB, "late", suspend=False)
    status = await bare.status(JOB, "late", active=2)
    assert status["startTime"]
    assert await bare.told("Suspended") == ["Job suspended"]
    assert await bare.told("Resumed") == ["Job resumed"]


async def test_a_deleted_job_takes_its_pods_along(bare: World) -> None:
    once = {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
    ways: tuple[tuple[str, Propagation], ...] = (("a", "Background"), ("b", "Foreground"))
    for name, propagation in ways:
        await bare.create(JOB, name, parallelism=3, completions=3, template=once)
        await bare.status(JOB, name, active=3)
        await bare.client.delete(JOB, name, "default", propagation=propagation)
        await bare.gone(POD)
        await bare.gone(JOB)


async def test_orphaned_pods_of_a_job_are_let_go(bare: World) -> None:
    once = {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
    await bare.create(JOB, "a", template=once)
    await bare.status(JOB, "a", active=1)
    await bare.client.delete(JOB, "a", "default", propagation="Orphan")
    await bare.gone(JOB)

    async def free() -> bool:
        (pod,) = await bare.all(POD)
        return not pod["metadata"].get("finalizers") and not pod["metadata"].get("ownerReferences")

    await eventually(free)


async def test_a_daemon_set_follows_the_nodes(world: World) -> None:
    await world.create(DAEMON_SET, "agent", selector={"matchLabels": LABELS}, template=template())
    await world.status(DAEMON_SET, "agent", desiredNumberScheduled=2, numberAvailable=2, updatedNumberScheduled=2)
    assert sorted(pod["spec"]["nodeName"] for pod in await world.all(POD)) == ["node-1", "node-2"]
    await world.patch(DAEMON_SET, "agent", template={"spec": {"nodeSelector": {"ssd": "true"}}})
    await world.status(DAEMON_SET, "agent", desiredNumberScheduled=0, currentNumberScheduled=0, numberMisscheduled=0)
    await world.gone(POD)
    await world.client.patch(NODE, "node-2", patch={"metadata": {"labels": {"ssd": "true"}}})
    await world.status(DAEMON_SET, "agent", desiredNumberScheduled=1, numberReady=1)
    await world.patch(DAEMON_SET, "agent", template=new_image("web:2"))
    await world.status(DAEMON_SET, "agent", updatedNumberScheduled=1, numberAvailable=1)
    assert len(await world.all(CONTROLLER_REVISION)) == 3
    (pod,) = await world.all(POD)
    assert pod["spec"]["containers"][0]["image"] == "web:2"


async def test_a_stateful_set_has_names_and_claims(world: World) -> None:
    claims = [
        {
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }
    ]
    await world.create(
        STATEFUL_SET,
        "web",
        replicas=3,
        serviceName="nginx",
        selector={"matchLabels": LABELS},
        template=template(),
        volumeClaimTemplates=claims,
    )
    status = await world.status(STATEFUL_SET, "web", availableReplicas=3, updatedReplicas=3, currentReplicas=3)
    assert status["currentRevision"] == status["updateRevision"]
    pods = await world.all(POD)
    assert [(pod["metadata"]["name"], pod["spec"]["hostname"], pod["spec"]["subdomain"]) for pod in pods] == [
        (f"web-{number}", f"web-{number}", "nginx") for number in range(3)
    ]
    names = [claim["metadata"]["name"] for claim in await world.all(PERSISTENT_VOLUME_CLAIM)]
    assert names == ["data-web-0", "data-web-1", "data-web-2"]
    assert (await world.told("SuccessfulCreate"))[:2] == [
        "create Claim data-web-0 Pod web-0 in StatefulSet web success",
        "create Pod web-0 in StatefulSet web successful",
    ]
    await world.patch(STATEFUL_SET, "web", replicas=1, template=new_image("web:2"))
    await world.status(STATEFUL_SET, "web", replicas=1, availableReplicas=1, updatedReplicas=1)
    (pod,) = await world.all(POD)
    assert pod["spec"]["containers"][0]["image"] == "web:2"
    assert len(await world.all(PERSISTENT_VOLUME_CLAIM)) == 3


async def test_a_budget_counts_healthy_pods(world: World) -> None:
    await world.create(DEPLOYMENT, "web", replicas=4, selector={"matchLabels": LABELS}, template=template())
    await world.create(POD_DISRUPTION_BUDGET, "web", maxUnavailable="25%", selector={"matchLabels": LABELS})
    status = await world.status(POD_DISRUPTION_BUDGET, "web", currentHealthy=4)
    assert (status["expectedPods"], status["desiredHealthy"], status["disruptionsAllowed"]) == (4, 3, 1)


async def test_a_cron_job_waits_for_its_time(bare: World) -> None:
    once = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}}}
    await bare.create(CRON_JOB, "nightly", schedule="0 3 1 1 *", jobTemplate=once)
    await bare.create(CRON_JOB, "often", schedule="@every 1s", jobTemplate=once, concurrencyPolicy="Forbid")
    held = await bare.until(CRON_JOB, "often", lambda cron: bool((cron.get("status") or {}).get("active")))
    assert held["status"]["lastScheduleTime"]
    assert all(job["metadata"]["name"].startswith("often-") for job in await bare.all(JOB))
