"""Deployments: one ReplicaSet a template, and pods moved from the old ones to the new. Pure.

Each plan takes one step and the next follows when the ReplicaSets have changed, as upstream's sync does.
Source: pkg/controller/deployment/{deployment_controller,sync,rolling,recreate,progress}.go, util/deployment_util.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from emulator.api.kinds import DEPLOYMENT, POD, REPLICA_SET
from emulator.api.meta import (
    ObjectKey,
    annotations_of,
    is_terminating,
)
from emulator.client.index import Change
from emulator.controllers.changes import NOTHING, Changes, Controller, View, own_key
from emulator.controllers.deploymentsets import (
    clean_up,
    named,
    newest,
    renew_revisions,
    resize,
    size_annotations,
    sizes_told,
    with_new_set,
)
from emulator.controllers.deploymentstatus import counts_of, done, is_complete, note_pause
from emulator.controllers.deploymentstep import Step
from emulator.controllers.owned import (
    claim,
    controller_reference,
    is_finished,
    owner_keys,
)
from emulator.controllers.rollout import (
    DESIRED,
    is_rolling,
    new_set_replicas,
    old_set_replicas,
    rescaled,
    spec_replicas,
)


def plan_deployment(key: ObjectKey, view: View, at: datetime) -> Changes:
    """One step of a rollout, a scaling, or nothing but the status."""
    deployment = view.get(DEPLOYMENT, key.name, key.namespace)
    if deployment is None:
        return NOTHING
    if not deployment["spec"].get("selector"):
        return NOTHING
    claimed = claim(deployment, DEPLOYMENT, REPLICA_SET, view)
    if claimed.writes:
        return Changes(claimed.writes)
    sets = sorted(
        claimed.objects, key=lambda found: (found["metadata"]["creationTimestamp"], found["metadata"]["name"])
    )
    step = Step(deployment, at, sets, newest(deployment, sets))
    step.conditions = list((deployment.get("status") or {}).get("conditions") or ())
    step.annotations = dict(annotations_of(deployment))
    if is_terminating(deployment):
        return done(step, rollout=False)
    note_pause(step)
    if deployment["spec"].get("paused"):
        renew_revisions(step)
        _scale(step)
        return done(step, rollout=False)
    if _was_scaled(step):
        renew_revisions(step)
        _scale(step)
        return done(step, rollout=False)
    if is_rolling(deployment):
        _roll(step, view)
    else:
        _recreate(step, view)
    return done(step, rollout=True)


# -- the strategies --------------------------------------------------------------------------------------------------


def _roll(step: Step, view: View) -> None:
    if not with_new_set(step, view):
        return
    assert step.new is not None
    size = spec_replicas(step.new)
    wanted = spec_replicas(step.deployment)
    grown = wanted if size > wanted else new_set_replicas(step.deployment, step.sets, step.new)
    if size not in (wanted, grown):
        resize(step, step.new, grown)
        return
    smaller = old_set_replicas(step.deployment, step.sets, step.new, step.olds)
    for name, count in smaller.items():
        resize(step, named(step.sets, name), count)
    if not smaller:
        _clean_up_if_complete(step)


def _recreate(step: Step, view: View) -> None:
    active = [old for old in step.olds if spec_replicas(old) > 0]
    if active:
        for old in active:
            resize(step, old, 0)
        return
    namespace = step.deployment["metadata"]["namespace"]
    running = any(
        not is_finished(pod)
        for old in step.olds
        for pod in view.owned_by(POD, old["metadata"]["uid"], namespace).values()
    )
    if running or not with_new_set(step, view):
        return
    assert step.new is not None
    if spec_replicas(step.new) != spec_replicas(step.deployment):
        resize(step, step.new, spec_replicas(step.deployment))
        return
    _clean_up_if_complete(step)


def _clean_up_if_complete(step: Step) -> None:
    if is_complete(step.deployment, counts_of(step)):
        clean_up(step)


def _scale(step: Step) -> None:
    """Follow a change of spec.replicas without moving from one template to another."""
    sizes = rescaled(step.deployment, step.sets, step.new)
    for found in list(step.sets):
        name = found["metadata"]["name"]
        if name in sizes or (spec_replicas(found) > 0 and size_annotations(step) != sizes_told(found)):
            resize(step, found, sizes.get(name, spec_replicas(found)))
    if step.deployment["spec"].get("paused"):
        clean_up(step)


def _was_scaled(step: Step) -> bool:
    wanted = str(spec_replicas(step.deployment))
    active = [found for found in step.sets if spec_replicas(found) > 0]
    return any(annotations_of(found).get(DESIRED) not in (None, wanted) for found in active)


# -- keys ------------------------------------------------------------------------------------------------------------


def _deployments_of_set(change: Change, view: View) -> Iterable[ObjectKey]:
    return owner_keys(change, view, DEPLOYMENT)


def _deployments_of_pod(change: Change, view: View) -> Iterable[ObjectKey]:
    """Recreate waits for pods to be gone."""
    if change.type != "DELETED":
        return ()
    sets = (view.get(REPLICA_SET, key.name, key.namespace) for key in owner_keys(change, view, REPLICA_SET))
    references = (controller_reference(found) for found in sets if found is not None)
    namespace = change.key.namespace
    return [ObjectKey(namespace, r["name"]) for r in references if r is not None and r["kind"] == DEPLOYMENT.kind]


CONTROLLER = Controller(
    "deployment", {DEPLOYMENT: own_key, REPLICA_SET: _deployments_of_set, POD: _deployments_of_pod}, plan_deployment
)
