"""Service: defaults, what an update keeps or wipes, warnings; the checks are in service_validation.

Addresses and node ports are not allocated here: an absent clusterIP or nodePort means "give me one", and the
registry's allocators fill it in, before validation as upstream does.
Source: pkg/apis/core/v1/defaults.go, pkg/registry/core/service/{strategy.go,storage/storage.go}, pkg/api/service/warnings.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.api import names
from emulator.api.kinds import SERVICE
from emulator.api.meta import JsonObject, annotations_of
from emulator.registry.kinds import fields
from emulator.registry.kinds.service_families import init_families
from emulator.registry.kinds.service_fields import (
    CLUSTER_IP,
    EXTERNAL_NAME,
    LOAD_BALANCER,
    NODE_PORT,
    TOPOLOGY_HINTS,
    TOPOLOGY_MODE,
    is_externally_accessible,
    is_headless,
    needs_cluster_ip,
    needs_health_check_port,
    needs_node_ports,
)
from emulator.registry.kinds.service_validation import validate_service, validate_service_update
from emulator.registry.strategy import Context, Strategy

DEFAULT_AFFINITY_SECONDS = 10800  # three hours: v1.DefaultClientIPServiceAffinitySeconds

_EMPTY_MEANS_ABSENT = (
    "ports",
    "selector",
    "clusterIP",
    "clusterIPs",
    "externalIPs",
    "loadBalancerIP",
    "loadBalancerSourceRanges",
    "externalName",
    "externalTrafficPolicy",
    "healthCheckNodePort",
    "publishNotReadyAddresses",
    "ipFamilies",
    "type",
    "sessionAffinity",
)
"""Fields whose empty value a typed server does not write back."""


def default(service: JsonObject, context: Context) -> None:
    """Fills what the client left out, by the Service's type."""
    spec: JsonObject = service.setdefault("spec", {})
    for name in _EMPTY_MEANS_ABSENT:
        if name in spec and not spec[name]:
            del spec[name]
    spec.setdefault("type", CLUSTER_IP)
    _default_affinity(spec)
    for port in spec.get("ports", ()):
        _default_port(port)
    if is_externally_accessible(spec):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] in (CLUSTER_IP, NODE_PORT, LOAD_BALANCER):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    elif spec["type"] == EXTERNAL_NAME:
        spec.pop("internalTrafficPolicy", None)
    if spec["type"] == LOAD_BALANCER:
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        _default_ip_mode(service)


def _default_affinity(spec: JsonObject) -> None:
    affinity = spec.setdefault("sessionAffinity", "None")
    if affinity == "None":
        spec.pop("sessionAffinityConfig", None)
    elif affinity == "ClientIP":
        client_ip = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if client_ip.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": DEFAULT_AFFINITY_SECONDS}}


def _default_port(port: JsonObject) -> None:
    port.setdefault("port", 0)
    if not port.get("protocol"):
        port["protocol"] = "TCP"
    if port.get("targetPort") in (None, 0, ""):
        port["targetPort"] = port["port"]
    for name in ("name", "nodePort"):
        if name in port and not port[name]:
            del port[name]


def _default_ip_mode(service: JsonObject) -> None:
    load_balancer = (service.get("status") or {}).get("loadBalancer") or {}
    for ingress in load_balancer.get("ingress") or ():
        if ingress.get("ip"):
            ingress.setdefault("ipMode", "VIP")


def prepare_create(service: JsonObject, context: Context) -> None:
    """Wipes the status and fills clusterIPs and the address families."""
    service["status"] = {"loadBalancer": {}}
    spec = service["spec"]
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    init_families(service, None, context)


def prepare_update(service: JsonObject, old: JsonObject, context: Context) -> None:
    """Keeps what was allocated, wipes what the new type has no use for, and guards the other half of the object."""
    if context.subresource == "status":
        service["spec"] = old["spec"]
        service.setdefault("status", {}).setdefault("loadBalancer", {})
        return
    service["status"] = {"loadBalancer": {}, **(old.get("status") or {})}
    spec, old_spec = service["spec"], old["spec"]
    carry_over_allocations(spec, old_spec)
    _follow_cluster_ip(spec, old_spec)
    wipe_unneeded(spec, old_spec)
    if spec["type"] != LOAD_BALANCER:
        service["status"]["loadBalancer"] = {}
    init_families(service, old_spec, context)


def carry_over_allocations(spec: JsonObject, old: Mapping[str, Any]) -> None:
    """Fills values allocated before that the client did not send, node ports by port name."""
    if needs_cluster_ip(old) and needs_cluster_ip(spec):
        for name in ("clusterIP", "clusterIPs"):
            if not spec.get(name) and old.get(name):
                spec[name] = old[name] if name == "clusterIP" else list(old[name])
    if needs_node_ports(old) and needs_node_ports(spec):
        _carry_over_node_ports(spec, old)
    both_checked = needs_health_check_port(old) and needs_health_check_port(spec)
    if both_checked and not spec.get("healthCheckNodePort") and old.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = old["healthCheckNodePort"]


def _carry_over_node_ports(spec: JsonObject, old: Mapping[str, Any]) -> None:
    taken = _node_ports(spec) & _node_ports(old)
    by_name = {port.get("name", ""): port.get("nodePort") for port in old.get("ports", ())}
    for port in spec.get("ports", ()):
        before = by_name.get(port.get("name", ""))
        if not port.get("nodePort") and before and before not in taken:
            port["nodePort"] = before


def _follow_cluster_ip(spec: JsonObject, old: Mapping[str, Any]) -> None:
    """A changed clusterIP beside unchanged clusterIPs comes from a client that knows only the former."""
    address, plural = spec.get("clusterIP", ""), spec.get("clusterIPs") or []
    old_address, old_plural = old.get("clusterIP", ""), old.get("clusterIPs") or []
    if address == old_address or plural != old_plural:
        return
    if address:
        spec["clusterIPs"] = [address]
    else:
        spec.pop("clusterIPs", None)


def wipe_unneeded(spec: JsonObject, old: Mapping[str, Any]) -> None:
    """Drops fields the new type cannot have, if the client left them as they were."""

    def drop_if_same(*field_names: str) -> None:
        if all((spec.get(name) or None) == (old.get(name) or None) for name in field_names):
            for name in field_names:
                spec.pop(name, None)

    if needs_cluster_ip(old) and not needs_cluster_ip(spec):
        drop_if_same("clusterIP", "clusterIPs")
        drop_if_same("ipFamilies")
        drop_if_same("ipFamilyPolicy")
    if needs_node_ports(old) and not needs_node_ports(spec) and _node_ports(spec) <= _node_ports(old):
        for port in spec.get("ports", ()):
            port.pop("nodePort", None)
    if needs_health_check_port(old) and not needs_health_check_port(spec):
        drop_if_same("healthCheckNodePort")
    if old.get("type") == LOAD_BALANCER and spec.get("type") != LOAD_BALANCER:
        if spec.get("allocateLoadBalancerNodePorts") == old.get("allocateLoadBalancerNodePorts"):
            spec.pop("allocateLoadBalancerNodePorts", None)
        drop_if_same("loadBalancerClass")
    if is_externally_accessible(old) and not is_externally_accessible(spec):
        drop_if_same("externalTrafficPolicy")


def _node_ports(spec: Mapping[str, Any]) -> set[int]:
    return {port["nodePort"] for port in spec.get("ports", ()) if port.get("nodePort")}


def warnings(service: JsonObject, old: JsonObject | None, context: Context) -> list[str]:
    """Deprecated or pointless settings; none for a status update."""
    if context.subresource:
        return []
    spec = service["spec"]
    texts: list[str] = []
    if TOPOLOGY_HINTS in annotations_of(service):
        texts.append(f"annotation {TOPOLOGY_HINTS} is deprecated, please use {TOPOLOGY_MODE} instead")
    texts += _address_warnings(spec)
    external_name = spec["type"] == EXTERNAL_NAME
    if external_name and spec.get("externalIPs"):
        texts.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if not external_name and spec.get("externalName"):
        texts.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        texts.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return texts


def _address_warnings(spec: Mapping[str, Any]) -> list[str]:
    texts: list[str] = []
    headless = spec["type"] == CLUSTER_IP and spec.get("clusterIP") == "None"
    external_ips = spec.get("externalIPs") or ()
    if not is_headless(spec):
        for index, address in enumerate(spec.get("clusterIPs") or ()):
            texts += fields.ip_warnings(f"spec.clusterIPs[{index}]", address)
    if headless:
        if spec.get("loadBalancerIP"):
            texts.append("spec.loadBalancerIP is ignored for headless services")
        if external_ips:
            texts.append("spec.externalIPs is ignored for headless services")
        if spec.get("sessionAffinity") != "None":
            texts.append("spec.SessionAffinity is ignored for headless services")
    for index, address in enumerate(external_ips):
        texts += fields.ip_warnings(f"spec.externalIPs[{index}]", address)
    if external_ips and not headless and spec["type"] != EXTERNAL_NAME:
        texts.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    if spec.get("loadBalancerIP"):
        texts += fields.ip_warnings("spec.loadBalancerIP", spec["loadBalancerIP"])
    for index, cidr in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        texts += fields.cidr_warnings(f"spec.loadBalancerSourceRanges[{index}]", cidr)
    return texts


def field_labels(service: JsonObject) -> Mapping[str, str]:
    spec = service.get("spec") or {}
    return {"spec.clusterIP": spec.get("clusterIP", ""), "spec.type": spec.get("type", "")}


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        SERVICE,
        default=default,
        prepare_create=prepare_create,
        prepare_update=prepare_update,
        validate=validate_service,
        validate_update=validate_service_update,
        warnings=warnings,
        validate_name=names.dns1123_label,  # since 1.36 a leading digit is legal
        field_labels=field_labels,
        field_label_names=frozenset(("spec.clusterIP", "spec.type")),
        create_on_update=True,
        returns_deleted_object=True,
    ),
)
