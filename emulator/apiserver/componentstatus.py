"""ComponentStatuses: the control plane's parts as kubectl has always shown them. All of them are this one process.

Source: pkg/registry/core/componentstatus/rest.go.
"""

from __future__ import annotations

from emulator.api.errors import NotFound
from emulator.api.kinds import COMPONENT_STATUS
from emulator.api.meta import JsonObject
from emulator.registry.predicates import predicate
from emulator.registry.strategy import Strategy

COMPONENTS = ("scheduler", "controller-manager", "etcd-0")
"""The store goes by the name of upstream's: what matters to who asks is that it answers."""

_STRATEGY = Strategy(COMPONENT_STATUS)


def component_statuses(label_selector: str = "", field_selector: str = "") -> list[JsonObject]:
    """The selected parts. Raises BadRequest."""
    selects = predicate(_STRATEGY, label_selector, field_selector)
    return [status for status in map(_status, COMPONENTS) if selects is None or selects(status)]


def component_status(name: str) -> JsonObject:
    """Raises NotFound."""
    if name not in COMPONENTS:
        raise NotFound.of(COMPONENT_STATUS.resource, name)
    return _status(name)


def _status(name: str) -> JsonObject:
    healthy = {"type": "Healthy", "status": "True", "message": "ok"}
    return {"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name}, "conditions": [healthy]}
