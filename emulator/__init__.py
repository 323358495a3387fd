"""kubemu: a Kubernetes service network on one machine.

The public API is what this module names; nothing else is promised. Importing it costs next to nothing: what a
name stands for is imported when it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.api.errors import ApiError, ConfigError, EmulatorError, StartError
    from emulator.client.manifests import ManifestError
    from emulator.cluster import ApplyFailed, Cluster, NotReady
    from emulator.config.settings import ClusterConfig
    from emulator.dns.io.resolving import NoSuchName
    from emulator.testing.sync import SyncCluster

__all__ = [
    "ApiError",
    "ApplyFailed",
    "Cluster",
    "ClusterConfig",
    "ConfigError",
    "EmulatorError",
    "ManifestError",
    "NoSuchName",
    "NotReady",
    "StartError",
    "SyncCluster",
]
__version__ = "0.1.0"

_HOMES = {
    "Cluster": "emulator.cluster",
    "ApplyFailed": "emulator.cluster",
    "NoSuchName": "emulator.dns.io.resolving",
    "NotReady": "emulator.cluster",
    "ClusterConfig": "emulator.config.settings",
    "ApiError": "emulator.api.errors",
    "ConfigError": "emulator.api.errors",
    "EmulatorError": "emulator.api.errors",
    "ManifestError": "emulator.client.manifests",
    "StartError": "emulator.api.errors",
    "SyncCluster": "emulator.testing.sync",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
