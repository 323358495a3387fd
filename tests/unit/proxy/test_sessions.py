"""The flow table: a client keeps its backend until it is quiet for too long, or the backend is gone."""

from __future__ import annotations

from emulator.proxy.sessions import FlowTable

A, B = ("10.1.0.1", 53), ("10.1.0.2", 53)


def table(limit: int = 100) -> FlowTable[str, int]:
    return FlowTable(idle_seconds=60, limit=limit)


def test_found_again_until_idle() -> None:
    flows = table()
    flow, gone = flows.add("dns", "client", A, 1, now=0)
    assert gone == []
    assert flows.find("dns", "client", 50) is flow
    assert flows.expire(109) == []
    assert flows.expire(110) == [flow]
    assert flows.find("dns", "client", 111) is None
    assert len(flows) == 0


def test_listeners_do_not_share_flows() -> None:
    flows = table()
    flows.add("dns", "client", A, 1, now=0)
    assert flows.find("other", "client", 1) is None


def test_the_quietest_makes_room() -> None:
    flows = table(limit=2)
    first, _ = flows.add("dns", "one", A, 1, now=0)
    second, _ = flows.add("dns", "two", A, 2, now=1)
    flows.touch(first, 2)
    _, gone = flows.add("dns", "three", A, 3, now=3)
    assert gone == [second]
    assert len(flows) == 2


def test_flows_of_a_removed_backend_go() -> None:
    flows = table()
    flow, _ = flows.add("dns", "one", A, 1, now=0)
    other, _ = flows.add("dns", "two", B, 2, now=0)
    elsewhere, _ = flows.add("web", "two", A, 3, now=0)
    assert flows.keep("dns", {B}) == [flow]
    assert flows.find("dns", "two", 1) is other
    assert flows.find("web", "two", 1) is elsewhere
    assert flows.drop("dns") == [other]
    assert flows.drop("dns") == []


def test_replaced_and_discarded_flows() -> None:
    flows = table()
    old, _ = flows.add("dns", "one", A, 1, now=0)
    new, gone = flows.add("dns", "one", B, 2, now=1)
    assert gone == [old]
    assert not flows.discard(old)
    assert flows.discard(new)
    assert len(flows) == 0
    assert not flows._groups
