"""Places in 127/8 for clusters that share a machine: whoever holds a place's marker socket has its ranges.

The marker dies with its process, so nothing is left to clean up. It is bound and never listens.
"""

from __future__ import annotations

import socket
from dataclasses import replace

from emulator.config.presets import SLOTS, slot_plan
from emulator.config.settings import ClusterConfig

MARKER_PORT = 20152  # above the ports that need a privilege, below those that are given out (32768)


def take_slot(config: ClusterConfig) -> tuple[ClusterConfig, socket.socket | None]:
    """The config with ranges no other cluster has, and the socket that holds them; close it to give them back.

    Only loopback mode with the usual ranges moves: what was asked for by name stays. When every place is taken the
    config comes back as it is.
    """
    if config.network != "loopback" or config.addresses != slot_plan(0):
        return config, None
    for number in range(SLOTS):
        plan = slot_plan(number)
        marker = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            marker.bind((str(plan.services[0]), MARKER_PORT))
        except OSError:
            marker.close()
            continue
        return replace(config, addresses=plan), marker
    return config, None
