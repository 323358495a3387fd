"""Every kubectl of this machine and Debian's 1.20 against the API: the commands people type, version by version.

Each test is one scenario that all of them play at the same time. What a version does not have yet is left out for it.
"""

from __future__ import annotations

import asyncio
import json
import re

import yaml

from tests.support.kubectls import Matrix, on_every_kubectl

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

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        image: nginx:1
        ports: [{containerPort: 8080}]
        env: [{name: A, value: "1"}, {name: B, value: "2"}]
      - {name: side, image: busybox}
"""

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web-1, labels: {run: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: web, image: nginx, ports: [{containerPort: 8080}]}
"""


@on_every_kubectl
async def test_what_is_served(kubectl: Matrix) -> None:
    assert "v1.36" in await kubectl.ok("version")
    versions = (await kubectl.ok("api-versions")).split()
    assert {"v1", "apps/v1", "discovery.k8s.io/v1", "networking.k8s.io/v1"} <= set(versions)
    resources = await kubectl.ok("api-resources")
    assert re.search(r"services +svc +v1 +true +Service", resources)
    assert re.search(r"deployments +deploy +apps/v1 +true +Deployment", resources)
    assert "endpointslices.discovery.k8s.io" in await kubectl.ok("api-resources", "--namespaced", "-o", "name")
    assert "is running at" in await kubectl.ok("cluster-info")
    assert await kubectl.ok("get", "--raw", "/readyz") == "ok"
    assert json.loads(await kubectl.ok("get", "--raw", "/openapi/v2"))["swagger"] == "2.0"
    assert "doesn't have a resource type" in await kubectl.fails("get", "gadgets")


@on_every_kubectl
async def test_a_service_through_its_life(kubectl: Matrix) -> None:
    assert "service/webapp created" in await kubectl.ok("apply", "-f", "-", stdin=SERVICE)
    assert "service/webapp unchanged" in await kubectl.ok("apply", "-f", "-", stdin=SERVICE)
    row = (await kubectl.cells("svc", "-o", "wide"))["webapp"]
    assert [row[0], row[2], row[3], row[5]] == ["ClusterIP", "<none>", "8080/TCP", "run=webapp"]
    assert "service/webapp" in await kubectl.ok("get", "svc", "-o", "name", "-l", "run in (webapp)")
    assert (await kubectl.ok("get", "svc", "webapp", "-o", "jsonpath={.spec.ports[*].port}")) == "8080"
    assert "run=webapp" in await kubectl.ok("get", "svc", "-A", "--show-labels")
    assert "webapp" in await kubectl.ok("get", "svc", "--sort-by=.metadata.name")
    assert "service/webapp configured" in await kubectl.ok("apply", "-f", "-", stdin=SERVICE.replace("8080", "9090"))
    assert (await kubectl.cells("svc"))["webapp"][3] == "9090/TCP"
    assert "9090" in await kubectl.ok("apply", "view-last-applied", "svc/webapp")

    different = await kubectl.kubectl("diff", "-f", "-", stdin=SERVICE)
    assert different.status == 1, different.text
    assert re.search(r"^\+.*port: 8080$", different.stdout, re.MULTILINE), different.text
    same = await kubectl.kubectl("diff", "-f", "-", stdin=SERVICE.replace("8080", "9090"))
    assert (same.status, same.stdout) == (0, ""), same.text
    fresh = await kubectl.kubectl("diff", "-f", "-", stdin=SERVICE.replace("webapp", "other"))
    assert "+  name: other" in fresh.stdout, fresh.text

    editor = "sed -i s/ClusterIP$/NodePort/"
    assert "service/webapp edited" in await kubectl.ok("edit", "svc", "webapp", KUBE_EDITOR=editor)
    assert (await kubectl.cells("svc"))["webapp"][0] == "NodePort"
    assert "created" in await kubectl.ok("apply", "--dry-run=server", "-f", "-", stdin=SERVICE.replace("webapp", "dry"))
    assert "dry" not in await kubectl.cells("svc")
    text = await kubectl.ok("get", "svc", "webapp", "-o", "yaml")
    assert "replaced" in await kubectl.ok("replace", "-f", "-", stdin=text.replace("port: 9090", "port: 9191"))
    assert "the object has been modified" in await kubectl.fails("replace", "-f", "-", stdin=text)
    forced = await kubectl.ok("replace", "--force", "-f", "-", stdin=SERVICE)
    assert "deleted" in forced
    assert "replaced" in forced
    assert "deleted" in await kubectl.ok("delete", "-f", "-", stdin=SERVICE)
    assert await kubectl.fails("get", "svc", "webapp") == 'Error from server (NotFound): services "webapp" not found'


@on_every_kubectl
async def test_describe(kubectl: Matrix) -> None:
    await kubectl.ok("apply", "-f", "-", stdin=SERVICE.replace("run: webapp", "app: web"))
    await kubectl.ok("apply", "-f", "-", stdin=DEPLOYMENT)
    await kubectl.ok("rollout", "status", "deploy/web", "--timeout=30s")
    for words, expected in (
        (("svc", "webapp"), r"Endpoints: +127\.1\.\d+\.\d+:8080,127"),
        (("endpoints", "webapp"), r"NotReadyAddresses: +<none>"),
        (("deploy", "web"), r"Replicas: +2 desired \| 2 updated \| 2 total \| 2 available"),
        (("rs", "-l", "app=web"), r"Controlled By: +Deployment/web"),
        (("pods", "-l", "app=web"), r"Status: +Running"),
        (("ns", kubectl.namespace), r"Status: +Active"),
        (("node", kubectl.node), r"Ready +True"),
        (("sa", "default"), r"Name: +default"),
    ):
        described = await kubectl.ok("describe", *words)
        assert re.search(expected, described), described
    if kubectl.since(21):  # 1.20 asks for discovery.k8s.io/v1beta1, which v1.36 has no more
        slices = await kubectl.ok("describe", "endpointslices", "-l", "kubernetes.io/service-name=webapp")
        assert re.search(r"AddressType: +IPv4", slices), slices
    assert 'services "webap" not found' not in await kubectl.ok("describe", "svc", "webap")  # by prefix


@on_every_kubectl
async def test_three_way_apply_keeps_what_others_set(kubectl: Matrix) -> None:
    """The patch is computed from the server's schema: merge keys, or lists would be replaced."""
    await kubectl.ok("apply", "-f", "-", stdin=DEPLOYMENT)
    await kubectl.ok("set", "env", "deploy/web", "-c", "main", "C=3")
    await kubectl.ok("scale", "deploy/web", "--replicas=1")
    changed = DEPLOYMENT.replace("nginx:1", "nginx:2").replace(', {name: B, value: "2"}', "")
    await kubectl.ok("apply", "-f", "-", stdin=changed.replace("  replicas: 2\n", ""))
    spec = json.loads(await kubectl.ok("get", "deploy", "web", "-o", "json"))["spec"]
    main, side = spec["template"]["spec"]["containers"]
    assert (main["image"], side["name"]) == ("nginx:2", "side")
    assert [entry["name"] for entry in main["env"]] == ["A", "C"]
    recreate = changed.replace("  selector:", "  strategy: {type: Recreate}\n  selector:")
    await kubectl.ok("apply", "-f", "-", stdin=recreate)
    spec = json.loads(await kubectl.ok("get", "deploy", "web", "-o", "json"))["spec"]
    assert spec["strategy"] == {"type": "Recreate"}


@on_every_kubectl
async def test_server_side_apply(kubectl: Matrix) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    assert "serverside-applied" in await kubectl.ok(*apply, stdin=DEPLOYMENT)
    await kubectl.ok("scale", "deploy/web", "--replicas=3")
    refused = await kubectl.fails(*apply, stdin=DEPLOYMENT)
    assert re.search(r"conflict with \"kubectl[a-z0-9.-]*\".*: \.spec\.replicas", refused), refused
    assert "serverside-applied" in await kubectl.ok(*apply, "--force-conflicts", stdin=DEPLOYMENT)
    without = yaml.safe_load(DEPLOYMENT)
    without["spec"]["template"]["spec"]["containers"].pop()
    await kubectl.ok(*apply, stdin=json.dumps(without))
    spec = json.loads(await kubectl.ok("get", "deploy", "web", "-o", "json"))["spec"]
    assert [container["name"] for container in spec["template"]["spec"]["containers"]] == ["main"]
    assert spec["replicas"] == 2
    diff = await kubectl.kubectl("diff", "--server-side", "-f", "-", stdin=DEPLOYMENT)
    assert (diff.status, "name: side" in diff.stdout) == (1, True), diff.text


@on_every_kubectl
async def test_validation(kubectl: Matrix) -> None:
    typo = SERVICE.replace("{port: 8080}", "{port: 8080, tgtPort: 80}")
    refused = await kubectl.fails("create", "-f", "-", stdin=typo)
    if kubectl.since(27):
        assert 'strict decoding error: unknown field "spec.ports[0].tgtPort"' in refused
        loose = await kubectl.kubectl("create", "--validate=warn", "--dry-run=server", "-f", "-", stdin=typo)
        assert 'Warning: unknown field "spec.ports[0].tgtPort"' in loose.stderr
    else:  # it reads OpenAPI v2 and validates by itself
        assert 'unknown field "tgtPort" in io.k8s.api.core.v1.ServicePort' in refused
    await kubectl.ok("create", "--validate=false", "-f", "-", stdin=typo)
    again = await kubectl.fails("create", "-f", "-", stdin=SERVICE)
    assert again.endswith('(AlreadyExists): error when creating "STDIN": services "webapp" already exists')
    wrong = await kubectl.fails("create", "-f", "-", stdin=SERVICE.replace("8080", '"http"'))
    assert re.search(r'invalid type for io.k8s.api.core.v1.ServicePort.port: got "string"|of type int32', wrong), wrong
    invalid = await kubectl.fails("apply", "-f", "-", stdin=SERVICE.replace("8080", "99999"))
    assert "spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive" in invalid
    lost = await kubectl.fails("create", "-n", "nowhere", "-f", "-", stdin=SERVICE)
    assert 'namespaces "nowhere" not found' in lost


@on_every_kubectl
async def test_explain(kubectl: Matrix) -> None:
    ports = await kubectl.ok("explain", "service.spec.ports")
    assert re.search(r"port\s+<integer> -required-", ports), ports
    assert re.search(r"targetPort\s+<(IntOrString|string)>", ports), ports
    tree = await kubectl.ok("explain", "deployment", "--recursive")
    for field in ("maxSurge", "readinessProbe", "topologySpreadConstraints", "observedGeneration"):
        assert field in tree
    assert "pathType" in await kubectl.ok("explain", "ingress.spec.rules.http.paths")
    assert "serviceName" in await kubectl.ok(
        "explain", "ingress.spec.rules.http.paths.backend", "--api-version=networking.k8s.io/v1beta1"
    )
    assert "deprecatedTopology" in await kubectl.ok("explain", "endpointslices", "--recursive")
    assert "does not exist" in await kubectl.fails("explain", "service.spec.nothing")


@on_every_kubectl
async def test_what_create_makes(kubectl: Matrix) -> None:
    """From 1.32 on these are sent as protobuf."""
    place = kubectl.namespace
    for words in (
        ("namespace", f"{place}-made"),
        ("configmap", "cm", "--from-literal=a=b"),
        ("secret", "generic", "s", "--from-literal=a=b"),
        ("secret", "docker-registry", "d", "--docker-username=u", "--docker-password=p"),
        ("serviceaccount", "robot"),
        ("service", "clusterip", "a", "--tcp=80:8080"),
        ("service", "nodeport", "b", "--tcp=80"),
        ("service", "loadbalancer", "c", "--tcp=443:8443"),
        ("service", "externalname", "e", "--external-name", "example.com"),
        ("deployment", "web", "--image=nginx", "--replicas=1", "--port=8080"),
        ("job", "once", "--image=busybox", "--", "true"),
        ("ingress", "i", "--rule=example.com/*=a:80"),
        ("role", "r", "--verb=get", "--resource=pods"),
        ("rolebinding", "rb", "--role=r", "--user=u"),
        ("clusterrole", f"{place}-cr", "--verb=get", "--resource=nodes"),
        ("clusterrolebinding", f"{place}-crb", f"--clusterrole={place}-cr", "--user=u"),
        ("quota", "q", "--hard=pods=9"),
        ("priorityclass", f"{place}-pc", "--value=10"),
    ):
        assert "created" in await kubectl.ok("create", *words)
    assert json.loads(await kubectl.ok("get", "secret", "s", "-o", "json"))["data"] == {"a": "Yg=="}
    services = await kubectl.cells("svc")
    assert (services["a"][3], services["e"][2]) == ("80/TCP", "example.com")
    ports = await kubectl.ok("get", "svc", "a", "-o", "jsonpath={.spec.ports}")
    assert json.loads(ports) == [{"name": "80-8080", "port": 80, "protocol": "TCP", "targetPort": 8080}]
    assert "exposed" in await kubectl.ok("expose", "deploy", "web")
    assert (await kubectl.cells("svc"))["web"][3] == "8080/TCP"
    assert "autoscaled" in await kubectl.ok("autoscale", "deploy", "web", "--max=3")
    if kubectl.since(21):  # older ones ask for policy/v1beta1 and batch/v1beta1, which v1.36 has no more
        assert "created" in await kubectl.ok("create", "pdb", "p", "--selector=app=web", "--min-available=1")
        assert "created" in await kubectl.ok(
            "create", "cronjob", "often", "--image=busybox", "--schedule=0 * * * *", "--", "true"
        )
        assert "created" in await kubectl.ok("create", "job", "now", "--from=cronjob/often")
    if kubectl.since(24):
        assert (await kubectl.ok("create", "token", "robot")).count(".") == 2
    await kubectl.ok("delete", "namespace", f"{place}-made")


@on_every_kubectl
async def test_small_changes(kubectl: Matrix) -> None:
    await kubectl.ok("apply", "-f", "-", stdin=SERVICE)
    assert "service/webapp labeled" in await kubectl.ok("label", "svc", "webapp", "tier=front")
    assert "already has a value (front)" in await kubectl.fails("label", "svc", "webapp", "tier=back")
    await kubectl.ok("label", "svc", "webapp", "tier=back", "--overwrite")
    await kubectl.ok("label", "svc", "--all", "tier-")
    assert "annotated" in await kubectl.ok("annotate", "svc", "webapp", "note=x")
    await kubectl.ok("patch", "svc", "webapp", "-p", '{"spec":{"ports":[{"port":8080,"targetPort":80}]}}')
    await kubectl.ok("patch", "svc", "webapp", "--type=merge", "-p", '{"metadata":{"labels":{"a":"b"}}}')
    operation = '[{"op":"replace","path":"/spec/sessionAffinity","value":"ClientIP"}]'
    await kubectl.ok("patch", "svc", "webapp", "--type=json", "-p", operation)
    assert "no change" in await kubectl.ok("patch", "svc", "webapp", "-p", '{"metadata":{"labels":{"a":"b"}}}')
    await kubectl.ok("set", "selector", "svc", "webapp", "run=other")
    service = json.loads(await kubectl.ok("get", "svc", "webapp", "-o", "json"))
    assert service["metadata"]["labels"] == {"run": "webapp", "a": "b"}
    assert service["spec"]["ports"] == [{"port": 8080, "protocol": "TCP", "targetPort": 80}]
    assert (service["spec"]["sessionAffinity"], service["spec"]["selector"]) == ("ClientIP", {"run": "other"})


@on_every_kubectl
async def test_rollouts(kubectl: Matrix) -> None:
    await kubectl.ok("create", "-f", "-", stdin=DEPLOYMENT)
    assert "successfully rolled out" in await kubectl.ok("rollout", "status", "deploy/web", "--timeout=30s")
    assert (await kubectl.cells("deploy"))["web"][:3] == ["2/2", "2", "2"]
    everything = await kubectl.ok("get", "all")
    assert {"deployment.apps/web", "replicaset.apps/web", "pod/web"} <= {
        re.sub(r"-[0-9a-z]+(-[0-9a-z]+)?$", "", line.split()[0]) for line in everything.splitlines() if line
    }
    assert "updated" in await kubectl.ok("set", "image", "deploy/web", "main=nginx:2")
    await kubectl.ok("set", "resources", "deploy/web", "-c", "main", "--limits=cpu=200m,memory=512Mi")
    await kubectl.ok("rollout", "status", "deploy/web", "--timeout=30s")
    assert re.search(r"\n2 +<none>\n3 ", await kubectl.ok("rollout", "history", "deploy/web"))
    assert "nginx:1" in await kubectl.ok("rollout", "history", "deploy/web", "--revision=1")
    assert "rolled back" in await kubectl.ok("rollout", "undo", "deploy/web", "--to-revision=1")
    assert "restarted" in await kubectl.ok("rollout", "restart", "deploy/web")
    assert "paused" in await kubectl.ok("rollout", "pause", "deploy/web")
    assert "resumed" in await kubectl.ok("rollout", "resume", "deploy/web")
    assert "scaled" in await kubectl.ok("scale", "deploy/web", "--replicas=1")
    assert "Expected replicas to be 7, was 1" in await kubectl.fails(
        "scale", "deploy/web", "--replicas=3", "--current-replicas=7"
    )
    await kubectl.ok("wait", "--for=condition=available", "deploy/web", "--timeout=30s")
    await kubectl.ok("rollout", "status", "deploy/web", "--timeout=30s")
    assert "ScalingReplicaSet" in await kubectl.ok("get", "events")
    assert (await kubectl.cells("deploy", "web", "-o", "wide"))["web"][-1] == "app=web"
    await kubectl.ok("delete", "deploy", "web", "--cascade=foreground" if kubectl.since(20) else "--cascade=true")
    assert await kubectl.cells("rs") == {}


@on_every_kubectl
async def test_watching_and_waiting(kubectl: Matrix) -> None:
    await kubectl.ok("apply", "-f", "-", stdin=SERVICE)
    watching = [
        await kubectl.kubectl.start("get", "svc", "-w"),
        await kubectl.kubectl.start("get", "svc", "webapp", "-w", "--output-watch-events"),
    ]
    try:
        async with asyncio.timeout(30):
            for process in watching:
                assert process.stdout is not None
                lines = [await process.stdout.readline(), await process.stdout.readline()]
                assert b"NAME" in lines[0]
                assert b"webapp" in lines[1]
            await kubectl.ok("patch", "svc", "webapp", "-p", '{"spec":{"type":"NodePort"}}')
            for process in watching:
                assert process.stdout is not None
                while b"NodePort" not in await process.stdout.readline():
                    pass
    finally:
        for process in watching:
            process.kill()
            await process.communicate()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(kubectl.kubectl("wait", "--for=delete", "svc/webapp", "--timeout=30s"))
        await kubectl.ok("delete", "svc", "-l", "run=webapp")
    gone = waiting.result()  # which of the two is first is not settled; old versions complain of what is gone already
    assert gone.status == 0 or "no matching resources found" in gone.stderr or "NotFound" in gone.stderr, gone.text
    await kubectl.ok("create", "-f", "-", stdin=POD)
    await kubectl.ok("wait", "--for=condition=Ready", "pod", "-l", "run=web", "--timeout=30s")
    if kubectl.since(23):
        await kubectl.ok("wait", "--for=jsonpath={.status.phase}=Running", "pod/web-1", "--timeout=30s")
    listing = {"KUBE_FEATURE_WatchListClient": "true"}
    await kubectl.ok("wait", "--for=condition=Ready", "pod/web-1", "--timeout=30s", **listing)
    assert 'pod "web-1" deleted' in await kubectl.ok("delete", "pod", "web-1", "--timeout=30s", **listing)
    await kubectl.ok("run", "short", "--image=nginx")
    await kubectl.ok("delete", "pods", "--all", "--now", "--timeout=30s")
    assert await kubectl.cells("pods") == {}


@on_every_kubectl
async def test_nodes(kubectl: Matrix) -> None:
    node = kubectl.node
    pod = yaml.safe_load(POD)
    pod["spec"]["nodeName"] = node
    await kubectl.ok("create", "-f", "-", stdin=json.dumps(pod))
    assert (await kubectl.cells("nodes"))[node][0] == "Ready"
    assert "cordoned" in await kubectl.ok("cordon", node)
    assert (await kubectl.cells("nodes"))[node][0] == "Ready,SchedulingDisabled"
    assert "tainted" in await kubectl.ok("taint", "node", node, "a=b:NoSchedule")
    await kubectl.ok("label", "node", node, "zone=a")
    assert await kubectl.ok(
        "get", "node", "-l", "zone=a", "-o", f"jsonpath={{.items[?(@.metadata.name=='{node}')].spec.taints[*].key}}"
    )
    assert "untainted" in await kubectl.ok("taint", "node", node, "a-")
    drained = await kubectl.ok("drain", node, "--force", "--ignore-daemonsets", "--timeout=30s")
    assert "web-1" in drained
    assert await kubectl.cells("pods") == {}
    assert "uncordoned" in await kubectl.ok("uncordon", node)


@on_every_kubectl
async def test_who_may_do_what(kubectl: Matrix) -> None:
    assert (await kubectl.ok("auth", "can-i", "create", "deployments")).strip() == "yes"
    assert (await kubectl.ok("auth", "can-i", "get", "/healthz")).strip() == "yes"
    assert "*.*" in await kubectl.ok("auth", "can-i", "--list")
    if kubectl.since(28):
        assert "Username" in await kubectl.ok("auth", "whoami")


@on_every_kubectl
async def test_many_objects_in_one_file(kubectl: Matrix) -> None:
    await asyncio.to_thread((kubectl.kubectl.home / "all.yaml").write_text, "---".join((SERVICE, POD, DEPLOYMENT)))
    made = await kubectl.ok("apply", "-f", "all.yaml")
    assert [line.split()[0] for line in made.splitlines()] == ["service/webapp", "pod/web-1", "deployment.apps/web"]
    listed = await kubectl.ok("get", "-f", "all.yaml", "-o", "name")
    assert listed.split() == ["service/webapp", "pod/web-1", "deployment.apps/web"]
    assert len(yaml.safe_load(await kubectl.ok("get", "svc,deploy", "-o", "yaml"))["items"]) == 2
    await kubectl.ok("delete", "-f", "all.yaml", "--timeout=30s")
    assert "No resources found" in (await kubectl.kubectl("get", "svc,deploy")).stderr
