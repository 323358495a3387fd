"""The address of Ingresses: what status.loadBalancer says while our controller serves them.

When it is switched off it takes its address back, as upstream does when it ends.
Source: ingress-nginx internal/ingress/status (statusSync: --publish-service before --publish-status-address, Shutdown).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial

from emulator.api.kinds import CONFIG_MAP, INGRESS, INGRESS_CLASS, SERVICE
from emulator.api.meta import JsonObject, ObjectKey, is_terminating, key_of
from emulator.client.index import Change
from emulator.config.addons import ADDONS, is_on
from emulator.controllers.changes import NOTHING, Changes, Controller, View, Write, own_key
from emulator.routing.ingressclasses import is_ours, our_classes
from emulator.routing.ingressservice import INGRESS_SERVICE


def plan_ingress_status(key: ObjectKey, view: View, at: datetime, *, address: str) -> Changes:
    """The address while the Ingress is of one of our classes; one of another controller is left alone."""
    ingress = view.get(INGRESS, key.name, key.namespace)
    if ingress is None or is_terminating(ingress) or not is_ours(ingress, our_classes(view.all(INGRESS_CLASS))):
        return NOTHING
    wanted, present = _published(view, address), _points(ingress)
    if not is_on(view.get(CONFIG_MAP, ADDONS.name, ADDONS.namespace), "ingress"):
        return _with_status(ingress, {}) if wanted and present == wanted else NOTHING
    if not wanted or present == wanted:
        return NOTHING
    return _with_status(ingress, {"ingress": wanted})


def _with_status(ingress: JsonObject, load_balancer: JsonObject) -> Changes:
    status = {**(ingress.get("status") or {}), "loadBalancer": load_balancer}
    return Changes(updates=(Write(INGRESS, {**ingress, "status": status}, "status"),))


def _published(view: View, address: str) -> list[JsonObject]:
    """What the controller's own Service has where there is one, else `address`."""
    service = view.get(SERVICE, INGRESS_SERVICE.name, INGRESS_SERVICE.namespace)
    if service is None:
        return [{"ip": address}]
    return [{"ip": point["ip"]} for point in _points(service) if point.get("ip")]


def _points(balanced: JsonObject) -> list[JsonObject]:
    points = ((balanced.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return [dict(point) for point in points]


def _every_key(change: Change, view: View) -> Iterable[ObjectKey]:
    """Every Ingress: a class that comes or goes can make any of them ours, the Service gives all of them its address,
    the add-on's switch takes it from them."""
    if (change.kind == SERVICE and change.key != INGRESS_SERVICE) or (
        change.kind == CONFIG_MAP and change.key != ADDONS
    ):
        return []
    return [key_of(ingress) for ingress in view.all(INGRESS)]


def controller(address: str) -> Controller:
    """address: an IP."""
    watches = {INGRESS: own_key, INGRESS_CLASS: _every_key, SERVICE: _every_key, CONFIG_MAP: _every_key}
    return Controller("ingressstatus", watches, partial(plan_ingress_status, address=address))
