"""Who may take a connection, who does, and for how long a client stays."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from emulator.api.meta import ObjectKey
from emulator.routing.affinity import Affinity
from emulator.routing.choice import pick
from emulator.routing.policy import of_family, usable
from emulator.routing.servicemap import Endpoint, PortId, ServicePort

READY = Endpoint("127.1.0.1", 80)
NOT_READY = Endpoint("127.1.0.2", 80, ready=False, serving=False)
LEAVING = Endpoint("127.1.0.3", 80, ready=False, serving=True, terminating=True)
GONE = Endpoint("127.1.0.4", 80, ready=False, serving=False, terminating=True)
MANY = tuple(Endpoint(f"127.1.0.{number}", 80) for number in range(1, 6))


def port(seconds: int = 0, name: str = "http") -> ServicePort:
    return ServicePort(PortId(ObjectKey("default", "webapp"), name, "TCP"), 80, 0, ("127.2.0.1",), (), (), seconds)


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        ([], ()),
        ([NOT_READY, GONE], ()),
        ([READY, NOT_READY, LEAVING], (READY,)),
        ([NOT_READY, LEAVING, GONE], (LEAVING,)),
    ],
)
def test_ready_ones_or_else_those_that_serve_while_they_leave(
    endpoints: list[Endpoint], expected: tuple[Endpoint, ...]
) -> None:
    assert usable(endpoints) == expected


def test_families_never_mix() -> None:
    six = Endpoint("fd00::1", 80)
    assert of_family((READY, six), "10.0.0.1") == (READY,)
    assert of_family((READY, six), "fd00::9") == (six,)


def test_every_endpoint_gets_its_share() -> None:
    rng = random.Random(1).randrange
    drawn = Counter(pick(MANY, rng) for _ in range(5000))
    assert set(drawn) == set(MANY)
    assert all(800 < count < 1200 for count in drawn.values())


def test_nobody_to_pick() -> None:
    assert pick((), random.Random(1).randrange) is None


def test_without_affinity_nothing_is_remembered() -> None:
    memory = Affinity()
    rng = random.Random(1).randrange
    assert len({memory.pick(port(), "127.0.0.1", MANY, 0, rng) for _ in range(100)}) == 5
    assert len(memory) == 0


def test_a_client_stays_as_long_as_it_comes_back_in_time() -> None:
    memory = Affinity()
    rng = random.Random(3).randrange
    first = memory.pick(port(10), "127.0.0.1", MANY, 0, rng)
    for now in range(9, 500, 9):
        assert memory.pick(port(10), "127.0.0.1", MANY, now, rng) == first
    after = {memory.pick(port(10), "127.0.0.1", MANY, 1000 + 11 * n, rng) for n in range(60)}
    assert len(after) == 5


def test_a_client_moves_when_its_endpoint_is_gone() -> None:
    memory = Affinity()
    rng = random.Random(1).randrange
    first = memory.pick(port(10), "127.0.0.1", MANY, 0, rng)
    rest = tuple(endpoint for endpoint in MANY if endpoint != first)
    second = memory.pick(port(10), "127.0.0.1", rest, 1, rng)
    assert second in rest
    assert memory.pick(port(10), "127.0.0.1", MANY, 2, rng) == second


def test_memory_is_bounded_and_can_be_forgotten() -> None:
    memory = Affinity(limit=10)
    rng = random.Random(1).randrange
    for number in range(50):
        memory.pick(port(10), f"127.0.1.{number}", MANY, number, rng)
    memory.pick(port(10, "other"), "127.0.0.1", MANY, 0, rng)
    assert len(memory) == 10
    memory.forget(port(10).id)
    assert len(memory) == 1
