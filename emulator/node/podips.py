"""Which address a pod gets: in turn through its node's range, so that an address just freed rests the longest.

Pure: whoever binds the address says so by allocating it, and frees it when the pod is gone.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from emulator.api.errors import EmulatorError

FIRST_OFFSET = 3  # .0 is the network, .1 the node's bridge, .2 the cluster's DNS server
NODE_PREFIX = 21  # the smallest range that has an address for every pod a node may run (nodes.MAX_PODS)


class NoPodAddress(EmulatorError):
    """Every address of the node's range is in use."""


def node_ranges(pods: IPv4Network, nodes: int) -> tuple[IPv4Network, ...]:
    """The range of each node: the whole for one node, else a /21 each, or less where /21s do not suffice.

    Upstream's /24 would hold fewer pods than a node here offers room for.

    Raises EmulatorError when the range is too small for so many nodes.
    """
    if nodes <= 1:
        return (pods,)
    prefix = max(NODE_PREFIX, pods.prefixlen + (nodes - 1).bit_length())
    if prefix > 29:
        raise EmulatorError(f"pod range {pods} is too small for {nodes} nodes; give a larger --pod-cidr")
    first, size = int(pods.network_address), 1 << (32 - prefix)
    return tuple(IPv4Network((first + number * size, prefix)) for number in range(nodes))


class PodAddresses:
    """The addresses of one range and which of them are in use."""

    def __init__(self, network: IPv4Network) -> None:
        self.network = network
        self._first = int(network.network_address) + FIRST_OFFSET
        self._count = max(0, network.num_addresses - FIRST_OFFSET - 1)  # the last one is the broadcast address
        self._next = 0
        self._used: set[int] = set()

    @property
    def capacity(self) -> int:
        return self._count

    def __len__(self) -> int:
        return len(self._used)

    def allocate(self) -> str:
        """The next free address after the one given last. Raises NoPodAddress."""
        if len(self._used) >= self._count:
            raise NoPodAddress(f"no free address in the pod range {self.network}; give a larger --pod-cidr")
        while True:
            offset = self._next
            self._next = (offset + 1) % self._count
            if offset not in self._used:
                self._used.add(offset)
                return str(IPv4Address(self._first + offset))

    def reserve(self, address: str) -> bool:
        """Take this very address; False when it is in use or not of the range."""
        offset = int(IPv4Address(address)) - self._first
        if not 0 <= offset < self._count or offset in self._used:
            return False
        self._used.add(offset)
        return True

    def release(self, address: str) -> None:
        """Free an address; freeing one that is not in use does nothing."""
        self._used.discard(int(IPv4Address(address)) - self._first)

    @property
    def last(self) -> str:
        """The far end of the range: the address least likely to be in use."""
        return str(IPv4Address(self._first + self._count - 1))
