"""What a cluster has before anybody writes to it, and the IPAddress objects that stand for Services' addresses.

Source: pkg/controlplane (system namespaces, default ServiceCIDR), pkg/registry/scheduling/rest (system classes),
pkg/registry/core/service/ipallocator/ipallocator.go. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator

from emulator.api.kinds import IP_ADDRESS, NAMESPACE, PRIORITY_CLASS, SERVICE_CIDR, Kind
from emulator.api.meta import JsonObject
from emulator.config.settings import ClusterConfig
from emulator.registry.admission import SYSTEM_NAMESPACES
from emulator.registry.service_allocation import held

DEFAULT_SERVICE_CIDR = "kubernetes"
PRIORITIES = (
    ("system-cluster-critical", 2_000_000_000, "critical pods that must run in the cluster, but can be moved"),
    ("system-node-critical", 2_000_001_000, "critical pods that must not be moved from their node"),
)


def initial_objects(config: ClusterConfig) -> Iterator[tuple[Kind, JsonObject]]:
    """In the order they are made; one that is there already is left as it is."""
    for name in SYSTEM_NAMESPACES:
        yield NAMESPACE, {"metadata": {"name": name}}
    yield (
        SERVICE_CIDR,
        {
            "metadata": {"name": DEFAULT_SERVICE_CIDR},
            "spec": {"cidrs": [str(config.addresses.services)]},
        },
    )
    for name, value, purpose in PRIORITIES:
        yield PRIORITY_CLASS, {"metadata": {"name": name}, "value": value, "description": f"For {purpose}."}


def addresses_of(service: JsonObject | None) -> set[str]:
    """The addresses a Service has from the ranges."""
    return set() if service is None else set(held(service)[0])


def ip_address(service: JsonObject, address: str) -> JsonObject:
    """The object that says which Service has an address."""
    metadata = service["metadata"]
    return {
        "apiVersion": IP_ADDRESS.api_version,
        "kind": IP_ADDRESS.kind,
        "metadata": {
            "name": address,
            "labels": {
                "ipaddress.kubernetes.io/ip-family": "IPv6" if ":" in address else "IPv4",
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            },
        },
        "spec": {
            "parentRef": {"resource": "services", "namespace": metadata["namespace"], "name": metadata["name"]},
        },
    }
