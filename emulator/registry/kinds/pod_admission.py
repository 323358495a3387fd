"""What depends on other objects when a Pod is made: its service account with the token it mounts, its priority.

Source: plugin/pkg/admission/serviceaccount (TokenVolumeSource), plugin/pkg/admission/priority.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from emulator.api.errors import Forbidden
from emulator.api.kinds import POD, PRIORITY_CLASS, SERVICE_ACCOUNT
from emulator.api.meta import JsonObject
from emulator.registry.kinds.limits import SYSTEM_PRIORITIES
from emulator.registry.metadata import generate_name
from emulator.registry.strategy import Context

DEFAULT_ACCOUNT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
TOKEN_SECONDS = 3607  # an hour and a little: the kubelet renews it before, tokens that last longer are counted by it

Stored = Mapping[str, Sequence[JsonObject]]


def admit_pod(pod: JsonObject, stored: Stored, context: Context) -> None:
    """Raises Forbidden for an account or a priority class that is not there, and for a priority of the client's own."""
    spec = pod["spec"]
    if not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = DEFAULT_ACCOUNT
    account = _account(pod, stored[SERVICE_ACCOUNT.resource])
    if _mounts_token(spec, account):
        _mount_token(pod)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(reference) for reference in account["imagePullSecrets"]]
    _admit_priority(pod, stored[PRIORITY_CLASS.resource])


def _forbidden(pod: JsonObject, why: str) -> Forbidden:
    return Forbidden.of(POD.resource, pod["metadata"].get("name") or "", why)


def _account(pod: JsonObject, accounts: Sequence[JsonObject]) -> JsonObject:
    name, namespace = pod["spec"]["serviceAccountName"], pod["metadata"].get("namespace", "")
    for account in accounts:
        metadata = account["metadata"]
        if metadata["name"] == name and metadata.get("namespace") == namespace:
            return account
    if name == DEFAULT_ACCOUNT:
        return {}  # on its way: every namespace gets one, and upstream waits for it
    why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
    raise _forbidden(pod, why)


def _mounts_token(spec: JsonObject, account: JsonObject) -> bool:
    for choice in (spec.get("automountServiceAccountToken"), account.get("automountServiceAccountToken")):
        if choice is not None:
            return bool(choice)
    return True


def _mount_token(pod: JsonObject) -> None:
    spec = pod["spec"]
    volumes: list[JsonObject] = list(spec.get("volumes") or ())
    name = next((v["name"] for v in volumes if str(v.get("name", "")).startswith(VOLUME_PREFIX)), "")
    has_volume = bool(name)
    name = name or generate_name(VOLUME_PREFIX, _digits_of(pod["metadata"].get("uid", "")))
    needed = False
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        mounts = container.get("volumeMounts") or []
        if any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
            continue
        container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}]
        needed = True
    if needed and not has_volume:
        spec["volumes"] = [*volumes, {"name": name, "projected": _token_source()}]


def _digits_of(uid: str) -> Callable[[int], int]:
    """Chance out of the uid, which is random already: the same Pod gets the same name."""
    left = [int(uid.replace("-", "") or "0", 16)]

    def below(limit: int) -> int:
        left[0], digit = divmod(left[0], limit)
        return digit

    return below


def _token_source() -> JsonObject:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [namespace]}},
        ],
        "defaultMode": 0o644,
    }


def _admit_priority(pod: JsonObject, classes: Sequence[JsonObject]) -> None:
    spec = pod["spec"]
    name, computed = "the integer value of priority", "priority admission controller computed"
    priority, policy = _class_of(pod, classes)
    given, given_policy = spec.get("priority"), spec.get("preemptionPolicy")
    from_class = "from the given PriorityClass name"
    if given is not None and given != priority:
        why = f"{name} ({given}) must not be provided in pod spec; {computed} {priority} {from_class}"
        raise _forbidden(pod, why)
    if given_policy is not None and given_policy != policy:
        name = "the string value of PreemptionPolicy"
        why = f"{name} ({given_policy}) must not be provided in pod spec; {computed} {policy} {from_class}"
        raise _forbidden(pod, why)
    spec["priority"], spec["preemptionPolicy"] = priority, policy


def _class_of(pod: JsonObject, classes: Sequence[JsonObject]) -> tuple[int, str]:
    """The priority and preemption policy of the Pod's class; the default class's name is written into the Pod."""
    spec = pod["spec"]
    name = spec.get("priorityClassName") or ""
    if not name:
        defaults = [found for found in classes if found.get("globalDefault")]
        if not defaults:
            return 0, "PreemptLowerPriority"
        found = min(defaults, key=lambda candidate: int(candidate.get("value") or 0))
        spec["priorityClassName"] = found["metadata"]["name"]
        return _numbers(found)
    for found in classes:
        if found["metadata"]["name"] == name:
            return _numbers(found)
    if name in SYSTEM_PRIORITIES:
        return SYSTEM_PRIORITIES[name], "PreemptLowerPriority"
    raise _forbidden(pod, f"no PriorityClass with name {name} was found")


def _numbers(found: JsonObject) -> tuple[int, str]:
    return int(found.get("value") or 0), found.get("preemptionPolicy") or "PreemptLowerPriority"
