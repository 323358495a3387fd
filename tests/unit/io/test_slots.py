"""Places in 127/8: held by a socket, free again when it is closed."""

from __future__ import annotations

from dataclasses import replace

from emulator.config.presets import address_plan
from emulator.config.settings import ClusterConfig
from emulator.io.slots import take_slot


def test_each_cluster_has_its_own_and_gives_it_back() -> None:
    first, first_marker = take_slot(ClusterConfig())
    second, second_marker = take_slot(ClusterConfig())
    assert first_marker is not None
    assert second_marker is not None
    try:
        assert not first.addresses.services.overlaps(second.addresses.services)
        assert not first.addresses.pods.overlaps(second.addresses.pods)
    finally:
        first_marker.close()
    again, again_marker = take_slot(ClusterConfig())
    assert again_marker is not None
    again_marker.close()
    second_marker.close()
    assert again.addresses == first.addresses


def test_what_was_asked_for_by_name_stays() -> None:
    for config in (
        replace(ClusterConfig(), network="sandbox", addresses=address_plan("microk8s", "sandbox")),
        replace(ClusterConfig(), addresses=address_plan("microk8s", "loopback", service_cidr="127.9.0.0/24")),
    ):
        assert take_slot(config) == (config, None)
