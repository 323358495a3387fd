"""What a Service spec says about itself: its type's needs, headless or not. Pure questions, used by the other service modules.

Source: pkg/api/service/util.go, pkg/registry/core/service/strategy.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CLUSTER_IP = "ClusterIP"
NODE_PORT = "NodePort"
LOAD_BALANCER = "LoadBalancer"
EXTERNAL_NAME = "ExternalName"
TYPES = (CLUSTER_IP, EXTERNAL_NAME, LOAD_BALANCER, NODE_PORT)

TOPOLOGY_HINTS = "service.kubernetes.io/topology-aware-hints"
TOPOLOGY_MODE = "service.kubernetes.io/topology-mode"
SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"

Spec = Mapping[str, Any]


def needs_cluster_ip(spec: Spec) -> bool:
    """A value in clusterIP, `None` included."""
    return spec.get("type") != EXTERNAL_NAME


def needs_node_ports(spec: Spec) -> bool:
    return spec.get("type") in (NODE_PORT, LOAD_BALANCER)


def needs_health_check_port(spec: Spec) -> bool:
    return spec.get("type") == LOAD_BALANCER and spec.get("externalTrafficPolicy") == "Local"


def is_externally_accessible(spec: Spec) -> bool:
    return needs_node_ports(spec) or (spec.get("type") == CLUSTER_IP and bool(spec.get("externalIPs")))


def is_headless(spec: Spec) -> bool:
    return list(spec.get("clusterIPs") or ()) == ["None"]
