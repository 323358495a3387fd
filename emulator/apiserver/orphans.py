"""Kinds whose Pods stay when they are deleted by a client that does not say otherwise, as they did before there was a choice.

Only clients of the HTTP API are meant: the parts of this process always say what they want.
Source: pkg/registry/batch/job/{strategy,storage/storage}.go, pkg/registry/core/replicationcontroller/strategy.go
(DefaultGarbageCollectionPolicy).
"""

from __future__ import annotations

from emulator.api.kinds import JOB, REPLICATION_CONTROLLER, Kind

ORPHAN = "Orphan"
JOB_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)
_ORPHANING = {JOB.resource, REPLICATION_CONTROLLER.resource}


def propagation_for(kind: Kind, asked: str | None) -> str | None:
    """The propagation policy of a deletion; None leaves everything as it stands."""
    return ORPHAN if asked is None and kind.resource in _ORPHANING else asked


def deletion_warnings(kind: Kind, asked: str | None) -> list[str]:
    return [JOB_WARNING] if asked is None and kind.resource == JOB.resource else []
