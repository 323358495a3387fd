"""StatefulSet, and ControllerRevision, in which it and DaemonSet keep their past templates.

A claim template is a volume to the Pods: their containers may mount it by its name.
Source: pkg/apis/apps/v1/defaults.go, pkg/apis/apps/validation/validation.go,
pkg/registry/apps/{statefulset,controllerrevision}/strategy.go. The gate MaxUnavailableStatefulSet is off in 1.36.
"""

from __future__ import annotations

from typing import Any

from emulator.api import names
from emulator.api.errors import FieldError, forbidden_field, invalid, required
from emulator.api.kinds import CONTROLLER_REVISION, STATEFUL_SET
from emulator.api.meta import JsonObject
from emulator.registry.kinds import fields, quantities, workload
from emulator.registry.kinds.pod_validation import validate_pod_template
from emulator.registry.kinds.shaping import drop_empty, part
from emulator.registry.strategy import Context, Strategy

MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
FROZEN = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
NEGATIVE_HISTORY = (
    "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
)
RETENTION = ("Retain", "Delete")
_OPTIONAL_COUNTS = ("observedGeneration", "readyReplicas", "currentReplicas", "updatedReplicas")
_COUNTS = (
    "replicas",
    "readyReplicas",
    "currentReplicas",
    "updatedReplicas",
    "availableReplicas",
    "observedGeneration",
    "collisionCount",
)


def default(stateful_set: JsonObject, context: Context) -> None:
    spec = part(stateful_set, "spec")
    if not spec.get("podManagementPolicy"):
        spec["podManagementPolicy"] = "OrderedReady"
    strategy = part(spec, "updateStrategy")
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        part(strategy, "rollingUpdate").setdefault("partition", 0)
    policy = part(spec, "persistentVolumeClaimRetentionPolicy")
    for name in ("whenDeleted", "whenScaled"):
        if not policy.get(name):
            policy[name] = "Retain"
    workload.default_replicas(spec)
    spec.setdefault("revisionHistoryLimit", 10)
    workload.default_template(spec)
    for claim in spec.get("volumeClaimTemplates") or ():
        _default_claim(claim)
    drop_empty(spec, "volumeClaimTemplates")
    spec.setdefault("serviceName", "")
    status = part(stateful_set, "status")
    drop_empty(status, *_OPTIONAL_COUNTS, "currentRevision", "updateRevision")
    status.setdefault("replicas", 0)
    status.setdefault("availableReplicas", 0)
    workload.default_conditions(status, "lastTransitionTime")


def _default_claim(claim: JsonObject) -> None:
    claim |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    part(claim, "metadata")
    spec = part(claim, "spec")
    resources = part(spec, "resources")
    for name in ("limits", "requests"):
        quantities.canonicalise(resources.get(name))
    if not spec.get("volumeMode"):
        spec["volumeMode"] = "Filesystem"
    status = part(claim, "status")
    if not status.get("phase"):
        status["phase"] = "Pending"


def prepare_create(stateful_set: JsonObject, context: Context) -> None:
    stateful_set["status"] = {"replicas": 0, "availableReplicas": 0}
    _drop_gated(stateful_set, None)


def prepare_update(stateful_set: JsonObject, old: JsonObject, context: Context) -> None:
    if context.subresource != "status":
        _drop_gated(stateful_set, old)


def _drop_gated(stateful_set: JsonObject, old: JsonObject | None) -> None:
    """updateStrategy.rollingUpdate.maxUnavailable goes, unless the stored object has it."""
    if old is not None and (old["spec"]["updateStrategy"].get("rollingUpdate") or {}).get("maxUnavailable") is not None:
        return
    (stateful_set["spec"]["updateStrategy"].get("rollingUpdate") or {}).pop("maxUnavailable", None)


def validate(stateful_set: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource == "status":
        return []
    spec = stateful_set["spec"]
    errors = _policy_errors(spec)
    errors += fields.not_negative("spec.replicas", spec.get("replicas"))
    errors += fields.not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    errors += fields.not_negative("spec.ordinals.start", (spec.get("ordinals") or {}).get("start"))
    errors += _service_errors(spec["serviceName"])
    errors += workload.selector_errors(spec, "statefulset")
    selector = workload.selector_of(spec.get("selector"))
    if selector is None:
        errors.append(invalid("spec.selector", workload.shown_selector(spec.get("selector")), ""))
    else:
        errors += workload.match_errors(selector, spec["template"])
        errors += validate_pod_template(_with_claims(spec), "spec.template")
    return errors + workload.running_errors(spec["template"], "StatefulSet")


def _with_claims(spec: JsonObject) -> JsonObject:
    """The template, the claim templates among its volumes."""
    template: JsonObject = spec["template"]
    pod = template.get("spec") or {}
    claimed = [(claim["metadata"].get("name") or "") for claim in spec.get("volumeClaimTemplates") or ()]
    kept = [volume for volume in pod.get("volumes") or () if volume.get("name") not in claimed]
    added = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claimed if name]
    return {**template, "spec": {**pod, "volumes": [*kept, *added]}}


def _service_errors(name: str) -> list[FieldError]:
    return [invalid("spec.serviceName", name, text) for text in names.dns1123_label(name)] if name else []


def _policy_errors(spec: JsonObject) -> list[FieldError]:
    management, path = spec["podManagementPolicy"], "spec.updateStrategy"
    errors: list[FieldError] = []
    if management not in ("OrderedReady", "Parallel"):
        errors.append(invalid("spec.podManagementPolicy", management, "must be 'OrderedReady' or 'Parallel'"))
    strategy = spec["updateStrategy"]
    rolling = strategy.get("rollingUpdate")
    if strategy["type"] == "OnDelete" and rolling is not None:
        text = "only allowed for updateStrategy 'RollingUpdate'"
        errors.append(invalid(f"{path}.rollingUpdate", _shown(rolling), text))
    elif strategy["type"] == "RollingUpdate" and rolling is not None:
        errors += _rolling_errors(f"{path}.rollingUpdate", rolling)
    elif strategy["type"] not in ("OnDelete", "RollingUpdate"):
        shown = {"Type": strategy["type"], "RollingUpdate": rolling and _shown(rolling)}
        errors.append(invalid(path, shown, "must be 'RollingUpdate' or 'OnDelete'"))
    for name in ("whenDeleted", "whenScaled"):
        value = spec["persistentVolumeClaimRetentionPolicy"][name]
        if value not in RETENTION:
            errors.append(fields.unsupported(f"spec.persistentVolumeClaimRetentionPolicy.{name}", value, RETENTION))
    return errors


def _shown(rolling: JsonObject) -> JsonObject:
    return {"Partition": rolling.get("partition", 0), "MaxUnavailable": rolling.get("maxUnavailable")}


def _rolling_errors(path: str, rolling: JsonObject) -> list[FieldError]:
    errors = fields.not_negative(f"{path}.partition", rolling.get("partition"))
    unavailable: Any = rolling.get("maxUnavailable")
    if unavailable is None:
        return errors
    errors += workload.int_or_percent_errors(f"{path}.maxUnavailable", unavailable)
    if workload.int_or_percent_number(unavailable) == 0:
        errors.append(invalid(f"{path}.maxUnavailable", unavailable, "cannot be 0"))
    return errors + workload.at_most_all_errors(f"{path}.maxUnavailable", unavailable)


def validate_update(stateful_set: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource == "status":
        return _status_errors(workload.status_of(stateful_set), workload.status_of(old))
    frozen, before = _frozen(stateful_set["spec"]), _frozen(old["spec"])
    return [] if frozen == before else [forbidden_field("spec", FROZEN)]


def _frozen(spec: JsonObject) -> JsonObject:
    kept = {name: value for name, value in spec.items() if name not in MUTABLE and value}
    if "selector" in kept:
        kept["selector"] = workload.shown_selector(kept["selector"])
    return kept


def _status_errors(status: JsonObject, old: JsonObject) -> list[FieldError]:
    errors = workload.counts_errors(status, _COUNTS)
    over = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    errors += workload.over_errors(status, over)
    errors += workload.available_errors(status, "cannot be greater than status.readyReplicas")
    return errors + workload.collision_errors(status, old)


def warnings(stateful_set: JsonObject, old: JsonObject | None, context: Context) -> list[str]:
    if context.subresource == "status":
        return []
    spec = stateful_set["spec"]
    texts: list[str] = []
    if old is None or workload.is_new_generation(stateful_set, old):
        texts += workload.template_warnings(spec["template"])
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        texts.append(NEGATIVE_HISTORY)
    return texts


def default_revision(revision: JsonObject, context: Context) -> None:
    revision.setdefault("revision", 0)


def validate_revision(revision: JsonObject, context: Context) -> list[FieldError]:
    errors = [] if revision.get("data") is not None else [required("data", "data is mandatory")]
    return errors + fields.not_negative("revision", revision["revision"])


def validate_revision_update(revision: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    if revision.get("data") == old.get("data"):
        return []
    return [invalid("data", revision.get("data"), fields.IMMUTABLE)]


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        STATEFUL_SET,
        default=default,
        prepare_create=prepare_create,
        prepare_update=prepare_update,
        validate=validate,
        validate_update=validate_update,
        warnings=warnings,
        validate_name=names.dns1123_label,
        has_generation=True,
    ),
    Strategy(
        CONTROLLER_REVISION,
        default=default_revision,
        validate=validate_revision,
        validate_update=validate_revision_update,
    ),
)
