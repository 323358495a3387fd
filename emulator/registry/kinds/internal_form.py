"""Pod templates and policies as messages show them: as the server's internal types, which have no JSON names.

`spec.template: Invalid value: {...}: field is immutable` prints such a value whole, every field of it, unset ones too.
Types that are not in the table are shown with the fields they have. Nothing here changes an object.
Source: pkg/apis/core/types.go, pkg/apis/batch/types.go (names and order of fields).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from emulator.api.meta import JsonObject

_METADATA = ("name", "generateName", "namespace", "labels", "annotations", "ownerReferences", "finalizers")
_IN_SECURITY_CONTEXT = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")
_ODD_NAMES = {"CephFS": "cephfs", "StorageOS": "storageos", "TTY": "tty", "SetHostnameAsFQDN": "setHostnameAsFQDN"}
_ZERO: dict[str, Any] = {"s": "", "i": 0, "b": False, "p": None}

_TYPES = {
    # s, i and b: a text, number or truth value held by value; p: anything that may be null; [T], *T, T: another type
    "PodSpec": "Volumes:[Volume] InitContainers:[Container] Containers:[Container] EphemeralContainers:p "
    "RestartPolicy:s TerminationGracePeriodSeconds:p ActiveDeadlineSeconds:p DNSPolicy:s NodeSelector:p "
    "ServiceAccountName:s AutomountServiceAccountToken:p NodeName:s SecurityContext:*PodSecurityContext "
    "ImagePullSecrets:[LocalObjectReference] Hostname:s Subdomain:s SetHostnameAsFQDN:p Affinity:p SchedulerName:s "
    "Tolerations:[Toleration] HostAliases:p PriorityClassName:s Priority:p PreemptionPolicy:p DNSConfig:p "
    "ReadinessGates:p RuntimeClassName:p Overhead:p EnableServiceLinks:p TopologySpreadConstraints:p OS:p "
    "SchedulingGates:p ResourceClaims:p Resources:*ResourceRequirements HostnameOverride:p SchedulingGroup:p",
    "PodSecurityContext": "HostNetwork:b HostPID:b HostIPC:b ShareProcessNamespace:p HostUsers:p SELinuxOptions:p "
    "WindowsOptions:p RunAsUser:p RunAsGroup:p RunAsNonRoot:p SupplementalGroups:p SupplementalGroupsPolicy:p "
    "FSGroup:p FSGroupChangePolicy:p Sysctls:p SeccompProfile:p AppArmorProfile:p SELinuxChangePolicy:p",
    "Container": "Name:s Image:s Command:p Args:p WorkingDir:s Ports:[ContainerPort] EnvFrom:p Env:[EnvVar] "
    "Resources:ResourceRequirements ResizePolicy:p RestartPolicy:p RestartPolicyRules:p VolumeMounts:[VolumeMount] "
    "VolumeDevices:p LivenessProbe:p ReadinessProbe:p StartupProbe:p Lifecycle:p TerminationMessagePath:s "
    "TerminationMessagePolicy:s ImagePullPolicy:s SecurityContext:*SecurityContext Stdin:b StdinOnce:b TTY:b",
    "ContainerPort": "Name:s HostPort:i ContainerPort:i Protocol:s HostIP:s",
    "EnvVar": "Name:s Value:s ValueFrom:*EnvVarSource",
    "EnvVarSource": "FieldRef:*ObjectFieldSelector ResourceFieldRef:p ConfigMapKeyRef:*KeySelector "
    "SecretKeyRef:*KeySelector FileKeyRef:p",
    "ObjectFieldSelector": "APIVersion:s FieldPath:s",
    "KeySelector": "Name:s Key:s Optional:p",
    "LocalObjectReference": "Name:s",
    "ResourceRequirements": "Limits:p Requests:p Claims:p",
    "VolumeMount": "Name:s ReadOnly:b RecursiveReadOnly:p MountPath:s SubPath:s MountPropagation:p SubPathExpr:s",
    "SecurityContext": "Capabilities:*Capabilities Privileged:p SELinuxOptions:p WindowsOptions:p RunAsUser:p "
    "RunAsGroup:p RunAsNonRoot:p ReadOnlyRootFilesystem:p AllowPrivilegeEscalation:p ProcMount:p SeccompProfile:p "
    "AppArmorProfile:p",
    "Capabilities": "Add:p Drop:p",
    "Volume": "Name:s HostPath:*HostPath EmptyDir:*EmptyDir GCEPersistentDisk:p AWSElasticBlockStore:p GitRepo:p "
    "Secret:*SecretVolume NFS:p ISCSI:p Glusterfs:p PersistentVolumeClaim:*ClaimVolume RBD:p Quobyte:p FlexVolume:p "
    "Cinder:p CephFS:p Flocker:p DownwardAPI:p FC:p AzureFile:p ConfigMap:*ConfigMapVolume VsphereVolume:p "
    "AzureDisk:p PhotonPersistentDisk:p Projected:p PortworxVolume:p ScaleIO:p StorageOS:p CSI:p Ephemeral:p Image:p",
    "HostPath": "Path:s Type:p",
    "EmptyDir": "Medium:s SizeLimit:p",
    "SecretVolume": "SecretName:s Items:p DefaultMode:p Optional:p",
    "ConfigMapVolume": "Name:s Items:p DefaultMode:p Optional:p",
    "ClaimVolume": "ClaimName:s ReadOnly:b",
    "Toleration": "Key:s Operator:s Value:s Effect:s TolerationSeconds:p",
    "PodFailurePolicy": "Rules:[PodFailurePolicyRule]",
    "PodFailurePolicyRule": "Action:s OnExitCodes:*OnExitCodes OnPodConditions:[OnPodConditions]",
    "OnExitCodes": "ContainerName:p Operator:s Values:p",
    "OnPodConditions": "Type:s Status:s",
    "SuccessPolicy": "Rules:[SuccessPolicyRule]",
    "SuccessPolicyRule": "SucceededIndexes:p SucceededCount:p",
}


class _Member(NamedTuple):
    name: str
    json_name: str
    type: str


@cache
def _members(type: str) -> tuple[_Member, ...]:
    pairs = [text.split(":") for text in _TYPES[type].split()]
    return tuple(_Member(name, _json_name(name), kind) for name, kind in pairs)


def _json_name(name: str) -> str:
    """DNSPolicy is dnsPolicy, HostPID hostPID, OS os."""
    if name in _ODD_NAMES:
        return _ODD_NAMES[name]
    initials = re.match(r"[A-Z]+(?![a-z])|[A-Z]", name)
    length = len(initials.group()) if initials else 0
    return name[:length].lower() + name[length:]


def shown_template(template: Mapping[str, Any]) -> JsonObject:
    """A pod template; its metadata has JSON names and stands beside the spec."""
    metadata, spec = template.get("metadata") or {}, dict(template.get("spec") or {})
    context = dict(spec.get("securityContext") or {})
    context |= {name: spec[name] for name in _IN_SECURITY_CONTEXT if name in spec}
    shown = {name: _sorted(metadata[name]) for name in _METADATA if metadata.get(name)}
    return {**shown, "Spec": _shown("PodSpec", {**spec, "securityContext": context})}


def shown_policy(type: str, policy: Mapping[str, Any] | None) -> JsonObject | None:
    """type: PodFailurePolicy or SuccessPolicy."""
    return None if policy is None else _shown(type, policy)


def _shown(type: str, value: Mapping[str, Any]) -> JsonObject:
    return {member.name: _member(member.type, value.get(member.json_name)) for member in _members(type)}


def _member(type: str, value: Any) -> Any:
    if type in _ZERO:
        return _ZERO[type] if value is None else _plain(value) if type == "p" else value
    if type.startswith("["):
        return [_shown(type[1:-1], item) for item in value] if value else None
    if type.startswith("*"):
        return None if value is None else _shown(type[1:], value)
    return _shown(type, value or {})


def _plain(value: Any) -> Any:
    """A value of a type that is not in the table. Maps whose keys are the user's (labels, limits) keep them."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if all(isinstance(item, str) for item in value.values()):
        return _sorted(value)
    return {name[:1].upper() + name[1:]: _plain(item) for name, item in value.items()}


def _sorted(value: Any) -> Any:
    return dict(sorted(value.items())) if isinstance(value, dict) else value
