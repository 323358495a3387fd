"""The Node object of an emulated node. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from emulator.api.kinds import LEASE, NODE
from emulator.api.meta import JsonObject, annotations_of, format_time, parse_time

KUBELET_VERSION = "v1.36.2"  # the release that the emulator's behaviour was compared with
MAX_PODS = 2040  # upstream's 110 would leave pods of large tests Pending: 1,000, and as many again in a rollout

Health = Literal["ready", "not ready", "silent"]

READY_ANNOTATION = "kubemu.dev/ready"
LEASES = "kube-node-lease"
LEASE_SECONDS = 40
REPORT_SECONDS = 300  # the kubelet's nodeStatusReportFrequency: how old a heartbeat of a settled status becomes
_NOT_READY = ("KubeletNotReady", f"the annotation {READY_ANNOTATION} says so")

_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


def allocatable(pods: int) -> dict[str, str]:
    """What a node offers: much, so that requests of unmodified manifests fit."""
    return {
        "cpu": "64",
        "ephemeral-storage": "1Ti",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": "256Gi",
        "pods": str(min(pods, MAX_PODS)),
    }


def node_object(
    name: str, address: str, pod_cidr: str, *, pods: int, architecture: str, kernel: str, at: datetime
) -> JsonObject:
    """The manifest with its status. pods: how many addresses there are; architecture: in Go's words."""
    labels = {
        "beta.kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {
                "node.alpha.kubernetes.io/ttl": "0",
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            },
        },
        "spec": {"podCIDR": pod_cidr, "podCIDRs": [pod_cidr]},
        "status": node_status(name, address, pods=pods, architecture=architecture, kernel=kernel, at=at),
    }


def node_status(name: str, address: str, *, pods: int, architecture: str, kernel: str, at: datetime) -> JsonObject:
    moment = format_time(at)
    return {
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
        "capacity": allocatable(pods),
        "allocatable": allocatable(pods),
        "conditions": [
            {
                "type": type,
                "status": status,
                "lastHeartbeatTime": moment,
                "lastTransitionTime": moment,
                "reason": reason,
                "message": message,
            }
            for type, status, reason, message in _CONDITIONS
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "architecture": architecture,
            "bootID": "",
            "containerRuntimeVersion": "kubemu://1",
            "kernelVersion": kernel,
            "kubeProxyVersion": "",
            "kubeletVersion": KUBELET_VERSION,
            "machineID": "",
            "operatingSystem": "linux",
            "osImage": "kubemu",
            "systemUUID": "",
        },
    }


def steered_health(node: Mapping[str, Any]) -> Health:
    """What the Node's annotation wants it to be: "false" is not ready, "unknown" is not heard of any more."""
    match annotations_of(node).get(READY_ANNOTATION, "true").strip().lower():
        case "false":
            return "not ready"
        case "unknown":
            return "silent"
    return "ready"


def with_health(status: Mapping[str, Any], health: Health, at: datetime) -> JsonObject | None:
    """The status with the node's own conditions as they are now; None when there is nothing new to report."""
    held = {each["type"]: each for each in status.get("conditions") or ()}
    fresh: list[JsonObject] = []
    news = False
    for type, wanted, reason, message in _CONDITIONS:
        if type == "Ready" and health == "not ready":
            wanted, (reason, message) = "False", _NOT_READY
        before = held.pop(type, {})
        same = before.get("status") == wanted
        since = before.get("lastTransitionTime") if same else None
        age = at - parse_time(before["lastHeartbeatTime"]) if before.get("lastHeartbeatTime") else None
        news = news or not same or age is None or age >= timedelta(seconds=REPORT_SECONDS)
        fresh.append(
            {
                "type": type,
                "status": wanted,
                "lastHeartbeatTime": format_time(at),
                "lastTransitionTime": since or format_time(at),
                "reason": reason,
                "message": message,
            }
        )
    return {**status, "conditions": [*held.values(), *fresh]} if news else None


def lease_object(node: Mapping[str, Any], renewed: str) -> JsonObject:
    """The Lease by which the node says that it lives."""
    metadata = node["metadata"]
    owner = {"apiVersion": NODE.api_version, "kind": NODE.kind, "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": LEASE.api_version,
        "kind": LEASE.kind,
        "metadata": {"name": metadata["name"], "namespace": LEASES, "ownerReferences": [owner]},
        "spec": {"holderIdentity": metadata["name"], "leaseDurationSeconds": LEASE_SECONDS, "renewTime": renewed},
    }
