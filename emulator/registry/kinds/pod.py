"""Pod: defaults and admission of new ones, what may change later, warnings, field selectors, deletion grace.

Source: pkg/registry/core/pod/strategy.go, pkg/apis/core/validation/validation.go (ValidatePodUpdate), pkg/api/pod/warnings.go;
plugin/pkg/admission/{serviceaccount,defaulttolerationseconds,priority}.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from emulator.api import names
from emulator.api.errors import FieldError, forbidden_field, invalid, required
from emulator.api.kinds import POD, PRIORITY_CLASS, SERVICE_ACCOUNT
from emulator.api.meta import JsonObject, annotations_of, format_time
from emulator.registry.kinds import fields, pod_defaults
from emulator.registry.kinds.limits import SYSTEM_PRIORITIES
from emulator.registry.kinds.pod_admission import admit_pod
from emulator.registry.kinds.pod_containers import image_space_errors
from emulator.registry.kinds.pod_ephemeral import ephemeral_change_errors, ephemeral_container_errors, keep_all_else
from emulator.registry.kinds.pod_resize import keep_all_but_resources, resize_errors
from emulator.registry.kinds.pod_resources import qos_class
from emulator.registry.kinds.pod_validation import toleration_errors, validate_pod_spec
from emulator.registry.kinds.pod_warnings import spec_warnings
from emulator.registry.strategy import Context, Strategy

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_TOLERATED_SECONDS = 300  # of a node not ready or unreachable: DefaultTolerationSeconds
_INTEGER = re.compile(r"0|-[0-9]+|[1-9][0-9]*")

UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def default(pod: JsonObject, context: Context) -> None:
    pod_defaults.default_pod(pod)


def prepare_create(pod: JsonObject, context: Context) -> None:
    """A Pending status, and what the API server's own admission adds to every new Pod."""
    spec = pod["spec"]
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}
    if spec.get("schedulingGates"):
        pod["status"]["conditions"] = [_gated(context)]
    spec.setdefault("serviceAccountName", "default")
    spec["serviceAccount"] = spec["serviceAccountName"]
    _admit_tolerations(spec)
    if spec.get("priority") is None:
        spec["priority"] = SYSTEM_PRIORITIES.get(spec.get("priorityClassName", ""), 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _gated(context: Context) -> JsonObject:
    return {
        "type": "PodScheduled",
        "status": "False",
        "lastProbeTime": None,
        "lastTransitionTime": format_time(context.at),
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
    }


def _admit_tolerations(spec: JsonObject) -> None:
    tolerations: list[JsonObject] = list(spec.get("tolerations") or ())
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        tolerated = any(
            (toleration.get("key") or key) == key and toleration.get("effect") in (None, "", "NoExecute")
            for toleration in tolerations
        )
        if not tolerated:
            added = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATED_SECONDS}
            tolerations.append(added)
    spec["tolerations"] = tolerations


def prepare_update(pod: JsonObject, old: JsonObject, context: Context) -> None:
    """The status changes through /status only, and the spec not through it."""
    if context.subresource == "status":
        pod["spec"] = old["spec"]
        _keep_owners(pod, old)
        status = pod.setdefault("status", {})
        _keep_addresses_in_step(status)
        status.setdefault("qosClass", (old.get("status") or {}).get("qosClass") or qos_class(pod["spec"]))
        return
    if context.subresource == "binding":
        return
    if context.subresource == "ephemeralcontainers":
        keep_all_else(pod, old)
        return
    if context.subresource == "resize":
        keep_all_but_resources(pod, old)
        return
    pod["status"] = old.get("status", {})
    spec = pod["spec"]
    for name in ("priority", "preemptionPolicy"):  # of admission's making: a client may never have seen them
        if spec.get(name) is None and old["spec"].get(name) is not None:
            spec[name] = old["spec"][name]
    _admit_tolerations(spec)


def _keep_owners(pod: JsonObject, old: JsonObject) -> None:
    """Who owns a Pod is not the kubelet's to say."""
    owners = old["metadata"].get("ownerReferences")
    if owners:
        pod["metadata"]["ownerReferences"] = owners
    else:
        pod["metadata"].pop("ownerReferences", None)


def _keep_addresses_in_step(status: JsonObject) -> None:
    """podIP is the first of podIPs; a client may send either."""
    first, addresses = status.get("podIP"), status.get("podIPs") or []
    if first and (not addresses or addresses[0].get("ip") != first):
        status["podIPs"] = [{"ip": first}]
    elif not first and addresses:
        status["podIP"] = addresses[0].get("ip")


def validate(pod: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource in ("status", "binding"):
        return []
    spec = pod["spec"]
    if context.subresource == "ephemeralcontainers":
        return ephemeral_container_errors("spec.ephemeralContainers", spec)
    errors = _annotation_errors(pod)
    errors += validate_pod_spec(spec, "spec", is_pod=True)
    for part in ("containers", "initContainers"):
        errors += image_space_errors(f"spec.{part}", spec.get(part) or ())
    if spec.get("ephemeralContainers") and not context.is_update:
        errors.append(forbidden_field("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        errors.append(forbidden_field("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    return errors


def _annotation_errors(pod: JsonObject) -> list[FieldError]:
    cost = annotations_of(pod).get(DELETION_COST)
    if cost is None or _is_int32(cost):
        return []
    return [invalid(f"metadata.annotations[{DELETION_COST}]", cost, "must be a 32bit integer")]


def _is_int32(text: str) -> bool:
    return bool(_INTEGER.fullmatch(text)) and -(2**31) <= int(text) < 2**31


def validate_update(pod: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource == "status":
        return _status_errors(pod, old)
    if context.subresource == "binding":
        return []
    if context.subresource == "ephemeralcontainers":
        return ephemeral_change_errors("spec.ephemeralContainers", pod, old)
    if context.subresource == "resize":
        return resize_errors(pod, old, qos_class(old["spec"]), qos_class(pod["spec"]))
    spec, old_spec = pod["spec"], old["spec"]
    errors: list[FieldError] = []
    for part in ("containers", "initContainers"):
        containers, before = spec.get(part) or (), old_spec.get(part) or ()
        if len(containers) != len(before):
            return [*errors, forbidden_field(f"spec.{part}", "pod updates may not add or remove containers")]
        errors += [required(f"spec.{part}[{i}].image") for i, c in enumerate(containers) if not c.get("image")]
        errors += image_space_errors(f"spec.{part}", containers)
    seconds, earlier = spec.get("activeDeadlineSeconds"), old_spec.get("activeDeadlineSeconds")
    path = "spec.activeDeadlineSeconds"
    if seconds is not None and earlier is not None and earlier < seconds:
        return [*errors, invalid(path, seconds, "must be less than or equal to previous value")]
    if seconds is None and earlier is not None:
        errors.append(invalid(path, None, "must not update from a positive integer to nil value"))
    errors += _toleration_changes(spec, old_spec)
    errors += _gate_changes(spec, old_spec)
    allowed = _with_allowed_changes_undone(spec, old_spec)
    if differences := list(_differences("spec", dict(old_spec), allowed)):
        errors.append(forbidden_field("spec", "\n".join((UPDATABLE, *differences))))
    return errors


def _toleration_changes(spec: JsonObject, old: JsonObject) -> list[FieldError]:
    path, tolerations = "spec.tolerations", spec.get("tolerations") or []

    def without_seconds(toleration: JsonObject) -> JsonObject:
        return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}

    kept = [without_seconds(toleration) for toleration in tolerations]
    if any(without_seconds(toleration) not in kept for toleration in old.get("tolerations") or ()):
        return [forbidden_field(path, "existing toleration can not be modified except its tolerationSeconds")]
    return toleration_errors(path, tolerations)


def _gate_changes(spec: JsonObject, old: JsonObject) -> list[FieldError]:
    before = {gate.get("name") for gate in old.get("schedulingGates") or ()}
    return [
        forbidden_field(
            f"spec.schedulingGates[{index}].name",
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'",
        )
        for index, gate in enumerate(spec.get("schedulingGates") or ())
        if gate.get("name") not in before
    ]


def _with_allowed_changes_undone(spec: JsonObject, old: JsonObject) -> JsonObject:
    """The new spec with everything that may change put back; what still differs is forbidden."""
    undone = copy.deepcopy(spec)
    for part in ("containers", "initContainers"):
        for container, before in zip(undone.get(part) or (), old.get(part) or (), strict=True):
            container["image"] = before.get("image")
    names_put_back = ["activeDeadlineSeconds", "tolerations", "schedulingGates"]
    grace = old.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0 and undone.get("terminationGracePeriodSeconds") == 1:
        names_put_back.append("terminationGracePeriodSeconds")
    if old.get("schedulingGates"):
        names_put_back += ["nodeSelector", "affinity"]
    for name in names_put_back:
        undone.pop(name, None)
        if name in old:
            undone[name] = old[name]
    return undone


def _differences(path: str, old: Any, new: Any) -> Iterator[str]:
    """One line for each field that differs, the old value and the new; null and empty are the same."""
    if (old or None) == (new or None):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(f"{path}.{key}", old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{path}[{index}]", before, after)
    else:
        yield f"  {path}: {json.dumps(old)} -> {json.dumps(new)}"


def _status_errors(pod: JsonObject, old: JsonObject) -> list[FieldError]:
    status, before = pod.get("status") or {}, old.get("status") or {}
    errors: list[FieldError] = []
    for index, condition in enumerate(status.get("conditions") or ()):
        if (condition.get("observedGeneration") or 0) < 0:
            path = f"status.conditions[{index}].observedGeneration"
            errors.append(invalid(path, condition["observedGeneration"], fields.NOT_NEGATIVE))
    nominated = status.get("nominatedNodeName") or ""
    if nominated and nominated != before.get("nominatedNodeName"):
        errors += fields.subdomain("status.nominatedNodeName", nominated)
    errors += fields.immutable("status.qosClass", status.get("qosClass"), before.get("qosClass"))
    errors += _state_errors(pod, status, before)
    return errors + _address_errors(status, before)


def _state_errors(pod: JsonObject, status: JsonObject, before: JsonObject) -> list[FieldError]:
    """A container that ended for good does not start again."""
    policy = pod["spec"].get("restartPolicy")
    if policy == "Always":
        return []
    errors: list[FieldError] = []
    now = {entry.get("name"): entry.get("state") or {} for entry in status.get("containerStatuses") or ()}
    for index, entry in enumerate(before.get("containerStatuses") or ()):
        ended = (entry.get("state") or {}).get("terminated")
        if ended is None or (ended.get("exitCode") and policy == "OnFailure"):
            continue
        if entry.get("name") in now and now[entry["name"]].get("terminated") is None:
            text = "may not be transitioned to non-terminated state"
            errors.append(forbidden_field(f"status.containerStatuses[{index}].state", text))
    return errors


def _address_errors(status: JsonObject, before: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    for plural, singular in (("podIPs", "podIP"), ("hostIPs", "hostIP")):
        addresses = [entry.get("ip") or "" for entry in status.get(plural) or ()]
        existing = [entry.get("ip") or "" for entry in before.get(plural) or ()]
        if plural == "hostIPs" and addresses and addresses[0] != (status.get(singular) or ""):
            errors.append(invalid("status.hostIPs[0].ip", addresses[0], "must be equal to `hostIP`"))
        for index, address in enumerate(addresses):
            errors += fields.legacy_ip(f"status.{plural}[{index}]", address, existing)
        families = [parsed.version for parsed in map(fields.parse_address, addresses) if parsed is not None]
        if len(families) != len(set(families)):
            text = "may specify no more than one IP for each IP family"
            errors.append(invalid(f"status.{plural}", status[plural], text))
    return errors


def warnings(pod: JsonObject, old: JsonObject | None, context: Context) -> list[str]:
    """Legal settings that do not do what they seem to; said once, when the Pod is created."""
    if old is not None:
        return []
    texts = []
    if problems := names.dns1123_label(pod["metadata"].get("name") or ""):
        advice = (
            "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended"
        )
        texts.append(f"metadata.name: {advice}: [{' '.join(problems)}]")
    return texts + spec_warnings(pod["spec"], "spec")


FIELD_LABELS = frozenset(
    (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    )
)


def field_labels(pod: JsonObject) -> Mapping[str, str]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    address = next((entry.get("ip") for entry in status.get("podIPs") or ()), None) or status.get("podIP") or ""
    return {
        "spec.nodeName": spec.get("nodeName") or "",
        "spec.restartPolicy": spec.get("restartPolicy") or "",
        "spec.schedulerName": spec.get("schedulerName") or "",
        "spec.serviceAccountName": spec.get("serviceAccountName") or "",
        "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
        "status.phase": status.get("phase") or "",
        "status.podIP": address,
        "status.podIPs": address,
        "status.nominatedNodeName": status.get("nominatedNodeName") or "",
    }


def grace_period_seconds(pod: JsonObject) -> int:
    """How long a deletion waits: not at all for a Pod that runs nowhere or has ended."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    seconds = spec.get("terminationGracePeriodSeconds")
    if seconds is None:
        return pod_defaults.DEFAULT_GRACE_SECONDS
    return int(seconds) if seconds >= 0 else 1


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        POD,
        default=default,
        admission_kinds=(SERVICE_ACCOUNT, PRIORITY_CLASS),
        admit_create=admit_pod,
        prepare_create=prepare_create,
        prepare_update=prepare_update,
        validate=validate,
        validate_update=validate_update,
        warnings=warnings,
        field_labels=field_labels,
        field_label_names=FIELD_LABELS,
        has_generation=True,
        returns_deleted_object=True,
        grace_period_seconds=grace_period_seconds,
    ),
)
