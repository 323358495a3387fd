"""What binding and evicting a pod change, and when they are refused. No I/O.

Source: pkg/registry/core/pod/storage/{storage,eviction}.go, pkg/apis/core/validation/validation.go (ValidatePodBinding).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from emulator.api.errors import (
    ApiError,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    TooManyRequests,
    not_supported,
    required,
)
from emulator.api.kinds import POD_DISRUPTION_BUDGET
from emulator.api.meta import JsonObject, condition_of, format_time, is_terminating, labels_of
from emulator.api.selectors import label_selector_from_object

WOULD_VIOLATE = "Cannot evict pod as it would violate the pod's disruption budget."
TWO_BUDGETS = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
MAX_DISRUPTED_PODS = 2000
BUDGETS = f"poddisruptionbudget.{POD_DISRUPTION_BUDGET.group}"  # upstream's word in these refusals


def check_binding(binding: JsonObject, pod: str) -> str:
    """The node it names. Raises BadRequest, Invalid. pod: of the URL, "" when it has none."""
    name = (binding.get("metadata") or {}).get("name") or ""
    if pod and name and name != pod:
        raise BadRequest("name in URL does not match name in Binding object")
    target = binding.get("target") or {}
    errors = []
    if target.get("kind") not in (None, "", "Node"):
        errors.append(not_supported("target.kind", target["kind"], ("Node", "<empty>"), keep_order=True))
    if not target.get("name"):
        errors.append(required("target.name"))
    if errors:
        raise Invalid.of("Binding", "", name or pod, errors)
    return str(target["name"])


def bound(pod: JsonObject, binding: JsonObject, node: str, *, at: datetime) -> JsonObject:
    """The pod on its node. Raises Conflict."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    name, sent = metadata["name"], binding.get("metadata") or {}
    if sent.get("uid") and sent["uid"] != metadata.get("uid"):
        why = f"Precondition failed: UID in precondition: {sent['uid']}, UID in object meta: {metadata.get('uid')}"
        raise Conflict.of("pods/binding", name, why)
    if is_terminating(pod):
        raise Conflict.of("pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise Conflict.of("pods/binding", name, f'pod {name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise Conflict.of("pods/binding", name, f"pod {name} has non-empty .spec.schedulingGates")
    conditions = [each for each in status.get("conditions") or () if each["type"] != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": format_time(at)}
    new = {**metadata, **({"labels": {**labels_of(pod), **sent["labels"]}} if sent.get("labels") else {})}
    if sent.get("annotations"):
        new["annotations"] = {**(metadata.get("annotations") or {}), **sent["annotations"]}
    return {
        **pod,
        "metadata": new,
        "spec": {**spec, "nodeName": node},
        "status": {**status, "conditions": [*conditions, scheduled]},
    }


# -- eviction ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Disruption:
    """The budget of an evicted pod as it must be written before the pod goes."""

    budget: JsonObject


def check_eviction(eviction: JsonObject, pod: str, dry_run: bool) -> bool:
    """Whether it is a dry run. Raises BadRequest."""
    name = (eviction.get("metadata") or {}).get("name") or ""
    if name and name != pod:
        raise BadRequest("name in URL does not match name in Eviction object")
    asked = (eviction.get("deleteOptions") or {}).get("dryRun") or []
    if asked and asked != ["All"]:
        raise BadRequest(f"invalid dry-run options in the content: {asked}")
    return dry_run or bool(asked)


def ignores_budgets(pod: JsonObject) -> bool:
    """A pod that has ended, not begun, or is going disrupts nothing any more."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or is_terminating(pod)


def disruption(pod: JsonObject, budgets: Iterable[JsonObject], *, at: datetime) -> Disruption | None:
    """What the pod's budget becomes, None when no budget counts it. Raises TooManyRequests, Forbidden, ApiError."""
    found = [budget for budget in budgets if _covers(budget, pod)]
    if len(found) > 1:
        raise ApiError(TWO_BUDGETS, reason="")
    if not found:
        return None
    budget = found[0]
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    ready = condition_of(pod, "Ready")
    if ready is None or ready.get("status") != "True":
        if spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
            return None
        if (status.get("currentHealthy") or 0) >= (status.get("desiredHealthy") or 0) > 0:
            return None
    return Disruption(_decremented(budget, pod["metadata"]["name"], at))


def _covers(budget: JsonObject, pod: JsonObject) -> bool:
    selector = (budget.get("spec") or {}).get("selector")
    return selector is not None and label_selector_from_object(selector).matches(labels_of(pod))


def _decremented(budget: JsonObject, pod: str, at: datetime) -> JsonObject:
    metadata, status = budget["metadata"], budget.get("status") or {}
    name, allowed = metadata["name"], status.get("disruptionsAllowed") or 0
    disrupted = status.get("disruptedPods") or {}
    if (status.get("observedGeneration") or 0) < (metadata.get("generation") or 0):
        raise _refused(f"The disruption budget {name} is still being processed by the server.", retry_seconds=10)
    if allowed < 0:
        raise Forbidden.of(BUDGETS, name, "pdb disruptions allowed is negative")
    if len(disrupted) > MAX_DISRUPTED_PODS:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise Forbidden.of(BUDGETS, name, why)
    if not allowed:
        raise _refused(_why_not(budget, name))
    return {
        **budget,
        "status": {
            **status,
            "disruptionsAllowed": allowed - 1,
            "disruptedPods": {**disrupted, pod: format_time(at)},
            "conditions": _conditions(budget, allowed - 1, at),
        },
    }


def _why_not(budget: JsonObject, name: str) -> str:
    condition, status = condition_of(budget, "DisruptionAllowed"), budget.get("status") or {}
    if condition and condition.get("status") == "False" and condition.get("reason") == "SyncFailed":
        why = condition.get("message") or ""
        return f"The disruption budget {name} does not allow evicting pods currently because it failed sync: {why}"
    wanted, present = status.get("desiredHealthy") or 0, status.get("currentHealthy") or 0
    return f"The disruption budget {name} needs {wanted} healthy pods and has {present} currently"


def _conditions(budget: JsonObject, allowed: int, at: datetime) -> list[JsonObject]:
    """DisruptionAllowed as the numbers have it now."""
    held = condition_of(budget, "DisruptionAllowed")
    others = [each for each in (budget.get("status") or {}).get("conditions") or () if each is not held]
    status, reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    if held is not None and held.get("status") == status and held.get("reason") == reason:
        return [*others, dict(held)]
    since = held["lastTransitionTime"] if held and held.get("status") == status else format_time(at)
    condition = {
        "type": "DisruptionAllowed",
        "status": status,
        "observedGeneration": (budget.get("status") or {}).get("observedGeneration") or 0,
        "lastTransitionTime": since,
        "reason": reason,
        "message": "",
    }
    return [*others, condition]


def _refused(why: str, *, retry_seconds: int = 0) -> TooManyRequests:
    details: JsonObject = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if retry_seconds:
        details["retryAfterSeconds"] = retry_seconds
    return TooManyRequests(WOULD_VIOLATE, details=details)


def with_disruption_target(pod: JsonObject, *, at: datetime) -> JsonObject:
    """The pod with the condition that tells why it goes."""
    status = pod.get("status") or {}
    others = [each for each in status.get("conditions") or () if each["type"] != "DisruptionTarget"]
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": format_time(at),
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    return {**pod, "status": {**status, "conditions": [*others, condition]}}
