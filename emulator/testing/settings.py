"""The settings of clusters for tests: free ports, everything in memory, and what happens is kept for assertions."""

from __future__ import annotations

from dataclasses import replace

from emulator.config.presets import address_plan
from emulator.config.settings import ClusterConfig, NetworkMode

RECORDS = 1000


def config_for_tests(
    *, nodes: int | None = None, network: NetworkMode | None = None, preset: str | None = None
) -> ClusterConfig:
    """None takes the usual."""
    config = ClusterConfig(dns_port=0, http_port=0, https_port=0, socks_port=0)
    if nodes is not None:
        config = replace(config, nodes=nodes)
    if network is not None or preset is not None:
        mode, chosen = network or config.network, preset or config.preset
        config = replace(config, network=mode, preset=chosen, addresses=address_plan(chosen, mode))
    return config
