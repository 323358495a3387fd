"""What is wrong with a Service: its fields, and the step from the old to the new one.

Texts, paths and their order are upstream's, because clients and tests compare them.
Source: pkg/apis/core/validation/validation.go (validateService, ValidateServiceUpdate, ValidateLoadBalancerStatus).
"""

from __future__ import annotations

from typing import Any

from emulator.api import names
from emulator.api.errors import FieldError, duplicate, forbidden_field, invalid, required
from emulator.api.meta import JsonObject, annotations_of
from emulator.registry.kinds import fields
from emulator.registry.kinds.service_families import SINGLE_STACK, cluster_ip_errors
from emulator.registry.kinds.service_fields import (
    CLUSTER_IP,
    EXTERNAL_NAME,
    LOAD_BALANCER,
    NODE_PORT,
    SOURCE_RANGES,
    TOPOLOGY_HINTS,
    TOPOLOGY_MODE,
    TYPES,
    Spec,
    is_externally_accessible,
    is_headless,
    needs_health_check_port,
)
from emulator.registry.strategy import Context

MAX_AFFINITY_SECONDS = 86400  # one day: core.MaxClientIPServiceAffinitySeconds
TRAFFIC_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")  # in upstream's order, not sorted

ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'"
SET_ONCE = "may not change once set"


def validate_service(service: JsonObject, context: Context) -> list[FieldError]:
    """Every mistake of the Service, but for addresses and families: those are found out while allocating."""
    if context.subresource == "status":
        return []
    return _spec_errors(service, None, context)


def validate_service_update(service: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    """Mistakes of the change from `old`; `validate_service` has seen the new object already."""
    if context.subresource == "status":
        return _status_errors(service, old)
    spec, old_spec = service["spec"], old["spec"]
    errors = _cluster_ip_changes(spec, old_spec) + _family_changes(spec, old_spec)
    both_balanced = spec["type"] == LOAD_BALANCER == old_spec.get("type")
    if both_balanced and spec.get("loadBalancerClass") != old_spec.get("loadBalancerClass"):
        errors.append(invalid("spec.loadBalancerClass", spec.get("loadBalancerClass"), SET_ONCE))
    both_checked = needs_health_check_port(old_spec) and needs_health_check_port(spec)
    if both_checked and spec.get("healthCheckNodePort") != old_spec.get("healthCheckNodePort"):
        errors.append(forbidden_field("spec.healthCheckNodePort", fields.IMMUTABLE))
    return errors


def _spec_errors(service: JsonObject, old: JsonObject | None, context: Context) -> list[FieldError]:
    spec = service["spec"]
    errors = _annotation_errors(service)
    if not spec.get("ports") and not is_headless(spec) and spec["type"] != EXTERNAL_NAME:
        errors.append(required("spec.ports"))
    errors += _type_conflicts(spec)
    errors += _port_list_errors(spec)
    errors += fields.label_map("spec.selector", spec.get("selector"))
    errors += _affinity_errors(spec)
    errors += cluster_ip_errors(spec, (old or {}).get("spec"))
    for index, address in enumerate(spec.get("externalIPs") or ()):
        path = f"spec.externalIPs[{index}]"
        errors += fields.legacy_ip(path, address) or fields.endpoint_ip(path, address, context)
    errors += fields.one_of("spec.type", spec.get("type"), TYPES)
    errors += _port_number_conflicts(spec)
    errors += _source_range_errors(service)
    errors += _load_balancer_field_errors(spec)
    errors += _traffic_policy_errors(spec)
    return errors


def _annotation_errors(service: JsonObject) -> list[FieldError]:
    annotations = annotations_of(service)
    hints, mode = annotations.get(TOPOLOGY_HINTS), annotations.get(TOPOLOGY_MODE)
    if hints is None or mode is None or hints == mode:
        return []
    text = f"must match annotations[{TOPOLOGY_HINTS}] when both are specified"
    return [invalid(f"metadata.annotations[{TOPOLOGY_MODE}]", mode, text)]


def _type_conflicts(spec: Spec) -> list[FieldError]:
    kind = spec["type"]
    if kind in (LOAD_BALANCER, NODE_PORT) and is_headless(spec):
        return [invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")]
    if kind != EXTERNAL_NAME:
        return []
    text = "may not be set for ExternalName services"
    errors = [forbidden_field("spec.clusterIPs", text)] if spec.get("clusterIPs") else []
    errors += [forbidden_field("spec.ipFamilies", text)] if spec.get("ipFamilies") else []
    errors += [forbidden_field("spec.ipFamilyPolicy", text)] if spec.get("ipFamilyPolicy") is not None else []
    name = (spec.get("externalName") or "").removesuffix(".")
    return errors + (fields.subdomain("spec.externalName", name) if name else [required("spec.externalName")])


def _port_list_errors(spec: Spec) -> list[FieldError]:
    ports = spec.get("ports") or ()
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name = port.get("name") or ""
        if name:
            errors += fields.label(f"{path}.name", name)
            if name in seen:
                errors.append(duplicate(f"{path}.name", name))
            seen.add(name)
        elif len(ports) > 1:
            errors.append(required(f"{path}.name"))
        errors += fields.port_number(f"{path}.port", port.get("port", 0))
        errors += fields.one_of(f"{path}.protocol", port.get("protocol"), fields.PROTOCOLS)
        errors += fields.port_number_or_name(f"{path}.targetPort", port.get("targetPort", 0))
        if port.get("appProtocol") is not None:
            errors += fields.qualified(f"{path}.appProtocol", port["appProtocol"])
    return errors


def _affinity_errors(spec: Spec) -> list[FieldError]:
    affinity = spec.get("sessionAffinity")
    errors = fields.one_of("spec.sessionAffinity", affinity, ("ClientIP", "None"))
    if affinity == "ClientIP":
        seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds", 0)
        if not 0 < seconds <= MAX_AFFINITY_SECONDS:
            text = f"must be greater than 0 and less than {MAX_AFFINITY_SECONDS}"
            errors.append(invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, text))
    return errors


def _port_number_conflicts(spec: Spec) -> list[FieldError]:
    ports = spec.get("ports") or ()
    errors: list[FieldError] = []
    if spec.get("type") == CLUSTER_IP:
        text = "may not be used when `type` is 'ClusterIP'"
        errors += [forbidden_field(f"spec.ports[{i}].nodePort", text) for i, p in enumerate(ports) if p.get("nodePort")]
    node_ports: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        if number := port.get("nodePort"):
            if (port["protocol"], number) in node_ports:
                errors.append(duplicate(f"spec.ports[{index}].nodePort", number))
            node_ports.add((port["protocol"], number))
    numbers: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        key = (port["protocol"], port.get("port", 0))
        if key in numbers:
            errors.append(duplicate(f"spec.ports[{index}]", _as_go_prints_it(*key)))
        numbers.add(key)
    return errors


def _as_go_prints_it(protocol: str, port: int) -> dict[str, Any]:
    # Upstream reports the map key it compares by: a whole ServicePort with only these two fields set.
    return {"Name": "", "Protocol": protocol, "AppProtocol": None, "Port": port, "TargetPort": 0, "NodePort": 0}


def _source_range_errors(service: JsonObject) -> list[FieldError]:
    spec = service["spec"]
    ranges = spec.get("loadBalancerSourceRanges")
    annotation = annotations_of(service).get(SOURCE_RANGES)
    if ranges:
        path = "spec.LoadBalancerSourceRanges"  # the capital L is upstream's
        paths = [(f"{path}[{index}]", text.strip()) for index, text in enumerate(ranges)]
    elif annotation is not None:
        path = f"metadata.annotations[{SOURCE_RANGES}]"
        paths = [(path, text.strip()) for text in annotation.split(",")] if annotation.strip() else []
    else:
        return []
    errors = [] if spec["type"] == LOAD_BALANCER else [forbidden_field(path, ONLY_LOAD_BALANCER)]
    for entry_path, text in paths:
        errors += fields.legacy_cidr(entry_path, text)
    return errors


def _load_balancer_field_errors(spec: Spec) -> list[FieldError]:
    errors: list[FieldError] = []
    balanced = spec["type"] == LOAD_BALANCER
    if spec.get("allocateLoadBalancerNodePorts") is not None and not balanced:
        errors.append(forbidden_field("spec.allocateLoadBalancerNodePorts", ONLY_LOAD_BALANCER))
    load_balancer_class = spec.get("loadBalancerClass")
    if load_balancer_class is not None:
        path = "spec.loadBalancerClass"
        errors += (
            fields.qualified(path, load_balancer_class) if balanced else [forbidden_field(path, ONLY_LOAD_BALANCER)]
        )
    return errors


def _traffic_policy_errors(spec: Spec) -> list[FieldError]:
    errors: list[FieldError] = []
    external = spec.get("externalTrafficPolicy") or ""
    path = "spec.externalTrafficPolicy"
    if is_externally_accessible(spec):
        errors += fields.one_of(path, external, ("Cluster", "Local"))
    elif external:
        errors.append(invalid(path, external, "may only be set for externally-accessible services"))
    path, health_port = "spec.healthCheckNodePort", spec.get("healthCheckNodePort") or 0
    if health_port and not needs_health_check_port(spec):
        text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(invalid(path, health_port, text))
    elif health_port:
        errors += fields.port_number(path, health_port)
    internal = spec.get("internalTrafficPolicy")
    if internal is not None and internal not in ("Cluster", "Local"):
        errors.append(fields.unsupported("spec.internalTrafficPolicy", internal, ("Cluster", "Local")))
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in TRAFFIC_DISTRIBUTIONS:
        errors.append(fields.unsupported("spec.trafficDistribution", distribution, TRAFFIC_DISTRIBUTIONS))
    return errors


def _cluster_ip_changes(spec: Spec, old: Spec) -> list[FieldError]:
    if EXTERNAL_NAME in (spec["type"], old.get("type")) or (is_headless(spec) and is_headless(old)):
        return []
    new, before = spec.get("clusterIPs") or [], old.get("clusterIPs") or []
    if len(new) == len(before):
        changed = [index for index, address in enumerate(before) if address != new[index]]
        return [invalid(f"spec.clusterIPs[{index}]", new, SET_ONCE) for index in changed]
    if not new:
        return [invalid("spec.clusterIPs[0]", None, "primary clusterIP can not be unset")]
    errors = []
    if before and new[0] != before[0]:
        errors.append(invalid("spec.clusterIPs[0]", new, SET_ONCE))
    if len(new) < len(before) and len(new) == 1 and spec.get("ipFamilyPolicy") != SINGLE_STACK:
        text = "must be set to 'SingleStack' when releasing the secondary clusterIP"
        errors.append(invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), text))
    return errors


def _family_changes(spec: Spec, old: Spec) -> list[FieldError]:
    if EXTERNAL_NAME in (spec["type"], old.get("type")) or is_headless(spec) or is_headless(old):
        return []
    new, before = spec.get("ipFamilies") or [], old.get("ipFamilies") or []
    path = "spec.ipFamilies[0]"
    if len(new) == len(before):
        return [invalid(path, new, SET_ONCE) for index, family in enumerate(before) if family != new[index]]
    errors = []
    if new and before and new[0] != before[0]:
        errors.append(invalid(path, spec.get("clusterIPs"), SET_ONCE))
    if len(new) < len(before) and len(new) == 1 and spec.get("ipFamilyPolicy") != SINGLE_STACK:
        text = "must be set to 'SingleStack' when releasing the secondary ipFamily"
        errors.append(invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), text))
    return errors


def _status_errors(service: JsonObject, old: JsonObject) -> list[FieldError]:
    ingresses = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    path = "status.loadBalancer.ingress"
    if ingresses and service["spec"].get("type") != LOAD_BALANCER:
        return [forbidden_field(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    before = ((old.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    existing = [ingress["ip"] for ingress in before if ingress.get("ip")]
    errors: list[FieldError] = []
    for index, ingress in enumerate(ingresses):
        errors += _ingress_errors(f"{path}[{index}]", ingress, existing)
    return errors


def _ingress_errors(path: str, ingress: JsonObject, existing: list[str]) -> list[FieldError]:
    address, mode, hostname = ingress.get("ip"), ingress.get("ipMode"), ingress.get("hostname")
    errors = fields.legacy_ip(f"{path}.ip", address, existing) if address else []
    if mode is None and address:
        errors.append(required(f"{path}.ipMode", "must be specified when `ip` is set"))
    elif mode is not None and not address:
        errors.append(forbidden_field(f"{path}.ipMode", "may not be specified when `ip` is not set"))
    elif mode is not None and mode not in ("Proxy", "VIP"):
        errors.append(fields.unsupported(f"{path}.ipMode", mode, ("Proxy", "VIP")))
    if hostname:
        errors += [invalid(f"{path}.hostname", hostname, text) for text in names.dns1123_subdomain(hostname)]
        if fields.parse_address(hostname) is not None:
            errors.append(invalid(f"{path}.hostname", hostname, "must be a DNS name, not an IP address"))
    return errors
