"""What discovery says of a table of kinds."""

from __future__ import annotations

from emulator.api.kinds import KINDS, NO_COLLECTION_DELETE, STATUS, Kind, Subresource
from emulator.apiserver import discovery

SCALE = Subresource("scale", ("get", "patch", "update"), "Scale", "autoscaling", "v1")
WEB = Kind("example.com", "v1", "Web", "webs", True, ("w",), ("all",), subresources=(STATUS, SCALE))
OLD = Kind("example.com", "v1beta1", "Web", "webs")
CLUSTER = Kind("", "v1", "Rack", "racks", False, verbs=NO_COLLECTION_DELETE)


def test_groups_tell_their_preferred_version_first() -> None:
    body = discovery.group_list([OLD, WEB, CLUSTER])
    assert body["groups"] == [
        {
            "name": "example.com",
            "versions": [
                {"groupVersion": "example.com/v1", "version": "v1"},
                {"groupVersion": "example.com/v1beta1", "version": "v1beta1"},
            ],
            "preferredVersion": {"groupVersion": "example.com/v1", "version": "v1"},
        }
    ]


def test_versions_rank_by_maturity_then_number() -> None:
    kinds = [Kind("g", version, "K", "ks") for version in ("v1alpha1", "v2beta1", "v1", "v10", "v2", "v1beta2")]
    versions = [entry["version"] for entry in discovery.group(kinds, "g")["versions"]]
    assert versions == ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1"]


def test_a_resource_list_has_subresources_after_their_resource() -> None:
    body = discovery.resource_list([WEB, OLD], "example.com", "v1")
    assert (body["apiVersion"], body["groupVersion"]) == ("v1", "example.com/v1")
    assert [entry["name"] for entry in body["resources"]] == ["webs", "webs/scale", "webs/status"]
    assert body["resources"][0]["shortNames"] == ["w"]
    assert body["resources"][1] == {
        "name": "webs/scale",
        "singularName": "",
        "namespaced": True,
        "group": "autoscaling",
        "version": "v1",
        "kind": "Scale",
        "verbs": ["get", "patch", "update"],
    }


def test_the_core_list_has_no_api_version() -> None:
    body = discovery.resource_list(KINDS, "", "v1")
    assert "apiVersion" not in body
    names = [entry["name"] for entry in body["resources"] if "/" not in entry["name"]]
    assert names == sorted(names)
    assert "services" in names


def test_aggregated_discovery_splits_core_from_the_rest() -> None:
    core = discovery.aggregated([WEB, CLUSTER], core=True, version="v2")
    assert core["apiVersion"] == "apidiscovery.k8s.io/v2"
    assert core["items"][0]["metadata"] == {}
    (rack,) = core["items"][0]["versions"][0]["resources"]
    assert (rack["resource"], rack["scope"]) == ("racks", "Cluster")
    named = discovery.aggregated([WEB, CLUSTER], core=False, version="v2beta1")
    assert [item["metadata"]["name"] for item in named["items"]] == ["example.com"]
    (web,) = named["items"][0]["versions"][0]["resources"]
    assert [sub["subresource"] for sub in web["subresources"]] == ["scale", "status"]
    assert web["subresources"][0]["responseKind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}


def test_the_root_lists_every_path_once() -> None:
    body = discovery.paths([WEB, CLUSTER], ["/version"])
    assert body["paths"] == ["/api", "/api/v1", "/apis", "/apis/example.com", "/apis/example.com/v1", "/version"]


def test_groups_come_in_upstreams_order() -> None:
    names = ("extensions", "batch", "events.k8s.io", "mine.example", "apps")
    kinds = [Kind(name, "v1", "Thing", "things") for name in names]
    groups = [entry["name"] for entry in discovery.group_list(kinds)["groups"]]
    assert groups == ["apps", "events.k8s.io", "batch", "extensions", "mine.example"]
