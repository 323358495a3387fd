"""Endpoints and EndpointSlices: defaults, limits, addresses that may not be sent to."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.meta import JsonObject
from emulator.config.presets import address_plan
from emulator.config.settings import ClusterConfig
from tests.unit.registry.kinds.support import create_errors, created, update_errors, warnings

BAD_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
LOOPBACK = "may not be in the loopback range (127.0.0.0/8, ::1/128)"


def endpoints(*subsets: JsonObject, name: str = "db", namespace: str = "n") -> JsonObject:
    return {"metadata": {"name": name, "namespace": namespace}, "subsets": list(subsets)}


def slice(**fields: Any) -> JsonObject:
    return {"metadata": {"name": "db-1", "namespace": "n"}, "addressType": "IPv4", **fields}


def test_hand_made_endpoints_keep_their_order() -> None:
    given = {"addresses": [{"ip": "192.0.2.11"}, {"ip": "192.0.2.10"}], "ports": [{"name": "pg", "port": 5432}]}
    made = created("endpoints", endpoints(given))
    assert made["subsets"] == [{**given, "ports": [{"name": "pg", "port": 5432, "protocol": "TCP"}]}]


@pytest.mark.parametrize(
    ("subset", "wanted"),
    [
        ({}, ["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"]),
        (
            {"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": 0}]},
            [
                f'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": {LOOPBACK}',
                "subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            {"notReadyAddresses": [{"ip": "nope"}], "ports": [{"port": 1}, {"port": 2}]},
            [
                f'subsets[0].notReadyAddresses[0].ip: Invalid value: "nope": {BAD_IP}',
                'subsets[0].notReadyAddresses[0].ip: Invalid value: "nope": must be a valid IP address',
                "subsets[0].ports[0].name: Required value",
                "subsets[0].ports[1].name: Required value",
            ],
        ),
        (
            {"addresses": [{"ip": "169.254.1.1"}, {"ip": "224.0.0.5"}, {"ip": "0.0.0.0"}]},
            [
                (
                    'subsets[0].addresses[0].ip: Invalid value: "169.254.1.1": '
                    "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
                ),
                (
                    'subsets[0].addresses[1].ip: Invalid value: "224.0.0.5": '
                    "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
                ),
                'subsets[0].addresses[2].ip: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)',
            ],
        ),
    ],
)
def test_endpoints_refusals(subset: JsonObject, wanted: list[str]) -> None:
    assert create_errors("endpoints", endpoints(subset)) == wanted


def test_loopback_addresses_in_loopback_mode() -> None:
    host = endpoints({"addresses": [{"ip": "127.0.0.1"}]})
    assert create_errors("endpoints", host, ClusterConfig()) == []
    # A service range outside 127/8: the addresses are for show, and the rule is upstream's but for pods and the API.
    shown = ClusterConfig(addresses=address_plan("microk8s", "loopback", service_cidr="10.152.183.0/24"))
    assert create_errors("endpoints", host, shown) == [
        f'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": {LOOPBACK}'
    ]
    assert create_errors("endpoints", endpoints({"addresses": [{"ip": "127.1.0.7"}]}), shown) == []
    own = endpoints({"addresses": [{"ip": "127.0.0.1"}]}, name="kubernetes", namespace="default")
    assert create_errors("endpoints", own, shown) == []


def test_addresses_in_odd_shapes_warn_but_not_the_controller() -> None:
    given = endpoints({"addresses": [{"ip": "2001:db8:0:0::2"}]})
    assert warnings("endpoints", given) == [
        'subsets[0].addresses[0].ip: IPv6 address "2001:db8:0:0::2" should be in RFC 5952 canonical format ("2001:db8::2")'
    ]
    given["metadata"]["labels"] = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    assert warnings("endpoints", given) == []


def test_slice_defaults() -> None:
    made = created(
        "endpointslices.discovery.k8s.io", slice(endpoints=[{"addresses": ["192.0.2.1"]}], ports=[{"port": 80}])
    )
    assert made["ports"] == [{"name": "", "protocol": "TCP", "port": 80}]
    assert made["endpoints"] == [{"addresses": ["192.0.2.1"], "conditions": {}}]


def test_empty_lists_of_a_slice_are_null() -> None:
    made = created("endpointslices.discovery.k8s.io", slice(endpoints=[]))
    assert made["endpoints"] is None
    assert made["ports"] is None


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"addressType": ""}, ["addressType: Required value"]),
        ({"addressType": "IP"}, ['addressType: Unsupported value: "IP": supported values: "FQDN", "IPv4", "IPv6"']),
        (
            {"endpoints": [{"addresses": []}]},
            ["endpoints[0].addresses: Required value: must contain at least 1 address"],
        ),
        (
            {"endpoints": [{"addresses": ["192.0.2.1"]}] * 1001},
            ["endpoints: Too many: 1001: must have at most 1000 items"],
        ),
        (
            {"endpoints": [{"addresses": ["192.0.2.1"] * 101}]},
            ["endpoints[0].addresses: Too many: 101: must have at most 100 items"],
        ),
        (
            {"endpoints": [{"addresses": ["127.0.0.1"], "hostname": "A"}]},
            [
                f'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": {LOOPBACK}',
                (
                    'endpoints[0].hostname: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case '
                    "alphanumeric characters or '-', and must start and end with an alphanumeric character "
                    "(e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
                ),
            ],
        ),
        (
            {"ports": [{"port": 80}, {"port": 81}]},
            ['ports[1].name: Duplicate value: ""'],
        ),
        (
            {"endpoints": [{"addresses": ["192.0.2.1"], "hints": {"forZones": [{"name": "a"}, {"name": "a"}]}}]},
            ['endpoints[0].hints.forZones[1].name: Duplicate value: "a"'],
        ),
    ],
)
def test_slice_refusals(fields: JsonObject, wanted: list[str]) -> None:
    assert create_errors("endpointslices.discovery.k8s.io", slice(**fields)) == wanted


def test_the_address_type_never_changes() -> None:
    old = created("endpointslices.discovery.k8s.io", slice())
    assert update_errors("endpointslices.discovery.k8s.io", old, slice(addressType="IPv6")) == [
        'addressType: Invalid value: "IPv6": field is immutable'
    ]
