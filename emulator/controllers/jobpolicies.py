"""What a Job's policies say: of a failed pod, and of indexes that succeeded. Pure.

Source: pkg/controller/job/{pod_failure_policy,success_policy}.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emulator.controllers.jobindexes import parse_indexes


@dataclass(frozen=True, slots=True)
class Verdict:
    """counted: against backoffLimit; action: of the rule that matched, "" without one; message: why the Job fails."""

    counted: bool = True
    action: str = ""
    message: str = ""


def verdict(job: Mapping[str, Any], pod: Mapping[str, Any]) -> Verdict:
    """What the Job's podFailurePolicy makes of a failed pod; the first rule that matches decides."""
    per_index = job["spec"].get("backoffLimitPerIndex") is not None
    for index, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or ()):
        why = _match(rule, pod)
        action = rule.get("action", "")
        if why is None or (action == "FailIndex" and not per_index):
            continue
        if action == "Ignore":
            return Verdict(counted=False, action=action)
        if action == "FailJob":
            return Verdict(action=action, message=f"{why} matching FailJob rule at index {index}")
        return Verdict(action=action)
    return Verdict()


def _match(rule: Mapping[str, Any], pod: Mapping[str, Any]) -> str | None:
    """The beginning of the message about a rule that matches; None when it does not."""
    who = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    status = pod.get("status") or {}
    if codes := rule.get("onExitCodes"):
        for entry in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
            ended = (entry.get("state") or {}).get("terminated")
            if ended is None or codes.get("containerName") not in (None, entry["name"]):
                continue
            if _is_code(ended.get("exitCode") or 0, codes):
                return f"Container {entry['name']} for pod {who} failed with exit code {ended['exitCode']}"
        return None
    for pattern in rule.get("onPodConditions") or ():
        for condition in status.get("conditions") or ():
            if condition["type"] == pattern["type"] and condition["status"] == (pattern.get("status") or "True"):
                return f"Pod {who} has condition {condition['type']}"
    return None


def _is_code(code: int, wanted: Mapping[str, Any]) -> bool:
    """Success never matches."""
    return code != 0 and (code in (wanted.get("values") or ())) == (wanted.get("operator") == "In")


def success_message(job: Mapping[str, Any], succeeded: frozenset[int]) -> str | None:
    """Why the Job's successPolicy is satisfied by these indexes; None when it is not."""
    completions = job["spec"].get("completions") or 0
    for index, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or ()):
        named, count = rule.get("succeededIndexes"), rule.get("succeededCount")
        wanted = parse_indexes(named, completions) if named is not None else frozenset(range(completions))
        reached = len(succeeded & wanted) >= (count if count is not None else len(wanted))
        if reached and (named is not None or count is not None):
            return f"Matched rules at index {index}"
    return None
