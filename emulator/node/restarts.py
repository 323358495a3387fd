"""When a container that ended is started again. Pure.

Source: kubernetes pkg/kubelet/kuberuntime (ShouldContainerBeRestarted, doBackOff): the first restart is immediate,
then 10 s doubling to 5 minutes; a run of twice the maximum starts the count anew.
"""

from __future__ import annotations

INITIAL_BACKOFF_SECONDS = 10.0
MAX_BACKOFF_SECONDS = 300.0


def is_restarted(restart_policy: str, exit_code: int) -> bool:
    return restart_policy == "Always" or (restart_policy == "OnFailure" and exit_code != 0)


def next_backoff(backoff_seconds: float | None, ran_seconds: float) -> float:
    """How long to wait after this end; `backoff_seconds` is what came back the time before, None the first time."""
    if backoff_seconds is None or ran_seconds >= 2 * MAX_BACKOFF_SECONDS:
        return 0.0
    return min(max(INITIAL_BACKOFF_SECONDS, 2 * backoff_seconds), MAX_BACKOFF_SECONDS)
