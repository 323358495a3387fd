"""The answers of /livez, /readyz and /healthz: `ok`, or with `?verbose` and on failure one line a check.

Source: k8s.io/apiserver pkg/server/healthz/healthz.go.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

CHECKS = {
    "livez": ("ping", "log", "etcd"),
    "readyz": ("ping", "log", "etcd", "informer-sync", "shutdown"),
    "healthz": ("ping", "log", "etcd", "informer-sync"),
}
"""What each looks at. All but the parts being in step with the store hold as long as the process answers at all."""


class Health(NamedTuple):
    """The status code and the text."""

    code: int
    text: str


def health(name: str, *, synced: bool, verbose: bool = False, excluded: Collection[str] = ()) -> Health:
    """name: of CHECKS. synced: whether the parts are in step; excluded: checks that are not looked at."""
    lines: list[str] = []
    failed = False
    for check in CHECKS[name]:
        if check in excluded:
            lines.append(f"[+]{check} excluded: ok")
        elif check == "informer-sync" and not synced:
            lines.append(f"[-]{check} failed: reason withheld")
            failed = True
        else:
            lines.append(f"[+]{check} ok")
    if unknown := sorted(set(excluded) - set(CHECKS[name])):
        quoted = ", ".join(f'"{check}"' for check in unknown)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
    if failed:
        return Health(500, "\n".join((*lines, f"{name} check failed")) + "\n")
    return Health(200, "\n".join((*lines, f"{name} check passed")) + "\n" if verbose else "ok")


def one_check(name: str, check: str, *, synced: bool) -> Health | None:
    """`/readyz/ping` and the like; None where there is no such check."""
    if check not in CHECKS[name]:
        return None
    if check == "informer-sync" and not synced:
        return Health(500, "internal server error: informers have not synced yet\n")
    return Health(200, "ok")
