"""The past templates of DaemonSets and StatefulSets, each kept as a ControllerRevision. Pure.

Source: pkg/controller/history/controller_history.go, pkg/controller/daemon/update.go,
pkg/controller/statefulset/stateful_set_control.go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from emulator.api.kinds import CONTROLLER_REVISION, STATEFUL_SET, Kind
from emulator.api.meta import JsonObject, key_of, labels_of
from emulator.controllers.changes import Delete
from emulator.controllers.owned import reference_to
from emulator.controllers.revisions import data_hash, template_hash

HASH_LABEL = "controller-revision-hash"
OWN_HASH_LABEL = "controller.kubernetes.io/hash"  # a StatefulSet's revisions; its pods are labelled with their names


def template_data(template: Mapping[str, Any]) -> JsonObject:
    """What a revision keeps: a strategic merge patch that brings this template back."""
    return {"spec": {"template": {**template, "$patch": "replace"}}}


def number_of(revision: Mapping[str, Any]) -> int:
    return int(revision.get("revision") or 0)


def by_number(revisions: Iterable[JsonObject]) -> list[JsonObject]:
    """The oldest first."""
    return sorted(revisions, key=lambda found: (number_of(found), found["metadata"]["name"]))


def next_number(revisions: Iterable[Mapping[str, Any]]) -> int:
    return max((number_of(found) for found in revisions), default=0) + 1


def equal_to(revisions: Iterable[JsonObject], data: JsonObject) -> list[JsonObject]:
    """The revisions that keep just this, the newest last."""
    return by_number(found for found in revisions if found.get("data") == data)


def new_revision(owner: JsonObject, kind: Kind, number: int) -> JsonObject:
    """A revision of the owner's template, named by its hash: of the template, or of what the revision keeps."""
    metadata, template = owner["metadata"], owner["spec"]["template"]
    labels = (template.get("metadata") or {}).get("labels") or {}
    collisions = (owner.get("status") or {}).get("collisionCount")
    if kind is STATEFUL_SET:
        hash, hash_label = data_hash(template_data(template), collisions or 0), OWN_HASH_LABEL
    else:
        hash, hash_label = template_hash(template, collisions), HASH_LABEL
    made: JsonObject = {
        "name": f"{metadata['name']}-{hash}",
        "namespace": metadata["namespace"],
        "labels": {**labels, hash_label: hash},
        "ownerReferences": [reference_to(owner, kind)],
    }
    if metadata.get("annotations"):
        made["annotations"] = metadata["annotations"]
    return {
        "apiVersion": CONTROLLER_REVISION.api_version,
        "kind": CONTROLLER_REVISION.kind,
        "metadata": made,
        "data": template_data(template),
        "revision": number,
    }


def renumbered(revision: JsonObject, number: int) -> JsonObject:
    return {**revision, "revision": number}


def hash_of(revision: Mapping[str, Any]) -> str:
    """The hash its pods are labelled with."""
    return labels_of(revision).get(HASH_LABEL) or str(revision["metadata"]["name"])


def too_old(revisions: Iterable[JsonObject], limit: int | None, live: Collection[str]) -> list[Delete]:
    """Deletions of the oldest past revisions over the limit; live: hashes or names that are still in use."""
    past = by_number(revisions)
    spare = len(past) - (10 if limit is None else limit)
    idle = [each for each in past if hash_of(each) not in live and each["metadata"]["name"] not in live]
    return [Delete(CONTROLLER_REVISION, key_of(each), each["metadata"]["uid"]) for each in idle[: max(spare, 0)]]
