"""Pods: defaults, admission, refusals, what may change, warnings, deletion grace; and templates."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.meta import JsonObject
from emulator.registry.kinds.pod_defaults import default_pod_template, image_tag
from emulator.registry.kinds.pod_resources import qos_class
from emulator.registry.kinds.pod_validation import validate_pod_template
from emulator.registry.kinds.table import STRATEGIES
from tests.unit.registry.kinds.support import create_errors, created, patched, texts, update_errors, updated, warnings

CONTAINER = {"name": "c", "image": "nginx"}


def pod(container: JsonObject | None = None, **spec: Any) -> JsonObject:
    return {
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"containers": [{**CONTAINER, **(container or {})}], **spec},
    }


def test_defaults_of_a_bare_pod() -> None:
    made = created("pods", pod())
    toleration = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    assert made["spec"] == {
        "containers": [
            {
                "name": "c",
                "image": "nginx",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": "Always",
            }
        ],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "serviceAccount": "default",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "tolerations": [
            {"key": "node.kubernetes.io/not-ready", **toleration},
            {"key": "node.kubernetes.io/unreachable", **toleration},
        ],
        "priority": 0,
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
    }
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("nginx", "latest"),
        ("nginx:1", "1"),
        ("localhost:5000/nginx", "latest"),
        ("localhost:5000/nginx:2", "2"),
        ("nginx@sha256:0", ""),
        ("nginx:latest@sha256:0", "latest"),
    ],
)
def test_image_tag(image: str, tag: str) -> None:
    assert image_tag(image) == tag


def test_defaults_inside_a_container() -> None:
    given = {
        "image": "nginx:1",
        "ports": [{"containerPort": 80}],
        "env": [{"name": "A", "value": ""}, {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "readinessProbe": {"httpGet": {"port": 80}},
        "resources": {"limits": {"cpu": "0.5", "memory": "1024Mi"}},
    }
    container = created("pods", pod(given, hostNetwork=True))["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP", "hostPort": 80}]
    field = {"fieldPath": "status.podIP", "apiVersion": "v1"}
    assert container["env"] == [{"name": "A"}, {"name": "IP", "valueFrom": {"fieldRef": field}}]
    assert container["readinessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    amounts = {"cpu": "500m", "memory": "1Gi"}
    assert container["resources"] == {"limits": amounts, "requests": amounts}


def test_defaults_of_volumes() -> None:
    spec = created("pods", pod(volumes=[{"name": "a"}, {"name": "b", "configMap": {"name": "x"}}]))["spec"]
    assert spec["volumes"] == [
        {"name": "a", "emptyDir": {}},
        {"name": "b", "configMap": {"name": "x", "defaultMode": 420}},
    ]


def test_a_template_gets_less_than_a_pod() -> None:
    template: JsonObject = {"spec": {"containers": [{**CONTAINER, "resources": {"limits": {"cpu": 1}}}]}}
    default_pod_template(template)
    assert template["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "1"}}
    assert not template["spec"].keys() & {"enableServiceLinks", "tolerations", "priority", "serviceAccountName"}
    assert validate_pod_template(template, "spec.template") == []


def test_template_refusals() -> None:
    template: JsonObject = {"metadata": {"labels": {"a b": "c"}}, "spec": {"containers": []}}
    default_pod_template(template)
    found = texts(validate_pod_template(template, "spec.template"))
    assert found[0].startswith('spec.template.labels: Invalid value: "a b": name part must consist of')
    assert found[1:] == ["spec.template.spec.containers: Required value"]


@pytest.mark.parametrize(
    ("spec", "qos"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
    ],
)
def test_qos_class(spec: list[JsonObject], qos: str) -> None:
    assert qos_class({"containers": [{"resources": resources} for resources in spec]}) == qos


NO_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


@pytest.mark.parametrize(
    ("container", "wanted"),
    [
        ({"name": ""}, ["spec.containers[0].name: Required value"]),
        ({"name": "A"}, [f'spec.containers[0].name: Invalid value: "A": {NO_LABEL}']),
        ({"image": ""}, ["spec.containers[0].image: Required value"]),
        (
            {"image": " nginx"},
            ['spec.containers[0].image: Invalid value: " nginx": must not have leading or trailing whitespace'],
        ),
        (
            {"imagePullPolicy": "Sometimes"},
            [
                (
                    'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": '
                    'supported values: "Always", "IfNotPresent", "Never"'
                )
            ],
        ),
        ({"ports": [{"containerPort": 0}]}, ["spec.containers[0].ports[0].containerPort: Required value"]),
        (
            {"ports": [{"containerPort": 70000}]},
            ["spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"],
        ),
        (
            {"ports": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80}]},
            ['spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//80"'],
        ),
        (
            {"env": [{"name": "A=B"}, {"name": ""}]},
            [
                (
                    'spec.containers[0].env[0].name: Invalid value: "A=B": a valid environment variable name must consist '
                    "only of printable ASCII characters other than '='"
                ),
                "spec.containers[0].env[1].name: Required value",
            ],
        ),
        (
            {"env": [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
            ['spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
        ),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
        ),
        (
            {"livenessProbe": {}},
            ["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
        ),
        (
            {"livenessProbe": {"tcpSocket": {"port": 80}, "exec": {"command": ["x"]}, "successThreshold": 2}},
            [
                "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
                "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
            ],
        ),
        (
            {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
            ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
        ),
        (
            {"resources": {"limits": {"memory": "-1"}}},
            [
                'spec.containers[0].resources.limits[memory]: Invalid value: "-1": must be greater than or equal to 0',
                'spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0',
            ],
        ),
    ],
)
def test_container_refusals(container: JsonObject, wanted: list[str]) -> None:
    assert create_errors("pods", pod(container)) == wanted


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"containers": []}, ["spec.containers: Required value"]),
        ({"containers": [CONTAINER, CONTAINER]}, ['spec.containers[1].name: Duplicate value: "c"']),
        ({"initContainers": [CONTAINER]}, ['spec.initContainers[0].name: Duplicate value: "c"']),
        (
            {"initContainers": [{"name": "i", "image": "x", "readinessProbe": {"tcpSocket": {"port": 1}}}]},
            [
                (
                    "spec.initContainers[0].readinessProbe: Forbidden: "
                    "may not be set for init containers without restartPolicy=Always"
                )
            ],
        ),
        (
            {"restartPolicy": "Maybe"},
            ['spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"'],
        ),
        (
            {"dnsPolicy": "Mine"},
            [
                (
                    'spec.dnsPolicy: Unsupported value: "Mine": '
                    'supported values: "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"'
                )
            ],
        ),
        ({"dnsPolicy": "None"}, ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"]),
        (
            {"volumes": [{"name": "v", "secret": {}}, {"name": "w", "emptyDir": {}}, {"name": "w", "emptyDir": {}}]},
            ["spec.volumes[0].secret.secretName: Required value", 'spec.volumes[2].name: Duplicate value: "w"'],
        ),
        ({"hostname": "a_b"}, [f'spec.hostname: Invalid value: "a_b": {NO_LABEL}']),
        ({"hostname": "a.b"}, ['spec.hostname: Invalid value: "a.b": must not contain dots']),
        (
            {"activeDeadlineSeconds": 0},
            ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
        ),
        (
            {"tolerations": [{"value": "x"}]},
            [
                (
                    'spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` is empty, '
                    'which means "match all values and all keys"'
                )
            ],
        ),
        (
            {
                "affinity": {
                    "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
                }
            },
            [
                (
                    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: "
                    "Required value: must have at least one node selector term"
                )
            ],
        ),
    ],
)
def test_spec_refusals(spec: JsonObject, wanted: list[str]) -> None:
    assert create_errors("pods", pod(**spec)) == wanted


def test_sidecars_may_have_probes() -> None:
    sidecar = {"name": "s", "image": "x", "restartPolicy": "Always", "readinessProbe": {"tcpSocket": {"port": 1}}}
    assert create_errors("pods", pod(initContainers=[sidecar])) == []


def test_images_may_change_and_tolerations_be_added() -> None:
    old = created("pods", pod())
    new = patched(
        old, tolerations=[*old["spec"]["tolerations"], {"key": "a", "operator": "Exists"}], activeDeadlineSeconds=5
    )
    new["spec"]["containers"][0]["image"] = "nginx:2"
    assert update_errors("pods", old, new) == []


def test_nothing_else_may_change() -> None:
    old = created("pods", pod(nodeName="node-1"))
    new = patched(old, restartPolicy="Never", nodeName="node-2")
    (found,) = update_errors("pods", old, new)
    first, *rest = found.split("\n")
    assert first == (
        "spec: Forbidden: pod updates may not change fields other than "
        "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
        "`spec.tolerations` (only additions to existing tolerations),"
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
    )
    assert rest == ['  spec.nodeName: "node-1" -> "node-2"', '  spec.restartPolicy: "Always" -> "Never"']


def test_containers_may_not_come_and_go() -> None:
    old = created("pods", pod())
    new = patched(old, containers=[*old["spec"]["containers"], {"name": "d", "image": "x"}])
    assert update_errors("pods", old, new) == [
        "spec.containers: Forbidden: pod updates may not add or remove containers"
    ]


def test_the_same_manifest_again_changes_nothing() -> None:
    old = created("pods", pod(serviceAccountName="default"))
    again = updated("pods", old, pod(serviceAccountName="default"))
    assert again["spec"] == old["spec"]


def test_status_keeps_addresses_in_step() -> None:
    old = created("pods", pod())
    made = updated("pods", old, {**old, "status": {"phase": "Running", "podIP": "10.1.0.2"}}, "status")
    assert made["status"] == {
        "phase": "Running",
        "podIP": "10.1.0.2",
        "podIPs": [{"ip": "10.1.0.2"}],
        "qosClass": "BestEffort",
    }


def test_an_ended_container_does_not_run_again() -> None:
    old = created("pods", pod(restartPolicy="Never"))
    old["status"]["containerStatuses"] = [{"name": "c", "state": {"terminated": {"exitCode": 1}}}]
    new = {**old, "status": {**old["status"], "containerStatuses": [{"name": "c", "state": {"running": {}}}]}}
    assert update_errors("pods", old, new, "status") == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    ]


@pytest.mark.parametrize(
    ("container", "wanted"),
    [
        (
            {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}, {"name": "A", "value": "$(A)3"}]},
            ['spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'],
        ),
        (
            {"ports": [{"containerPort": 80}, {"containerPort": 80}]},
            ["spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"],
        ),
        (
            {"resources": {"requests": {"memory": "100m"}}},
            [
                'spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, must be an integer'
            ],
        ),
    ],
)
def test_warnings(container: JsonObject, wanted: list[str]) -> None:
    assert warnings("pods", pod(container)) == wanted


def test_selectable_fields() -> None:
    made = created("pods", pod(nodeName="node-1"))
    made["status"]["podIPs"] = [{"ip": "10.1.0.2"}]
    labels = STRATEGIES["pods"].field_labels(made)
    assert labels.keys() == STRATEGIES["pods"].field_label_names
    assert labels["spec.nodeName"] == "node-1"
    assert labels["status.phase"] == "Pending"
    assert labels["status.podIP"] == "10.1.0.2"
    assert labels["spec.hostNetwork"] == "false"


def test_deletion_grace() -> None:
    grace = STRATEGIES["pods"].grace_period_seconds
    assert grace is not None
    bound = created("pods", pod(nodeName="node-1", terminationGracePeriodSeconds=7))
    assert grace(bound) == 7
    assert grace(created("pods", pod())) == 0
    assert grace({**bound, "status": {"phase": "Succeeded"}}) == 0
