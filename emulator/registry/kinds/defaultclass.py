"""Which class an object gets that names none: the newest that is marked as default, of equally old ones the first.

Source: plugin/pkg/admission/network/defaultingressclass, k8s.io/component-helpers storage/volume (GetDefaultClass).
"""

from __future__ import annotations

from collections.abc import Iterable

from emulator.api.meta import JsonObject, annotations_of


def default_class(classes: Iterable[JsonObject], marks: Iterable[str]) -> str | None:
    """The class' name; None if none is marked. marks: the annotations that mark it when they are "true"."""
    marks = tuple(marks)
    marked = [entry for entry in classes if any(annotations_of(entry).get(mark) == "true" for mark in marks)]
    if not marked:
        return None
    newest = max(entry["metadata"]["creationTimestamp"] for entry in marked)
    return min(str(entry["metadata"]["name"]) for entry in marked if entry["metadata"]["creationTimestamp"] == newest)
