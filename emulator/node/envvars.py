"""The environment of a container: Service variables, declared variables, and `$(NAME)` in their values.

It must never look at a node port, a target port, a load balancer address or a second address family: what a
container is told is always spec.clusterIP and spec.ports[].port.

Two Services may claim one variable (`foo` and `foo-service` both give FOO_SERVICE_PORT). Upstream has no defined
winner; here Services are taken in the order of their names and the later one wins.
Source: kubernetes pkg/kubelet/envvars, pkg/kubelet/kubelet_pods.go, third_party/forked/golang/expansion.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from emulator.api.errors import EmulatorError
from emulator.api.meta import JsonObject, annotations_of, labels_of
from emulator.node.quantities import QuantityError, divided

MASTER_NAMESPACE = "default"
MASTER_SERVICE = "kubernetes"

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
_VARIABLE_NAME = re.compile(r"[ -<>-~]+")  # printable ASCII without "=": what is accepted since 1.34
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]")


class UnresolvedVariable(EmulatorError):
    """A declared variable refers to what is not there; the container cannot be created yet."""


def service_variables(
    namespace: str, services: Iterable[JsonObject], enable_service_links: bool = True
) -> dict[str, str]:
    """The variables that tell a pod of `namespace` about Services; `services` may hold those of other namespaces."""
    variables: dict[str, str] = {}
    for service in visible_services(namespace, services, enable_service_links):
        variables.update(variables_of_service(service))
    return variables


def visible_services(
    namespace: str, services: Iterable[JsonObject], enable_service_links: bool = True
) -> list[JsonObject]:
    """The Services a pod of `namespace` is told about, by name; default/kubernetes always, links or not."""
    visible: dict[str, JsonObject] = {}
    for service in services:
        if not has_cluster_ip(service):
            continue
        metadata = service["metadata"]
        own = metadata.get("namespace") or "default"
        if own == namespace and enable_service_links:
            visible[metadata["name"]] = service
        elif own == MASTER_NAMESPACE and metadata["name"] == MASTER_SERVICE:
            visible.setdefault(MASTER_SERVICE, service)
    return [visible[name] for name in sorted(visible)]


def has_cluster_ip(service: Mapping[str, Any]) -> bool:
    return (service.get("spec") or {}).get("clusterIP") not in (None, "", "None")


def variables_of_service(service: Mapping[str, Any]) -> dict[str, str]:
    """The variables of one Service that has a ClusterIP."""
    name = variable_name(service["metadata"]["name"])
    address = service["spec"]["clusterIP"]
    host = f"[{address}]" if ":" in address else address
    ports = service["spec"].get("ports") or []
    variables = {f"{name}_SERVICE_HOST": address}
    if ports:
        variables[f"{name}_SERVICE_PORT"] = str(ports[0]["port"])
    for port in ports:
        if port.get("name"):
            variables[f"{name}_SERVICE_PORT_{variable_name(port['name'])}"] = str(port["port"])
    for position, port in enumerate(ports):
        protocol = port.get("protocol") or "TCP"
        url = f"{protocol.lower()}://{host}:{port['port']}"
        if position == 0:
            variables[f"{name}_PORT"] = url
        link = f"{name}_PORT_{port['port']}_{protocol.upper()}"
        variables[link] = url
        variables[f"{link}_PROTO"] = protocol.lower()
        variables[f"{link}_PORT"] = str(port["port"])
        variables[f"{link}_ADDR"] = address
    return variables


def variable_name(name: str) -> str:
    return name.upper().replace("-", "_")


def environment(
    pod: JsonObject,
    container: Mapping[str, Any],
    services: Iterable[JsonObject],
    *,
    config_maps: Mapping[str, JsonObject] | None = None,
    secrets: Mapping[str, JsonObject] | None = None,
    allocatable: Mapping[str, str] | None = None,
    link_variables: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Every variable of `container`: declared ones, then Service variables whose names are not taken.

    config_maps, secrets: those of the pod's namespace, by name. allocatable: of the node, the limits of a container
    that sets none. link_variables: what `service_variables` gave for this pod, to save working it out again.
    Raises UnresolvedVariable, in the kubelet's words, when a reference that is not optional leads nowhere.
    """
    if link_variables is None:
        links = (pod.get("spec") or {}).get("enableServiceLinks")
        namespace = pod["metadata"].get("namespace") or "default"
        link_variables = service_variables(namespace, services, links is not False)
    sources = _Sources(pod, container, config_maps or {}, secrets or {}, allocatable or {})
    declared: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        declared.update(sources.whole(source))
    links_seen = link_variables

    def lookup(name: str) -> str | None:
        return declared[name] if name in declared else links_seen.get(name)

    for entry in container.get("env") or ():
        value = entry.get("value") or ""
        if value:
            declared[entry["name"]] = expand(value, lookup)
        elif entry.get("valueFrom"):
            found = sources.single(entry["valueFrom"])
            if found is not None:
                declared[entry["name"]] = found
        else:
            declared[entry["name"]] = ""
    return declared | {name: value for name, value in link_variables.items() if name not in declared}


def expand(text: str, lookup: Callable[[str], str | None]) -> str:
    """`text` with each `$(NAME)` replaced; unknown names stay as they are, `$$` is a `$` that starts nothing."""

    def replaced(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return "$"
        value = lookup(name)
        return match.group(0) if value is None else value

    return _REFERENCE.sub(replaced, text)


def skipped_keys(container: Mapping[str, Any], config_maps: Mapping[str, JsonObject]) -> list[str]:
    """Keys of envFrom ConfigMaps that cannot be variable names and are therefore left out."""
    skipped = []
    for source in container.get("envFrom") or ():
        reference = source.get("configMapRef") or {}
        found = config_maps.get(reference.get("name", "")) or {}
        names = ((source.get("prefix") or "") + key for key in found.get("data") or {})
        skipped += [name for name in names if not _VARIABLE_NAME.fullmatch(name)]
    return sorted(skipped)


class _Sources:
    """Where values come from besides the manifest's own text."""

    def __init__(
        self,
        pod: JsonObject,
        container: Mapping[str, Any],
        config_maps: Mapping[str, JsonObject],
        secrets: Mapping[str, JsonObject],
        allocatable: Mapping[str, str],
    ) -> None:
        self.pod = pod
        self.container = container
        self.config_maps = config_maps
        self.secrets = secrets
        self.allocatable = allocatable

    def whole(self, source: Mapping[str, Any]) -> dict[str, str]:
        """Every usable key of an envFrom entry."""
        prefix = source.get("prefix") or ""
        if reference := source.get("configMapRef"):
            found = _named(self.config_maps, "configmap", reference)
            values: Mapping[str, str] = (found or {}).get("data") or {}
        elif reference := source.get("secretRef"):
            found = _named(self.secrets, "secret", reference)
            values = {key: _decoded(text) for key, text in ((found or {}).get("data") or {}).items()}
        else:
            return {}
        return {prefix + key: text for key, text in values.items() if _VARIABLE_NAME.fullmatch(prefix + key)}

    def single(self, source: Mapping[str, Any]) -> str | None:
        """The value a valueFrom leads to; None when it is optional and absent."""
        if reference := source.get("fieldRef"):
            return field_value(self.pod, reference.get("fieldPath") or "")
        if reference := source.get("resourceFieldRef"):
            return resource_value(self.pod, self.container, reference, self.allocatable)
        if reference := source.get("configMapKeyRef"):
            return self._key(reference, self.config_maps, "configmap", "ConfigMap")
        if reference := source.get("secretKeyRef"):
            text = self._key(reference, self.secrets, "secret", "Secret")
            return None if text is None else _decoded(text)
        return ""

    def _key(self, reference: Mapping[str, Any], objects: Mapping[str, JsonObject], word: str, kind: str) -> str | None:
        found = _named(objects, word, reference)
        if found is None:
            return None
        key = reference.get("key") or ""
        value = (found.get("data") or {}).get(key)
        if value is None:
            if reference.get("optional"):
                return None
            namespace = self.pod["metadata"].get("namespace") or "default"
            raise UnresolvedVariable(f"couldn't find key {key} in {kind} {namespace}/{reference.get('name')}")
        return str(value)


def field_value(pod: Mapping[str, Any], path: str) -> str:
    """The value of a downward API field path that variables may use. Raises UnresolvedVariable for any other."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    if match := _SUBSCRIPT.fullmatch(path):
        held = labels_of(pod) if match.group(1) == "labels" else annotations_of(pod)
        return held.get(match.group(2), "")
    values = {
        "metadata.name": metadata.get("name"),
        "metadata.namespace": metadata.get("namespace") or "default",
        "metadata.uid": metadata.get("uid"),
        "spec.nodeName": spec.get("nodeName"),
        "spec.serviceAccountName": spec.get("serviceAccountName"),
        "status.hostIP": status.get("hostIP"),
        "status.hostIPs": ",".join(entry["ip"] for entry in status.get("hostIPs") or ()),
        "status.podIP": status.get("podIP"),
        "status.podIPs": ",".join(entry["ip"] for entry in status.get("podIPs") or ()),
    }
    if path not in values:
        raise UnresolvedVariable(f"unsupported fieldPath: {path}")
    return values[path] or ""


def resource_value(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    reference: Mapping[str, Any],
    allocatable: Mapping[str, str],
) -> str:
    """A request or limit in units of the divisor, rounded up; a limit that is not set is the node's allocatable."""
    resource = reference.get("resource") or ""
    group, _, name = resource.partition(".")
    if name_wanted := reference.get("containerName"):
        containers = (pod.get("spec") or {}).get("containers") or ()
        container = next((each for each in containers if each.get("name") == name_wanted), {})
    given = ((container.get("resources") or {}).get(group) or {}).get(name)
    if given is None:
        given = allocatable.get(name, "0") if group == "limits" else "0"
    divisor = reference.get("divisor") or "0"
    try:
        return str(divided(str(given), "1" if str(divisor) == "0" else str(divisor)))
    except QuantityError as error:
        raise UnresolvedVariable(f"{resource}: {error}") from error


def _named(objects: Mapping[str, JsonObject], word: str, reference: Mapping[str, Any]) -> JsonObject | None:
    name = reference.get("name") or ""
    found = objects.get(name)
    if found is None and not reference.get("optional"):
        raise UnresolvedVariable(f'{word} "{name}" not found')
    return found


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""
