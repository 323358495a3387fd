"""Addresses in ranges."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from emulator.ingress.ranges import is_in

RANGES = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
CASES = [("10.1.2.3", True), ("192.0.2.1", False), ("2001:db8::1", True), ("::1", False), ("", False), ("host", False)]


@pytest.mark.parametrize(("client", "wanted"), CASES)
def test_is_in(client: str, wanted: bool) -> None:
    assert is_in(client, RANGES) is wanted
    assert not is_in(client, ())
