"""The ReplicaSets of a Deployment: which is the newest, how one is made, numbered, sized and cleaned up. Pure.

Source: pkg/controller/deployment/sync.go, util/deployment_util.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from emulator.api.kinds import DEPLOYMENT, REPLICA_SET
from emulator.api.meta import (
    JsonObject,
    annotations_of,
    is_terminating,
    key_of,
)
from emulator.controllers.changes import Delete, View, Write
from emulator.controllers.deploymentstep import (
    NO_DEADLINE,
    PROGRESSING,
    Step,
    condition_in,
    has_deadline,
    set_condition,
    tell,
)
from emulator.controllers.owned import (
    LAST_APPLIED,
    reference_to,
)
from emulator.controllers.revisions import template_hash
from emulator.controllers.rollout import (
    DESIRED,
    MAXIMUM,
    new_set_replicas,
    spec_replicas,
    status_count,
    surge_and_unavailable,
)

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
MAX_HISTORY_CHARS = 2000
HASH_LABEL = "pod-template-hash"
NOT_COPIED = (LAST_APPLIED, REVISION, HISTORY, DESIRED, MAXIMUM, "deprecated.deployment.rollback.to")
NEW_SET, FOUND_SET = "NewReplicaSetCreated", "FoundNewReplicaSet"


def newest(deployment: Mapping[str, Any], sets: Sequence[JsonObject]) -> JsonObject | None:
    """The oldest set that has the Deployment's template."""
    template = deployment["spec"]["template"]
    return next((found for found in sets if _same_template(template, found["spec"]["template"])), None)


def _same_template(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return _without_hash(one) == _without_hash(other)


def _without_hash(template: Mapping[str, Any]) -> JsonObject:
    metadata = dict(template.get("metadata") or {})
    metadata.pop("creationTimestamp", None)
    labels = {key: value for key, value in (metadata.pop("labels", None) or {}).items() if key != HASH_LABEL}
    return {"metadata": metadata, "labels": labels, "spec": template.get("spec")}


def with_new_set(step: Step, view: View) -> bool:
    """See that there is a set of the present template; False when this step makes one."""
    if step.new is not None:
        renew_revisions(step)
        return True
    deployment = step.deployment
    metadata, spec = deployment["metadata"], deployment["spec"]
    collisions = (deployment.get("status") or {}).get("collisionCount")
    hash = template_hash(spec["template"], collisions)
    name = f"{metadata['name']}-{hash}"
    if view.get(REPLICA_SET, name, metadata["namespace"]) is not None:
        step.collisions = (collisions or 0) + 1
        return False
    replicas = new_set_replicas(deployment, step.sets, None)
    template = spec["template"]
    labels = {**((template.get("metadata") or {}).get("labels") or {}), HASH_LABEL: hash}
    selector = spec["selector"]
    revision = str(_greatest_revision(step.sets) + 1)
    made: JsonObject = {
        "apiVersion": REPLICA_SET.api_version,
        "kind": REPLICA_SET.kind,
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": {**_copied(deployment), REVISION: revision, **size_annotations(step)},
            "ownerReferences": [reference_to(deployment, DEPLOYMENT)],
        },
        "spec": {
            "replicas": replicas,
            "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), HASH_LABEL: hash}},
            "template": {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}},
        },
    }
    if spec.get("minReadySeconds"):
        made["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    step.creates.append(Write(REPLICA_SET, made))
    if replicas:
        tell(step, f"Scaled up replica set {name} from 0 to {replicas}")
    step.annotations[REVISION] = revision
    if has_deadline(deployment):
        set_condition(step, PROGRESSING, "True", NEW_SET, f'Created new replica set "{name}"')
    return False


def renew_revisions(step: Step) -> None:
    """The newest set carries the greatest revision and the Deployment's annotations; the Deployment says which."""
    new = step.new
    if new is None:
        return
    revision = _greatest_revision(step.olds) + 1
    held = annotations_of(new)
    annotations = {**held, **_copied(step.deployment)}
    own = int(held.get(REVISION, "0") or 0)
    if own < revision:
        annotations[REVISION] = str(revision)
        if own:
            annotations[HISTORY] = _history(held.get(HISTORY, ""), str(own))
    wanted_ready = step.deployment["spec"].get("minReadySeconds") or 0
    spec = new["spec"]
    if annotations != held or (spec.get("minReadySeconds") or 0) != wanted_ready:
        changed = {**new, "metadata": {**new["metadata"], "annotations": annotations}}
        step.replace(new, {**changed, "spec": {**spec, "minReadySeconds": wanted_ready}})
    step.annotations[REVISION] = annotations[REVISION]
    if has_deadline(step.deployment) and condition_in(step, PROGRESSING) is None:
        set_condition(step, PROGRESSING, "True", FOUND_SET, f'Found new replica set "{new["metadata"]["name"]}"')


def _history(text: str, revision: str) -> str:
    entries = [*(entry for entry in text.split(",") if entry), revision]
    while len(",".join(entries)) > MAX_HISTORY_CHARS:
        entries.pop(0)
    return ",".join(entries)


def resize(step: Step, found: JsonObject, size: int) -> None:
    before = spec_replicas(found)
    annotations = {**annotations_of(found), **size_annotations(step)}
    metadata = {**found["metadata"], "annotations": annotations}
    step.replace(found, {**found, "metadata": metadata, "spec": {**found["spec"], "replicas": size}})
    if size != before:
        way = "up" if size > before else "down"
        tell(step, f"Scaled {way} replica set {found['metadata']['name']} from {before} to {size}")


def size_annotations(step: Step) -> dict[str, str]:
    replicas = spec_replicas(step.deployment)
    return {DESIRED: str(replicas), MAXIMUM: str(replicas + surge_and_unavailable(step.deployment)[0])}


def sizes_told(found: Mapping[str, Any]) -> dict[str, str | None]:
    return {name: annotations_of(found).get(name) for name in (DESIRED, MAXIMUM)}


def _copied(deployment: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in annotations_of(deployment).items() if name not in NOT_COPIED}


def _greatest_revision(sets: Iterable[Mapping[str, Any]]) -> int:
    texts = (annotations_of(found).get(REVISION, "0") for found in sets)
    return max((int(text) for text in texts if text.isdigit()), default=0)


def named(sets: Sequence[JsonObject], name: str) -> JsonObject:
    return next(found for found in sets if found["metadata"]["name"] == name)


def clean_up(step: Step) -> None:
    """Old sets beyond the history limit go, the oldest first."""
    limit = step.deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == NO_DEADLINE:
        return
    olds = [old for old in step.olds if not is_terminating(old)]
    by_revision = sorted(olds, key=lambda old: int(annotations_of(old).get(REVISION, "0") or 0))
    for old in by_revision[: max(len(olds) - limit, 0)]:
        settled = status_count(old, "observedGeneration") >= old["metadata"].get("generation", 0)
        if not spec_replicas(old) and not status_count(old, "replicas") and settled:
            step.deletes.append(Delete(REPLICA_SET, key_of(old), old["metadata"]["uid"]))
