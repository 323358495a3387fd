"""The pods and claims of a StatefulSet: their identities, and their revisions. Pure.

Source: pkg/controller/statefulset/stateful_set_utils.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from emulator.api.kinds import PERSISTENT_VOLUME_CLAIM, POD, STATEFUL_SET
from emulator.api.meta import JsonObject, is_terminating, labels_of
from emulator.controllers.changes import View
from emulator.controllers.history import HASH_LABEL
from emulator.controllers.owned import available_after_seconds, is_ready, pod_of, reference_to

NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"
_NAME = re.compile(r"(.*)-([0-9]+)")


def start_of(stateful_set: Mapping[str, Any]) -> int:
    """The first ordinal."""
    return int((stateful_set["spec"].get("ordinals") or {}).get("start") or 0)


def ordinal_of(pod: Mapping[str, Any], stateful_set: Mapping[str, Any]) -> int | None:
    """The pod's number in the set; None when its name is none of the set's."""
    found = _NAME.fullmatch(pod["metadata"]["name"])
    if found is None or found[1] != stateful_set["metadata"]["name"]:
        return None
    return int(found[2])


def phase_of(pod: Mapping[str, Any]) -> str:
    return (pod.get("status") or {}).get("phase") or ""


def is_running_and_ready(pod: Mapping[str, Any]) -> bool:
    return phase_of(pod) == "Running" and is_ready(pod)


def is_healthy(pod: Mapping[str, Any]) -> bool:
    return is_running_and_ready(pod) and not is_terminating(pod)


def is_available(pod: Mapping[str, Any], stateful_set: Mapping[str, Any], at: datetime) -> bool:
    seconds = stateful_set["spec"].get("minReadySeconds") or 0
    return is_running_and_ready(pod) and available_after_seconds(pod, seconds, at) == 0


def revision_of(pod: Mapping[str, Any]) -> str:
    """The name of the revision the pod was made of."""
    return labels_of(pod).get(HASH_LABEL, "")


def new_pod(stateful_set: JsonObject, revision: Mapping[str, Any], ordinal: int) -> JsonObject:
    """The pod of this number, of the template that the revision keeps."""
    template = {name: value for name, value in revision["data"]["spec"]["template"].items() if name != "$patch"}
    pod = pod_of(template, stateful_set, STATEFUL_SET)
    name = f"{stateful_set['metadata']['name']}-{ordinal}"
    pod["metadata"]["name"] = name
    pod["metadata"]["labels"] = {
        **(pod["metadata"].get("labels") or {}),
        NAME_LABEL: name,
        INDEX_LABEL: str(ordinal),
        HASH_LABEL: revision["metadata"]["name"],
    }
    pod["spec"]["hostname"] = name
    if stateful_set["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = stateful_set["spec"]["serviceName"]
    claims = _claim_names(stateful_set, ordinal)
    if claims:
        volumes = [{"name": volume, "persistentVolumeClaim": {"claimName": claim}} for volume, claim in claims.items()]
        own = [volume for volume in pod["spec"].get("volumes") or () if volume.get("name") not in claims]
        pod["spec"]["volumes"] = [*volumes, *own]
    return pod


def identified(pod: JsonObject, ordinal: int) -> JsonObject:
    """The pod with the labels of its identity; the very same when it has them."""
    wanted = {NAME_LABEL: pod["metadata"]["name"], INDEX_LABEL: str(ordinal)}
    labels = labels_of(pod)
    if wanted.items() <= labels.items():
        return pod
    return {**pod, "metadata": {**pod["metadata"], "labels": {**labels, **wanted}}}


# -- claims ------------------------------------------------------------------------------------------------------


def template_name(template: Mapping[str, Any]) -> str:
    """Of a claim's template, "" where it has none: upstream checks them only when it makes claims of them."""
    return (template.get("metadata") or {}).get("name") or ""


def _claim_names(stateful_set: Mapping[str, Any], ordinal: int) -> dict[str, str]:
    """By template, the name of this number's claim."""
    set_name = stateful_set["metadata"]["name"]
    templates = [template_name(claim) for claim in stateful_set["spec"].get("volumeClaimTemplates") or ()]
    return {name: f"{name}-{set_name}-{ordinal}" for name in templates}


def held_claims(stateful_set: Mapping[str, Any], ordinal: int, view: View) -> list[JsonObject]:
    namespace = stateful_set["metadata"]["namespace"]
    found = (
        view.get(PERSISTENT_VOLUME_CLAIM, name, namespace) for name in _claim_names(stateful_set, ordinal).values()
    )
    return [claim for claim in found if claim is not None]


def missing_claims(stateful_set: JsonObject, ordinal: int, view: View) -> list[JsonObject]:
    """The claims that the pod of this number still needs; they outlive it."""
    metadata, spec = stateful_set["metadata"], stateful_set["spec"]
    names = _claim_names(stateful_set, ordinal)
    made = []
    for template in spec.get("volumeClaimTemplates") or ():
        name = names[template_name(template)]
        if view.get(PERSISTENT_VOLUME_CLAIM, name, metadata["namespace"]) is not None:
            continue
        given = {k: v for k, v in template["metadata"].items() if k in ("labels", "annotations", "finalizers")}
        labels = {**(given.get("labels") or {}), **((spec.get("selector") or {}).get("matchLabels") or {})}
        claim = {
            "apiVersion": PERSISTENT_VOLUME_CLAIM.api_version,
            "kind": PERSISTENT_VOLUME_CLAIM.kind,
            "metadata": {**given, "name": name, "namespace": metadata["namespace"], "labels": labels},
            "spec": template["spec"],
        }
        made.append(with_owner(claim, stateful_set, None))
    return made


def with_owner(claim: JsonObject, stateful_set: JsonObject, condemned: JsonObject | None) -> JsonObject:
    """The claim owned by whom it is to go with; condemned: its pod, when that goes for good.

    The very same claim when nothing changes.
    """
    policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    owner: JsonObject | None = None
    if condemned is not None and policy.get("whenScaled") == "Delete":
        owner = reference_to(condemned, POD)
    elif policy.get("whenDeleted") == "Delete" and (condemned is None or policy.get("whenScaled") != "Delete"):
        owner = reference_to(stateful_set, STATEFUL_SET)
    references = claim["metadata"].get("ownerReferences") or []
    ours = (stateful_set["metadata"]["name"], claim["metadata"]["name"])
    kept = [r for r in references if not _is_ours(r, *ours)]
    wanted = [*kept, owner] if owner is not None else kept
    if wanted == references:
        return claim
    metadata = {name: value for name, value in claim["metadata"].items() if name != "ownerReferences"}
    return {**claim, "metadata": {**metadata, "ownerReferences": wanted} if wanted else metadata}


def _is_ours(reference: Mapping[str, Any], set_name: str, claim_name: str) -> bool:
    if reference["kind"] == STATEFUL_SET.kind:
        return bool(reference["name"] == set_name)
    return bool(reference["kind"] == POD.kind and claim_name.endswith(f"-{reference['name']}"))
