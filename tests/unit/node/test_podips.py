from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.api.errors import EmulatorError
from emulator.node.nodes import MAX_PODS, allocatable
from emulator.node.podips import NoPodAddress, PodAddresses, node_ranges


def test_addresses_come_in_turn_and_a_freed_one_comes_last() -> None:
    addresses = PodAddresses(IPv4Network("10.1.0.0/29"))
    first = [addresses.allocate() for _ in range(3)]
    assert first == ["10.1.0.3", "10.1.0.4", "10.1.0.5"]
    addresses.release("10.1.0.3")
    assert addresses.allocate() == "10.1.0.6"
    assert addresses.allocate() == "10.1.0.3"
    with pytest.raises(NoPodAddress):
        addresses.allocate()


def test_an_address_can_be_reserved_once() -> None:
    addresses = PodAddresses(IPv4Network("10.1.0.0/24"))
    assert addresses.reserve("10.1.0.3")
    assert not addresses.reserve("10.1.0.3")
    assert not addresses.reserve("10.2.0.3")
    assert addresses.allocate() == "10.1.0.4"


def test_ranges_of_nodes() -> None:
    pods = IPv4Network("10.1.0.0/16")
    assert node_ranges(pods, 1) == (pods,)
    assert [str(each) for each in node_ranges(pods, 3)] == ["10.1.0.0/21", "10.1.8.0/21", "10.1.16.0/21"]
    assert [str(node_ranges(pods, count)[-1]) for count in (32, 33, 64)] == [
        "10.1.248.0/21",
        "10.1.128.0/22",
        "10.1.252.0/22",
    ]
    assert [str(each) for each in node_ranges(IPv4Network("10.1.0.0/24"), 2)] == ["10.1.0.0/25", "10.1.0.128/25"]
    with pytest.raises(EmulatorError, match="larger --pod-cidr"):
        node_ranges(IPv4Network("10.1.0.0/28"), 5)


@given(st.lists(st.integers(0, 20)))
def test_no_address_is_given_twice(steps: list[int]) -> None:
    addresses, held = PodAddresses(IPv4Network("10.1.0.0/28")), list[str]()
    for step in steps:
        if held and step % 3 == 0:
            addresses.release(held.pop(step % len(held)))
        elif len(held) < addresses.capacity:
            address = addresses.allocate()
            assert address not in held
            held.append(address)
    assert len(addresses) == len(held)


def test_a_node_has_an_address_for_every_pod_it_offers_room_for() -> None:
    for count in (1, 3, 32):
        capacities = [PodAddresses(each).capacity for each in node_ranges(IPv4Network("10.1.0.0/16"), count)]
        assert min(capacities) >= int(allocatable(min(capacities))["pods"]) == MAX_PODS
    few = PodAddresses(node_ranges(IPv4Network("10.1.0.0/24"), 4)[0]).capacity
    assert int(allocatable(few)["pods"]) == few
