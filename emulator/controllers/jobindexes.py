"""Sets of completion indexes as a Job's status writes them: `1,3-5,7`. Pure.

Source: pkg/controller/job/indexed_job_utils.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from emulator.api.meta import JsonObject, annotations_of

INDEX = "batch.kubernetes.io/job-completion-index"


def parse_indexes(text: str | None, completions: int) -> frozenset[int]:
    """The indexes below `completions` that a text names; what cannot be read is left out, as upstream does."""
    found: set[int] = set()
    for part in (text or "").split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            continue
        found.update(range(int(first), min(int(last or first) + 1, completions)))
    return frozenset(found)


def format_indexes(indexes: Iterable[int]) -> str:
    """Ascending, with three or more in a row, and two, written `first-last`."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in _runs(indexes))


def _runs(indexes: Iterable[int]) -> Iterator[tuple[int, int]]:
    start = end = -1
    for index in sorted(indexes):
        if start >= 0 and index == end + 1:
            end = index
            continue
        if start >= 0:
            yield start, end
        start = end = index
    if start >= 0:
        yield start, end


def is_indexed(job: Mapping[str, Any]) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def index_of(pod: JsonObject) -> int | None:
    """The completion index that a pod works on."""
    text = annotations_of(pod).get(INDEX, "")
    return int(text) if text.isascii() and text.isdigit() else None


def first_pending(count: int, completions: int, taken: frozenset[int] | set[int]) -> list[int]:
    """The `count` lowest indexes that nobody has and that are not done."""
    found: list[int] = []
    for index in range(completions):
        if len(found) == count:
            break
        if index not in taken:
            found.append(index)
    return found
