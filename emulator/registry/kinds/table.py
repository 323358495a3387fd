"""The strategy of every served kind, by resource name; the pipeline looks nowhere else.

A kind without rules of its own has the plain Strategy.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from emulator.api.kinds import KINDS
from emulator.registry.kinds import (
    addresses,
    autoscaling,
    configuration,
    core,
    cronjob,
    customresource,
    daemonset,
    deployment,
    endpoints,
    event,
    ingress,
    job,
    lease,
    limits,
    networkpolicy,
    pod,
    poddisruptionbudget,
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
    *autoscaling.STRATEGIES,
    *configuration.STRATEGIES,
    *core.STRATEGIES,
    *cronjob.STRATEGIES,
    *customresource.STRATEGIES,
    *daemonset.STRATEGIES,
    *deployment.STRATEGIES,
    *endpoints.STRATEGIES,
    *event.STRATEGIES,
    *ingress.STRATEGIES,
    *job.STRATEGIES,
    *lease.STRATEGIES,
    *limits.STRATEGIES,
    *networkpolicy.STRATEGIES,
    *pod.STRATEGIES,
    *poddisruptionbudget.STRATEGIES,
    *podtemplate.STRATEGIES,
    *rbac.STRATEGIES,
    *replicaset.STRATEGIES,
    *service.STRATEGIES,
    *statefulset.STRATEGIES,
    *storage.STRATEGIES,
)

STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {kind.resource: Strategy(kind) for kind in KINDS} | {strategy.kind.resource: strategy for strategy in _OWN}
)
