"""default/kubernetes: the Service through which pods reach the API. Source: pkg/controlplane/controller/kubernetesservice."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from emulator.api.kinds import ENDPOINT_SLICE, ENDPOINTS, NAMESPACE, SERVICE
from emulator.api.meta import JsonObject, ObjectKey, labels_of
from emulator.client.index import Change
from emulator.config.settings import API_PORT_IN_CLUSTER
from emulator.controllers.changes import NOTHING, Changes, Controller, View, Write
from emulator.controllers.pods import SERVICE_NAME

KEY = ObjectKey("default", "kubernetes")
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"


def plan_kubernetes_service(
    key: ObjectKey, view: View, at: datetime, *, cluster_ip: str, host: str, port: int
) -> Changes:
    """The Service, its Endpoints and its EndpointSlice, made again when somebody deletes or bends them."""
    if view.get(NAMESPACE, KEY.namespace) is None:
        return Changes(retry_after_seconds=0.05)
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    creates: list[Write] = []
    updates: list[Write] = []
    if view.get(SERVICE, *_place()) is None:
        creates.append(Write(SERVICE, _service(cluster_ip)))
    endpoints = view.get(ENDPOINTS, *_place())
    subsets = [{"addresses": [{"ip": host}], "ports": ports}]
    if endpoints is None:
        creates.append(Write(ENDPOINTS, {**_head("v1", "Endpoints", {SKIP_MIRROR: "true"}), "subsets": subsets}))
    elif endpoints.get("subsets") != subsets or labels_of(endpoints).get(SKIP_MIRROR) != "true":
        updates.append(Write(ENDPOINTS, {**_labelled(endpoints, {SKIP_MIRROR: "true"}), "subsets": subsets}))
    slice = view.get(ENDPOINT_SLICE, *_place())
    addresses = [{"addresses": [host], "conditions": {"ready": True}}]
    if slice is None:
        head = _head(ENDPOINT_SLICE.api_version, "EndpointSlice", {SERVICE_NAME: KEY.name})
        family = "IPv6" if ":" in host else "IPv4"
        creates.append(Write(ENDPOINT_SLICE, {**head, "addressType": family, "endpoints": addresses, "ports": ports}))
    elif (slice.get("endpoints"), slice.get("ports"), labels_of(slice).get(SERVICE_NAME)) != (
        addresses,
        ports,
        KEY.name,
    ):
        bent = _labelled(slice, {SERVICE_NAME: KEY.name})
        updates.append(Write(ENDPOINT_SLICE, {**bent, "endpoints": addresses, "ports": ports}))
    return Changes(tuple(updates), tuple(creates)) if creates or updates else NOTHING


def _place() -> tuple[str, str]:
    return KEY.name, KEY.namespace


def _labelled(object: JsonObject, labels: dict[str, str]) -> JsonObject:
    return {**object, "metadata": {**object["metadata"], "labels": {**labels_of(object), **labels}}}


def _head(api_version: str, kind: str, labels: dict[str, str]) -> JsonObject:
    metadata = {"name": KEY.name, "namespace": KEY.namespace, "labels": labels}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _service(cluster_ip: str) -> JsonObject:
    return {
        **_head("v1", "Service", {"component": "apiserver", "provider": "kubernetes"}),
        "spec": {
            "clusterIP": cluster_ip,
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": API_PORT_IN_CLUSTER}],
        },
    }


def _keys(change: Change, view: View) -> tuple[ObjectKey, ...]:
    is_home = change.kind is NAMESPACE and change.key.name == KEY.namespace
    return (KEY,) if is_home or change.key == KEY else ()


def controller(cluster_ip: str, api_endpoint: tuple[str, int]) -> Controller:
    host, port = api_endpoint
    plan = partial(plan_kubernetes_service, cluster_ip=cluster_ip, host=host, port=port)
    watches = {SERVICE: _keys, ENDPOINTS: _keys, ENDPOINT_SLICE: _keys, NAMESPACE: _keys}
    return Controller("kubernetesservice", watches, plan, start_keys=(KEY,))
