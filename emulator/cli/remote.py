"""Talk to the running cluster of a folder: one async call, run from a verb."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from emulator.api.errors import EmulatorError
from emulator.api.kinds import KINDS, Kind, kind_by_word
from emulator.cli.state import ClusterFolder
from emulator.client.io.http import HttpClient

T = TypeVar("T")


def call(folder: ClusterFolder, work: Callable[[HttpClient], Awaitable[T]]) -> T:
    """What `work` gives with a client of the running cluster. Raises NotRunning, Unreachable, ApiError."""
    return call_state(folder.state(), work)


def call_state(state: dict[str, Any], work: Callable[[HttpClient], Awaitable[T]]) -> T:
    ca = Path(state["caFile"]).read_text() if state["apiServer"].startswith("https") else ""

    async def run() -> T:
        async with HttpClient(state["apiServer"], token=state["token"], ca=ca) as client:
            return await work(client)

    return asyncio.run(run())


def served_kind(word: str) -> Kind:
    """The kind a user's word means. Raises EmulatorError in kubectl's words."""
    kind = kind_by_word(word)
    if kind is None:
        names = ", ".join(sorted(kind.plural for kind in KINDS))
        raise EmulatorError(f'the server doesn\'t have a resource type "{word}"; it has {names}')
    return kind
