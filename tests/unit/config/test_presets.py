"""Address plans of clusters that share a machine in loopback mode."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import combinations

import pytest

from emulator.config.presets import SLOTS, address_plan, moved_to_plan, slot_plan


def ranges(number: int) -> tuple[IPv4Network, ...]:
    plan = slot_plan(number)
    return plan.services, plan.pods, IPv4Network(f"{plan.load_balancer_first}/32").supernet(new_prefix=24)


def test_the_first_place_has_the_usual_ranges() -> None:
    assert slot_plan(0) == address_plan("microk8s", "loopback")


def test_no_two_places_overlap() -> None:
    held = [network for number in range(SLOTS) for network in ranges(number)]
    assert all(network.subnet_of(IPv4Network("127.0.0.0/8")) for network in held)
    assert not any(one.overlaps(other) for one, other in combinations(held, 2))
    assert not any(network.overlaps(IPv4Network("127.0.0.0/16")) for network in held)  # the machine's own 127.0.0.1


@pytest.mark.parametrize(
    ("address", "number", "wanted"),
    [
        ("10.152.183.44", 0, "127.152.183.44"),
        ("10.152.183.44", 7, "127.152.7.44"),
        ("127.152.183.44", 7, "127.152.7.44"),
        ("127.152.7.44", 7, "127.152.7.44"),
        ("192.0.2.1", 7, "192.0.2.1"),
        ("None", 7, "None"),
    ],
)
def test_addresses_of_manifests_move_along(address: str, number: int, wanted: str) -> None:
    assert moved_to_plan(address, "microk8s", slot_plan(number)) == wanted


def test_the_sandbox_moves_nothing() -> None:
    plan = address_plan("microk8s", "sandbox", service_cidr="10.9.0.0/24")
    assert moved_to_plan("10.152.183.44", "microk8s", plan) == "10.152.183.44"
