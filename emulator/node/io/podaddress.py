"""A pod address that can really be bound. Several clusters in loopback mode share the host's 127/8."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from emulator.io.network import Network
from emulator.node.backends import DeclaredPort
from emulator.node.podips import PodAddresses

MAX_TRIES = 1024  # another cluster may hold the first addresses of the range


async def free_address(addresses: PodAddresses, network: Network, ports: Sequence[DeclaredPort], present: str) -> str:
    """An allocated address whose first port nobody else holds; `present`, if any, when it is free.

    A port held at every address (by a process bound to 0.0.0.0) is left for the binding to report.
    Raises NoPodAddress.
    """
    address = present if present and addresses.reserve(present) else addresses.allocate()
    port = next(iter(ports), None)
    if port is None or network.mode == "sandbox":
        return address
    for attempt in range(MAX_TRIES):
        if not await _taken(network, address, port):
            return address
        if attempt == 0 and await _taken(network, addresses.last, port):
            return address
        addresses.release(address)
        address = addresses.allocate()
    return address


async def _taken(network: Network, address: str, port: DeclaredPort) -> bool:
    try:
        if port.protocol == "UDP":
            (await network.udp_socket(address, port.port)).close()
        else:
            (await network.tcp_listener(address, port.port)).close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False
