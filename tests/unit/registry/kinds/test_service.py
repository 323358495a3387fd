"""Services: defaults by type, what updates keep and wipe, and every refusal, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.meta import JsonObject
from emulator.config.settings import ClusterConfig
from emulator.registry.kinds.table import STRATEGIES
from tests.unit.registry.kinds.support import create_errors, created, patched, update_errors, updated, warnings

ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'"


def service(**spec: Any) -> JsonObject:
    return {
        "metadata": {"name": "a", "namespace": "n"},
        "spec": {"ports": [{"port": 80}], "selector": {"r": "a"}, **spec},
    }


def stored(**spec: Any) -> JsonObject:
    """A Service with what the allocators would have given it."""
    made = created("services", service(**spec))
    if made["spec"]["type"] != "ExternalName" and not made["spec"].get("clusterIP"):
        made["spec"] |= {"clusterIP": "10.152.183.20", "clusterIPs": ["10.152.183.20"]}
    if made["spec"]["type"] in ("NodePort", "LoadBalancer"):
        for number, port in enumerate(made["spec"]["ports"]):
            port.setdefault("nodePort", 30500 + number)
    return made


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (
            {},
            {
                "ports": [{"protocol": "TCP", "port": 80, "targetPort": 80}],
                "selector": {"r": "a"},
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack",
                "internalTrafficPolicy": "Cluster",
            },
        ),
        (
            {"type": "ExternalName", "externalName": "db.example.com", "ports": []},
            {
                "selector": {"r": "a"},
                "type": "ExternalName",
                "sessionAffinity": "None",
                "externalName": "db.example.com",
            },
        ),
        (
            {"clusterIP": "None", "ports": [], "selector": {}},
            {
                "clusterIP": "None",
                "clusterIPs": ["None"],
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "ipFamilies": ["IPv4", "IPv6"],
                "ipFamilyPolicy": "RequireDualStack",
                "internalTrafficPolicy": "Cluster",
            },
        ),
    ],
)
def test_defaults(given: JsonObject, wanted: JsonObject) -> None:
    assert created("services", service(**given))["spec"] == wanted


def test_defaults_of_a_load_balancer() -> None:
    made = created("services", service(type="LoadBalancer"))
    assert made["spec"]["allocateLoadBalancerNodePorts"] is True
    assert made["spec"]["externalTrafficPolicy"] == "Cluster"
    assert made["status"] == {"loadBalancer": {}}


def test_external_ips_bring_an_external_traffic_policy() -> None:
    assert created("services", service(externalIPs=["192.0.2.1"]))["spec"]["externalTrafficPolicy"] == "Cluster"


def test_client_ip_affinity_has_a_timeout() -> None:
    spec = created("services", service(sessionAffinity="ClientIP"))["spec"]
    assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    assert "sessionAffinityConfig" not in created("services", service(sessionAffinityConfig={"clientIP": {}}))["spec"]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"ports": []}, ["spec.ports: Required value"]),
        (
            {"ports": [{"port": 0}]},
            [
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            {"ports": [{"port": 80}, {"name": "b", "port": 81}]},
            ["spec.ports[0].name: Required value"],
        ),
        (
            {"ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]},
            ['spec.ports[1].name: Duplicate value: "a"'],
        ),
        (
            {"ports": [{"name": "x", "port": 80}, {"name": "y", "port": 80}]},
            [
                (
                    'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,'
                    '"Port":80,"TargetPort":0,"NodePort":0}'
                )
            ],
        ),
        (
            {"ports": [{"port": 80, "protocol": "HTTP"}]},
            ['spec.ports[0].protocol: Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"'],
        ),
        (
            {"ports": [{"port": 80, "nodePort": 30000}]},
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        (
            {
                "type": "NodePort",
                "ports": [{"name": "a", "port": 80, "nodePort": 30001}, {"name": "b", "port": 81, "nodePort": 30001}],
            },
            ["spec.ports[1].nodePort: Duplicate value: 30001"],
        ),
        (
            {"type": "Foo"},
            [
                (
                    'spec.type: Unsupported value: "Foo": '
                    'supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'
                )
            ],
        ),
        ({"type": "ExternalName", "ports": []}, ["spec.externalName: Required value"]),
        (
            {"type": "ExternalName", "externalName": "x.example.com", "clusterIP": "None"},
            ["spec.clusterIPs: Forbidden: may not be set for ExternalName services"],
        ),
        (
            {"type": "NodePort", "clusterIP": "None"},
            ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
        ),
        (
            {"clusterIP": "nope"},
            [
                (
                    'spec.clusterIPs[0]: Invalid value: "nope": must be a valid IP address, '
                    "(e.g. 10.9.8.7 or 2001:db8::ffff)"
                )
            ],
        ),
        (
            {"clusterIP": "fd00::1", "ports": []},  # families are settled before anything else is looked at
            ['spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster'],
        ),
        (
            {"clusterIPs": ["10.152.183.9"]},
            ['spec.clusterIPs: Invalid value: ["10.152.183.9"]: must be empty when `clusterIP` is not specified'],
        ),
        (
            {"clusterIP": "10.152.183.9", "clusterIPs": ["10.152.183.8"]},
            ['spec.clusterIPs: Invalid value: ["10.152.183.8"]: first value must match `clusterIP`'],
        ),
        (
            {"ipFamilies": ["IPv6"]},
            ['spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'],
        ),
        (
            {"ipFamilies": ["IPv5"]},
            ['spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"'],
        ),
        (
            {"ipFamilyPolicy": "RequireDualStack"},
            [
                (
                    'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": '
                    "this cluster is not configured for dual-stack services"
                )
            ],
        ),
        (
            {"ipFamilyPolicy": "Both"},
            [
                (
                    'spec.ipFamilyPolicy: Unsupported value: "Both": '
                    'supported values: "PreferDualStack", "RequireDualStack", "SingleStack"'
                )
            ],
        ),
        (
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}},
            [
                (
                    "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: "
                    "must be greater than 0 and less than 86400"
                )
            ],
        ),
        (
            {"sessionAffinity": "Cookie"},
            ['spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"'],
        ),
        (
            {"externalTrafficPolicy": "Local"},
            ['spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'],
        ),
        (
            {"type": "NodePort", "externalTrafficPolicy": "Near"},
            ['spec.externalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"'],
        ),
        (
            {"internalTrafficPolicy": "Near"},
            ['spec.internalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"'],
        ),
        (
            {"type": "LoadBalancer", "healthCheckNodePort": 32000},
            [
                (
                    "spec.healthCheckNodePort: Invalid value: 32000: "
                    "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
                )
            ],
        ),
        (
            {"loadBalancerSourceRanges": ["10.0.0.0/8"]},
            [f"spec.LoadBalancerSourceRanges: Forbidden: {ONLY_LOAD_BALANCER}"],
        ),
        (
            {"type": "LoadBalancer", "loadBalancerSourceRanges": [" 10.0.0.0/8 ", "10.0.0.1"]},
            [
                (
                    'spec.LoadBalancerSourceRanges[1]: Invalid value: "10.0.0.1": '
                    "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
                )
            ],
        ),
        (
            {"allocateLoadBalancerNodePorts": False},
            [f"spec.allocateLoadBalancerNodePorts: Forbidden: {ONLY_LOAD_BALANCER}"],
        ),
        ({"loadBalancerClass": "x/y"}, [f"spec.loadBalancerClass: Forbidden: {ONLY_LOAD_BALANCER}"]),
        (
            {"trafficDistribution": "Nearby"},
            [
                (
                    'spec.trafficDistribution: Unsupported value: "Nearby": '
                    'supported values: "PreferClose", "PreferSameZone", "PreferSameNode"'
                )
            ],
        ),
        (
            {"externalIPs": ["127.0.0.1"]},
            [
                (
                    'spec.externalIPs[0]: Invalid value: "127.0.0.1": '
                    "may not be in the loopback range (127.0.0.0/8, ::1/128)"
                )
            ],
        ),
    ],
)
def test_refusals(given: JsonObject, wanted: list[str]) -> None:
    assert create_errors("services", service(**given)) == wanted


@pytest.mark.parametrize(
    "given",
    [
        {"type": "ExternalName", "externalName": "db.example.com."},
        {"type": "LoadBalancer", "loadBalancerClass": "example.com/fast"},
        {"ipFamilyPolicy": "PreferDualStack"},
        {"ports": [{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}]},
        {"ports": [{"port": 80, "targetPort": "web"}]},
        {"trafficDistribution": "PreferSameNode"},
    ],
)
def test_legal(given: JsonObject) -> None:
    assert create_errors("services", service(**given)) == []


def test_own_addresses_are_legal_in_loopback_mode() -> None:
    given = service(externalIPs=["127.64.140.43"])
    assert create_errors("services", given, ClusterConfig()) == []


def test_an_update_keeps_what_was_allocated() -> None:
    old = stored(type="NodePort", ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81}])
    again = updated(
        "services", old, service(type="NodePort", ports=[{"name": "b", "port": 82}, {"name": "c", "port": 83}])
    )
    assert again["spec"]["clusterIP"] == "10.152.183.20"
    assert again["spec"]["clusterIPs"] == ["10.152.183.20"]
    assert [port.get("nodePort") for port in again["spec"]["ports"]] == [30501, None]


def test_a_node_port_in_use_by_another_port_is_not_carried_over() -> None:
    old = stored(type="NodePort", ports=[{"name": "a", "port": 80}])
    new = service(type="NodePort", ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81, "nodePort": 30500}])
    assert "nodePort" not in updated("services", old, new)["spec"]["ports"][0]


@pytest.mark.parametrize("address", ["10.152.183.21", "None"])
def test_a_cluster_ip_never_changes(address: str) -> None:
    old = stored()
    wanted = [f'spec.clusterIPs[0]: Invalid value: ["{address}"]: may not change once set']
    assert update_errors("services", old, patched(old, clusterIP=address)) == wanted


def test_headless_stays_headless() -> None:
    old = stored(clusterIP="None")
    assert updated("services", old, service())["spec"]["clusterIPs"] == ["None"]
    assert update_errors("services", old, patched(old, clusterIP="10.152.183.9")) == [
        'spec.clusterIPs[0]: Invalid value: ["10.152.183.9"]: may not change once set'
    ]


def test_leaving_node_port_releases_its_fields() -> None:
    old = stored(type="NodePort")
    spec = updated("services", old, patched(old, type="ClusterIP"))["spec"]
    assert "nodePort" not in spec["ports"][0]
    assert "externalTrafficPolicy" not in spec
    assert spec["clusterIP"] == "10.152.183.20"


def test_leaving_load_balancer_releases_its_fields_and_status() -> None:
    old = stored(type="LoadBalancer", externalTrafficPolicy="Local", loadBalancerClass="x/y")
    old["spec"]["healthCheckNodePort"] = 31000
    old["status"] = {"loadBalancer": {"ingress": [{"ip": "10.64.140.43", "ipMode": "VIP"}]}}
    new = updated("services", old, patched(old, type="NodePort"))
    gone = ("healthCheckNodePort", "loadBalancerClass", "allocateLoadBalancerNodePorts")
    assert not any(name in new["spec"] for name in gone)
    assert new["spec"]["externalTrafficPolicy"] == "Local"
    assert new["spec"]["ports"][0]["nodePort"] == 30500
    assert new["status"] == {"loadBalancer": {}}


def test_source_ranges_are_not_wiped() -> None:
    old = stored(type="LoadBalancer", loadBalancerSourceRanges=["10.0.0.0/8"])
    assert update_errors("services", old, patched(old, type="ClusterIP")) == [
        f"spec.LoadBalancerSourceRanges: Forbidden: {ONLY_LOAD_BALANCER}"
    ]


def test_to_external_name_and_back() -> None:
    old = stored(type="NodePort")
    named = updated("services", old, patched(old, type="ExternalName", externalName="x.example.com"))
    assert named["spec"] == {
        "ports": [{"protocol": "TCP", "port": 80, "targetPort": 80}],
        "selector": {"r": "a"},
        "type": "ExternalName",
        "sessionAffinity": "None",
        "externalName": "x.example.com",
    }
    back = updated("services", named, patched(named, type="ClusterIP", externalName=None))["spec"]
    assert "clusterIP" not in back  # to be allocated anew
    assert back["ipFamilies"] == ["IPv4"]
    assert back["internalTrafficPolicy"] == "Cluster"


def test_a_class_never_changes_while_it_is_a_load_balancer() -> None:
    old = stored(type="LoadBalancer", loadBalancerClass="x/a")
    assert update_errors("services", old, patched(old, loadBalancerClass="x/b")) == [
        'spec.loadBalancerClass: Invalid value: "x/b": may not change once set'
    ]


def test_a_health_check_port_never_changes_while_it_is_needed() -> None:
    old = stored(type="LoadBalancer", externalTrafficPolicy="Local")
    old["spec"]["healthCheckNodePort"] = 31000
    assert update_errors("services", old, patched(old, healthCheckNodePort=31001)) == [
        "spec.healthCheckNodePort: Forbidden: field is immutable"
    ]
    assert updated("services", old, patched(old, healthCheckNodePort=None))["spec"]["healthCheckNodePort"] == 31000


def test_the_status_is_written_by_its_subresource_only() -> None:
    old = stored(type="LoadBalancer")
    new = patched(old, type="ClusterIP")
    new["status"] = {"loadBalancer": {"ingress": [{"ip": "10.64.140.43"}]}}
    made = updated("services", old, new, "status")
    assert made["spec"] == old["spec"]
    assert updated("services", old, new)["status"] == {"loadBalancer": {}}
    new["spec"]["type"] = "LoadBalancer"
    made = updated("services", old, new, "status")
    assert made["status"]["loadBalancer"]["ingress"] == [{"ip": "10.64.140.43", "ipMode": "VIP"}]


def test_status_refusals() -> None:
    old = stored(type="LoadBalancer")
    ingress = [{"ip": "x"}, {"hostname": "10.0.0.1"}, {"ipMode": "VIP", "hostname": "a.example.com"}]
    new = {**old, "status": {"loadBalancer": {"ingress": ingress}}}
    path = "status.loadBalancer.ingress"
    assert update_errors("services", old, new, "status") == [
        f'{path}[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        f'{path}[1].hostname: Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
        f"{path}[2].ipMode: Forbidden: may not be specified when `ip` is not set",
    ]
    plain = stored()
    assert update_errors("services", plain, {**plain, "status": new["status"]}, "status") == [
        f"{path}: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"
    ]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, []),
        (
            {"externalIPs": ["192.0.2.1"]},
            ["spec.externalIPs is deprecated and may no longer be implemented in some clusters"],
        ),
        (
            {"clusterIP": "None", "sessionAffinity": "ClientIP", "loadBalancerIP": "192.0.2.1"},
            [
                "spec.loadBalancerIP is ignored for headless services",
                "spec.SessionAffinity is ignored for headless services",
            ],
        ),
        ({"externalName": "x.y"}, ['spec.externalName is ignored when spec.type is not "ExternalName"']),
        (
            {"trafficDistribution": "PreferClose"},
            ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'],
        ),
        (
            {"type": "LoadBalancer", "loadBalancerIP": "2001:db8:0:0::1"},
            [
                (
                    'spec.loadBalancerIP: IPv6 address "2001:db8:0:0::1" should be in RFC 5952 canonical format '
                    '("2001:db8::1")'
                )
            ],
        ),
    ],
)
def test_warnings(given: JsonObject, wanted: list[str]) -> None:
    assert warnings("services", service(**given)) == wanted


def test_names_and_selectable_fields() -> None:
    strategy = STRATEGIES["services"]
    assert strategy.validate_name is not None
    assert strategy.validate_name("1web") == []
    assert strategy.validate_name("Web_App") != []
    assert strategy.field_labels(stored(type="NodePort")) == {
        "spec.clusterIP": "10.152.183.20",
        "spec.type": "NodePort",
    }
    assert strategy.create_on_update
    assert not strategy.has_generation
