"""What the API serves, told in every form clients ask for: aggregated (v2, v2beta1) and the older lists.

Everything is read from the table of kinds; nothing is kept, so kinds that join later are seen at once.
Source: k8s.io/api apidiscovery/v2, k8s.io/apimachinery meta/v1 (APIVersions, APIGroup, APIResourceList).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject

AGGREGATED_GROUP = "apidiscovery.k8s.io"
AGGREGATED_KIND = "APIGroupDiscoveryList"
AGGREGATED_VERSIONS = ("v2", "v2beta1")
GROUP_ORDER = (
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
)
"""By upstream's priority (pkg/controlplane: the APIServices' groupPriorityMinimum); others come after these."""


def core_versions(kinds: Iterable[Kind], server_address: str) -> JsonObject:
    """`/api`: the versions of the core group. server_address: `127.0.0.1:16443`."""
    versions = _versions(kinds, "")
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}]
    return {"kind": "APIVersions", "versions": versions, "serverAddressByClientCIDRs": addresses}


def group_list(kinds: Iterable[Kind]) -> JsonObject:
    """`/apis`: every group but the core one."""
    kinds = list(kinds)
    groups = [_group(kinds, name) for name in _groups(kinds)]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(kinds: Iterable[Kind], name: str) -> JsonObject:
    """`/apis/G`."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(list(kinds), name)}


def resource_list(kinds: Iterable[Kind], group: str, version: str) -> JsonObject:
    """`/api/V` or `/apis/G/V`: resources and subresources by name."""
    resources: list[JsonObject] = []
    for kind in _kinds_of(kinds, group, version):
        resources.append(_resource(kind))
        resources += [_subresource(kind, sub) for sub in sorted(s.name for s in kind.subresources)]
    body: JsonObject = {"kind": "APIResourceList"}
    if group:
        body["apiVersion"] = "v1"  # the core list has none upstream
    body["groupVersion"] = f"{group}/{version}" if group else version
    body["resources"] = resources
    return body


def aggregated(kinds: Iterable[Kind], *, core: bool, version: str) -> JsonObject:
    """`/api` (core) or `/apis` as one document; version: `v2` or `v2beta1`."""
    kinds = list(kinds)
    items: list[JsonObject] = []
    for name in [""] if core else _groups(kinds):
        versions = [
            {
                "version": v,
                "resources": [_discovered(kind) for kind in _kinds_of(kinds, name, v)],
                "freshness": "Current",
            }
            for v in _versions(kinds, name)
        ]
        items.append({"metadata": {"name": name} if name else {}, "versions": versions})
    api_version = f"{AGGREGATED_GROUP}/{version}"
    return {"kind": AGGREGATED_KIND, "apiVersion": api_version, "metadata": {}, "items": items}


def paths(kinds: Iterable[Kind], others: Sequence[str]) -> JsonObject:
    """`/`: every path of the root, sorted; others: the ones that are no resources."""
    kinds = list(kinds)
    found = {"/api", "/apis", *others}
    for kind in kinds:
        found |= {f"/apis/{kind.group}", f"/apis/{kind.api_version}"} if kind.group else {f"/api/{kind.version}"}
    return {"paths": sorted(found)}


def _groups(kinds: Sequence[Kind]) -> list[str]:
    """The named groups in upstream's order, those it does not have in order of appearance."""
    found = dict.fromkeys(kind.group for kind in kinds if kind.group)
    return [name for name in GROUP_ORDER if name in found] + [name for name in found if name not in GROUP_ORDER]


def _versions(kinds: Iterable[Kind], group: str) -> list[str]:
    """The group's versions, the preferred one first: GA before beta before alpha, higher before lower."""
    found = dict.fromkeys(kind.version for kind in kinds if kind.group == group)
    return sorted(found, key=_version_rank, reverse=True)


def _version_rank(version: str) -> tuple[int, int, int]:
    """Sorts as apimachinery's version priority does: v2 > v1 > v1beta2 > v1beta1 > v1alpha1."""
    for maturity, word in ((1, "beta"), (0, "alpha")):
        major, found, minor = version[1:].partition(word)
        if found:
            return maturity, int(major), int(minor or 0)
    return 2, int(version[1:]), 0


def _kinds_of(kinds: Iterable[Kind], group: str, version: str) -> list[Kind]:
    found = [kind for kind in kinds if kind.group == group and kind.version == version]
    return sorted(found, key=lambda kind: kind.plural)


def _group(kinds: Sequence[Kind], name: str) -> JsonObject:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in _versions(kinds, name)]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _resource(kind: Kind) -> JsonObject:
    body: JsonObject = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        body["shortNames"] = list(kind.short_names)
    if kind.categories:
        body["categories"] = list(kind.categories)
    return body


def _subresource(kind: Kind, name: str) -> JsonObject:
    sub = kind.subresource(name)
    assert sub is not None
    body: JsonObject = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced}
    if sub.group or sub.version:
        body |= {"group": sub.group, "version": sub.version}
    return {**body, "kind": sub.kind or kind.kind, "verbs": list(sub.verbs)}


def _discovered(kind: Kind) -> JsonObject:
    body: JsonObject = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        body["shortNames"] = list(kind.short_names)
    if kind.categories:
        body["categories"] = list(kind.categories)
    if kind.subresources:
        body["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {
                    "group": sub.group or ("" if sub.version else kind.group),
                    "version": sub.version or kind.version,
                    "kind": sub.kind or kind.kind,
                },
                "verbs": list(sub.verbs),
            }
            for sub in sorted(kind.subresources, key=lambda sub: sub.name)
        ]
    return body
