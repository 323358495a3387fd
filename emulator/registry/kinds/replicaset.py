"""ReplicaSet and the older ReplicationController, whose selector is a plain set of labels.

Source: pkg/apis/apps/v1/defaults.go, pkg/apis/core/v1/defaults.go, pkg/apis/{apps,core}/validation/validation.go,
pkg/registry/apps/replicaset/strategy.go, pkg/registry/core/replicationcontroller/strategy.go.
"""

from __future__ import annotations

from collections.abc import Mapping

from emulator.api.errors import FieldError, invalid, required
from emulator.api.kinds import REPLICA_SET, REPLICATION_CONTROLLER
from emulator.api.meta import JsonObject
from emulator.api.selectors import matches_set
from emulator.registry.kinds import fields, workload
from emulator.registry.kinds.shaping import drop_empty, part
from emulator.registry.strategy import Context, Strategy

_OPTIONAL_COUNTS = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")
_COUNTS = ("replicas", *_OPTIONAL_COUNTS)


def default_replica_set(replica_set: JsonObject, context: Context) -> None:
    spec = part(replica_set, "spec")
    workload.default_replicas(spec)
    workload.default_template(spec)
    _default_status(part(replica_set, "status"))


def default_controller(controller: JsonObject, context: Context) -> None:
    """The template's labels are the selector, and the controller's own labels, unless those are given."""
    spec = part(controller, "spec")
    labels = dict(workload.template_labels(spec.get("template") or {}))
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        if not controller["metadata"].get("labels"):
            controller["metadata"]["labels"] = dict(labels)
    workload.default_replicas(spec)
    if spec.get("template") is not None:
        workload.default_template(spec)
    drop_empty(spec, "selector")
    _default_status(part(controller, "status"))


def _default_status(status: JsonObject) -> None:
    drop_empty(status, *_OPTIONAL_COUNTS)
    status.setdefault("replicas", 0)
    workload.default_conditions(status, "lastTransitionTime")


def prepare_create(object: JsonObject, context: Context) -> None:
    object["status"] = {"replicas": 0}


def validate_replica_set(replica_set: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource == "status":
        return []
    spec = replica_set["spec"]
    errors = fields.not_negative("spec.replicas", spec.get("replicas"))
    errors += fields.not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    return errors + workload.replicated_errors(spec)


def validate_controller(controller: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource == "status":
        return []
    spec, selector = controller["spec"], controller["spec"].get("selector") or {}
    errors = fields.not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    errors += [] if selector else [required("spec.selector")]
    errors += fields.not_negative("spec.replicas", spec.get("replicas"))
    template = spec.get("template")
    if template is None:
        return [*errors, required("spec.template")]
    labels = workload.template_labels(template)
    if selector and not matches_set(selector, labels):
        shown = dict(sorted(labels.items())) or None
        errors.append(invalid("spec.template.metadata.labels", shown, workload.NO_MATCH))
    return errors + workload.template_errors(template, "ReplicationController")


def validate_replica_set_update(replica_set: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource == "status":
        return _status_errors(workload.status_of(replica_set))
    return workload.selector_change_errors(replica_set["spec"], old["spec"])


def validate_controller_update(controller: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    return _status_errors(workload.status_of(controller)) if context.subresource == "status" else []


def _status_errors(status: JsonObject) -> list[FieldError]:
    errors = workload.counts_errors(status, _COUNTS)
    errors += workload.over_errors(status, ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"))
    return errors + workload.available_errors(status, "cannot be greater than readyReplicas")


def warnings(object: JsonObject, old: JsonObject | None, context: Context) -> list[str]:
    template = object["spec"].get("template") or {}
    if old is None:
        return workload.name_warnings(object) + workload.template_warnings(template)
    if context.subresource == "status" or not workload.is_new_generation(object, old):
        return []
    return workload.template_warnings(template)


def controller_labels(object: JsonObject) -> Mapping[str, str]:
    return {"status.replicas": str(workload.status_of(object).get("replicas") or 0)}


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        REPLICA_SET,
        default=default_replica_set,
        prepare_create=prepare_create,
        validate=validate_replica_set,
        validate_update=validate_replica_set_update,
        warnings=warnings,
        has_generation=True,
    ),
    Strategy(
        REPLICATION_CONTROLLER,
        default=default_controller,
        prepare_create=prepare_create,
        validate=validate_controller,
        validate_update=validate_controller_update,
        warnings=warnings,
        field_labels=controller_labels,
        field_label_names=frozenset(("status.replicas",)),
        has_generation=True,
    ),
)
