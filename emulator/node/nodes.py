"""The Node object of an emulated node. Pure."""

from __future__ import annotations

from datetime import datetime

from emulator.api.meta import JsonObject, format_time

KUBELET_VERSION = "v1.36.2"  # the release that the emulator's behaviour was compared with
MAX_PODS = 2000  # upstream's 110 would leave pods of large tests Pending: 1,000, and as many again in a rollout

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
