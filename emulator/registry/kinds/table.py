"""The strategy of every served kind, by resource name; the pipeline looks nowhere else.

A kind without rules of its own has the plain Strategy.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from emulator.api.kinds import KINDS
from emulator.registry.kinds import (
    addresses,
    configuration,
    core,
    daemonset,
    deployment,
    endpoints,
    event,
    ingress,
    lease,
    limits,
    networkpolicy,
    pod,
    podtemplate,
    rbac,
    replicaset,
    service,
    statefulset,
    storage,
)
from emulator.registry.strategy import Strategy

_OWN: tuple[Strategy, ...] = (
    *addresses.STRATEGIES,
    *configuration.STRATEGIES,
    *core.STRATEGIES,
    *daemonset.STRATEGIES,
    *deployment.STRATEGIES,
    *endpoints.STRATEGIES,
    *event.STRATEGIES,
    *ingress.STRATEGIES,
    *lease.STRATEGIES,
    *limits.STRATEGIES,
    *networkpolicy.STRATEGIES,
    *rbac.STRATEGIES,
    *pod.STRATEGIES,
    *podtemplate.STRATEGIES,
    *replicaset.STRATEGIES,
    *service.STRATEGIES,
    *statefulset.STRATEGIES,
    *storage.STRATEGIES,
)

STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {kind.resource: Strategy(kind) for kind in KINDS} | {strategy.kind.resource: strategy for strategy in _OWN}
)
