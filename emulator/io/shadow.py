"""Making paths appear that the host does not have, in a mount namespace of one's own.

The nearest folder that exists is covered by a new one in which everything of the old is bound at its place, and what
is missing is made. Nothing on the host is written. Only for processes that are about to become somebody's command.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

Bind = Callable[[str, str], None]
"""Bind the first path at the second, with all that is mounted below."""


def missing_parents(paths: Iterable[str]) -> dict[str, list[str]]:
    """The paths that do not exist, by the nearest folder above them that does. Raises OSError for one below `/`."""
    found: dict[str, list[str]] = {}
    for path in paths:
        if os.path.exists(path):
            continue
        parent = os.path.dirname(path)
        while not os.path.isdir(parent):
            parent = os.path.dirname(parent)
        if parent == "/":
            raise FileNotFoundError(f"{path} cannot be made to appear: no folder of its path is there")
        found.setdefault(parent, []).append(path)
    return found


def cover(folder: str, wanted: Iterable[str], scratch: str, bind: Bind) -> None:
    """Cover `folder` so that empty files stand at `wanted` paths below it; scratch: an empty folder to build in."""
    with os.scandir(folder) as entries:
        for entry in entries:
            _copy(entry, f"{scratch}/{entry.name}", bind)
    for path in wanted:
        made = scratch + path.removeprefix(folder)
        os.makedirs(os.path.dirname(made), exist_ok=True)
        os.close(os.open(made, os.O_WRONLY | os.O_CREAT, 0o644))
    os.chmod(scratch, os.stat(folder).st_mode & 0o7777)
    bind(scratch, folder)


def _copy(entry: os.DirEntry[str], at: str, bind: Bind) -> None:
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), at)
        return
    if entry.is_dir():
        os.mkdir(at)
    else:
        os.close(os.open(at, os.O_WRONLY | os.O_CREAT, 0o644))
    bind(entry.path, at)
