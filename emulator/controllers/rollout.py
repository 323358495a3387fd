"""How many pods a Deployment's ReplicaSets are to have. Pure arithmetic.

Source: pkg/controller/deployment/{rolling,recreate,sync}.go, util/deployment_util.go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from emulator.api.meta import JsonObject, annotations_of

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"


def spec_replicas(object: Mapping[str, Any]) -> int:
    replicas = object["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def status_count(object: Mapping[str, Any], name: str) -> int:
    return int((object.get("status") or {}).get(name) or 0)


def total(sets: Sequence[Mapping[str, Any]]) -> int:
    return sum(spec_replicas(found) for found in sets)


def total_status(sets: Sequence[Mapping[str, Any]], name: str) -> int:
    return sum(status_count(found, name) for found in sets)


def is_rolling(deployment: Mapping[str, Any]) -> bool:
    return bool((deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def surge_and_unavailable(deployment: Mapping[str, Any]) -> tuple[int, int]:
    """maxSurge rounded up and maxUnavailable rounded down; never both 0."""
    if not is_rolling(deployment):
        return 0, 0
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    replicas = spec_replicas(deployment)
    surge = scaled(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def max_unavailable(deployment: Mapping[str, Any]) -> int:
    """At most all replicas; 0 where nothing rolls."""
    if not is_rolling(deployment) or not spec_replicas(deployment):
        return 0
    return min(surge_and_unavailable(deployment)[1], spec_replicas(deployment))


def scaled(value: int | str, of: int, *, up: bool) -> int:
    """A number, or a percentage of another."""
    if isinstance(value, int):
        return value
    exact = int(value.removesuffix("%")) * of
    return math.ceil(exact / 100) if up else exact // 100


def new_set_replicas(deployment: Mapping[str, Any], sets: Sequence[JsonObject], new: Mapping[str, Any] | None) -> int:
    """How many the newest set may have now; new: None when it is about to be made."""
    wanted = spec_replicas(deployment)
    held = spec_replicas(new) if new is not None else 0
    if not is_rolling(deployment):
        return wanted
    room = wanted + surge_and_unavailable(deployment)[0] - total(sets)
    return held if room <= 0 else held + min(room, wanted - held)


def old_set_replicas(
    deployment: Mapping[str, Any], sets: Sequence[JsonObject], new: Mapping[str, Any], olds: Sequence[JsonObject]
) -> dict[str, int]:
    """New sizes of old sets by name: first what is unhealthy goes, then what may be missed."""
    minimum = spec_replicas(deployment) - max_unavailable(deployment)
    new_unavailable = spec_replicas(new) - status_count(new, "availableReplicas")
    may_go = total(sets) - minimum - new_unavailable
    if may_go <= 0 or not total(olds):
        return {}
    sizes = {old["metadata"]["name"]: spec_replicas(old) for old in olds}
    before = dict(sizes)
    by_age = sorted(olds, key=lambda old: (old["metadata"]["creationTimestamp"], old["metadata"]["name"]))
    left = may_go
    for old in by_age:
        name = old["metadata"]["name"]
        unhealthy = min(left, sizes[name] - status_count(old, "availableReplicas"))
        if unhealthy > 0:
            sizes[name] -= unhealthy
            left -= unhealthy
    # A set that has not followed yet counts pods that it is about to delete: those are no reserve.
    spare = sum(min(status_count(each, "availableReplicas"), spec_replicas(each)) for each in sets) - minimum
    for old in by_age:
        name = old["metadata"]["name"]
        count = min(sizes[name], spare)
        if count > 0:
            sizes[name] -= count
            spare -= count
    return {name: size for name, size in sizes.items() if size != before[name]}


def rescaled(
    deployment: Mapping[str, Any], sets: Sequence[JsonObject], new: Mapping[str, Any] | None
) -> dict[str, int]:
    """New sizes by name when the Deployment was scaled in the middle of a rollout: in proportion."""
    wanted = spec_replicas(deployment)
    active = [found for found in sets if spec_replicas(found) > 0]
    single = _active_or_latest(sets, active, new)
    if single is not None:
        return {single["metadata"]["name"]: wanted} if spec_replicas(single) != wanted else {}
    if new is not None and is_saturated(deployment, new):
        return {found["metadata"]["name"]: 0 for found in active if found is not new}
    if not is_rolling(deployment):
        return {}
    allowed = wanted + surge_and_unavailable(deployment)[0] if wanted > 0 else 0
    to_add = allowed - total(active)
    newest_first = to_add > 0
    ordered = sorted(active, key=lambda found: found["metadata"]["creationTimestamp"], reverse=newest_first)
    ordered.sort(key=spec_replicas, reverse=True)
    sizes: dict[str, int] = {}
    added = 0
    for found in ordered:
        name, held = found["metadata"]["name"], spec_replicas(found)
        share = _proportion(found, allowed, to_add, added) if to_add else 0
        sizes[name] = held + share
        added += share
    if ordered and to_add != added:
        name = ordered[0]["metadata"]["name"]
        sizes[name] = max(sizes[name] + to_add - added, 0)
    return {name: size for name, size in sizes.items() if size != _size_of(active, name)}


def is_saturated(deployment: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether the newest set has all the Deployment wants, available."""
    wanted = spec_replicas(deployment)
    desired = annotations_of(new).get(DESIRED, "")
    return spec_replicas(new) == wanted and desired == str(wanted) and status_count(new, "availableReplicas") == wanted


def _active_or_latest(
    sets: Sequence[JsonObject], active: Sequence[JsonObject], new: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    if len(active) > 1:
        return None
    if active:
        return active[0]
    if new is not None:
        return new
    return max(sets, key=lambda found: found["metadata"]["creationTimestamp"], default=None)


def _proportion(found: Mapping[str, Any], allowed: int, to_add: int, added: int) -> int:
    held = spec_replicas(found)
    at_most = annotations_of(found).get(MAXIMUM, "")
    base = int(at_most) if at_most.isdigit() and int(at_most) else allowed
    share = _rounded(held * allowed, base) - held
    left = to_add - added
    return min(share, left) if to_add > 0 else max(share, left)


def _rounded(number: int, by: int) -> int:
    """number / by, halves away from zero, as Go's integer rounding of a float."""
    return math.floor(number / by + 0.5) if by else 0


def _size_of(sets: Sequence[JsonObject], name: str) -> int:
    return next(spec_replicas(found) for found in sets if found["metadata"]["name"] == name)
