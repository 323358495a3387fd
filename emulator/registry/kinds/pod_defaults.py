"""What the API fills in for pods and pod templates. The template half is what workloads use for theirs.

Source: pkg/apis/core/v1/defaults.go and zz_generated.defaults.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emulator.api.meta import JsonObject
from emulator.registry.kinds import quantities

DEFAULT_GRACE_SECONDS = 30
_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_FILE_MODE = 0o644  # of files from Secrets, ConfigMaps, the downward API and projections
_EMPTY_MEANS_ABSENT = (
    "volumes",
    "initContainers",
    "ephemeralContainers",
    "nodeSelector",
    "nodeName",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "imagePullSecrets",
    "hostname",
    "subdomain",
    "tolerations",
    "hostAliases",
    "priorityClassName",
    "readinessGates",
    "topologySpreadConstraints",
    "schedulingGates",
)
_CONTAINER_EMPTY_MEANS_ABSENT = (
    "command",
    "args",
    "workingDir",
    "ports",
    "envFrom",
    "env",
    "volumeMounts",
    "volumeDevices",
    "stdin",
    "stdinOnce",
    "tty",
)


def default_pod_template(template: JsonObject) -> None:
    """Fills in a workload's pod template."""
    template.setdefault("metadata", {})
    default_pod_spec(template.setdefault("spec", {}))


def default_pod_spec(spec: JsonObject) -> None:
    """Fills in what pods and pod templates have in common."""
    _drop_empty(spec, _EMPTY_MEANS_ABSENT)
    if spec.get("serviceAccountName") or spec.get("serviceAccount"):
        # The two names of one field; the older is kept in step.
        spec["serviceAccountName"] = spec.get("serviceAccountName") or spec["serviceAccount"]
        spec["serviceAccount"] = spec["serviceAccountName"]
    for name, text in (("restartPolicy", "Always"), ("dnsPolicy", "ClusterFirst")):
        if not spec.get(name):
            spec[name] = text
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = DEFAULT_GRACE_SECONDS
    spec.setdefault("securityContext", {})
    if not spec.get("schedulerName"):
        spec["schedulerName"] = "default-scheduler"
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    for container in containers_of(spec):
        _default_container(container)
    for part in ("limits", "requests"):
        quantities.canonicalise((spec.get("resources") or {}).get(part))
    quantities.canonicalise(spec.get("overhead"))


def default_pod(pod: JsonObject) -> None:
    """Fills in a Pod: its spec, and what only Pods get and templates do not."""
    spec = pod.setdefault("spec", {})
    default_pod_spec(spec)
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        limits = container["resources"].get("limits")
        if limits:
            container["resources"]["requests"] = {**limits, **(container["resources"].get("requests") or {})}
        if spec.get("hostNetwork"):
            for port in container.get("ports") or ():
                port["hostPort"] = port.get("hostPort") or port.get("containerPort", 0)
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    _default_status(pod.get("status") or {})


def _default_status(status: JsonObject) -> None:
    """What the API's encoding always writes, set or not: times as null, numbers and texts as zero and empty."""
    for condition in status.get("conditions") or ():
        condition.setdefault("lastProbeTime", None)
        condition.setdefault("lastTransitionTime", None)
    for name in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for entry in status.get(name) or ():
            empty = {"state": {}, "lastState": {}, "ready": False, "restartCount": 0, "image": "", "imageID": ""}
            for field, value in empty.items():
                entry.setdefault(field, value)


def containers_of(spec: JsonObject) -> Iterator[JsonObject]:
    """Every container of a pod spec, init and ephemeral ones too."""
    for name in _CONTAINER_LISTS:
        yield from spec.get(name) or ()


def image_tag(image: str) -> str:
    """The tag of an image reference, `latest` if it has neither tag nor digest, "" with a digest only."""
    name, _, digest = image.partition("@")
    _, colon, tag = name.rpartition("/")[2].partition(":")
    if colon:
        return tag
    return "" if digest else "latest"


def _drop_empty(object: JsonObject, names: tuple[str, ...]) -> None:
    for name in names:
        if name in object and not object[name]:
            del object[name]


def _default_container(container: JsonObject) -> None:
    _drop_empty(container, _CONTAINER_EMPTY_MEANS_ABSENT)
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = _pull_policy(container.get("image") or "")
    if not container.get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    resources = container.setdefault("resources", {})
    for part in ("limits", "requests"):
        quantities.canonicalise(resources.get(part))
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        _drop_empty(port, ("name", "hostPort", "hostIP"))
    for variable in container.get("env") or ():
        _drop_empty(variable, ("value",))
        _default_field_ref(variable.get("valueFrom") or {})
    for name in _PROBES:
        if (probe := container.get(name)) is not None:
            _default_probe(probe)
    for handler in (container.get("lifecycle") or {}).values():
        if isinstance(handler, dict):
            _default_handler(handler)


def _pull_policy(image: str) -> str:
    return "Always" if image_tag(image) == "latest" else "IfNotPresent"


def _default_field_ref(source: JsonObject) -> None:
    if (reference := source.get("fieldRef")) is not None and not reference.get("apiVersion"):
        reference["apiVersion"] = "v1"
    if (reference := source.get("resourceFieldRef")) is not None:
        reference["divisor"] = quantities.canonical(reference.get("divisor") or "0")


def _default_probe(probe: JsonObject) -> None:
    _drop_empty(probe, ("initialDelaySeconds",))
    numbers = (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3))
    for name, number in numbers:
        if not probe.get(name):
            probe[name] = number
    _default_handler(probe)


def _default_handler(handler: JsonObject) -> None:
    if (http := handler.get("httpGet")) is not None:
        http["path"] = http.get("path") or "/"
        http["scheme"] = http.get("scheme") or "HTTP"
    if (grpc := handler.get("grpc")) is not None and grpc.get("service") is None:
        grpc["service"] = ""


def _default_volume(volume: JsonObject) -> None:
    if not any(key != "name" and source is not None for key, source in volume.items()):
        volume["emptyDir"] = {}
    for kind in ("secret", "configMap", "downwardAPI", "projected"):
        if (source := volume.get(kind)) is not None and source.get("defaultMode") is None:
            source["defaultMode"] = _FILE_MODE
    for item in _downward_items(volume):
        _default_field_ref(item)
    for projection in (volume.get("projected") or {}).get("sources") or ():
        token = projection.get("serviceAccountToken")
        if token is not None and token.get("expirationSeconds") is None:
            token["expirationSeconds"] = 3600
    if (host_path := volume.get("hostPath")) is not None:
        host_path.setdefault("type", "")
    if (empty_dir := volume.get("emptyDir")) is not None and "sizeLimit" in empty_dir:
        empty_dir["sizeLimit"] = quantities.canonical(empty_dir["sizeLimit"])


def _downward_items(volume: JsonObject) -> Iterator[JsonObject]:
    sources: list[Any] = [volume.get("downwardAPI")]
    sources += [entry.get("downwardAPI") for entry in (volume.get("projected") or {}).get("sources") or ()]
    for source in sources:
        yield from (source or {}).get("items") or ()
