"""The ingress controller's own Service: an address of its own for Ingresses where addresses can be had.

Its name and namespace are those of upstream's manifests. The controller listens on a node, so the Service has no selector.
"""

from __future__ import annotations

from emulator.api.meta import JsonObject, ObjectKey

INGRESS_SERVICE = ObjectKey("ingress-nginx", "ingress-nginx-controller")
PORTS = (("http", 80), ("https", 443))
LABELS = {
    "app.kubernetes.io/name": "ingress-nginx",
    "app.kubernetes.io/instance": "ingress-nginx",
    "app.kubernetes.io/component": "controller",
}


def ingress_namespace() -> JsonObject:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": INGRESS_SERVICE.namespace}}


def ingress_service(address: str) -> JsonObject:
    """address: of the load balancers' pool; one that is asked for, so that users' Services get the first ones."""
    ports = [{"name": name, "port": port, "appProtocol": name} for name, port in PORTS]
    spec = {"type": "LoadBalancer", "loadBalancerIP": address, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(), "spec": spec}


def ingress_endpoints(address: str) -> JsonObject:
    """address: where the controller listens on both ports."""
    ports = [{"name": name, "port": port} for name, port in PORTS]
    subset = {"addresses": [{"ip": address}], "ports": ports}
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": _metadata(), "subsets": [subset]}


def _metadata() -> JsonObject:
    return {"name": INGRESS_SERVICE.name, "namespace": INGRESS_SERVICE.namespace, "labels": dict(LABELS)}
