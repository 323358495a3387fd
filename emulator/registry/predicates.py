"""Label and field selectors of a list or watch as one predicate, and what a watcher with selectors is told. No I/O.

Source: k8s.io/apiserver pkg/storage/selection_predicate.go, pkg/storage/cacher/cache_watcher.go.
"""

from __future__ import annotations

from collections.abc import Callable

from emulator.api.errors import BadRequest
from emulator.api.meta import JsonObject, labels_of
from emulator.api.selectors import parse_field_selector, parse_label_selector
from emulator.registry.options import WatchEvent
from emulator.registry.strategy import Strategy
from emulator.store.history import Event, at_revision

METADATA_FIELDS = ("metadata.name", "metadata.namespace")

Predicate = Callable[[JsonObject], bool]


def predicate(strategy: Strategy, label_selector: str, field_selector: str) -> Predicate | None:
    """Whether an object is selected; None when all are. Raises BadRequest."""
    by_labels = _by_labels(label_selector) if label_selector else None
    by_fields = _by_fields(strategy, field_selector) if field_selector else None
    if by_labels is None or by_fields is None:
        return by_labels or by_fields
    labels, fields = by_labels, by_fields

    def matches(object: JsonObject) -> bool:
        return labels(object) and fields(object)

    return matches


def _by_labels(text: str) -> Predicate:
    selector = parse_label_selector(text)

    def matches(object: JsonObject) -> bool:
        return selector.matches(labels_of(object))

    return matches


def _by_fields(strategy: Strategy, text: str) -> Predicate:
    selector = parse_field_selector(text)
    own = strategy.field_label_names
    named = {name for name, _, _ in selector.requirements}
    for name, _, _ in selector.requirements:
        if name not in METADATA_FIELDS and name not in own:
            raise _unsupported(strategy, name)
    needs_own = bool(named & own)

    def matches(object: JsonObject) -> bool:
        metadata = object["metadata"]
        values = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
        if needs_own:
            values.update(strategy.field_labels(object))
        return selector.matches(values)

    return matches


def _unsupported(strategy: Strategy, name: str) -> BadRequest:
    """Kinds with field labels of their own answer otherwise than those without."""
    if strategy.field_label_names:
        return BadRequest(f"field label not supported: {name}")
    return BadRequest(f'"{name}" is not a known field selector: only "metadata.name", "metadata.namespace"')


def watched(event: Event, selects: Predicate | None) -> WatchEvent | None:
    """What a watcher with this predicate is told of a change; None when it does not concern it.

    An object that starts to match is ADDED, one that stops is DELETED in its old state at the new resourceVersion.
    """
    if selects is None:
        return WatchEvent(event.type, event.object)
    matches = event.type != "DELETED" and selects(event.object)
    matched = event.previous is not None and selects(event.previous)
    if matches:
        return WatchEvent("MODIFIED" if matched else "ADDED", event.object)
    if not matched or event.previous is None:
        return None
    return WatchEvent("DELETED", at_revision(event.previous, event.revision))
