"""The only places where a clock is read or chance is drawn."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime


def now() -> float:
    """Monotonic seconds."""
    return time.monotonic()


def cpu() -> float:
    """Seconds that this thread has computed: what others on the machine do does not count."""
    return time.thread_time()


def utc_now() -> datetime:
    return datetime.now(UTC)


def unix_seconds() -> int:
    """Whole seconds since 1970."""
    return int(time.time())


def randrange(stop: int) -> int:
    """A random integer in [0, stop)."""
    return random.randrange(stop)
