"""Real kubectl against a whole cluster: rollouts, Jobs, drains and what a course's manifests become."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from emulator import Cluster, ClusterConfig
from emulator.api.kinds import POD
from emulator.client.index import Change
from tests.support.api import Kubectl, eventually, kubectl_for, kubectl_versions

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
VERSIONS = kubectl_versions()
NEWEST = max(VERSIONS)
DOWNLOAD_BYTES = 100 * 1024 * 1024
CONNECTIONS = 50


@dataclass
class World:
    cluster: Cluster
    kubectl: Kubectl

    async def until(self, wanted: str, *arguments: str) -> None:
        """Until kubectl's output has this line."""
        shown = ""

        async def check() -> bool:
            nonlocal shown
            shown = await self.kubectl.ok(*arguments)
            return wanted in [" ".join(line.split()) for line in shown.splitlines()]

        try:
            await eventually(check)
        except TimeoutError:
            raise AssertionError(shown) from None

    def most_active(self, label: str) -> Callable[[], int]:
        """The greatest number of pods with this job-name that were active at one time, told when asked."""
        active: set[str] = set()
        most = 0

        def changed(change: Change) -> None:
            nonlocal most
            pod = change.object
            if pod["metadata"].get("labels", {}).get("job-name") != label:
                return
            phase = (pod.get("status") or {}).get("phase")
            if change.type == "DELETED" or phase in ("Succeeded", "Failed"):
                active.discard(change.key.name)
            else:
                active.add(change.key.name)
            most = max(most, len(active))

        self.cluster.informers[POD].listen(changed)
        return lambda: most


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with Cluster(replace(ClusterConfig(dns_port=0), nodes=2)) as cluster:
        with kubectl_for(cluster, VERSIONS[NEWEST]) as kubectl:
            yield World(cluster, kubectl)


async def test_a_deployment_from_its_creation_to_its_rollback(world: World) -> None:
    kubectl = world.kubectl
    await kubectl.ok("create", "deployment", "web", "--image=nginx:1", "--replicas=2", "--port=80")
    await kubectl.ok("expose", "deployment", "web")
    assert "successfully rolled out" in await kubectl.ok("rollout", "status", "deployment/web", "--timeout=20s")
    row = (await kubectl.ok("get", "deployment", "web", "--no-headers")).split()
    assert row[:4] == ["web", "2/2", "2", "2"]
    addresses = await kubectl.ok("get", "endpoints", "web", "-o", "jsonpath={..ip}")
    assert len(addresses.split()) == 2
    for number in (2, 3):
        await kubectl.ok("set", "image", "deployment/web", f"nginx=nginx:{number}")
        await kubectl.ok("rollout", "status", "deployment/web", "--timeout=20s")
    history = await kubectl.ok("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2", "3"]
    assert "nginx:1" in await kubectl.ok("rollout", "history", "deployment/web", "--revision=1")
    assert "rolled back" in await kubectl.ok("rollout", "undo", "deployment/web", "--to-revision=1")
    await kubectl.ok("rollout", "status", "deployment/web", "--timeout=20s")
    images = await kubectl.ok("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.containers[0].image}")
    assert set(images.split()) == {"nginx:1"}
    history = await kubectl.ok("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["2", "3", "4"]
    refused = await kubectl("rollout", "undo", "deployment/web", "--to-revision=9")
    assert "unable to find specified revision 9 in history" in refused.stderr
    described = await kubectl.ok("describe", "deployment", "web")
    assert re.search(r"Progressing +True +NewReplicaSetAvailable", described)
    assert re.search(r"Scaled up replica set web-[a-z0-9]+ from 0 to 2", described)


async def test_a_paused_deployment_does_not_roll_but_scales(world: World) -> None:
    kubectl = world.kubectl
    await kubectl.ok("create", "deployment", "web", "--image=nginx:1", "--replicas=2")
    await kubectl.ok("rollout", "status", "deployment/web", "--timeout=20s")
    await kubectl.ok("rollout", "pause", "deployment/web")
    await kubectl.ok("set", "image", "deployment/web", "nginx=nginx:2")
    await kubectl.ok("scale", "deployment/web", "--replicas=3")
    await world.until("nginx:1 3", "get", "rs", "-o", "custom-columns=:..image,:status.readyReplicas", "--no-headers")
    assert len((await kubectl.ok("get", "rs", "-o", "name")).split()) == 1
    assert "DeploymentPaused" in await kubectl.ok("describe", "deployment", "web")
    await kubectl.ok("rollout", "resume", "deployment/web")
    await kubectl.ok("rollout", "status", "deployment/web", "--timeout=20s")
    images = await kubectl.ok("get", "deploy", "web", "-o", "jsonpath={..image}")
    assert images == "nginx:2"
    before = await kubectl.ok("get", "pods", "-o", "name")
    await kubectl.ok("rollout", "restart", "deployment/web")
    await kubectl.ok("rollout", "status", "deployment/web", "--timeout=20s")

    async def replaced() -> bool:
        now = set((await kubectl.ok("get", "pods", "-o", "name")).split())
        return len(now) == 3 and not now & set(before.split())

    await eventually(replaced)
    await kubectl.ok("autoscale", "deployment", "web", "--min=1", "--max=5")
    assert (await kubectl.ok("get", "hpa", "web", "--no-headers")).split()[:2] == ["web", "Deployment/web"]


async def test_stateful_and_daemon_sets_restart_and_go_back(world: World) -> None:
    kubectl = world.kubectl
    template = {
        "metadata": {"labels": {"app": "db"}},
        "spec": {"containers": [{"name": "c", "image": "db:1", "ports": [{"containerPort": 5432}]}]},
    }
    spec = {"selector": {"matchLabels": {"app": "db"}}, "template": template}
    for kind, more in (("StatefulSet", {"replicas": 3, "serviceName": "db"}), ("DaemonSet", {})):
        made = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "db"}, "spec": {**spec, **more}}
        await kubectl.ok("apply", "-f", "-", stdin=json.dumps(made))
        name = f"{kind.lower()}/db"
        status = await kubectl.ok("rollout", "status", name, "--timeout=30s")
        assert "roll" in status
        await kubectl.ok("set", "image", name, "c=db:2")
        await kubectl.ok("rollout", "status", name, "--timeout=30s")
        history = await kubectl.ok("rollout", "history", name)
        assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]
        assert "rolled back" in await kubectl.ok("rollout", "undo", name)
        await kubectl.ok("rollout", "status", name, "--timeout=30s")
        await world.until("db:1", "get", kind, "db", "-o", "jsonpath={..image}")
        await kubectl.ok("rollout", "restart", name)
        await kubectl.ok("rollout", "status", name, "--timeout=30s")
        await kubectl.ok("delete", name)


# -- Jobs --------------------------------------------------------------------------------------------------------


async def test_ten_runs_never_more_than_five_at_once(world: World) -> None:
    kubectl = world.kubectl
    most = world.most_active("parallel")
    await kubectl.ok("apply", "-f", str(CONFIGS / "workloads" / "job-parallel.yaml"))
    await kubectl.ok("wait", "--for=condition=Complete", "job/parallel", "--timeout=30s")
    row = (await kubectl.ok("get", "job", "parallel", "--no-headers")).split()
    assert row[:3] == ["parallel", "Complete", "10/10"]
    assert most() == 5
    pods = await kubectl.ok("get", "pods", "-l", "job-name=parallel", "--no-headers")
    assert [line.split()[2] for line in pods.splitlines()] == ["Completed"] * 10
    events = await kubectl.ok("describe", "job", "parallel")
    assert events.count("SuccessfulCreate") == 10
    assert re.search(r"Completed .* job-controller +Job completed", events)


async def test_a_work_queue_starts_nothing_after_its_first_success(world: World) -> None:
    kubectl = world.kubectl
    most = world.most_active("queue")
    await kubectl.ok("apply", "-f", str(CONFIGS / "workloads" / "job-work-queue.yaml"))
    assert (await kubectl.ok("get", "job", "queue", "--no-headers")).split()[2:5] == ["0/1", "of", "3"]
    await kubectl.ok("wait", "--for=condition=Complete", "job/queue", "--timeout=30s")
    assert (await kubectl.ok("get", "job", "queue", "--no-headers")).split()[1:5] == ["Complete", "3/1", "of", "3"]
    assert most() == 3
    assert len((await kubectl.ok("get", "pods", "-l", "job-name=queue", "-o", "name")).split()) == 3


async def test_one_shot_and_its_legacy_label(world: World) -> None:
    kubectl = world.kubectl
    await kubectl.ok("apply", "-f", str(CONFIGS / "workloads" / "job-oneshot.yaml"))
    await kubectl.ok("wait", "--for=condition=Complete", "job/oneshot", "--timeout=30s")
    (row,) = (await kubectl.ok("get", "pod", "-l", "job-name=oneshot", "--no-headers")).splitlines()
    assert row.split()[1:3] == ["0/1", "Completed"]
    assert "deleted" in await kubectl.ok("delete", "jobs", "oneshot")

    async def gone() -> bool:
        return not (await kubectl.ok("get", "pod", "-l", "job-name=oneshot", "-o", "name")).strip()

    await eventually(gone)


async def test_a_job_that_fails_too_often(world: World) -> None:
    template = {
        "metadata": {"annotations": {"kubemu.dev/exit-code": "3"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "bad"},
        "spec": {"backoffLimit": 0, "template": template},
    }
    await world.kubectl.ok("apply", "-f", "-", stdin=json.dumps(job))
    await world.kubectl.ok("wait", "--for=condition=Failed", "job/bad", "--timeout=30s")
    assert (await world.kubectl.ok("get", "job", "bad", "--no-headers")).split()[:3] == ["bad", "Failed", "0/1"]
    described = await world.kubectl.ok("describe", "job", "bad")
    assert re.search(r"Warning +BackoffLimitExceeded .* Job has reached the specified backoff limit", described)
    (pod,) = (await world.kubectl.ok("get", "pods", "-l", "job-name=bad", "--no-headers")).splitlines()
    assert pod.split()[2] == "Error"


AS_PRINTED = """\
apiVersion: batch/v1
kind: Job
metadata:
 name: oneshot
 labels:
  chapter: jobs
spec:
 template:
  metadata:
   labels:
    chapter: jobs
  spec:
   containers:
   - name: my-job-container
    image: <some-image>
    imagePullPolicy: Always
    args:
restartPolicy: OnFailure
"""
INDENTED = AS_PRINTED.replace("    image", "     image").replace("    args", "     args")


async def test_a_job_whose_restart_policy_slipped_out_of_its_template(world: World) -> None:
    """The course's text as printed is no YAML; indented, its restartPolicy still stands where nothing reads it."""
    printed = await world.kubectl("apply", "-f", "-", stdin=AS_PRINTED)
    assert (printed.status, "error converting YAML to JSON" in printed.stderr) == (1, True), printed.text
    refused = await world.kubectl("apply", "--validate=false", "-f", "-", stdin=INDENTED)
    assert 'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"' in refused.stderr
    slipped = "\nrestartPolicy: OnFailure\n"
    mended = INDENTED.replace(slipped, "\n   restartPolicy: OnFailure\n").replace("     args:\n", "")
    await world.kubectl.ok("apply", "-f", "-", stdin=mended)
    await world.kubectl.ok("wait", "--for=condition=Complete", "job/oneshot", "--timeout=30s")


# -- nodes -------------------------------------------------------------------------------------------------------


async def test_a_node_is_drained_and_comes_back(world: World) -> None:
    kubectl = world.kubectl
    await kubectl.ok("apply", "-f", str(CONFIGS / "workloads" / "daemonset.yaml"))
    await kubectl.ok("create", "deployment", "web", "--image=nginx", "--replicas=4")
    await kubectl.ok("rollout", "status", "deployment/web", "--timeout=20s")
    refused = await kubectl("drain", "node-2", "--timeout=5s")
    assert "cannot delete DaemonSet-managed Pods" in refused.stderr
    drained = await kubectl.ok("drain", "node-2", "--ignore-daemonsets", "--timeout=30s")
    assert "node/node-2 drained" in drained
    await kubectl.ok("rollout", "status", "deployment/web", "--timeout=20s")
    nodes = await kubectl.ok("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}")
    assert nodes.split() == ["node-1"] * 4
    assert "SchedulingDisabled" in await kubectl.ok("get", "node", "node-2")
    taints = "jsonpath={.spec.taints[*].key}"
    assert await kubectl.ok("get", "node", "node-2", "-o", taints) == "node.kubernetes.io/unschedulable"
    daemons = await kubectl.ok("get", "pods", "-n", "kube-system", "-l", "app=fluentd", "-o", "jsonpath={..nodeName}")
    assert sorted(daemons.split()) == ["node-1", "node-2"]
    await kubectl.ok("uncordon", "node-2")

    async def untainted() -> bool:
        return not await kubectl.ok("get", "node", "node-2", "-o", taints)

    await eventually(untainted)
    await kubectl.ok("scale", "deployment/web", "--replicas=6")
    await kubectl.ok("rollout", "status", "deployment/web", "--timeout=20s")
    nodes = await kubectl.ok("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}")
    assert nodes.split().count("node-2") == 2


async def test_labels_and_taints_say_where_pods_run(world: World) -> None:
    kubectl = world.kubectl
    await kubectl.ok("label", "node", "node-2", "ssd=true")
    await kubectl.ok("taint", "node", "node-1", "only=special:NoSchedule")
    await kubectl.ok("create", "deployment", "web", "--image=nginx", "--replicas=2")
    await kubectl.ok("rollout", "status", "deployment/web", "--timeout=20s")
    nodes = await kubectl.ok("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}")
    assert nodes.split() == ["node-2"] * 2
    patch = {"spec": {"template": {"spec": {"nodeSelector": {"ssd": "false"}}}}}
    await kubectl.ok("patch", "deployment", "web", "-p", json.dumps(patch))

    async def told() -> bool:
        shown = await kubectl.ok("get", "events", "--field-selector=reason=FailedScheduling")
        return (
            "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
            "1 node(s) had untolerated taint(s)." in shown
        )

    await eventually(told)


# -- the course's manifests --------------------------------------------------------------------------------------


async def test_the_deployment_and_the_daemon_set_in_both_shapes(world: World) -> None:
    kubectl = world.kubectl
    await kubectl.ok("apply", "-f", str(CONFIGS / "workloads" / "deployment.yaml"))
    await kubectl.ok("rollout", "status", "deployment/webapp", "--timeout=20s")
    old = await kubectl("apply", "-f", str(CONFIGS / "v1beta1" / "daemonset.yaml"))
    assert (old.status, "daemonset.extensions/fluentd created" in old.stdout) == (0, True), old.text
    await world.until(
        "fluentd 2 2 2 2 2",
        "get",
        "ds",
        "-n",
        "kube-system",
        "--no-headers",
        "-o",
        "custom-columns=:metadata.name,:status.desiredNumberScheduled,:status.currentNumberScheduled,:status.numberReady,:status.updatedNumberScheduled,:status.numberAvailable",
    )
    modern = await kubectl("apply", "-f", str(CONFIGS / "workloads" / "daemonset.yaml"))
    assert modern.status == 0, modern.text


# -- port-forward ------------------------------------------------------------------------------------------------


async def test_a_service_is_forwarded_to_many_and_much(world: World) -> None:
    """50 requests at once and 100 MB through one session."""
    chunk = bytes(range(256)) * 256

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path != "/big":
            return web.Response(text=request.path)
        response = web.StreamResponse(headers={"Content-Length": str(DOWNLOAD_BYTES)})
        await response.prepare(request)
        for _ in range(DOWNLOAD_BYTES // len(chunk)):
            await response.write(chunk)
        return response

    application = web.Application()
    application.router.add_get("/{tail:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    try:
        spec = {
            "selector": {"matchLabels": {"app": "big"}},
            "template": {
                "metadata": {"labels": {"app": "big"}, "annotations": {"kubemu.dev/backend": f"127.0.0.1:{port}"}},
                "spec": {
                    "containers": [{"name": "c", "image": "i", "ports": [{"name": "web", "containerPort": 8080}]}]
                },
            },
        }
        made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "big"}, "spec": spec}
        await world.kubectl.ok("apply", "-f", "-", stdin=json.dumps(made))
        await world.kubectl.ok("expose", "deployment", "big", "--port=80", "--target-port=web")
        await world.kubectl.ok("rollout", "status", "deployment/big", "--timeout=20s")
        forward = await world.kubectl.start("port-forward", "service/big", ":80")
        try:
            assert forward.stdout is not None
            async with asyncio.timeout(20):
                line = (await forward.stdout.readline()).decode()
            local = int(re.findall(r"127\.0\.0\.1:(\d+) -> 8080", line)[0])
            async with aiohttp.ClientSession(
                f"http://127.0.0.1:{local}", connector=aiohttp.TCPConnector(limit=0)
            ) as session:

                async def one(number: int) -> str:
                    async with session.get(f"/{number}") as response:
                        return await response.text()

                async with asyncio.timeout(60):
                    texts = await asyncio.gather(*(one(number) for number in range(CONNECTIONS)))
                assert texts == [f"/{number}" for number in range(CONNECTIONS)]
                received = 0
                async with asyncio.timeout(60), session.get("/big") as response:
                    async for part in response.content.iter_any():
                        received += len(part)
                assert received == DOWNLOAD_BYTES
        finally:
            forward.terminate()
            await forward.wait()
    finally:
        await runner.cleanup()
