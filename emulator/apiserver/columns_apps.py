"""Tables of the kinds that keep Pods running: Deployment, ReplicaSet, StatefulSet, DaemonSet and what goes with them.

Source: pkg/printers/internalversion/printers.go (printDeployment, printReplicaSet, printDaemonSet, ...).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from emulator.api.meta import JsonObject
from emulator.apiserver.cells import AGE, NAME, NONE, Column, age, label_selector_text, name_of, selector_text

CONTAINERS = Column("Containers", "The names of the template's containers.", wide=True)
IMAGES = Column("Images", "What the template's containers run.", wide=True)
SELECTOR = Column("Selector", "Which Pods are its own.", wide=True)
NOT_SET = "N/A"

DEPLOYMENT = (
    NAME,
    Column("Ready", "Ready Pods of all wanted."),
    Column("Up-to-date", "Pods of the present template."),
    Column("Available", "Pods that have been ready for long enough."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
)
SCALE = (
    NAME,
    Column("Desired", "Pods wanted.", type="integer"),
    Column("Available", "Pods there are.", type="integer"),
    AGE,
)
REPLICA_SET = (
    NAME,
    Column("Desired", "How many Pods are wanted.", type="integer"),
    Column("Current", "How many Pods there are.", type="integer"),
    Column("Ready", "How many of them are ready.", type="integer"),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
)
STATEFUL_SET = (NAME, Column("Ready", "Ready Pods of all wanted."), AGE, CONTAINERS, IMAGES)
DAEMON_SET = (
    NAME,
    Column("Desired", "How many nodes are to run one.", type="integer"),
    Column("Current", "How many of them do.", type="integer"),
    Column("Ready", "How many of these are ready.", type="integer"),
    Column("Up-to-date", "How many are of the present template.", type="integer"),
    Column("Available", "How many have been ready for long enough.", type="integer"),
    Column("Node Selector", "Which nodes are to run one."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
)
CONTROLLER_REVISION = (
    NAME,
    Column("Controller", "Whose past template it is."),
    Column("Revision", "Its number.", type="integer"),
    AGE,
)
POD_DISRUPTION_BUDGET = (
    NAME,
    Column("Min Available", "How many Pods must stay."),
    Column("Max Unavailable", "How many Pods may go."),
    Column("Allowed Disruptions", "How many Pods may go now.", type="integer"),
    AGE,
)


def template_cells(template: Mapping[str, Any] | None) -> list[str]:
    """The names and the images of a template's containers."""
    containers = ((template or {}).get("spec") or {}).get("containers") or ()
    return [",".join(str(entry.get(name) or "") for entry in containers) for name in ("name", "image")]


def _parts(object: JsonObject) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return object.get("spec") or {}, object.get("status") or {}


def deployment_cells(deployment: JsonObject, at: datetime) -> list[Any]:
    spec, status = _parts(deployment)
    selector = label_selector_text(spec.get("selector"))
    return [
        name_of(deployment),
        f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}",
        status.get("updatedReplicas") or 0,
        status.get("availableReplicas") or 0,
        age(deployment, at),
        *template_cells(spec.get("template")),
        "" if selector == NONE else selector,
    ]


def replica_set_cells(replica_set: JsonObject, at: datetime) -> list[Any]:
    return _replica_cells(replica_set, at, label_selector_text((replica_set.get("spec") or {}).get("selector")))


def controller_cells(controller: JsonObject, at: datetime) -> list[Any]:
    """A ReplicationController, whose selector is a plain set."""
    return _replica_cells(controller, at, selector_text((controller.get("spec") or {}).get("selector")))


def _replica_cells(object: JsonObject, at: datetime, selector: str) -> list[Any]:
    spec, status = _parts(object)
    return [
        name_of(object),
        spec.get("replicas") or 0,
        status.get("replicas") or 0,
        status.get("readyReplicas") or 0,
        age(object, at),
        *template_cells(spec.get("template")),
        selector,
    ]


def stateful_set_cells(stateful_set: JsonObject, at: datetime) -> list[Any]:
    spec, status = _parts(stateful_set)
    ready = f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}"
    return [name_of(stateful_set), ready, age(stateful_set, at), *template_cells(spec.get("template"))]


def daemon_set_cells(daemon_set: JsonObject, at: datetime) -> list[Any]:
    spec, status = _parts(daemon_set)
    template = spec.get("template") or {}
    return [
        name_of(daemon_set),
        status.get("desiredNumberScheduled") or 0,
        status.get("currentNumberScheduled") or 0,
        status.get("numberReady") or 0,
        status.get("updatedNumberScheduled") or 0,
        status.get("numberAvailable") or 0,
        selector_text((template.get("spec") or {}).get("nodeSelector")),
        age(daemon_set, at),
        *template_cells(template),
        label_selector_text(spec.get("selector")),
    ]


def revision_cells(revision: JsonObject, at: datetime) -> list[Any]:
    owners = revision["metadata"].get("ownerReferences") or ()
    owner = next((entry for entry in owners if entry.get("controller")), None)
    shown = NONE
    if owner is not None:
        group = str(owner.get("apiVersion") or "").rpartition("/")[0]
        kind = str(owner.get("kind") or "")
        shown = f"{kind}.{group}".lower() if group else kind.lower()
        shown += f"/{owner.get('name')}"
    return [name_of(revision), shown, revision.get("revision") or 0, age(revision, at)]


def disruption_budget_cells(budget: JsonObject, at: datetime) -> list[Any]:
    spec, status = _parts(budget)
    bounds = [spec.get("minAvailable"), spec.get("maxUnavailable")]
    return [
        name_of(budget),
        *(NOT_SET if bound is None else str(bound) for bound in bounds),
        status.get("disruptionsAllowed") or 0,
        age(budget, at),
    ]


def scale_cells(scale: JsonObject, at: datetime) -> list[Any]:
    spec, status = _parts(scale)
    return [name_of(scale), spec.get("replicas") or 0, status.get("replicas") or 0, age(scale, at)]
