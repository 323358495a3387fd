"""Whether an address is in one of some ranges. What is no address is in none."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from emulator.ingress.model import Network


def is_in(client: str, networks: Iterable[Network]) -> bool:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return False
    return any(address.version == network.version and address in network for network in networks)
