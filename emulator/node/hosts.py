"""A pod's host name, its fully qualified name, and its /etc/hosts as the kubelet writes it.

Source: kubernetes pkg/kubelet/kubelet_pods.go (GeneratePodHostNameAndDomain, managedHostsFileContent).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_HOSTNAME = 63  # a DNS label, and what Linux takes
HEADER = "# Kubernetes-managed hosts file.\n"
HOST_NETWORK_HEADER = "# Kubernetes-managed hosts file (host network).\n"
STANDARD_LINES = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "fe00::0\tip6-mcastprefix\n"
    "fe00::1\tip6-allnodes\n"
    "fe00::2\tip6-allrouters\n"
)


def pod_hostname(pod: Mapping[str, Any]) -> str:
    """What `hostname` prints in the pod: spec.hostname, or the pod's name cut to a label."""
    spec = pod.get("spec") or {}
    if override := spec.get("hostnameOverride"):
        return str(override)
    if hostname := spec.get("hostname"):
        return str(hostname)
    return str(pod["metadata"]["name"])[:MAX_HOSTNAME].rstrip("-.")


def pod_domain(pod: Mapping[str, Any], cluster_domain: str) -> str:
    """The domain behind the host name; "" without spec.subdomain."""
    spec = pod.get("spec") or {}
    if not spec.get("subdomain") or spec.get("hostnameOverride"):
        return ""
    return f"{spec['subdomain']}.{pod['metadata'].get('namespace') or 'default'}.svc.{cluster_domain}"


def system_hostname(pod: Mapping[str, Any], cluster_domain: str) -> str:
    """The host name the process sees: the short one, or the full one with setHostnameAsFQDN."""
    domain = pod_domain(pod, cluster_domain)
    hostname = pod_hostname(pod)
    if domain and (pod.get("spec") or {}).get("setHostnameAsFQDN"):
        return f"{hostname}.{domain}"
    return hostname


def hosts_file(
    pod: Mapping[str, Any], pod_ips: tuple[str, ...], cluster_domain: str, *, node_hosts_text: str = ""
) -> str:
    """The text of /etc/hosts. node_hosts_text: the node's own file, shown to pods on the host's network."""
    spec = pod.get("spec") or {}
    if spec.get("hostNetwork"):
        return HOST_NETWORK_HEADER + node_hosts_text + _aliases(spec)
    domain, hostname = pod_domain(pod, cluster_domain), pod_hostname(pod)
    names = f"{hostname}.{domain}\t{hostname}" if domain else hostname
    own = "".join(f"{ip}\t{names}\n" for ip in pod_ips)
    return HEADER + STANDARD_LINES + own + _aliases(spec)


def _aliases(spec: Mapping[str, Any]) -> str:
    aliases = spec.get("hostAliases") or ()
    if not aliases:
        return ""
    lines = "".join("\t".join([alias["ip"], *(alias.get("hostnames") or ())]) + "\n" for alias in aliases)
    return "\n# Entries added by HostAliases.\n" + lines
