"""What a typed server holds of an object nobody has written to: the structs that are always there, and null lists.

Field ownership begins from it: a struct that was there before belongs to nobody, a map that was not to its maker.
Source: the Go types of k8s.io/api (structs that are no pointers, lists without omitempty).
"""

from __future__ import annotations

from functools import cache

from emulator.api.fields import Message, Table, message_of, table_of
from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject

ALWAYS_THERE = frozenset(("metadata", "spec", "status", "strategy", "updateStrategy", "jobTemplate", "template"))
"""Structs of these names are no pointers, whichever type has them."""
ALSO_THERE = frozenset(
    (
        ("CustomResourceDefinitionSpec", "names"),
        ("CustomResourceDefinitionStatus", "acceptedNames"),
        ("Event", "involvedObject"),
        ("Event", "source"),
        ("HorizontalPodAutoscalerSpec", "scaleTargetRef"),
        ("IngressStatus", "loadBalancer"),
        ("NetworkPolicySpec", "podSelector"),
        ("NodeDaemonEndpoints", "kubeletEndpoint"),
        ("NodeStatus", "daemonEndpoints"),
        ("NodeStatus", "nodeInfo"),
        ("PersistentVolumeClaimSpec", "resources"),
        ("ServiceStatus", "loadBalancer"),
    )
)
POINTERS = frozenset((("ReplicationControllerSpec", "template"),))
"""Of those names, the ones that are pointers after all."""
NULL_LISTS = frozenset((("EndpointSlice", "endpoints"), ("EndpointSlice", "ports")))
"""Lists that are written even when they are not there, besides the required ones."""
ZERO_VALUES = {
    ("Event", "eventTime"): None,
    ("Event", "firstTimestamp"): None,
    ("Event", "lastTimestamp"): None,
    ("Event", "reportingComponent"): "",
    ("Event", "reportingInstance"): "",
}
"""Single values that are written even when they are empty."""


@cache
def zero_object(kind: Kind) -> JsonObject:
    """Shared: never change it."""
    return {"metadata": {}, **_zero(message_of(kind), table_of(kind))}


def _zero(message: Message, types: Table) -> JsonObject:
    found: JsonObject = {}
    for field in message.fields.values():
        where = (message.short, field.name)
        there = (field.name in ALWAYS_THERE and where not in POINTERS) or where in ALSO_THERE
        if there and field.type and not field.shape and field.type != message.name:
            found[field.name] = _zero(types.messages[field.type], types)
        elif field.shape and (field.name in message.required or where in NULL_LISTS):
            found[field.name] = None
        elif where in ZERO_VALUES:
            found[field.name] = ZERO_VALUES[where]
    return found
