"""NetworkPolicy: what its rules imply, what is wrong with them, and that nobody enforces them."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.meta import JsonObject
from emulator.registry.kinds.networkpolicy import NOT_ENFORCED
from tests.unit.registry.kinds.support import create_errors, created, update_errors, warnings

POLICY = "networkpolicies.networking.k8s.io"
FROM, PORT = "spec.ingress[0].from[0]", "spec.ingress[0].ports[0]"


def policy(**spec: Any) -> JsonObject:
    return {"metadata": {"name": "p", "namespace": "n"}, "spec": spec}


def peer(**fields: Any) -> JsonObject:
    return policy(ingress=[{"from": [fields]}])


def port(**fields: Any) -> JsonObject:
    return policy(ingress=[{"ports": [fields]}])


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, {"podSelector": {}, "policyTypes": ["Ingress"]}),
        ({"egress": [{}]}, {"podSelector": {}, "egress": [{}], "policyTypes": ["Ingress", "Egress"]}),
        ({"policyTypes": ["Egress"]}, {"podSelector": {}, "policyTypes": ["Egress"]}),
        (
            {"ingress": [{"ports": [{"port": 80}]}]},
            {
                "podSelector": {},
                "ingress": [{"ports": [{"port": 80, "protocol": "TCP"}]}],
                "policyTypes": ["Ingress"],
            },
        ),
    ],
)
def test_defaults(spec: JsonObject, wanted: JsonObject) -> None:
    assert created(POLICY, policy(**spec))["spec"] == wanted


@pytest.mark.parametrize(
    ("object", "wanted"),
    [
        (policy(), []),
        (peer(), [f"{FROM}: Required value: must specify a peer"]),
        (peer(podSelector={}, namespaceSelector={}), []),
        (
            peer(podSelector={}, ipBlock={"cidr": "10.0.0.0/8"}),
            [f"{FROM}: Forbidden: may not specify both ipBlock and another peer"],
        ),
        (peer(ipBlock={}), [f"{FROM}.ipBlock.cidr: Required value"]),
        (
            peer(ipBlock={"cidr": "10.0.0.1"}),
            [
                (
                    f'{FROM}.ipBlock.cidr: Invalid value: "10.0.0.1": '
                    "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
                )
            ],
        ),
        (
            peer(ipBlock={"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16", "10.0.0.0/8", "10.1.0.0/16"]}),
            [
                f'{FROM}.ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
                f'{FROM}.ipBlock.except[1]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`',
            ],
        ),
        (port(port=80, endPort=90), []),
        (port(port="http"), []),
        (
            port(protocol="ICMP"),
            [f'{PORT}.protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"'],
        ),
        (port(port=0), [f"{PORT}.port: Invalid value: 0: must be between 1 and 65535, inclusive"]),
        (
            port(endPort=9),
            [f"{PORT}.endPort: Invalid value: 9: may not be specified when `port` is not specified"],
        ),
        (
            port(port="http", endPort=9),
            [f"{PORT}.endPort: Invalid value: 9: may not be specified when `port` is non-numeric"],
        ),
        (port(port=80, endPort=9), [f"{PORT}.endPort: Invalid value: 9: must be greater than or equal to `port`"]),
        (
            policy(policyTypes=["Ingress", "Sideways"]),
            ['spec.policyTypes[1]: Unsupported value: "Sideways": supported values: "Ingress", "Egress"'],
        ),
        (
            policy(policyTypes=["Ingress", "Egress", "Egress"]),
            [
                (
                    'spec.policyTypes: Invalid value: ["Ingress","Egress","Egress"]: '
                    "may not specify more than two policyTypes"
                )
            ],
        ),
    ],
)
def test_rules(object: JsonObject, wanted: list[str]) -> None:
    assert create_errors(POLICY, object) == wanted


def test_a_cidr_that_was_there_is_not_checked_again() -> None:
    bad = peer(ipBlock={"cidr": "010.0.0.0/8"})
    assert update_errors(POLICY, created(POLICY, bad), bad) == []
    assert update_errors(POLICY, created(POLICY, policy()), bad) != []


def test_a_warning_says_that_it_is_not_enforced() -> None:
    assert warnings(POLICY, policy()) == [NOT_ENFORCED]
    (_, ambiguous) = warnings(POLICY, peer(ipBlock={"cidr": "10.0.0.1/8"}))
    assert ambiguous.startswith(f'{FROM}.ipBlock.cidr: CIDR value "10.0.0.1/8" is ambiguous')
