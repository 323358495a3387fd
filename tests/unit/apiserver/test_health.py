"""Health checks: short when well, a line each when asked or not well."""

from __future__ import annotations

import pytest

from emulator.apiserver.health import health, one_check


@pytest.mark.parametrize("name", ["livez", "readyz", "healthz"])
def test_well_is_one_word(name: str) -> None:
    assert health(name, synced=True) == (200, "ok")


def test_alive_is_not_ready() -> None:
    assert health("livez", synced=False) == (200, "ok")
    lines = ["[+]ping ok", "[+]log ok", "[+]etcd ok", "[-]informer-sync failed: reason withheld", "[+]shutdown ok"]
    assert health("readyz", synced=False) == (500, "\n".join([*lines, "readyz check failed"]) + "\n")


def test_every_check_when_asked() -> None:
    found = health("livez", synced=True, verbose=True)
    assert found == (200, "[+]ping ok\n[+]log ok\n[+]etcd ok\nlivez check passed\n")


def test_checks_may_be_left_out() -> None:
    assert health("readyz", synced=False, excluded=["informer-sync"]) == (200, "ok")
    text = health("livez", synced=True, verbose=True, excluded=["etcd", "b", "a"]).text
    assert "[+]etcd excluded: ok\n" in text
    assert 'warn: some health checks cannot be excluded: no matches for "a", "b"\n' in text


def test_one_check_alone() -> None:
    assert one_check("readyz", "ping", synced=False) == (200, "ok")
    assert one_check("livez", "informer-sync", synced=True) is None
    found = one_check("readyz", "informer-sync", synced=False)
    assert found is not None
    assert found.code == 500
