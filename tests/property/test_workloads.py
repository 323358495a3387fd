"""Random small worlds: plans settle, and at no step are there too many pods or too few.

A round is one plan applied; the kubelet, the scheduler and chance act between rounds.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.api.kinds import DAEMON_SET, DEPLOYMENT, JOB, POD, REPLICA_SET, STATEFUL_SET
from emulator.api.meta import JsonObject, ObjectKey, annotations_of, condition_of, is_terminating, key_of
from emulator.controllers import daemonset, deployment, job, jobsync, replicaset, statefulset
from emulator.controllers.changes import Controller
from emulator.controllers.daemonpods import target_node
from emulator.controllers.jobpods import is_tracked
from emulator.controllers.owned import is_active, is_ready
from emulator.controllers.rollout import max_unavailable, spec_replicas, surge_and_unavailable
from tests.support.world import World

WEB = ObjectKey("default", "web")
SETS = next(each for each in replicaset.CONTROLLERS if each.name == "replicaset")
JOBS = next(each for each in job.CONTROLLERS if each.name == "job")
ORPHANS = next(each for each in job.CONTROLLERS if each.name == "job-orphans")
MAX_ROUNDS = 400

few = st.integers(0, 6)
share = st.one_of(st.integers(0, 3), st.sampled_from(["0%", "25%", "34%", "50%", "100%"]))
seeds = st.integers(0, 2**16)


def template(**spec: Any) -> JsonObject:
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "web:1"}], **spec},
    }


def workload(kind: str, version: str, **spec: Any) -> JsonObject:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template(), **spec},
    }


def change_image(world: World, kind: Any) -> None:
    def change(held: JsonObject) -> None:
        held["spec"]["template"]["spec"]["containers"][0]["image"] += "0"
        annotations = held["metadata"].setdefault("annotations", {})
        name = "deprecated.daemonset.template.generation"
        annotations[name] = str(int(annotations.get(name, "1")) + 1)

    world.edit(kind, "web", change)


def scale(world: World, kind: Any, replicas: int) -> None:
    world.edit(kind, "web", lambda held: held["spec"].update(replicas=replicas))


class Chance:
    """Draws that a seed repeats."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def __call__(self, stop: int) -> int:
        return self.random.randrange(stop)


def run(
    world: World, plans: Callable[[], list[tuple[Controller, ObjectKey]]], check: Callable[[], None], chance: Chance
) -> None:
    """Rounds in an order that chance gives, with a kubelet that is sometimes slow, until nothing happens."""
    for _ in range(MAX_ROUNDS):
        ready = plans()
        start = chance(len(ready)) if ready else 0
        quiet = True
        for controller, key in ready[start:] + ready[:start]:
            changes = controller.plan(key, world, world.at)
            quiet = quiet and changes.is_empty
            world.apply(changes)
            check()
        if chance(3):
            before = world.pods()
            world.kubelet()
            quiet = quiet and world.pods() == before
        else:
            quiet = False
        world.wait(11)
        if quiet:
            return
    raise AssertionError("does not settle")


@settings(deadline=None, max_examples=100)
@given(replicas=few, then=few, surge=share, unavailable=share, recreate=st.booleans(), seed=seeds)
def test_a_deployment_never_has_too_many_pods_or_too_few(
    replicas: int, then: int, surge: int | str, unavailable: int | str, recreate: bool, seed: int
) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    strategy = {"type": "Recreate"} if recreate else rolling
    world = World(workload("Deployment", "apps/v1", replicas=replicas, strategy=strategy, revisionHistoryLimit=1))
    chance, least = Chance(seed), [0]

    def plans() -> list[tuple[Controller, ObjectKey]]:
        sets = sorted(key_of(each) for each in world.all(REPLICA_SET))
        return [(deployment.CONTROLLER, WEB), *((SETS, key) for key in sets)]

    def check() -> None:
        held = world.get(DEPLOYMENT, "web", "default")
        assert held is not None
        most = spec_replicas(held) + surge_and_unavailable(held)[0]
        wanted = sum(spec_replicas(each) for each in world.all(REPLICA_SET))
        assert wanted <= max(most, replicas + surge_and_unavailable(held)[0])
        available = sum(is_active(pod) and is_ready(pod) for pod in world.pods())
        assert available >= least[0]

    run(world, plans, check, chance)
    assert len([pod for pod in world.pods() if is_ready(pod)]) == replicas
    held = world.get(DEPLOYMENT, "web", "default")
    assert held is not None
    if not recreate:
        least[0] = replicas - max_unavailable(held)
    change_image(world, DEPLOYMENT)
    run(world, plans, check, chance)
    assert {pod["spec"]["containers"][0]["image"] for pod in world.pods()} <= {"web:10"}
    least[0] = 0
    scale(world, DEPLOYMENT, then)
    change_image(world, DEPLOYMENT)
    run(world, plans, lambda: None, chance)
    held = world.get(DEPLOYMENT, "web", "default")
    assert held is not None
    assert held["status"].get("availableReplicas", 0) == held["status"].get("updatedReplicas", 0) == then
    assert len(list(world.all(REPLICA_SET))) <= 2
    numbers_of = [annotations_of(each)["deployment.kubernetes.io/revision"] for each in world.all(REPLICA_SET)]
    assert len(set(numbers_of)) == len(numbers_of)
    assert (condition_of(held, "Progressing") or {}).get("reason") in ("NewReplicaSetAvailable", None)


@settings(deadline=None, max_examples=100)
@given(
    completions=st.one_of(st.none(), st.integers(0, 7)),
    parallelism=st.integers(1, 4),
    indexed=st.booleans(),
    backoff=st.integers(0, 3),
    per_index=st.booleans(),
    seed=seeds,
)
def test_a_job_counts_each_pod_once(
    completions: int | None, parallelism: int, indexed: bool, backoff: int, per_index: bool, seed: int
) -> None:
    indexed = indexed and completions is not None
    spec: JsonObject = {
        "parallelism": parallelism,
        "backoffLimit": backoff,
        "template": template(restartPolicy="Never"),
    }
    if completions is not None:
        spec["completions"] = completions
    if indexed:
        spec["completionMode"] = "Indexed"
        if per_index:
            spec |= {"backoffLimitPerIndex": backoff, "backoffLimit": 2**31 - 1}
    world = World(workload("Job", "batch/v1", **spec))
    chance = Chance(seed)
    ends: Counter[str] = Counter()
    seen: set[str] = set()

    def kubelet() -> None:
        for pod in world.pods():
            phase, uid = pod["status"]["phase"], pod["metadata"]["uid"]
            if phase == "Running" and not is_terminating(pod) and uid not in seen and chance(2):
                seen.add(uid)
                end = "Failed" if chance(4) == 0 else "Succeeded"
                ends[end] += 1
                world.set_phase(pod, end)

    def check() -> None:
        active = [pod for pod in world.pods() if is_active(pod)]
        assert len(active) <= parallelism
        if indexed:
            indexes = Counter(annotations_of(pod)["batch.kubernetes.io/job-completion-index"] for pod in active)
            assert max(indexes.values(), default=0) <= 1

    for _ in range(MAX_ROUNDS):
        changes = JOBS.plan(WEB, world, world.at)
        world.apply(changes)
        check()
        for pod in world.pods():
            world.apply(ORPHANS.plan(key_of(pod), world, world.at))
        held = world.get(JOB, "web", "default")
        assert held is not None
        if jobsync.finished(held):
            break
        world.kubelet()
        kubelet()
        world.wait(700)
    else:
        raise AssertionError("does not end")
    status = held["status"]
    assert status.get("active", 0) == 0
    assert not status.get("uncountedTerminatedPods")
    assert not any(map(is_tracked, world.pods()))
    done = (condition_of(held, "Complete") or {}).get("status") == "True"
    assert done != ((condition_of(held, "Failed") or {}).get("status") == "True")
    if done:
        assert status.get("succeeded", 0) == ends["Succeeded"]
        assert status.get("failed", 0) == ends["Failed"]
        assert completions is None or status.get("succeeded", 0) == completions
    assert JOBS.plan(WEB, world, world.at).is_empty


@settings(deadline=None, max_examples=100)
@given(labels=st.lists(st.booleans(), max_size=5), surge=st.booleans(), some=st.integers(1, 3), seed=seeds)
def test_a_daemon_set_has_one_pod_a_node(labels: list[bool], surge: bool, some: int, seed: int) -> None:
    rolling = {"maxUnavailable": 0, "maxSurge": some} if surge else {"maxUnavailable": some, "maxSurge": 0}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    made = workload("DaemonSet", "apps/v1", updateStrategy=strategy)
    made["spec"]["template"] = template(nodeSelector={"ssd": "true"})
    nodes = [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": f"n{number}", "labels": {"ssd": str(has).lower()}},
            "spec": {},
        }
        for number, has in enumerate(labels)
    ]
    world = World(made, *nodes)
    chance, wanted = Chance(seed), sum(labels)

    def check() -> None:
        on = Counter(target_node(pod) for pod in world.pods() if is_active(pod))
        extra = sum(count - 1 for count in on.values())
        assert extra <= (some if surge else 0)
        assert max(on.values(), default=0) <= 1 + surge

    def plans() -> list[tuple[Controller, ObjectKey]]:
        return [(daemonset.CONTROLLER, WEB)]

    run(world, plans, check, chance)
    ready = sum(map(is_ready, world.pods()))
    assert ready == wanted
    change_image(world, DAEMON_SET)

    def check_rolling() -> None:
        check()
        down = wanted - len({target_node(pod) for pod in world.pods() if is_active(pod) and is_ready(pod)})
        assert down <= (0 if surge else some)

    run(world, plans, check_rolling, chance)
    assert {pod["spec"]["containers"][0]["image"] for pod in world.pods()} <= {"web:10"}
    assert len(world.pods()) == wanted


@settings(deadline=None, max_examples=100)
@given(replicas=few, then=few, parallel=st.booleans(), partition=st.integers(0, 3), seed=seeds)
def test_a_stateful_set_keeps_its_order(replicas: int, then: int, parallel: bool, partition: int, seed: int) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}
    policy = "Parallel" if parallel else "OrderedReady"
    spec = {"replicas": replicas, "serviceName": "web", "podManagementPolicy": policy, "updateStrategy": strategy}
    world = World(workload("StatefulSet", "apps/v1", **spec))
    chance = Chance(seed)

    def plans() -> list[tuple[Controller, ObjectKey]]:
        return [(statefulset.CONTROLLER, WEB)]

    def check() -> None:
        pods = {pod["metadata"]["name"]: pod for pod in world.pods()}
        if not parallel:
            assert sum(not is_ready(pod) or is_terminating(pod) for pod in pods.values()) <= 1

    run(world, plans, check, chance)
    assert [pod["metadata"]["name"] for pod in world.pods()] == [f"web-{number}" for number in range(replicas)]
    change_image(world, STATEFUL_SET)
    run(world, plans, check, chance)
    images = [pod["spec"]["containers"][0]["image"] for pod in world.pods()]
    assert images == ["web:1"] * min(partition, replicas) + ["web:10"] * (replicas - min(partition, replicas))
    scale(world, STATEFUL_SET, then)
    run(world, plans, check, chance)
    assert len(world.pods()) == then


@settings(deadline=None, max_examples=100)
@given(sizes=st.lists(few, min_size=1, max_size=4), strangers=few, seed=seeds)
def test_a_replica_set_follows_its_size(sizes: list[int], strangers: int, seed: int) -> None:
    world = World(workload("ReplicaSet", "apps/v1", replicas=sizes[0]))
    for number in range(strangers):
        stranger = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(template())}
        world.create({**stranger, "metadata": {**stranger["metadata"], "name": f"s{number}"}})
    chance = Chance(seed)
    for size in sizes:
        scale(world, REPLICA_SET, size)
        run(world, lambda: [(SETS, WEB)], lambda: None, chance)
        held = world.get(REPLICA_SET, "web", "default")
        assert held is not None
        assert len([pod for pod in world.pods() if is_active(pod)]) == size
        owned = world.owned_by(POD, held["metadata"]["uid"], "default")
        assert len(owned) == held["status"]["replicas"] == size
