"""Real, unmodified kubectl and the workload kinds: create, scale, change, and what it prints. No controllers run them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator

import pytest

from tests.support.api import Api, Kubectl, api_server, kubectl_for, kubectl_versions, recorded_config

VERSIONS = kubectl_versions()
NEWEST = max(VERSIONS)
URL = "/apis/apps/v1/namespaces/default/deployments"


@pytest.fixture(params=sorted(VERSIONS))
async def kubectl(request: pytest.FixtureRequest) -> AsyncIterator[Kubectl]:
    """Each kubectl of this machine in turn; from 1.32 on it creates in protobuf."""
    async with api_server(recorded_config(), controllers=False) as api:
        with kubectl_for(api, VERSIONS[request.param]) as kubectl:
            yield kubectl


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with api_server(recorded_config(), controllers=False) as api:
        yield api


def cells(text: str) -> list[str]:
    """The cells of a table's second line."""
    return re.split(r"  +", text.strip().splitlines()[1])


async def test_deployment(kubectl: Kubectl) -> None:
    assert "deployment.apps/web created" in await kubectl.ok(
        "create", "deployment", "web", "--image=nginx", "--port=80", "--replicas=2"
    )
    assert "deployment.apps/web scaled" in await kubectl.ok("scale", "deployment", "web", "--replicas=3")
    found = cells(await kubectl.ok("get", "deploy", "web", "-o", "wide"))
    assert [*found[:4], *found[5:]] == ["web", "0/3", "0", "0", "nginx", "nginx", "app=web"]
    await kubectl.ok("set", "image", "deploy/web", "nginx=nginx:2")
    await kubectl.ok("rollout", "pause", "deploy/web")
    spec = json.loads(await kubectl.ok("get", "deploy", "web", "-o", "json"))
    assert (spec["metadata"]["generation"], spec["spec"]["replicas"], spec["spec"]["paused"]) == (4, 3, True)
    refused = await kubectl("scale", "deploy", "web", "--replicas=1", "--current-replicas=5")
    assert "Expected replicas to be 5, was 3" in refused.stderr
    assert "scaled" in await kubectl.ok("scale", "deploy", "web", "--replicas=1", "--current-replicas=3")


async def test_jobs(kubectl: Kubectl) -> None:
    await kubectl.ok("create", "job", "once", "--image=busybox", "--", "date")
    found = cells(await kubectl.ok("get", "jobs", "-o", "wide"))
    assert found[0] == "once"
    assert found[-1].startswith("batch.kubernetes.io/controller-uid=")
    await kubectl.ok("create", "cronjob", "often", "--image=busybox", "--schedule=*/5 * * * *", "--", "date")
    found = cells(await kubectl.ok("get", "cronjobs"))
    assert [found[0], found[1], *found[-4:-1]] == ["often", "*/5 * * * *", "False", "0", "<none>"]
    assert "job.batch/now created" in await kubectl.ok("create", "job", "now", "--from=cronjob/often")
    refused = await kubectl("create", "cronjob", "never", "--image=busybox", "--schedule=61 * * * *")
    assert 'spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum (59): 61' in refused.stderr


async def test_the_other_kinds_are_created(kubectl: Kubectl) -> None:
    await kubectl.ok("create", "deployment", "web", "--image=nginx")
    for command in (
        ("pdb", "p", "--selector=app=web", "--min-available=1"),
        ("ingress", "i", "--rule=foo.com/*=svc:80"),
        ("role", "r", "--verb=get", "--resource=pods"),
        ("rolebinding", "rb", "--role=r", "--user=u"),
        ("clusterrole", "cr", "--verb=get", "--resource=nodes"),
        ("clusterrolebinding", "crb", "--clusterrole=cr", "--user=u"),
        ("quota", "q", "--hard=pods=2"),
        ("priorityclass", "pc", "--value=10"),
    ):
        assert "created" in await kubectl.ok("create", *command)
    await kubectl.ok("autoscale", "deployment", "web", "--min=1", "--max=3")
    assert cells(await kubectl.ok("get", "pdb"))[:4] == ["p", "1", "N/A", "0"]
    assert cells(await kubectl.ok("get", "hpa"))[:2] == ["web", "Deployment/web"]


async def test_a_scale_over_http(api: Api) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    async with api.session() as session:
        await session.post(f"{api.url}{URL}", json={"metadata": {"name": "web"}, "spec": spec})
        place = f"{api.url}{URL}/web/scale"
        scale = await (await session.get(place)).json()
        assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["selector"]) == ("Scale", 2, "a=b")
        scale["spec"]["replicas"] = 4
        written = await session.put(place, json=scale)
        assert (written.status, (await written.json())["spec"]["replicas"]) == (200, 4)
        stale = await session.put(place, json=scale)
        assert stale.status == 409
        patch = [{"op": "replace", "path": "/spec/replicas", "value": 0}]
        patched = await session.patch(place, json=patch, headers={"Content-Type": "application/json-patch+json"})
        assert (await patched.json())["spec"] == {}
        wrong = await session.patch(
            place, json={"spec": {"replicas": -1}}, headers={"Content-Type": "application/merge-patch+json"}
        )
        assert wrong.status == 422
        assert (await wrong.json())["details"]["kind"] == "Scale"
        assert (await session.get(f"{api.url}{URL}/none/scale")).status == 404
        assert (await session.delete(place)).status == 405


async def test_a_deleted_job_leaves_its_pods_unless_told(api: Api) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    jobs = f"{api.url}/apis/batch/v1/namespaces/default/jobs"
    async with api.session() as session:
        for name in ("a", "b"):
            await session.post(jobs, json={"metadata": {"name": name}, "spec": {"template": template}})
        orphaning = await session.delete(f"{jobs}/a")
        assert "child pods are preserved by default" in orphaning.headers["Warning"]
        assert (await orphaning.json())["metadata"]["finalizers"] == ["orphan"]
        gone = await session.delete(f"{jobs}/b", json={"propagationPolicy": "Background"})
        assert "Warning" not in gone.headers
        assert (await gone.json())["status"] == "Success"
