"""Tables of Ingress, IngressClass, NetworkPolicy, ServiceCIDR, IPAddress and Lease.

Source: pkg/printers/internalversion/printers.go (printIngress, printIngressClass, printNetworkPolicy, ...).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from emulator.api.meta import JsonObject
from emulator.apiserver.cells import AGE, MAX_LISTED, NAME, NONE, Column, age, label_selector_text, name_of

INGRESS = (
    NAME,
    Column("Class", "The IngressClass that serves it."),
    Column("Hosts", "The host names its rules are for."),
    Column("Address", "Where it can be reached."),
    Column("Ports", "The ports it is served on."),
    AGE,
)
INGRESS_CLASS = (
    NAME,
    Column("Controller", "Who serves Ingresses of this class."),
    Column("Parameters", "The object with more settings."),
    AGE,
)
NETWORK_POLICY = (NAME, Column("Pod-Selector", "The Pods it is for."), AGE)
SERVICE_CIDR = (NAME, Column("CIDRs", "The ranges Services get their addresses from."), AGE)
IP_ADDRESS = (NAME, Column("ParentRef", "The object that has the address."))
LEASE = (NAME, Column("Holder", "Who has it."), AGE)


def ingress_cells(ingress: JsonObject, at: datetime) -> list[Any]:
    spec = ingress.get("spec") or {}
    return [
        name_of(ingress),
        NONE if spec.get("ingressClassName") is None else spec["ingressClassName"],
        _hosts(spec),
        _addresses(ingress),
        "80, 443" if spec.get("tls") else "80",
        age(ingress, at),
    ]


def _hosts(spec: Mapping[str, Any]) -> str:
    """The first hosts; rules without one are for any, and count as none."""
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    if not hosts:
        return "*"
    shown = ",".join(hosts[:MAX_LISTED])
    return f"{shown} + {len(hosts) - MAX_LISTED} more..." if len(hosts) > MAX_LISTED else shown


def _addresses(ingress: JsonObject) -> str:
    points = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return ",".join(sorted({point.get("ip") or point.get("hostname") or "" for point in points} - {""}))


def ingress_class_cells(ingress_class: JsonObject, at: datetime) -> list[Any]:
    spec = ingress_class.get("spec") or {}
    return [name_of(ingress_class), spec.get("controller", ""), _parameters(spec), age(ingress_class, at)]


def _parameters(spec: Mapping[str, Any]) -> str:
    parameters = spec.get("parameters")
    if parameters is None:
        return NONE
    group = parameters.get("apiGroup")
    kind = parameters.get("kind", "") if group is None else f"{parameters.get('kind', '')}.{group}"
    return f"{kind}/{parameters.get('name', '')}"


def network_policy_cells(policy: JsonObject, at: datetime) -> list[Any]:
    return [name_of(policy), label_selector_text((policy.get("spec") or {}).get("podSelector")), age(policy, at)]


def service_cidr_cells(service_cidr: JsonObject, at: datetime) -> list[Any]:
    return [name_of(service_cidr), ",".join((service_cidr.get("spec") or {}).get("cidrs") or ()), age(service_cidr, at)]


def ip_address_cells(address: JsonObject, at: datetime) -> list[Any]:
    return [name_of(address), _parent(address)]


def _parent(address: JsonObject) -> str:
    parent = (address.get("spec") or {}).get("parentRef")
    if parent is None:
        return NONE
    resource = ".".join(filter(None, (parent.get("resource"), parent.get("group"))))
    return "/".join(filter(None, (resource.lower(), parent.get("namespace"), parent.get("name"))))


def lease_cells(lease: JsonObject, at: datetime) -> list[Any]:
    return [name_of(lease), (lease.get("spec") or {}).get("holderIdentity") or "", age(lease, at)]
