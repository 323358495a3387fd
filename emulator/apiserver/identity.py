"""The names and addresses under which a cluster's API server is reached, for its certificate."""

from __future__ import annotations

from emulator.config.settings import ClusterConfig


def certificate_hosts(config: ClusterConfig) -> list[str]:
    """DNS names and IP addresses, each once: loopback, the `kubernetes` Service's names, its ClusterIP, the nodes."""
    names = ["127.0.0.1", "::1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    names += [f"kubernetes.default.svc.{config.cluster_domain}", config.addresses.kubernetes]
    nodes = config.addresses.nodes
    if nodes.num_addresses == 1:
        names.append(str(nodes[0]))
    else:
        names += [str(nodes[number]) for number in range(1, min(config.nodes, nodes.num_addresses - 2) + 1)]
        names.append(str(nodes[1]))  # the sandbox serves the API there even without a node
    return list(dict.fromkeys(names))
