"""What Endpoints and EndpointSlices share: which pods a Service selects, and what each can serve. Pure.

Source: staging/src/k8s.io/endpointslice/util/controller_utils.go, pkg/controller/endpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from emulator.api.kinds import POD, SERVICE
from emulator.api.meta import JsonObject, ObjectKey, condition_of, is_terminating, key_of, labels_of, parse_time
from emulator.api.selectors import matches_set
from emulator.client.index import Change
from emulator.controllers.changes import View
from emulator.controllers.subsets import Port

HEADLESS_LABEL = "service.kubernetes.io/headless"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
SERVICE_NAME = "kubernetes.io/service-name"
NONE = "None"
ENDED = ("Succeeded", "Failed")


def has_selector(service: Mapping[str, Any]) -> bool:
    """Whether endpoints are made for it: a selector, and not an ExternalName."""
    spec = service.get("spec") or {}
    return bool(spec.get("selector")) and spec.get("type") != "ExternalName"


def selected_pods(service: Mapping[str, Any], view: View) -> list[JsonObject]:
    """The pods the Service's selector names, by name; which of them can be endpoints, `may_serve` tells."""
    pods = view.in_namespace(POD, service["metadata"]["namespace"])
    selector = service["spec"]["selector"]
    return [pod for _, pod in sorted(pods.items()) if matches_set(selector, labels_of(pod))]


def may_serve(pod: Mapping[str, Any]) -> bool:
    """Has an address and has not ended."""
    status = pod.get("status") or {}
    return bool(addresses_of(pod)) and status.get("phase") not in ENDED


def addresses_of(pod: Mapping[str, Any]) -> list[str]:
    status = pod.get("status") or {}
    listed = status.get("podIPs")
    found = [entry["ip"] for entry in listed if entry.get("ip")] if listed else []
    return found or ([status["podIP"]] if status.get("podIP") else [])


def address_of(pod: Mapping[str, Any], family: str) -> str | None:
    """The pod's first address of `IPv4` or `IPv6`."""
    return next((ip for ip in addresses_of(pod) if (":" in ip) == (family == "IPv6")), None)


def is_ready(pod: Mapping[str, Any]) -> bool:
    return (condition_of(pod, "Ready") or {}).get("status") == "True"


def ports_for(service: Mapping[str, Any], pod: Mapping[str, Any]) -> tuple[Port, ...]:
    """The Service's ports that the pod has, in the Service's order."""
    found: list[Port] = []
    for port in service["spec"].get("ports") or ():
        number = port_number(port, pod)
        if number is not None:
            found.append((port.get("name", ""), number, port.get("protocol", "TCP"), port.get("appProtocol")))
    return tuple(found)


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


class TriggerTimes:
    """When the changes happened that a controller's next write follows: the annotation TRIGGER_TIME.

    The one memory a plan has, as upstream: a time counts once, so a write that no Service or readiness caused, such as
    one that follows a pod's end, carries none. Nothing but the annotation may depend on it.
    Source: endpointslice/util/trigger_time_tracker.go.
    """

    def __init__(self) -> None:
        self._seen: dict[ObjectKey, dict[str, datetime]] = {}

    def take(self, service: Mapping[str, Any], pods: Iterable[Mapping[str, Any]]) -> str:
        """The oldest time not told yet, "" without one; of a Service new here its creation."""
        key = key_of(service)
        created = service["metadata"].get("creationTimestamp") or ""
        times = {pod["metadata"]["name"]: _ready_since(pod) for pod in pods}
        times[""] = created
        now = {name: parse_time(time) for name, time in times.items() if time}
        seen = self._seen.get(key)
        self._seen[key] = now
        if seen is None:
            return created
        fresh = [times[name] for name, time in now.items() if name not in seen or time > seen[name]]
        return min(fresh, key=parse_time, default="")

    def forget(self, key: ObjectKey) -> None:
        """The Service is gone."""
        self._seen.pop(key, None)


def _ready_since(pod: Mapping[str, Any]) -> str:
    return (condition_of(pod, "Ready") or {}).get("lastTransitionTime") or ""


def services_of_slice(change: Change, view: View) -> Iterable[ObjectKey]:
    """The Service a slice belongs to by its label, and the one it belonged to."""
    slices = [change.object] if change.previous is None else [change.object, change.previous]
    names = {labels_of(slice).get(SERVICE_NAME) for slice in slices}
    return [ObjectKey(change.key.namespace, name) for name in names if name]


def services_of_pod(change: Change, view: View) -> Iterable[ObjectKey]:
    """The Services whose endpoints a changed pod concerns: none when nothing changed that an endpoint shows.

    Source: endpointslice/util/controller_utils.go (GetServicesToUpdateOnPodChange).
    """
    previous = change.previous if change.type == "MODIFIED" else None
    after = _services_selecting(change.object, view)
    if previous is None:
        return after
    before = _services_selecting(previous, view)
    if _endpoint_of(previous) != _endpoint_of(change.object):
        return before | after
    return before ^ after


def _endpoint_of(pod: Mapping[str, Any]) -> Any:
    """What of a pod its endpoints show."""
    spec, ended = pod.get("spec") or {}, (pod.get("status") or {}).get("phase") in ENDED
    named = [spec.get(field) or "" for field in ("hostname", "subdomain", "nodeName")]
    return is_ready(pod), is_terminating(pod), ended, addresses_of(pod), named


def _services_selecting(pod: Mapping[str, Any], view: View) -> set[ObjectKey]:
    namespace, labels = pod["metadata"]["namespace"], labels_of(pod)
    services = view.in_namespace(SERVICE, namespace).items()
    return {
        ObjectKey(namespace, name)
        for name, service in services
        if has_selector(service) and matches_set(service["spec"]["selector"], labels)
    }


def services_of_node(change: Change, view: View) -> Iterable[ObjectKey]:
    """All selected Services when a node comes, goes or moves: endpoints carry its zone."""
    if change.type == "MODIFIED" and change.previous and labels_of(change.previous) == labels_of(change.object):
        return ()
    return [key_of(service) for service in view.all(SERVICE) if has_selector(service)]


def service_labels(service: Mapping[str, Any], own: Mapping[str, str]) -> dict[str, str]:
    """The Service's labels with the controller's own; the headless mark is the controller's to give."""
    labels = {key: value for key, value in labels_of(service).items() if key != HEADLESS_LABEL}
    labels.update(own)
    if (service["spec"].get("clusterIP") or "") in ("", NONE):
        labels[HEADLESS_LABEL] = ""
    return labels
