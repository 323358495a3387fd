"""What the pods of each node ask for: their number, requests, host ports and owners. Pure.

Kept current one change at a time, so that a pod is scheduled without looking at all the others.
Source: pkg/scheduler/framework/types.go (NodeInfo), k8s.io/component-helpers resource (PodRequests).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from emulator.api.meta import JsonObject, ObjectKey, key_of
from emulator.client.index import Change
from emulator.client.index import controller_uid as owner_uid
from emulator.registry.kinds.quantities import value

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
MILLI = ("cpu",)  # counted in thousandths, everything else in whole units
ANY_ADDRESS = ("", "0.0.0.0")

HostPort = tuple[str, str, int]
"""Address ("" for every one), protocol, port."""


@dataclass(slots=True)
class NodeLoad:
    """Of one node: `owners` counts its pods by the uid of their controller."""

    pods: int = 0
    requested: Counter[str] = field(default_factory=Counter)
    ports: Counter[HostPort] = field(default_factory=Counter)
    owners: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Held:
    node: str
    requested: Mapping[str, int]
    ports: tuple[HostPort, ...]
    owner: str


class Loads:
    """Of all nodes."""

    def __init__(self) -> None:
        self._nodes: defaultdict[str, NodeLoad] = defaultdict(NodeLoad)
        self._held: dict[ObjectKey, _Held] = {}
        self.averse: dict[ObjectKey, JsonObject] = {}
        """Pods on nodes that will not stand beside certain others."""

    @classmethod
    def of(cls, pods: Iterable[JsonObject]) -> Loads:
        made = cls()
        for pod in pods:
            made._put(key_of(pod), pod)
        return made

    def of_node(self, name: str) -> NodeLoad:
        return self._nodes.get(name) or NodeLoad()

    def apply(self, change: Change) -> bool:
        """Follow a change of a pod; whether room came free by it."""
        before = self._held.get(change.key)
        self._take(change.key)
        if change.type != "DELETED":
            self._put(change.key, change.object)
        return before is not None and change.key not in self._held

    def _put(self, key: ObjectKey, pod: JsonObject) -> None:
        node = pod["spec"].get("nodeName")
        if not node or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return
        held = _Held(node, requests_of(pod), tuple(host_ports(pod)), owner_uid(pod))
        self._held[key] = held
        if anti_affinity_terms(pod):
            self.averse[key] = pod
        load = self._nodes[node]
        load.pods += 1
        load.requested.update(held.requested)
        load.ports.update(held.ports)
        load.owners[held.owner] += 1

    def _take(self, key: ObjectKey) -> None:
        held = self._held.pop(key, None)
        if held is None:
            return
        self.averse.pop(key, None)
        load = self._nodes[held.node]
        load.pods -= 1
        load.requested.subtract(held.requested)
        load.ports -= Counter(held.ports)
        load.owners -= Counter([held.owner])


def requests_of(pod: Mapping[str, Any]) -> dict[str, int]:
    """What a pod asks of its node: its containers together, or a greater init container, and its overhead."""
    spec = pod["spec"]
    found: Counter[str] = Counter()
    for container in spec.get("containers") or ():
        found.update(_requests(container))
    beside: Counter[str] = Counter()  # sidecars that run by the time an init container does
    initial: Counter[str] = Counter()
    for container in spec.get("initContainers") or ():
        asked = _requests(container)
        if container.get("restartPolicy") == "Always":
            found.update(asked)
            beside.update(asked)
            asked = dict(beside)
        else:
            asked = dict(beside + Counter(asked))
        initial |= Counter(asked)
    found |= initial
    for name, amount in _amounts((spec.get("resources") or {}).get("requests") or {}).items():
        found[name] = amount
    found.update(_amounts(spec.get("overhead") or {}))
    return {name: amount for name, amount in found.items() if amount}


@lru_cache(maxsize=1024)
def amount(name: str, quantity: str | float) -> int:
    """A quantity in the units in which the scheduler counts the resource, rounded up."""
    exact = (value(quantity) or 0) * (1000 if name in MILLI else 1)
    return -(-exact.numerator // exact.denominator)


def host_ports(pod: Mapping[str, Any]) -> Iterator[HostPort]:
    spec = pod["spec"]
    sidecars = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
    for container in (*sidecars, *(spec.get("containers") or ())):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                address = port.get("hostIP") or ""
                wide = "" if address in ANY_ADDRESS else address
                yield wide, port.get("protocol") or "TCP", int(port["hostPort"])


def conflicts(wanted: Iterable[HostPort], taken: Mapping[HostPort, int]) -> bool:
    """Whether one of the host ports is taken; one at every address conflicts with one at any."""
    for address, protocol, port in wanted:
        for held, of, number in taken:
            if (of, number) == (protocol, port) and (not address or not held or held == address):
                return True
    return False


def anti_affinity_terms(pod: Mapping[str, Any]) -> list[JsonObject]:
    rules = (pod["spec"].get("affinity") or {}).get("podAntiAffinity") or {}
    return list(rules.get(REQUIRED) or ())


def _requests(container: Mapping[str, Any]) -> dict[str, int]:
    return _amounts((container.get("resources") or {}).get("requests") or {})


def _amounts(listed: Mapping[str, Any]) -> dict[str, int]:
    return {name: amount(name, quantity) for name, quantity in listed.items()}
