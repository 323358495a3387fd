"""LoadBalancer Services: an address from the cluster's pool. Source: cloud-provider controllers/service."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from ipaddress import IPv4Address
from typing import Any

from emulator.api.kinds import SERVICE
from emulator.api.meta import JsonObject, ObjectKey, is_terminating, key_of
from emulator.client.index import Change
from emulator.config.settings import AddressPlan
from emulator.controllers.changes import NOTHING, Changes, Controller, View, Write, event

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
COMPONENT = "service-controller"


def plan_load_balancer(key: ObjectKey, view: View, at: datetime, *, plan: AddressPlan) -> Changes:
    """An address while it is wanted, kept for as long; the finalizer while there is one to clean up."""
    service = view.get(SERVICE, key.name, key.namespace)
    if service is None:
        return NOTHING
    finalizers = service["metadata"].get("finalizers") or []
    if not _is_wanted(service) or is_terminating(service):
        if FINALIZER not in finalizers:
            return NOTHING
        left = {**service["metadata"], "finalizers": [entry for entry in finalizers if entry != FINALIZER]}
        told = _event(service, "DeletedLoadBalancer", "Deleted load balancer", at)
        return Changes(updates=(Write(SERVICE, {**service, "metadata": left}),), events=(told,))
    if FINALIZER not in finalizers:
        marked = {**service["metadata"], "finalizers": [*finalizers, FINALIZER]}
        told = _event(service, "EnsuringLoadBalancer", "Ensuring load balancer", at)
        return Changes(updates=(Write(SERVICE, {**service, "metadata": marked}),), events=(told,))
    held = _addresses(service)
    address = _choose(service, view, plan)
    if held and address in (held[0], None):
        return NOTHING
    if address is None:
        told = _event(
            service, "SyncLoadBalancerFailed", "Error syncing load balancer: no address is free", at, "Warning"
        )
        return Changes(events=(told,), retry_after_seconds=5.0)
    status = {**service.get("status", {}), "loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}
    told = _event(service, "EnsuredLoadBalancer", "Ensured load balancer", at)
    return Changes(updates=(Write(SERVICE, {**service, "status": status}, "status"),), events=(told,))


def _is_wanted(service: JsonObject) -> bool:
    spec = service["spec"]
    return spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass")


def _addresses(service: JsonObject) -> list[str]:
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return [entry["ip"] for entry in ingress if entry.get("ip")]


def _choose(service: JsonObject, view: View, plan: AddressPlan) -> str | None:
    """The address wished for if it is free, else the one it has, else the first free one of the pool."""
    own = key_of(service)
    taken = {ip for other in view.all(SERVICE) if key_of(other) != own for ip in _addresses(other)}
    wish, held = service["spec"].get("loadBalancerIP"), _addresses(service)
    if wish and _in_pool(wish, plan) and wish not in taken:
        return str(wish)
    return held[0] if held else next((ip for ip in _pool(plan) if ip not in taken), None)


def _in_pool(address: str, plan: AddressPlan) -> bool:
    try:
        return plan.load_balancer_first <= IPv4Address(address) <= plan.load_balancer_last
    except ValueError:
        return False


def _pool(plan: AddressPlan) -> Iterator[str]:
    for number in range(int(plan.load_balancer_first), int(plan.load_balancer_last) + 1):
        yield str(IPv4Address(number))


def _event(service: JsonObject, reason: str, text: str, at: datetime, type: str = "Normal") -> JsonObject:
    suffix = f"{int(at.timestamp() * 1e6):x}"
    return event(COMPONENT, service, SERVICE, type=type, reason=reason, message=text, at=at, suffix=suffix)


def _keys(change: Change, view: View) -> tuple[ObjectKey, ...]:
    metadata: Any = change.object["metadata"]
    return (change.key,) if _is_wanted(change.object) or FINALIZER in (metadata.get("finalizers") or ()) else ()


def controller(plan: AddressPlan) -> Controller:
    return Controller("loadbalancer", {SERVICE: _keys}, partial(plan_load_balancer, plan=plan))
