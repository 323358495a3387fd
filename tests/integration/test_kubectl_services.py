"""Real, unmodified kubectl against the API: what users type around Services, and what they read."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator

import pytest

from tests.support.api import Api, Kubectl, api_server, eventually, kubectl_for, kubectl_versions, recorded_config

VERSIONS = kubectl_versions()
NEWEST = max(VERSIONS)

SERVICE = """
apiVersion: v1
kind: Service
metadata:
  name: webapp
  labels: {run: webapp}
spec:
  selector: {run: webapp}
  ports:
  - {port: 8080}
"""

POD = """
apiVersion: v1
kind: Pod
metadata:
  name: web-1
  labels: {run: web}
spec:
  containers:
  - name: web
    image: nginx
    ports: [{containerPort: 80}]
"""


@pytest.fixture(params=sorted(VERSIONS))
async def kubectl(request: pytest.FixtureRequest) -> AsyncIterator[Kubectl]:
    """Each kubectl of this machine in turn."""
    async with api_server(recorded_config()) as api:
        with kubectl_for(api, VERSIONS[request.param]) as kubectl:
            yield kubectl


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with api_server(recorded_config()) as api:
        yield api


@pytest.fixture
async def newest(api: Api) -> AsyncIterator[Kubectl]:
    with kubectl_for(api, VERSIONS[NEWEST]) as kubectl:
        yield kubectl


def lines(text: str) -> list[list[str]]:
    return [re.split(r"  +", line.strip()) for line in text.strip().splitlines()]


async def test_apply_get_describe_edit_delete(kubectl: Kubectl) -> None:
    """One life of a Service, with every kubectl: each of these takes a path of its own through the API."""
    assert "service/webapp created" in await kubectl.ok("apply", "-f", "-", stdin=SERVICE)
    assert "service/webapp unchanged" in await kubectl.ok("apply", "-f", "-", stdin=SERVICE)
    header, *rows = lines(await kubectl.ok("get", "services", "-o", "wide"))
    assert header == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "SELECTOR"]
    (row,) = (row for row in rows if row[0] == "webapp")
    assert row[1] == "ClusterIP"
    assert row[2].startswith("10.152.183.")
    assert (row[3], row[4], row[6]) == ("<none>", "8080/TCP", "run=webapp")

    described = await kubectl.ok("describe", "service", "webapp")
    for text in ("Name: +webapp", "Type: +ClusterIP", "Port: +<unset> +8080/TCP", "Session Affinity: +None"):
        assert re.search(text, described), described

    editor = "sed -i s/ClusterIP$/NodePort/"
    assert "service/webapp edited" in await kubectl.ok("edit", "service", "webapp", EDITOR=editor, KUBE_EDITOR=editor)
    row = lines(await kubectl.ok("get", "service", "webapp"))[1]
    assert row[1] == "NodePort"
    assert re.fullmatch(r"8080:3\d{4}/TCP", row[4])
    editor = "sed -i s/NodePort$/LoadBalancer/"
    await kubectl.ok("edit", "service", "webapp", EDITOR=editor, KUBE_EDITOR=editor)
    row = lines(await kubectl.ok("get", "service", "webapp"))[1]
    assert (row[1], row[3]) == ("LoadBalancer", "<pending>")

    assert 'service "webapp" deleted' in await kubectl.ok("delete", "services,pods", "-l", "run=webapp")
    gone = await kubectl("get", "service", "webapp")
    assert (gone.status, gone.stderr.strip()) == (1, 'Error from server (NotFound): services "webapp" not found')


async def test_create_service_in_every_form(kubectl: Kubectl) -> None:
    """kubectl >= 1.32 sends these as protobuf."""
    await kubectl.ok("create", "service", "clusterip", "a", "--tcp=80:8080")
    await kubectl.ok("create", "service", "nodeport", "b", "--tcp=80", "--node-port=30080")
    await kubectl.ok("create", "service", "loadbalancer", "c", "--tcp=443:8443")
    await kubectl.ok("create", "service", "externalname", "d", "--external-name", "example.com")
    await kubectl.ok("create", "service", "clusterip", "e", "--clusterip=None", "--tcp=80")
    rows = {row[0]: row for row in lines(await kubectl.ok("get", "svc"))[1:]}
    assert rows["a"][4] == "80/TCP"
    assert rows["b"][4] == "80:30080/TCP"
    assert rows["c"][3] == "<pending>"
    assert rows["d"][2:4] == ["<none>", "example.com"]
    assert rows["e"][2] == "None"
    ports = json.loads(await kubectl.ok("get", "svc", "a", "-o", "json"))["spec"]["ports"]
    assert ports == [{"name": "80-8080", "port": 80, "protocol": "TCP", "targetPort": 8080}]
    assert "created" in await kubectl.ok("create", "namespace", "shop")
    assert "created" in await kubectl.ok("create", "configmap", "cm", "--from-literal=a=b", "-n", "shop")
    assert "created" in await kubectl.ok("create", "secret", "generic", "s", "--from-literal=a=b", "-n", "shop")
    secret = json.loads(await kubectl.ok("get", "secret", "s", "-n", "shop", "-o", "json"))
    assert (secret["data"], secret["type"]) == ({"a": "Yg=="}, "Opaque")


async def test_endpoints_and_slices(kubectl: Kubectl) -> None:
    await kubectl.ok("apply", "-f", "-", stdin=SERVICE)

    async def made() -> bool:
        return "webapp" in await kubectl.ok("get", "endpoints") and "webapp" in await kubectl.ok(
            "get", "endpointslices"
        )

    await eventually(made)
    assert re.search(r"webapp +<none>", await kubectl.ok("get", "endpoints"))
    described = await kubectl.ok("describe", "endpoints", "webapp")
    assert re.search(r"Name: +webapp", described)
    header, *rows = lines(await kubectl.ok("get", "endpointslices"))
    assert header == ["NAME", "ADDRESSTYPE", "PORTS", "ENDPOINTS", "AGE"]
    assert any(row[0].startswith("webapp-") and row[1:4] == ["IPv4", "<unset>", "<unset>"] for row in rows), rows


async def test_every_way_to_patch(newest: Kubectl) -> None:
    await newest.ok("apply", "-f", "-", stdin=SERVICE)
    await newest.ok("patch", "svc", "webapp", "-p", '{"spec":{"ports":[{"port":8080,"targetPort":80}]}}')
    await newest.ok("patch", "svc", "webapp", "--type=merge", "-p", '{"metadata":{"labels":{"a":"b"}}}')
    operations = '[{"op":"replace","path":"/spec/sessionAffinity","value":"ClientIP"}]'
    await newest.ok("patch", "svc", "webapp", "--type=json", "-p", operations)
    service = json.loads(await newest.ok("get", "svc", "webapp", "-o", "json"))
    assert service["spec"]["ports"] == [{"port": 8080, "protocol": "TCP", "targetPort": 80}]
    assert service["metadata"]["labels"] == {"run": "webapp", "a": "b"}
    assert service["spec"]["sessionAffinity"] == "ClientIP"
    assert "patched (no change)" in await newest.ok("patch", "svc", "webapp", "-p", '{"metadata":{"labels":{"a":"b"}}}')


async def test_label_annotate_replace_diff(newest: Kubectl) -> None:
    await newest.ok("apply", "-f", "-", stdin=SERVICE)
    assert "service/webapp labeled" in await newest.ok("label", "svc", "webapp", "tier=front")
    refused = await newest("label", "svc", "webapp", "tier=back")
    assert "already has a value (front)" in refused.stderr
    await newest.ok("label", "svc", "webapp", "tier=back", "--overwrite")
    await newest.ok("label", "svc", "webapp", "tier-")
    assert "service/webapp annotated" in await newest.ok("annotate", "svc", "webapp", "note=x")
    text = await newest.ok("get", "svc", "webapp", "-o", "yaml")
    changed = text.replace("port: 8080", "port: 9090")
    assert "service/webapp replaced" in await newest.ok("replace", "-f", "-", stdin=changed)
    different = await newest("diff", "-f", "-", stdin=SERVICE)
    assert different.status == 1
    assert "+  - port: 8080" in different.stdout or "+    port: 8080" in different.stdout, different.text
    fresh = await newest("diff", "-f", "-", stdin=SERVICE.replace("webapp", "other"))
    assert fresh.status == 1
    assert "+  name: other" in fresh.stdout
    stale = await newest("replace", "-f", "-", stdin=text)
    assert "the object has been modified" in stale.stderr


async def test_expose_a_pod(newest: Kubectl) -> None:
    await newest.ok("create", "-f", "-", stdin=POD)
    assert "service/web-1 exposed" in await newest.ok("expose", "pod", "web-1")
    service = json.loads(await newest.ok("get", "svc", "web-1", "-o", "json"))
    assert service["spec"]["selector"] == {"run": "web"}
    assert service["spec"]["ports"][0]["port"] == 80
    assert "pod/run-1 created" in await newest.ok("run", "run-1", "--image=nginx", "--port=80", "--expose")
    assert re.search(r"run-1 +0/1 +Pending", await newest.ok("get", "pods"))


async def test_what_is_refused_and_how(newest: Kubectl) -> None:
    await newest.ok("create", "-f", "-", stdin=SERVICE)
    again = await newest("create", "-f", "-", stdin=SERVICE)
    assert again.stderr.strip().endswith(
        '(AlreadyExists): error when creating "STDIN": services "webapp" already exists'
    )
    wrong = await newest("create", "-f", "-", stdin=SERVICE.replace("8080", "99999").replace("webapp", "other"))
    assert wrong.stderr.splitlines() == [  # targetPort is defaulted to port before either is looked at
        'The Service "other" is invalid: ',
        "* spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive",
        "* spec.ports[0].targetPort: Invalid value: 99999: must be between 1 and 65535, inclusive",
    ]
    typo = SERVICE.replace("{port: 8080}", "{port: 8080, tgtPort: 80}").replace("webapp", "other")
    strict = await newest("create", "--validate=strict", "-f", "-", stdin=typo)
    assert 'strict decoding error: unknown field "spec.ports[0].tgtPort"' in strict.stderr
    loose = await newest("create", "--validate=warn", "-f", "-", stdin=typo)
    assert loose.status == 0
    assert 'Warning: unknown field "spec.ports[0].tgtPort"' in loose.stderr
    lost = await newest("create", "-n", "nowhere", "-f", "-", stdin=SERVICE)
    assert 'namespaces "nowhere" not found' in lost.stderr
    unknown = await newest("get", "gadgets")
    assert 'the server doesn\'t have a resource type "gadgets"' in unknown.stderr


async def test_get_watch_prints_changes(newest: Kubectl) -> None:
    process = await newest.start("get", "svc", "-w")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert b"NAME" in await process.stdout.readline()
            assert b"kubernetes" in await process.stdout.readline()
            await newest.ok("apply", "-f", "-", stdin=SERVICE)
            line = (await process.stdout.readline()).decode()
            assert re.match(r"webapp +ClusterIP", line)
            await newest.ok("patch", "svc", "webapp", "-p", '{"spec":{"type":"NodePort"}}')
            while "NodePort" not in line:
                line = (await process.stdout.readline()).decode()
    finally:
        process.kill()
        await process.communicate()


async def test_wait_for_deletion_and_conditions(newest: Kubectl) -> None:
    await newest.ok("apply", "-f", "-", stdin=SERVICE)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(newest("wait", "--for=delete", "svc/webapp", "--timeout=15s"))
        await asyncio.sleep(0.3)  # so that it usually meets the object; correct either way
        await newest.ok("delete", "svc", "webapp")
    assert waiting.result().status == 0
    await newest.ok("apply", "-f", "-", stdin=SERVICE)
    await newest.ok("wait", "--for=jsonpath={.spec.type}=ClusterIP", "svc/webapp", "--timeout=10s")
    listed = await newest("wait", "--for=delete", "svc/nothere", "--timeout=5s", KUBE_FEATURE_WatchListClient="true")
    assert listed.status == 0, listed.text


async def test_namespaces_come_and_go_with_their_objects(newest: Kubectl) -> None:
    await newest.ok("create", "namespace", "shop")
    await newest.ok("apply", "-n", "shop", "-f", "-", stdin=SERVICE)
    assert re.search(r"shop +Active", await newest.ok("get", "ns"))
    assert "webapp" in await newest.ok("get", "svc", "-A")
    await newest.ok("delete", "namespace", "shop", "--timeout=20s")
    assert "shop" not in await newest.ok("get", "ns")
    assert "webapp" not in await newest.ok("get", "svc", "-A")


async def test_explain_and_api_resources(newest: Kubectl) -> None:
    assert "externalTrafficPolicy" in await newest.ok("explain", "service.spec")
    resources = await newest.ok("api-resources")
    assert re.search(r"services +svc +v1 +true +Service", resources)
    assert re.search(r"endpointslices +discovery.k8s.io/v1 +true +EndpointSlice", resources)
    assert "Server Version: v1.36" in await newest.ok("version")
