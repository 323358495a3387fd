"""No lease twice: random Services created, changed, deleted and refused, and the pools always hold what they hold."""

from __future__ import annotations

import copy
from ipaddress import IPv4Network
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from emulator.api.errors import ApiError
from emulator.api.meta import JsonObject
from emulator.registry.allocation import AllocationError, Allocators, Operation, Pool
from emulator.registry.service_allocation import allocate_create, allocate_update, held, release

TYPES = st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"])
NODE_PORT = st.sampled_from([0, 0, 30000, 30001, 30002, 80])
PORTS = st.lists(st.tuples(st.sampled_from([53, 80, 81]), NODE_PORT), min_size=1, max_size=3)
ADDRESS = st.sampled_from(["", "", "10.0.0.1", "10.0.0.2", "1.2.3.4", "None"])
SPEC = st.tuples(TYPES, PORTS, ADDRESS, st.booleans(), st.booleans())
STEPS = st.lists(
    st.tuples(st.sampled_from(["create", "update", "delete"]), st.integers(0, 5), SPEC, st.booleans(), st.booleans()),
    max_size=30,
)


def spec_of(drawn: tuple[str, list[tuple[int, int]], str, bool, bool]) -> JsonObject:
    type, ports, address, local, allocates = drawn
    spec: JsonObject = {"type": type, "ports": [{"port": p, **({"nodePort": n} if n else {})} for p, n in ports]}
    if type in ("ClusterIP", "ExternalName"):
        for port in spec["ports"]:
            port.pop("nodePort", None)
    if address and type != "ExternalName" and (address != "None" or type == "ClusterIP"):
        spec["clusterIP"], spec["clusterIPs"] = address, [address]
    if type == "LoadBalancer":
        spec["allocateLoadBalancerNodePorts"] = allocates
        spec["externalTrafficPolicy"] = "Local" if local else "Cluster"
    return spec


def carried_over(spec: JsonObject, old: JsonObject) -> JsonObject:
    """What the kind's rules do before allocation: an address, once held, stays until the type is ExternalName."""
    if spec["type"] != "ExternalName" and old.get("clusterIP"):
        spec["clusterIP"], spec["clusterIPs"] = old["clusterIP"], list(old["clusterIPs"])
    if spec.get("clusterIP") == "None":
        spec["type"] = "ClusterIP"
        for port in spec["ports"]:
            port.pop("nodePort", None)
    if spec.get("externalTrafficPolicy") == "Local" and old.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = old["healthCheckNodePort"]
    return spec


@given(STEPS, st.integers(0, 5))
def test_no_lease_is_given_twice(steps: list[Any], seed: int) -> None:
    allocators = Allocators(IPv4Network("10.0.0.0/29"), (30000, 30007))
    rng = Random(seed).randrange
    services: dict[int, JsonObject] = {}
    for action, name, drawn, fails, dry_run in steps:
        operation = Operation(dry_run=dry_run, rng=rng)
        old = services.get(name)
        new: JsonObject = {"metadata": {"name": str(name)}, "spec": spec_of(drawn)}
        try:
            if action == "delete" and old is not None:
                release(allocators, operation, old)
            elif action == "update" and old is not None:
                new["spec"] = carried_over(new["spec"], old["spec"])
                before = copy.deepcopy(old)
                allocate_update(allocators, operation, new, old)
                assert old == before
            elif action == "create" and old is None:
                allocate_create(allocators, operation, new)
            else:
                continue
        except ApiError:
            operation.revert()
        else:
            if fails:
                operation.revert()
            else:
                operation.commit()
                if not dry_run:
                    services.pop(name, None)
                    if action != "delete":
                        services[name] = new
        check(allocators, services)


def check(allocators: Allocators, services: dict[int, JsonObject]) -> None:
    addresses = [address for service in services.values() for address in held(service)[0]]
    ports = [port for service in services.values() for port in held(service)[1]]
    assert len(addresses) == len(set(addresses)) == len(allocators.addresses)
    assert len(ports) == len(set(ports)) == len(allocators.ports)
    assert all(port in allocators.ports for port in ports)
    for service in services.values():
        spec = service["spec"]
        if spec["type"] == "NodePort":
            assert all(port.get("nodePort") for port in spec["ports"])


@given(
    st.integers(0, 40),
    st.integers(0, 40),
    st.lists(st.one_of(st.integers(0, 60), st.sampled_from(["any", "release"])), max_size=120),
    st.integers(0, 9),
)
def test_a_pool_is_a_set_that_prefers_its_upper_band(size: int, static: int, steps: list[Any], seed: int) -> None:
    static = min(static, size)
    pool, used, rng = Pool(1, size + 1, static, taken="taken"), set[int](), Random(seed).randrange
    for step in steps:
        if step == "release":
            if used:
                pool.release(used.pop())
        elif step == "any":
            upper = set(range(1 + static, size + 2)) - used
            try:
                number = pool.take_any(rng)
            except AllocationError:
                assert len(used) == size + 1
                continue
            assert number not in used
            assert number in upper or not upper
            used.add(number)
        elif pool.covers(step):
            try:
                pool.take(step)
            except AllocationError:
                assert step in used
            else:
                assert step not in used
                used.add(step)
        assert len(pool) == len(used)
