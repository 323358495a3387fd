"""The names and addresses under which a cluster's API server is reached, for its certificate."""

from __future__ import annotations

from emulator.config.presets import node_address
from emulator.config.settings import ClusterConfig


def certificate_hosts(config: ClusterConfig) -> list[str]:
    """DNS names and IP addresses, each once: loopback, the `kubernetes` Service's names, its ClusterIP, the nodes.

    The first node's address is always among them: the sandbox serves the API there even without a node.
    """
    service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    service.append(f"kubernetes.default.svc.{config.cluster_domain}")
    nodes = [node_address(config.addresses, number) for number in range(1, max(config.nodes, 1) + 1)]
    return list(dict.fromkeys(["localhost", "127.0.0.1", *service, config.addresses.kubernetes, *nodes]))
