"""Real, unmodified kubectl around Ingress, roles, leases and events, and the old texts that courses still show."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from tests.support.api import Kubectl, api_server, kubectl_for, kubectl_versions, recorded_config

VERSIONS = kubectl_versions()
NEWEST = max(VERSIONS)

OLD_INGRESS = """
apiVersion: networking.k8s.io/v1beta1
kind: Ingress
metadata:
  name: test-ingress
  annotations:
    nginx.ingress.kubernetes.io/rewrite-target: /
spec:
  rules:
  - http:
      paths:
      - path: /testpath
        backend:
          serviceName: test
          servicePort: 80
"""
SINGLE_SERVICE = """
apiVersion: networking.k8s.io/v1beta1
kind: Ingress
metadata:
   name: single
spec:
   backend:
    serviceName: testsvc
    servicePort: 80
"""
OLD_DAEMON_SET = """
apiVersion: extensions/v1beta1
kind: DaemonSet
metadata:
  name: fluentd
  namespace: kube-system
  labels:
    app: fluentd
spec:
  template:
    metadata:
      labels:
       app: fluentd
    spec:
      containers:
      - name: fluentd
        image: fluent/fluentd:v0.14.10
"""
EVENT = """
apiVersion: events.k8s.io/v1
kind: Event
metadata: {name: ev}
eventTime: "2026-01-01T00:00:00.000000Z"
reportingController: example.com/x
reportingInstance: x
action: Do
reason: Why
type: Normal
note: hello
regarding: {kind: Pod, name: p, namespace: default}
"""
DEPRECATED = "is deprecated in v1.19+, unavailable in v1.22+; use networking.k8s.io/v1 Ingress"


@pytest.fixture(params=sorted(VERSIONS))
async def kubectl(request: pytest.FixtureRequest) -> AsyncIterator[Kubectl]:
    """Each kubectl of this machine in turn."""
    async with api_server(recorded_config()) as api:
        with kubectl_for(api, VERSIONS[request.param]) as kubectl:
            yield kubectl


@pytest.fixture
async def newest() -> AsyncIterator[Kubectl]:
    async with api_server(recorded_config()) as api:
        with kubectl_for(api, VERSIONS[NEWEST]) as kubectl:
            yield kubectl


async def test_an_ingress_from_the_command_line(kubectl: Kubectl) -> None:
    await kubectl.ok("create", "ingress", "web", "--class=nginx", "--rule=a.example.com/x*=svc:80,tls=s")
    described = await kubectl.ok("describe", "ingress", "web")
    assert "a.example.com" in described
    assert "svc:80" in described
    listed = (await kubectl.ok("get", "ingress")).splitlines()
    assert listed[0].split() == ["NAME", "CLASS", "HOSTS", "ADDRESS", "PORTS", "AGE"]
    assert listed[1].split()[:5] == ["web", "nginx", "a.example.com", "80,", "443"]
    refused = await kubectl("create", "ingress", "bad", "--rule=1.2.3.4/=svc:80")
    assert "must be a DNS name, not an IP address" in refused.stderr


async def test_the_ingress_of_the_course(kubectl: Kubectl) -> None:
    applied = await kubectl("apply", "--validate=false", "-f", "-", stdin=OLD_INGRESS)
    assert applied.status == 0, applied.text
    assert DEPRECATED in applied.stderr
    modern = json.loads(await kubectl.ok("get", "ingress", "test-ingress", "-o", "json"))
    assert modern["apiVersion"] == "networking.k8s.io/v1"
    (path,) = modern["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"] == {"service": {"name": "test", "port": {"number": 80}}}
    old = json.loads(await kubectl.ok("get", "ingresses.v1beta1.networking.k8s.io", "test-ingress", "-o", "json"))
    (path,) = old["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"] == {"serviceName": "test", "servicePort": 80}
    assert "test:80" in await kubectl.ok("describe", "ingress", "test-ingress")
    changed = OLD_INGRESS.replace("servicePort: 80", "servicePort: http")
    await kubectl.ok("apply", "--validate=false", "-f", "-", stdin=changed)
    assert "test:http" in await kubectl.ok("describe", "ingress", "test-ingress")
    await kubectl.ok("delete", "-f", "-", stdin=changed)
    assert await kubectl.ok("get", "ingress", "-o", "name") == ""


async def test_old_texts_are_validated_edited_and_left_alone(newest: Kubectl) -> None:
    for text in (OLD_INGRESS, SINGLE_SERVICE, OLD_DAEMON_SET):
        await newest.ok("apply", "-f", "-", stdin=text)
    misspelt = await newest("apply", "-f", "-", stdin=SINGLE_SERVICE.replace("serviceName", "service"))
    assert 'unknown field "spec.backend.service"' in misspelt.stderr
    edited = await newest.ok(
        "edit", "ingresses.v1beta1.networking.k8s.io", "test-ingress", EDITOR="sed -i s/testpath/other/"
    )
    assert "edited" in edited
    await newest.ok("edit", "ingress", "test-ingress", EDITOR="sed -i s/other/third/")
    assert "/third" in await newest.ok("get", "ingress", "test-ingress", "-o", "yaml")
    assert "unchanged" in await newest.ok("apply", "-f", "-", stdin=SINGLE_SERVICE)


async def test_the_daemon_set_of_the_course(newest: Kubectl) -> None:
    applied = await newest("apply", "-f", "-", stdin=OLD_DAEMON_SET)
    assert "extensions/v1beta1 DaemonSet is deprecated" in applied.stderr
    modern = json.loads(await newest.ok("get", "ds", "-n", "kube-system", "fluentd", "-o", "json"))
    assert modern["apiVersion"] == "apps/v1"
    assert modern["spec"]["selector"] == {"matchLabels": {"app": "fluentd"}}
    assert modern["spec"]["updateStrategy"] == {"type": "OnDelete"}
    assert "unchanged" in await newest.ok("apply", "-f", "-", stdin=OLD_DAEMON_SET)
    await newest.ok("delete", "-f", "-", stdin=OLD_DAEMON_SET)


async def test_modern_versions_are_preferred(newest: Kubectl) -> None:
    listed = await newest.ok("get", "ingresses,daemonsets,deployments,events", "-A", "-v=6")
    assert "extensions" not in listed
    names = await newest.ok("api-resources", "-o", "name")
    assert "ingresses.extensions" in names.split()


async def test_events_through_both_groups(newest: Kubectl) -> None:
    await newest.ok("create", "-f", "-", stdin=EVENT)
    core = json.loads(await newest.ok("get", "events", "ev", "-o", "json"))
    assert (core["apiVersion"], core["message"], core["involvedObject"]["name"]) == ("v1", "hello", "p")
    other = json.loads(await newest.ok("get", "events.events.k8s.io", "ev", "-o", "json"))
    assert (other["apiVersion"], other["note"], other["regarding"]["name"]) == ("events.k8s.io/v1", "hello", "p")
    listed = [await newest.ok("get", kind) for kind in ("events", "events.events.k8s.io")]
    assert [text.split() == listed[0].split() for text in listed] == [True, True]
    selected = await newest.ok("get", "events.events.k8s.io", "--field-selector", "regarding.name=q", "-o", "name")
    assert selected == ""


async def test_roles_and_bindings(newest: Kubectl) -> None:
    await newest.ok("create", "role", "reader", "--verb=get,list", "--resource=pods")
    await newest.ok("create", "rolebinding", "b", "--role=reader", "--user=u", "--serviceaccount=default:default")
    rows = (await newest.ok("get", "rolebinding", "-o", "wide")).splitlines()
    assert rows[1].split()[1] == "Role/reader"
    assert "default/default" in rows[1]
    assert "pods" in await newest.ok("describe", "role", "reader")
    patch = '{"roleRef":{"name":"x"}}'
    refused = await newest("patch", "rolebinding", "b", "--type=merge", "-p", patch)
    assert "cannot change roleRef" in refused.stderr


async def test_a_policy_is_stored_and_not_enforced(newest: Kubectl) -> None:
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}, "spec": {}}
    created = await newest("create", "-f", "-", stdin=json.dumps(policy))
    assert "not enforced" in created.stderr
    assert "Allowing ingress traffic" in await newest.ok("describe", "netpol", "p")


async def test_leases_and_the_addresses_of_services(newest: Kubectl) -> None:
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}}
    await newest.ok("create", "-f", "-", stdin=json.dumps({**lease, "spec": {"holderIdentity": "me"}}))
    assert (await newest.ok("get", "lease")).splitlines()[1].split()[:2] == ["l", "me"]
    await newest.ok("create", "service", "clusterip", "web", "--tcp=80")
    address = await newest.ok("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    assert f"{address} services/default/web" in " ".join((await newest.ok("get", "ipaddresses")).split())
    await newest.ok("delete", "service", "web")
    assert address not in await newest.ok("get", "ipaddresses", "-o", "name")
    assert "10.152.183.0/24" in await newest.ok("get", "servicecidr", "kubernetes")
