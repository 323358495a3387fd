"""What Endpoints and EndpointSlices share: which pods a Service selects, and what each can serve. Pure.

Source: staging/src/k8s.io/endpointslice/util/controller_utils.go, pkg/controller/endpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from emulator.api.kinds import ENDPOINT_SLICE, POD, SERVICE, Kind
from emulator.api.meta import JsonObject, ObjectKey, condition_of, is_terminating, labels_of, parse_time
from emulator.api.selectors import matches_set
from emulator.client.index import Change
from emulator.controllers.changes import View

HEADLESS_LABEL = "service.kubernetes.io/headless"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
NONE = "None"


def has_selector(service: Mapping[str, Any]) -> bool:
    """Whether endpoints are made for it: a selector, and not an ExternalName."""
    spec = service.get("spec") or {}
    return bool(spec.get("selector")) and spec.get("type") != "ExternalName"


def selected_pods(service: Mapping[str, Any], view: View) -> list[JsonObject]:
    """The Service's pods that can be endpoints, terminating ones among them, by name."""
    pods = view.in_namespace(POD, service["metadata"]["namespace"])
    selector = service["spec"]["selector"]
    return [pod for _, pod in sorted(pods.items()) if matches_set(selector, labels_of(pod)) and may_serve(pod)]


def may_serve(pod: Mapping[str, Any]) -> bool:
    """Has an address and has not ended."""
    status = pod.get("status") or {}
    return bool(addresses_of(pod)) and status.get("phase") not in ("Succeeded", "Failed")


def addresses_of(pod: Mapping[str, Any]) -> list[str]:
    status = pod.get("status") or {}
    listed = [entry["ip"] for entry in status.get("podIPs") or () if entry.get("ip")]
    return listed or ([status["podIP"]] if status.get("podIP") else [])


def address_of(pod: Mapping[str, Any], family: str) -> str | None:
    """The pod's first address of `IPv4` or `IPv6`."""
    return next((ip for ip in addresses_of(pod) if (":" in ip) == (family == "IPv6")), None)


def is_ready(pod: Mapping[str, Any]) -> bool:
    return (condition_of(pod, "Ready") or {}).get("status") == "True"


def port_number(service_port: Mapping[str, Any], pod: Mapping[str, Any]) -> int | None:
    """The port of `pod` behind a Service port; a named one is looked up, name and protocol. None: it has none."""
    target = service_port.get("targetPort") or service_port["port"]
    if isinstance(target, int):
        return target
    protocol = service_port.get("protocol", "TCP")
    spec = pod.get("spec") or {}
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in [*(spec.get("containers") or ()), *sidecars]:
        for port in container.get("ports") or ():
            if port.get("name") == target and port.get("protocol", "TCP") == protocol:
                return int(port["containerPort"])
    return None


def target_reference(pod: Mapping[str, Any]) -> JsonObject:
    metadata = pod["metadata"]
    return {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}


def hostname_of(pod: Mapping[str, Any], service: Mapping[str, Any]) -> str:
    """The pod's own name under this Service: set only when its subdomain is the Service."""
    spec = pod.get("spec") or {}
    return (
        str(spec["hostname"]) if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"] else ""
    )


def trigger_time(service: Mapping[str, Any], pods: Iterable[Mapping[str, Any]]) -> str:
    """The newest change that endpoints follow: the Service's own or a pod's readiness."""
    times = [service["metadata"].get("creationTimestamp", "")]
    for pod in pods:
        times.append((condition_of(pod, "Ready") or {}).get("lastTransitionTime") or "")
        if is_terminating(pod):
            times.append(pod["metadata"]["deletionTimestamp"])
    return max((time for time in times if time), key=parse_time, default="")


def services_of_change(change: Change, view: View) -> Iterable[ObjectKey]:
    """The Services whose endpoints a changed Service, pod or slice concerns."""
    if change.kind is SERVICE:
        return (change.key,)
    if change.kind is POD:
        return _services_of_pod(change, view)
    if change.kind is ENDPOINT_SLICE:
        name = labels_of(change.object).get("kubernetes.io/service-name")
        return (ObjectKey(change.key.namespace, name),) if name else ()
    return (change.key,)


def _services_of_pod(change: Change, view: View) -> list[ObjectKey]:
    before = labels_of(change.previous) if change.previous is not None else None
    after = labels_of(change.object)
    found = []
    for name, service in view.in_namespace(SERVICE, change.key.namespace).items():
        if has_selector(service):
            selector = service["spec"]["selector"]
            if matches_set(selector, after) or (before is not None and matches_set(selector, before)):
                found.append(ObjectKey(change.key.namespace, name))
    return found


def services_of_node(change: Change, view: View) -> Iterable[ObjectKey]:
    """All selected Services when a node comes, goes or moves: endpoints carry its zone."""
    if change.type == "MODIFIED" and change.previous and labels_of(change.previous) == labels_of(change.object):
        return ()
    return [ObjectKey(s["metadata"]["namespace"], s["metadata"]["name"]) for s in view.all(SERVICE) if has_selector(s)]


def service_labels(service: Mapping[str, Any], own: Mapping[str, str]) -> dict[str, str]:
    """The Service's labels with the controller's own; the headless mark is the controller's to give."""
    labels = {key: value for key, value in labels_of(service).items() if key != HEADLESS_LABEL}
    labels.update(own)
    if (service["spec"].get("clusterIP") or "") in ("", NONE):
        labels[HEADLESS_LABEL] = ""
    return labels


POD_KINDS: tuple[Kind, ...] = (SERVICE, POD)
