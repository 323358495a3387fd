"""How many files this process may have open: every listener, connection and watch is one."""

from __future__ import annotations

import contextlib
import resource


def raise_open_file_limit() -> int:
    """Take what the hard limit allows; the limit that now holds.

    Many systems give 1,024 by default, which a few hundred Services with their connections use up.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # macOS caps it below an unlimited hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
