"""Pools and the operations on them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from emulator.registry.allocation import AllocationError, Allocators, Operation, Pool, address_pool, port_pool


def first(stop: int) -> int:
    return 0


def last(stop: int) -> int:
    return stop - 1


def allocators(services: str = "10.152.183.0/24") -> Allocators:
    return Allocators(IPv4Network(services), (30000, 32767))


def operation(*, dry_run: bool = False) -> Operation:
    return Operation(dry_run=dry_run, rng=first)


@pytest.mark.parametrize(
    ("network", "lowest", "dynamic", "highest"),
    [
        ("10.152.183.0/24", "10.152.183.1", "10.152.183.17", "10.152.183.254"),
        ("10.96.0.0/16", "10.96.0.1", "10.96.1.1", "10.96.255.254"),
        ("10.96.0.0/28", "10.96.0.1", "10.96.0.1", "10.96.0.14"),
        ("10.96.0.0/27", "10.96.0.1", "10.96.0.17", "10.96.0.30"),
    ],
)
def test_the_static_band_of_a_service_range(network: str, lowest: str, dynamic: str, highest: str) -> None:
    found = allocators(network)
    assert found.take_any_address(operation()) == dynamic
    assert found.take_any_address(Operation(dry_run=False, rng=last)) == highest
    assert found.addresses.first == int(IPv4Address(lowest))


def test_the_static_band_of_node_ports() -> None:
    pool = port_pool(30000, 32767)
    assert pool.take_any(first) == 30086
    assert pool.take_any(last) == 32767


def test_picks_scan_forward_with_wrap_and_use_the_static_band_last() -> None:
    pool = Pool(1, 10, 4, taken="taken")
    assert [pool.take_any(last) for _ in range(6)] == [10, 5, 6, 7, 8, 9]
    assert sorted(pool.take_any(first) for _ in range(4)) == [1, 2, 3, 4]
    with pytest.raises(AllocationError, match="range is full"):
        pool.take_any(first)
    pool.release(7)
    assert pool.take_any(first) == 7


def test_what_is_asked_for_may_lie_in_either_band_once() -> None:
    found = allocators()
    for address in ("10.152.183.3", "10.152.183.200"):
        found.take_address(operation(), address)
        with pytest.raises(AllocationError, match="provided IP is already allocated"):
            found.take_address(operation(), address)


@pytest.mark.parametrize("address", ["1.2.3.4", "10.152.183.0", "10.152.183.255", "fd00::1", "10.152.183"])
def test_addresses_outside_the_range(address: str) -> None:
    with pytest.raises(AllocationError, match="the provided network does not match the current range"):
        allocators().take_address(operation(), address)


def test_ports_outside_the_range() -> None:
    with pytest.raises(AllocationError, match="The range of valid ports is 30000-32767"):
        allocators().take_port(operation(), 80)


def test_a_reverted_operation_leaves_nothing_and_gives_nothing_back() -> None:
    found = allocators()
    found.take_port(operation(), 30001)
    failing = operation()
    found.take_port(failing, 30000)
    found.take_any_address(failing)
    found.give_back_port(failing, 30001)
    failing.revert()
    assert len(found.addresses) == 0
    assert 30000 not in found.ports
    assert 30001 in found.ports


def test_a_committed_operation_gives_back_only_then() -> None:
    found = allocators()
    found.take_port(operation(), 30001)
    moving = operation()
    found.give_back_port(moving, 30001)
    with pytest.raises(AllocationError):
        found.take_port(moving, 30001)
    moving.commit()
    found.take_port(operation(), 30001)


def test_a_revert_after_the_commit_takes_nothing_away() -> None:
    found = allocators()
    done = operation()
    found.take_port(done, 30000)
    done.commit()
    done.revert()
    assert 30000 in found.ports


def test_a_dry_run_shows_stand_ins_and_reserves_nothing() -> None:
    found = allocators()
    found.take_port(operation(), 30000)
    dry = operation(dry_run=True)
    assert found.take_any_address(dry) == "10.152.183.0"
    assert [found.take_any_port(dry), found.take_any_port(dry)] == [32768, 32769]
    with pytest.raises(AllocationError, match="provided port is already allocated"):
        found.take_port(dry, 30000)
    found.take_address(dry, "10.152.183.9")
    found.give_back_port(dry, 30000)
    dry.commit()
    assert (len(found.addresses), len(found.ports)) == (0, 1)


def test_stored_services_are_held_however_odd() -> None:
    found = allocators()
    found.hold(["10.152.183.1", "10.152.183.1", "1.2.3.4", "None"], [30000, 30000, 80])
    assert (len(found.addresses), len(found.ports)) == (1, 1)


def test_pools_of_the_smallest_ranges_have_no_static_band() -> None:
    assert address_pool(IPv4Network("10.0.0.0/28")).take_any(first) == int(IPv4Network("10.0.0.0/28")[1])
    assert port_pool(30000, 30015).take_any(first) == 30000
