"""Every plan settles: what it wants, once done, leaves nothing to want. And the same world gives the same plan."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.api.kinds import CONFIG_MAP, ENDPOINT_SLICE, ENDPOINTS, NAMESPACE, POD, SERVICE
from emulator.api.meta import JsonObject, ObjectKey
from emulator.config.settings import ClusterConfig
from emulator.controllers.changes import Changes
from emulator.controllers.endpoints import plan_endpoints
from emulator.controllers.endpointslice import MANAGER, MAX_ENDPOINTS, plan_endpoint_slices
from emulator.controllers.endpointslicemirroring import plan_mirrored_slices
from emulator.controllers.garbage import plan_garbage
from emulator.controllers.kubernetesservice import KEY as KUBERNETES
from emulator.controllers.kubernetesservice import plan_kubernetes_service
from emulator.controllers.loadbalancer import FINALIZER, plan_load_balancer
from emulator.controllers.namespace import plan_namespace
from emulator.controllers.pods import TriggerTimes
from emulator.controllers.scheduler import plan_schedule
from tests.unit.controllers.world import AT, NS, World, make, node, pod, port, service

KEY = ObjectKey(NS, "web")
POOL = replace(
    ClusterConfig().addresses,
    load_balancer_first=IPv4Address("10.64.140.43"),
    load_balancer_last=IPv4Address("10.64.140.44"),
)
Planner = Callable[[ObjectKey, World], Changes]

booleans, some = st.booleans(), st.sampled_from
IPS = some([(), ("10.1.0.1",), ("10.1.0.2",), ("10.1.0.10",), ("10.1.0.3", "fd00::3"), ("fd00::4",)])
PORTS = some(
    [
        None,
        [port(80, 8080)],
        [port(80, "http", "http"), port(53, 53, "dns", "UDP")],
        [port(80, "http", "http"), port(81, "http", "again"), port(82, 8080, "more", appProtocol="x")],
    ]
)
LABELS = some([{}, {"tier": "1"}, {"service.kubernetes.io/headless": "x", "endpoints.kubernetes.io/managed-by": "me"}])
GOING = some([{}, {}, {"deletionTimestamp": "2026-03-04T05:00:00Z", "finalizers": ["example.com/x"]}])


@st.composite
def services(draw: st.DrawFn) -> JsonObject:
    spec: dict[str, Any] = {
        "ports": draw(PORTS),
        "selector": draw(some([{"app": "web"}, {"app": "web"}, {"app": "web"}, None])),
        "clusterIP": draw(some(["10.152.183.20", "None"])),
        "ipFamilies": draw(some([["IPv4"], ["IPv6"], ["IPv4", "IPv6"]])),
        "publishNotReadyAddresses": draw(booleans),
        "trafficDistribution": draw(some([None, "PreferSameZone", "PreferSameNode"])),
        "type": draw(some(["ClusterIP", "LoadBalancer", "ExternalName"])),
        "loadBalancerIP": draw(some([None, "10.64.140.44", "192.0.2.1"])),
    }
    made = service(labels=draw(LABELS), **spec)
    made["metadata"].update(copy.deepcopy(draw(GOING)))
    ingress = draw(st.lists(some(["10.64.140.43", "10.64.140.44", "192.0.2.9"]), max_size=1))
    if ingress:
        made["metadata"].setdefault("finalizers", []).append(FINALIZER)
    made["status"] = {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"} for ip in ingress]} if ingress else {}}
    return made


@st.composite
def pods(draw: st.DrawFn, name: str) -> JsonObject:
    made = pod(
        name,
        *draw(IPS),
        ready=draw(some([True, True, False, None])),
        app=draw(some(["web", "web", "web", "other"])),
        phase=draw(some(["Running", "Running", "Pending", "Succeeded"])),
        ports=draw(some([{}, {"http": 8080}, {"http": 9090}])),
        nodeName=draw(some(["n1", "n1", "n2", "n9", None])),
        hostname=draw(some([None, "h"])),
        subdomain=draw(some([None, "web"])),
        nodeSelector=draw(some([None, {"kubernetes.io/hostname": "n2"}, {"no": "such"}])),
        since=draw(some(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"])),
    )
    made["metadata"].update(copy.deepcopy(draw(GOING)))
    return made


@st.composite
def endpoint_slices(draw: st.DrawFn, name: str) -> JsonObject:
    manager = draw(some([MANAGER, "endpointslicemirroring-controller.k8s.io", "me"]))
    labels = {"kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": manager}
    owner = {"apiVersion": "v1", "kind": "Service", "name": "web", "uid": draw(some(["uid-services-web", "old"]))}
    target = {"kind": "Pod", "namespace": NS, "name": draw(some(["p0", "p1", "gone"])), "uid": "before"}
    ports = [{"name": "", "port": draw(some([8080, 9090])), "protocol": "TCP"}]
    endpoint = {"addresses": ["10.1.0.1"], "conditions": {"ready": draw(booleans)}, "targetRef": target}
    metadata = {"labels": labels, "ownerReferences": [owner], **copy.deepcopy(draw(GOING))}
    return make(
        ENDPOINT_SLICE,
        name,
        metadata=metadata,
        addressType=draw(some(["IPv4", "IPv6"])),
        endpoints=draw(some([None, [endpoint], [endpoint, endpoint]])),
        ports=draw(some([None, ports])),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    zone = {"topology.kubernetes.io/zone": "z1"}
    objects = [node("n1", labels=zone), node("n2", unschedulable=draw(booleans))]
    objects += [draw(services())] if draw(some([True, True, True, False])) else []
    objects += [draw(pods(f"p{number}")) for number in range(draw(st.integers(0, 5)))]
    objects += [draw(endpoint_slices(f"web-{number}")) for number in range(draw(st.integers(0, 3)))]
    if draw(booleans):
        address = {"ip": draw(some(["192.0.2.1", "2001:db8::1", "nope"]))}
        subset = {"addresses": [address], "ports": [{"port": 80, "protocol": "TCP"}]}
        objects.append(make(ENDPOINTS, "web", metadata={"labels": draw(LABELS)}, subsets=[subset, subset]))
    space = make(NAMESPACE, NS, metadata=copy.deepcopy(draw(GOING)), spec={"finalizers": ["kubernetes"]}, status={})
    other = service("other", type="LoadBalancer")
    other["status"] = {"loadBalancer": {"ingress": [{"ip": draw(some(["10.64.140.43", "10.64.140.44"]))}]}}
    return World(*objects, space, other, make(NAMESPACE, "default", metadata={}, spec={}))


def planners() -> list[tuple[str, Planner, ObjectKey]]:
    times = TriggerTimes(), TriggerTimes()
    found: list[tuple[str, Planner, ObjectKey]] = [
        ("endpoints", lambda key, world: plan_endpoints(key, world, AT, times=times[0]), KEY),
        ("endpointslice", lambda key, world: plan_endpoint_slices(key, world, AT, times=times[1]), KEY),
        ("mirroring", lambda key, world: plan_mirrored_slices(key, world, AT), KEY),
        ("loadbalancer", lambda key, world: plan_load_balancer(key, world, AT, plan=POOL), KEY),
        ("namespace", lambda key, world: plan_namespace(key, world, AT, ca="CA"), ObjectKey("", NS)),
    ]
    default = partial(plan_kubernetes_service, at=AT, cluster_ip="10.152.183.1", host="10.0.0.1", port=16443)
    found.append(("kubernetes", default, KUBERNETES))
    for number in range(5):
        key = ObjectKey(NS, f"p{number}")
        found.append((f"scheduler {key}", lambda key, world: plan_schedule(key, world, AT), key))
    return found


def snapshot(world: World) -> JsonObject:
    return {resource: copy.deepcopy(list(index)) for resource, index in world.indexes.items()}


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_every_plan_settles(world: World) -> None:
    """In one step or a few; the plans change nothing they read, and one alike gives the same twice."""
    alike = copy.deepcopy(world)
    for (name, plan, key), (_, other, _) in zip(planners(), planners(), strict=True):
        for _ in range(5):
            before = snapshot(world)
            changes = plan(key, world)
            assert snapshot(world) == before, f"{name} changed what it read"
            assert repr(changes) == repr(other(key, alike)), f"{name} is not the same twice"
            if changes.is_empty:
                break
            world.apply(changes)
            alike.apply(changes)
        else:
            raise AssertionError(f"{name} does not settle: {changes}")


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_what_endpoints_and_slices_say_is_the_same(world: World) -> None:
    """Ready addresses of the first family: what Endpoints list as ready, slices list as ready, on known nodes."""
    plan_all = {name: (plan, key) for name, plan, key in planners()}
    for name in ("endpoints", "endpointslice"):
        plan, key = plan_all[name]
        world.apply(plan(key, world))
    held, web = world.get(ENDPOINTS, "web", NS), world.get(SERVICE, "web", NS)
    if web is None or not web["spec"].get("selector") or web["spec"]["type"] == "ExternalName" or held is None:
        return
    if "deletionTimestamp" in web["metadata"]:
        return  # it gets no new slices
    family = web["spec"]["ipFamilies"][0]
    ours = [
        slice
        for slice in world.in_namespace(ENDPOINT_SLICE, NS).values()
        if slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == MANAGER
        and "deletionTimestamp" not in slice["metadata"]
    ]
    assert all(len(slice["endpoints"] or ()) <= MAX_ENDPOINTS for slice in ours)
    assert {slice["addressType"] for slice in ours} == set(web["spec"]["ipFamilies"])
    in_slices = {
        (endpoint["addresses"][0], endpoint["targetRef"]["name"])
        for slice in ours
        if slice["addressType"] == family and (slice["ports"] or not web["spec"].get("ports"))
        for endpoint in slice["endpoints"] or ()
        if endpoint["conditions"]["ready"]
    }
    in_endpoints = {
        (address["ip"], address["targetRef"]["name"])
        for subset in held.get("subsets", ())
        for address in subset.get("addresses", ())
        if address["nodeName"] in ("n1", "n2") or web["spec"]["publishNotReadyAddresses"]
    }
    if web["spec"]["clusterIP"] == "None" or web["spec"].get("ports"):
        assert in_slices == in_endpoints


@st.composite
def families(draw: st.DrawFn) -> World:
    """Objects that own one another at random, in circles too, one of them on its way out."""
    names = [f"c{number}" for number in range(draw(st.integers(1, 5)))]
    objects = []
    for name in names:
        owners = draw(st.lists(some([*(n for n in names if n != name), "gone"]), max_size=2, unique=True))
        references = [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": o, "uid": f"uid-configmaps-{o}", **block}
            for o in owners
            for block in [draw(some([{}, {"blockOwnerDeletion": True}]))]
        ]
        end = draw(some([[], ["foregroundDeletion"], ["orphan"]])) if name == names[0] else []
        gone = {"deletionTimestamp": "2026-03-04T05:00:00Z", "finalizers": end} if end else {}
        objects.append(make(CONFIG_MAP, name, metadata={"ownerReferences": references, **gone}))
    return World(*objects)


@settings(max_examples=200, deadline=None)
@given(families())
def test_garbage_settles_without_a_hanging_owner(world: World) -> None:
    for _ in range(60):
        wrote = False
        for name in sorted(world.in_namespace(CONFIG_MAP, NS)):
            changes = plan_garbage(ObjectKey(NS, f"configmaps/{name}"), world, AT)
            world.apply(changes)
            wrote |= not changes.is_empty
        if not wrote:
            break
    else:
        raise AssertionError("garbage never settles")
    left = world.in_namespace(CONFIG_MAP, NS)
    assert not [name for name, held in left.items() if held["metadata"].get("deletionTimestamp")]
    uids = {held["metadata"]["uid"] for held in left.values()}
    for name, held in left.items():
        references = held["metadata"].get("ownerReferences") or ()
        assert not references or {r["uid"] for r in references} <= uids, name


@given(st.integers(0, 260), st.integers(0, 60), st.integers(0, 120))
@settings(max_examples=30, deadline=None)
def test_slices_churn_little(count: int, gone: int, new: int) -> None:
    """Pods that come and go rewrite no slice that neither lost one nor had room for what came."""

    def crowd(first: int, many: int) -> list[JsonObject]:
        return [pod(f"p{i:04d}", f"10.1.{i // 250}.{i % 250}") for i in range(first, first + many)]

    def plan(world: World) -> Changes:
        return plan_endpoint_slices(KEY, world, AT, times=TriggerTimes())

    world = World(node(), service(), *crowd(0, count))
    world.apply(plan(world))
    holding = {
        endpoint["targetRef"]["name"]: slice["metadata"]["name"]
        for slice in world.in_namespace(ENDPOINT_SLICE, NS).values()
        for endpoint in slice["endpoints"] or ()
    }
    leaving = sorted(holding)[: min(gone, count)]
    for name in leaving:
        world.remove(POD, name)
    for one in crowd(1000, new):
        world.put(one)
    changes = plan(world)
    written = {write.object["metadata"]["name"] for write in changes.updates}
    lost = {holding[name] for name in leaving}
    emptied = {delete.key.name for delete in changes.deletes}
    assert lost <= written | emptied
    assert len((written | emptied) - lost) <= 1, "at most the one that what was left fitted"
    world.apply(changes)
    assert plan(world).is_empty
    listed = [e for s in world.in_namespace(ENDPOINT_SLICE, NS).values() for e in s["endpoints"] or ()]
    assert len({e["targetRef"]["name"] for e in listed}) == len(listed) == count - len(leaving) + new
