"""What the kubelet and the runtime put into a pod's /etc/resolv.conf. Pure text in, text out.

Source: kubernetes pkg/kubelet/network/dns (policies, limits), containerd's order of lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_NAMESERVERS = 3  # resolv.conf(5) MAXNS; pkg/apis/core/validation
MAX_SEARCHES = 32
MAX_SEARCH_CHARACTERS = 2048
MAX_SEARCH_ENTRY = 253  # glibc 2.28 aborts on longer ones; a DNS-1123 subdomain is no longer either
CLUSTER_OPTIONS = ("ndots:5",)


@dataclass(frozen=True, slots=True)
class PodEvent:
    """A Warning the kubelet writes on the pod."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """The three lists of one resolv.conf, and the events that making it caused."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    events: tuple[PodEvent, ...] = ()

    def text(self) -> str:
        """The file as the runtime writes it: search, nameservers, options."""
        lines = [f"search {' '.join(self.searches)}"] if self.searches else []
        lines += [f"nameserver {server}" for server in self.nameservers]
        lines += [f"options {' '.join(self.options)}"] if self.options else []
        return "".join(f"{line}\n" for line in lines)


def parse_resolv_conf(text: str) -> ResolvConf:
    """The node's own file: the last search line wins, options merge by name, trailing dots are trimmed."""
    nameservers: list[str] = []
    searches: list[str] = []
    options: dict[str, str] = {}
    for line in text.split("\n"):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        word, values = fields[0], fields[1:]
        if word == "nameserver":
            nameservers += values[:1]
        elif word == "search":
            searches = [value.removesuffix(".") for value in values if value != "."]
        elif word == "options":
            options |= {value.partition(":")[0]: value for value in values}
    return ResolvConf(tuple(nameservers), tuple(searches), tuple(options.values()))


def pod_resolv_conf(
    pod: Mapping[str, Any],
    node_resolv_conf_text: str | None,
    cluster_dns: Sequence[str],
    cluster_domain: str,
    *,
    node_ips: Sequence[str] = (),
) -> ResolvConf:
    """The resolv.conf of `pod`.

    node_resolv_conf_text: the node's file; None for a kubelet whose resolvConf path is empty.
    node_ips: only used then, for the family of the loopback server.
    """
    spec, metadata = pod.get("spec") or {}, pod["metadata"]
    node = parse_resolv_conf(node_resolv_conf_text or "")
    policy = _effective_policy(spec)
    events: list[PodEvent] = []
    if policy == "ClusterFirst" and not cluster_dns:
        events.append(_missing_cluster_dns(metadata))
        policy = "Default"
    if policy == "None":
        base = ResolvConf()
    elif policy == "ClusterFirst":
        searches = _cluster_searches(metadata.get("namespace") or "default", cluster_domain)
        joined = _unique([*searches, *node.searches]) if searches else node.searches
        base = ResolvConf(tuple(cluster_dns), tuple(joined), CLUSTER_OPTIONS)
    elif node_resolv_conf_text is None:
        base = ResolvConf(tuple("::1" if ":" in ip else "127.0.0.1" for ip in node_ips) or ("127.0.0.1",), (".",))
    else:
        base = node
    base = _with_dns_config(base, spec.get("dnsConfig"))
    return _within_limits(base, events)


def _effective_policy(spec: Mapping[str, Any]) -> str:
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if policy in ("None", "Default"):
        return str(policy)
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        return "Default"
    return "ClusterFirst"


def _missing_cluster_dns(metadata: Mapping[str, Any]) -> PodEvent:
    name = f"{metadata.get('name')}_{metadata.get('namespace') or 'default'}({metadata.get('uid', '')})"
    return PodEvent(
        "MissingClusterDNS",
        f'pod: "{name}". kubelet does not have ClusterDNS IP configured and cannot create Pod using "ClusterFirst" '
        'policy. Falling back to "Default" policy.',
    )


def _cluster_searches(namespace: str, cluster_domain: str) -> list[str]:
    if not cluster_domain:
        return []
    return [f"{namespace}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain]


def _with_dns_config(base: ResolvConf, config: Mapping[str, Any] | None) -> ResolvConf:
    if not config:
        return base
    options = {option.partition(":")[0]: option.partition(":")[2] for option in base.options}
    for option in config.get("options") or ():
        options[option["name"]] = option.get("value") or ""
    return ResolvConf(
        tuple(_unique([*base.nameservers, *(config.get("nameservers") or ())])),
        tuple(_unique([*base.searches, *(config.get("searches") or ())])),
        tuple(f"{name}:{value}" if value else name for name, value in options.items()),
    )


def _within_limits(wanted: ResolvConf, events: list[PodEvent]) -> ResolvConf:
    servers = wanted.nameservers[:MAX_NAMESERVERS]
    if len(servers) < len(wanted.nameservers):
        events.append(
            PodEvent(
                "DNSConfigForming",
                "Nameserver limits were exceeded, some nameservers have been omitted, "
                f"the applied nameserver line is: {' '.join(servers)}",
            )
        )
    searches = [search for search in wanted.searches[:MAX_SEARCHES] if len(search) <= MAX_SEARCH_ENTRY]
    while len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        searches.pop()
    if len(searches) < len(wanted.searches):
        events.append(
            PodEvent(
                "DNSConfigForming",
                "Search Line limits were exceeded, some search paths have been omitted, "
                f"the applied search line is: {' '.join(searches)}",
            )
        )
    return ResolvConf(servers, tuple(searches), wanted.options, tuple(events))


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def run_resolv_conf_case(case: Mapping[str, Any]) -> list[str]:
    """What differs between a recorded `resolv_conf` case and the rules here; empty when nothing does."""
    kubelet, expected = case["kubelet"], case["expect"]
    found = pod_resolv_conf(
        case["pod"],
        kubelet.get("host_resolv_conf"),
        kubelet.get("cluster_dns") or (),
        kubelet.get("cluster_domain") or "",
        node_ips=kubelet.get("node_ips") or (),
    )
    differences = []
    for field, actual in (("nameservers", found.nameservers), ("searches", found.searches)):
        if field in expected and list(actual) != list(expected[field] or ()):
            differences.append(f"{field}: expected {expected[field]}, got {list(actual)}")
    if "options" in expected and sorted(found.options) != sorted(expected["options"] or ()):
        differences.append(f"options: expected {expected['options']}, got {list(found.options)}")
    reasons = {event.reason for event in found.events}
    if "events" in case and reasons != set(case["events"] or ()):
        differences.append(f"events: expected {case['events']}, got {sorted(reasons)}")
    return differences
