"""Pools of ClusterIPs and node ports, and operations on them that are committed or reverted as a whole. No I/O.

A number is never handed out twice: a lease taken by an operation is held until the operation reverts or the object
that holds it goes.
Source: pkg/registry/core/service/{ipallocator/ipallocator.go,portallocator/{allocator,operation}.go}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network

Random = Callable[[int], int]

DRY_RUN_PORT = 32768  # the first stand-in node port of a dry run, one above the default range
NO_IP, FULL = "provided IP is already allocated", "range is full"


class AllocationError(Exception):
    """A number cannot be had; the text is upstream's."""


class Pool:
    """Numbers first ... last. Automatic picks come from above the static band while there are any."""

    def __init__(self, first: int, last: int, static: int, *, taken: str = "") -> None:
        """static: how many numbers from the first on are left to those who ask for a certain one."""
        self.first = first
        self.last = last
        self._dynamic = first + static
        self._used: set[int] = set()
        self._used_dynamic = 0
        self.taken = taken
        """Why a leased number is refused."""

    def __len__(self) -> int:
        return len(self._used)

    def __contains__(self, number: int) -> bool:
        return number in self._used

    def covers(self, number: int) -> bool:
        return self.first <= number <= self.last

    def take(self, number: int) -> None:
        """Lease this very number. Raises AllocationError when it is leased."""
        if number in self._used:
            raise AllocationError(self.taken)
        self._used.add(number)
        self._used_dynamic += number >= self._dynamic

    def take_any(self, rng: Random) -> int:
        """Lease a number: from a random place upwards, with wrap. Raises AllocationError when there is none."""
        if self._used_dynamic < self.last - self._dynamic + 1:
            low, high = self._dynamic, self.last
        elif len(self._used) < self.last - self.first + 1:
            low, high = self.first, self._dynamic - 1
        else:
            raise AllocationError(FULL)
        size = high - low + 1
        offset = rng(size)
        while low + offset in self._used:
            offset = (offset + 1) % size
        self.take(low + offset)
        return low + offset

    def release(self, number: int) -> None:
        """Give back; nothing happens when it is not leased."""
        if number in self._used:
            self._used.discard(number)
            self._used_dynamic -= number >= self._dynamic


def address_pool(network: IPv4Network) -> Pool:
    """The usable addresses of a service range: not the network's own and not the broadcast address."""
    size = network.num_addresses - 2
    static = 0 if size + 2 <= 16 else min(max(16, network.num_addresses // 16), 256)
    first = int(network.network_address) + 1
    return Pool(first, first + size - 1, static, taken=NO_IP)


def port_pool(first: int, last: int) -> Pool:
    """The node ports; the static band is an idea of upstream's to keep chosen ports free."""
    size = last - first + 1
    static = 0 if size <= 16 else min(max(16, size // 32), 128)
    return Pool(first, last, static, taken="provided port is already allocated")


class Operation:
    """What one write takes and gives back. Given back is only after the write is stored."""

    def __init__(self, *, dry_run: bool, rng: Random) -> None:
        self.dry_run = dry_run
        self._rng = rng
        self._taken: list[tuple[Pool, int]] = []
        self._returned: list[tuple[Pool, int]] = []
        self._stand_ins: list[int] = []

    def take(self, pool: Pool, number: int) -> None:
        """Raises AllocationError."""
        if self.dry_run:
            if number in pool or number in self._stand_ins:
                raise AllocationError(pool.taken)
            self._stand_ins.append(number)
            return
        pool.take(number)
        self._taken.append((pool, number))

    def take_any(self, pool: Pool) -> int:
        """Raises AllocationError."""
        number = pool.take_any(self._rng)
        self._taken.append((pool, number))
        return number

    def stand_in_port(self) -> int:
        """A node port that only a dry run shows."""
        port = max(self._stand_ins, default=DRY_RUN_PORT - 1) + 1
        self._stand_ins.append(port)
        return port

    def give_back(self, pool: Pool, number: int) -> None:
        """Once the write is stored, not before."""
        self._returned.append((pool, number))

    def commit(self) -> None:
        """The write is stored."""
        if not self.dry_run:
            for pool, number in self._returned:
                pool.release(number)
        self._close()

    def revert(self) -> None:
        """The write failed: nothing of it remains."""
        for pool, number in self._taken:
            pool.release(number)
        self._close()

    def _close(self) -> None:
        self._taken = []
        self._returned = []


class Allocators:
    """The pools of one cluster."""

    def __init__(self, services: IPv4Network, node_ports: tuple[int, int]) -> None:
        self.network = services
        self.addresses = address_pool(services)
        self.ports = port_pool(*node_ports)
        self.port_range = f"{node_ports[0]}-{node_ports[1]}"

    def take_address(self, operation: Operation, address: str) -> None:
        """Raises AllocationError."""
        number = _number(address)
        if number is None or not self.addresses.covers(number):
            raise AllocationError("the provided network does not match the current range")
        operation.take(self.addresses, number)

    def take_any_address(self, operation: Operation) -> str:
        """An address, in a dry run the range's own as a stand-in. Raises AllocationError."""
        if operation.dry_run:
            return str(self.network.network_address)
        return str(IPv4Address(operation.take_any(self.addresses)))

    def give_back_address(self, operation: Operation, address: str) -> None:
        number = _number(address)
        if number is not None:
            operation.give_back(self.addresses, number)

    def take_port(self, operation: Operation, port: int) -> None:
        """Raises AllocationError."""
        if not operation.dry_run and not self.ports.covers(port):
            text = f"provided port is not in the valid range. The range of valid ports is {self.port_range}"
            raise AllocationError(text)
        operation.take(self.ports, port)

    def take_any_port(self, operation: Operation) -> int:
        """Raises AllocationError."""
        return operation.stand_in_port() if operation.dry_run else operation.take_any(self.ports)

    def give_back_port(self, operation: Operation, port: int) -> None:
        operation.give_back(self.ports, port)

    def hold(self, addresses: Iterable[str], ports: Iterable[int]) -> None:
        """Note what stored Services hold, at the start; what is held twice or out of range is let be."""
        for address in addresses:
            number = _number(address)
            if number is not None and self.addresses.covers(number) and number not in self.addresses:
                self.addresses.take(number)
        for port in ports:
            if self.ports.covers(port) and port not in self.ports:
                self.ports.take(port)


def _number(address: str) -> int | None:
    try:
        return int(IPv4Address(address))
    except AddressValueError:
        return None
