"""Host mode: the cluster's ranges as local routes of the host's own lo, for as long as the cluster runs.

It never touches a route or an address that it did not add.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import summarize_address_range

from emulator.api.errors import StartError
from emulator.config.settings import AddressPlan
from emulator.io.netlink import Netlink

log = logging.getLogger(__name__)


def cluster_ranges(plan: AddressPlan) -> list[str]:
    """Every range of the plan as networks; the load balancer's first and last address need not be a network."""
    pool = summarize_address_range(plan.load_balancer_first, plan.load_balancer_last)
    return [str(network) for network in dict.fromkeys((plan.nodes, plan.services, plan.pods, *pool))]


@asynccontextmanager
async def local_routes(plan: AddressPlan) -> AsyncIterator[None]:
    """Make the plan's addresses local to this network namespace. Raises StartError without the right to."""
    try:
        netlink = Netlink()
    except OSError as error:
        raise StartError(f"--network host cannot reach the routing table: {error.strerror}") from error
    added: list[str] = []
    try:
        for network in cluster_ranges(plan):
            with contextlib.suppress(FileExistsError):  # left by a cluster that was killed, or another one's
                _add(netlink, network)
                added.append(network)
        yield
    finally:
        for network in reversed(added):
            try:
                netlink.delete_local_route(network)
            except OSError as error:
                log.warning("the local route %s could not be removed: %s", network, error.strerror)
        netlink.close()


def _add(netlink: Netlink, network: str) -> None:
    try:
        netlink.add_local_route(network)
    except FileExistsError:
        raise
    except OSError as error:
        hint = "" if os.geteuid() == 0 else "; it needs root"
        raise StartError(f"--network host cannot add a local route for {network}: {error.strerror}{hint}") from error
