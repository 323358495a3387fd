"""What the server's certificate must cover."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

from emulator.apiserver.identity import certificate_hosts
from emulator.config.settings import ClusterConfig


def test_loopback_mode_has_one_node_address() -> None:
    hosts = certificate_hosts(ClusterConfig(nodes=3))
    assert len(hosts) == len(set(hosts))
    assert {"127.0.0.1", "localhost", "kubernetes", "kubernetes.default.svc.cluster.local", "127.152.183.1"} <= set(
        hosts
    )


def test_every_node_is_covered_and_the_first_even_without_nodes() -> None:
    plan = replace(ClusterConfig().addresses, nodes=IPv4Network("10.0.0.0/24"))
    assert {"10.0.0.1", "10.0.0.2"} <= set(certificate_hosts(ClusterConfig(nodes=2, addresses=plan)))
    assert "10.0.0.1" in certificate_hosts(ClusterConfig(nodes=0, addresses=plan))
