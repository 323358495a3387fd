"""Binding and eviction as tables: what they change, and when they are refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from emulator.api.errors import ApiError, BadRequest, Conflict, Forbidden, Invalid, TooManyRequests
from emulator.api.meta import JsonObject
from emulator.registry.podwrites import (
    bound,
    check_binding,
    check_eviction,
    disruption,
    ignores_budgets,
    with_disruption_target,
)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
READY = {"type": "Ready", "status": "True"}


def pod(*, ready: bool = True, **metadata: Any) -> JsonObject:
    status = {"phase": "Running", "conditions": [READY] if ready else []}
    return {"metadata": {"name": "p", "uid": "u", "labels": {"app": "web"}, **metadata}, "spec": {}, "status": status}


def budget(name: str = "b", *, policy: str | None = None, **status: Any) -> JsonObject:
    whole = {"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, **status}
    spec: JsonObject = {"selector": {"matchLabels": {"app": "web"}}}
    if policy:
        spec["unhealthyPodEvictionPolicy"] = policy
    return {"metadata": {"name": name, "generation": 1}, "spec": spec, "status": whole}


def test_a_binding_is_checked() -> None:
    assert check_binding({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}, "p") == "n"
    with pytest.raises(BadRequest, match="name in URL does not match name in Binding object"):
        check_binding({"metadata": {"name": "q"}, "target": {"name": "n"}}, "p")
    with pytest.raises(Invalid) as caught:
        check_binding({"target": {"kind": "Pod"}}, "p")
    assert [error.field for error in caught.value.errors] == ["target.kind", "target.name"]


def test_a_bound_pod() -> None:
    changed = bound(pod(), {"metadata": {"labels": {"x": "y"}}}, "n", at=AT)
    assert changed["spec"]["nodeName"] == "n"
    assert changed["metadata"]["labels"] == {"app": "web", "x": "y"}
    assert changed["status"]["conditions"][-1] == {
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }


@pytest.mark.parametrize(
    ("held", "sent", "why"),
    [
        ({**pod(), "spec": {"nodeName": "m"}}, {}, 'pod p is already assigned to node "m"'),
        (pod(deletionTimestamp="2026-01-01T00:00:00Z"), {}, "pod p is being deleted, cannot be assigned to a host"),
        ({**pod(), "spec": {"schedulingGates": [{"name": "g"}]}}, {}, "pod p has non-empty .spec.schedulingGates"),
        (
            pod(),
            {"metadata": {"uid": "other"}},
            "Precondition failed: UID in precondition: other, UID in object meta: u",
        ),
    ],
)
def test_pods_that_cannot_be_bound(held: JsonObject, sent: JsonObject, why: str) -> None:
    with pytest.raises(Conflict) as caught:
        bound(held, sent, "n", at=AT)
    assert caught.value.message == f'Operation cannot be fulfilled on pods/binding "p": {why}'


def test_an_eviction_is_checked() -> None:
    assert not check_eviction({"metadata": {"name": "p"}}, "p", False)
    assert check_eviction({"deleteOptions": {"dryRun": ["All"]}}, "p", False)
    with pytest.raises(BadRequest, match="name in URL does not match name in Eviction object"):
        check_eviction({"metadata": {"name": "q"}}, "p", False)


def test_which_pods_no_budget_counts() -> None:
    assert not ignores_budgets(pod())
    assert ignores_budgets(pod(deletionTimestamp="2026-01-01T00:00:00Z"))
    for phase in ("Pending", "Succeeded", "Failed"):
        assert ignores_budgets({**pod(), "status": {"phase": phase}})


def test_a_budget_pays() -> None:
    found = disruption(pod(), [budget()], at=AT)
    assert found is not None
    assert found.budget["status"]["disruptionsAllowed"] == 0
    assert found.budget["status"]["disruptedPods"] == {"p": "2026-01-02T03:04:05Z"}
    (condition,) = found.budget["status"]["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "InsufficientPods")


@pytest.mark.parametrize(
    ("budgets", "ready"),
    [
        ([], True),
        ([{"metadata": {"name": "b"}, "spec": {"selector": {"matchLabels": {"app": "other"}}}}], True),
        ([budget(policy="AlwaysAllow", disruptionsAllowed=0)], False),
        ([budget(disruptionsAllowed=0)], False),  # there are enough healthy ones without it
    ],
)
def test_pods_that_cost_nothing(budgets: list[JsonObject], ready: bool) -> None:
    assert disruption(pod(ready=ready), budgets, at=AT) is None


FAILED = {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no owner"}


@pytest.mark.parametrize(
    ("held", "cause", "retry"),
    [
        (budget(observedGeneration=0), "The disruption budget b is still being processed by the server.", 10),
        (budget(disruptionsAllowed=0), "The disruption budget b needs 1 healthy pods and has 2 currently", None),
        (
            budget(disruptionsAllowed=0, conditions=[FAILED]),
            "The disruption budget b does not allow evicting pods currently because it failed sync: no owner",
            None,
        ),
    ],
)
def test_budgets_that_refuse(held: JsonObject, cause: str, retry: int | None) -> None:
    with pytest.raises(TooManyRequests) as caught:
        disruption(pod(), [held], at=AT)
    assert caught.value.message == "Cannot evict pod as it would violate the pod's disruption budget."
    assert caught.value.details is not None
    assert caught.value.details["causes"] == [{"reason": "DisruptionBudget", "message": cause}]
    assert caught.value.details.get("retryAfterSeconds") == retry


def test_budgets_that_cannot_be_used() -> None:
    with pytest.raises(ApiError, match="more than one PodDisruptionBudget"):
        disruption(pod(), [budget("a"), budget("b")], at=AT)
    with pytest.raises(Forbidden, match="pdb disruptions allowed is negative"):
        disruption(pod(), [budget(disruptionsAllowed=-1)], at=AT)
    with pytest.raises(Forbidden, match="DisruptedPods map too big"):
        disruption(pod(), [budget(disruptedPods=dict.fromkeys(map(str, range(2001)), ""))], at=AT)


def test_an_evicted_pod_tells_why_it_goes() -> None:
    condition = with_disruption_target(pod(), at=AT)["status"]["conditions"][-1]
    assert (condition["type"], condition["reason"]) == ("DisruptionTarget", "EvictionByEvictionAPI")
