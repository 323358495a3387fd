"""Shapes from the field tables, and values walked by them."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.apply.fieldsets import FieldSet, set_of
from emulator.api.apply.shapes import ListOf, MapOf, Shape, shape_of
from emulator.api.apply.typed import ABSENT, ShapeError, compare, fields_of, merge, remove, with_named_fields
from emulator.api.apply.validation import problems_of
from emulator.api.kinds import CONFIG_MAP, DEPLOYMENT, KINDS, NETWORK_POLICY, POD, SERVICE, Kind

PORT = 'k:{"port":80,"protocol":"TCP"}'


def at(kind: Kind, *names: str) -> Shape:
    shape: Any = shape_of(kind)
    for name in names:
        shape = shape.element if isinstance(shape, ListOf) else shape.fields[name][1]
        while isinstance(shape, ListOf) and name != names[-1]:
            shape = shape.element
    return shape  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("kind", "names", "keys"),
    [
        (SERVICE, ("spec", "ports"), [("port", None), ("protocol", "TCP")]),
        (POD, ("spec", "containers"), [("name", None)]),
        (POD, ("spec", "containers", "ports"), [("containerPort", None), ("protocol", "TCP")]),
        (POD, ("spec", "containers", "env"), [("name", None)]),
        (POD, ("spec", "imagePullSecrets"), [("name", "")]),
        (POD, ("spec", "topologySpreadConstraints"), [("topologyKey", None), ("whenUnsatisfiable", None)]),
        (POD, ("metadata", "ownerReferences"), [("uid", None)]),
        (POD, ("status", "conditions"), [("type", None)]),
    ],
)
def test_lists_whose_items_have_keys(kind: Kind, names: tuple[str, ...], keys: list[tuple[str, Any]]) -> None:
    shape = at(kind, *names)
    assert isinstance(shape, ListOf)
    assert (shape.relation, list(shape.keys)) == ("map", keys)


@pytest.mark.parametrize(
    ("kind", "names", "relation"),
    [
        (POD, ("metadata", "finalizers"), "set"),
        (POD, ("spec", "tolerations"), "atomic"),
        (POD, ("spec", "containers", "args"), "atomic"),
        (SERVICE, ("spec", "clusterIPs"), "atomic"),
    ],
)
def test_other_lists(kind: Kind, names: tuple[str, ...], relation: str) -> None:
    shape = at(kind, *names)
    assert isinstance(shape, ListOf)
    assert shape.relation == relation


@pytest.mark.parametrize(
    ("kind", "names", "atomic"),
    [
        (SERVICE, ("spec", "selector"), True),
        (SERVICE, ("metadata", "labels"), False),
        (POD, ("spec", "nodeSelector"), True),
        (CONFIG_MAP, ("data",), False),
        (DEPLOYMENT, ("spec", "selector"), True),
        (NETWORK_POLICY, ("spec", "podSelector"), True),
        (DEPLOYMENT, ("spec", "template"), False),
    ],
)
def test_maps_and_structs(kind: Kind, names: tuple[str, ...], atomic: bool) -> None:
    shape = at(kind, *names)
    assert isinstance(shape, MapOf)
    assert shape.atomic is atomic


def test_every_kind_has_a_shape() -> None:
    for kind in KINDS:
        assert {"apiVersion", "kind", "metadata"} <= shape_of(kind).fields.keys()


FIELDS: list[tuple[str, Kind, dict[str, Any], FieldSet]] = [
    ("map entries", CONFIG_MAP, {"data": {"x": "1"}}, {"f:data": {"f:x": {}}}),
    ("empty map", CONFIG_MAP, {"data": {}}, {"f:data": {}}),
    ("null", CONFIG_MAP, {"data": None}, {"f:data": {}}),
    ("atomic map", SERVICE, {"spec": {"selector": {"a": "b"}}}, {"f:spec": {"f:selector": {}}}),
    (
        "items by key, with the key's default",
        SERVICE,
        {"spec": {"ports": [{"port": 80}]}},
        {"f:spec": {"f:ports": {PORT: {".": {}, "f:port": {}}}}},
    ),
    ("empty list", SERVICE, {"spec": {"ports": []}}, {}),
    ("set", POD, {"metadata": {"finalizers": ["a/b"]}}, {"f:metadata": {"f:finalizers": {'v:"a/b"': {}}}}),
    ("atomic list", POD, {"spec": {"tolerations": [{"key": "a"}]}}, {"f:spec": {"f:tolerations": {}}}),
    (
        "empty struct in an item",
        POD,
        {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}},
        {"f:spec": {"f:volumes": {'k:{"name":"v"}': {".": {}, "f:name": {}, "f:emptyDir": {}}}}},
    ),
    (
        "quantities",
        POD,
        {"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 1}}}]}},
        {
            "f:spec": {
                "f:containers": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:resources": {"f:limits": {"f:cpu": {}}}}}
            }
        },
    ),
    (
        "duplicates are one",
        POD,
        {"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "a", "image": "y"}]}},
        {"f:spec": {"f:containers": {'k:{"name":"a"}': {}}}},
    ),
]


@pytest.mark.parametrize(("name", "kind", "value", "fields"), FIELDS, ids=[case[0] for case in FIELDS])
def test_fields_of_a_configuration(name: str, kind: Kind, value: dict[str, Any], fields: FieldSet) -> None:
    assert fields_of(value, shape_of(kind)) == fields


def ports(*items: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"ports": list(items)}}


DIFFERENCES: list[tuple[str, dict[str, Any], dict[str, Any], FieldSet, FieldSet, FieldSet]] = [
    # name, old, new, added, modified, removed
    ("same", ports({"port": 80}), ports({"port": 80}), {}, {}, {}),
    (
        "a new list belongs to its maker",
        {"spec": {}},
        ports({"port": 80}),
        {"f:spec": {"f:ports": {".": {}, PORT: {".": {}, "f:port": {}}}}},
        {},
        {},
    ),
    (
        "an item added to a list",
        ports({"port": 81}),
        ports({"port": 81}, {"port": 80}),
        {"f:spec": {"f:ports": {PORT: {".": {}, "f:port": {}}}}},
        {},
        {},
    ),
    (
        "a field of an item",
        ports({"port": 80, "targetPort": 1}),
        ports({"port": 80, "targetPort": 2, "name": "x"}),
        {"f:spec": {"f:ports": {PORT: {"f:name": {}}}}},
        {"f:spec": {"f:ports": {PORT: {"f:targetPort": {}}}}},
        {},
    ),
    (
        "the last item",
        ports({"port": 80}),
        {"spec": {}},
        {},
        {},
        {"f:spec": {"f:ports": {".": {}, PORT: {".": {}, "f:port": {}}}}},
    ),
    (
        "an emptied list keeps its owner",
        ports({"port": 80}),
        {"spec": {"ports": None}},
        {},
        {},
        {"f:spec": {"f:ports": {PORT: {".": {}, "f:port": {}}}}},
    ),
    (
        "a whole map",
        {"spec": {"selector": {"a": "b"}}},
        {"spec": {"selector": {"a": "c"}}},
        {},
        {"f:spec": {"f:selector": {}}},
        {},
    ),
    (
        "another order is no difference",
        ports({"port": 80}, {"port": 81}),
        ports({"port": 81}, {"port": 80}),
        {},
        {},
        {},
    ),
    (
        "duplicates become one item",
        ports({"port": 80, "name": "a"}, {"port": 80, "name": "b"}),
        ports({"port": 80, "name": "a"}),
        {"f:spec": {"f:ports": {PORT: {".": {}, "f:port": {}, "f:name": {}}}}},
        {},
        {"f:spec": {"f:ports": {PORT: {}}}},
    ),
    (
        "one item becomes duplicates",
        ports({"port": 80}),
        ports({"port": 80, "name": "a"}, {"port": 80, "name": "b"}),
        {"f:spec": {"f:ports": {PORT: {}}}},
        {},
        {"f:spec": {"f:ports": {PORT: {".": {}, "f:port": {}}}}},
    ),
    (
        "other duplicates",
        ports({"port": 80, "name": "a"}, {"port": 80, "name": "b"}),
        ports({"port": 80, "name": "b"}, {"port": 80, "name": "a"}),
        {},
        {"f:spec": {"f:ports": {PORT: {}}}},
        {},
    ),
]


@pytest.mark.parametrize(
    ("name", "old", "new", "added", "modified", "removed"), DIFFERENCES, ids=[case[0] for case in DIFFERENCES]
)
def test_differences(
    name: str, old: dict[str, Any], new: dict[str, Any], added: FieldSet, modified: FieldSet, removed: FieldSet
) -> None:
    assert compare(old, new, shape_of(SERVICE)) == (added, modified, removed)


ORDERS = [
    # live, configuration, merged
    ("abc", "abc", "abc"),
    ("abc", "", "abc"),
    ("", "cab", "cab"),
    ("abc", "b", "abc"),
    ("abc", "ca", "bca"),
    ("abc", "dc", "abdc"),
    ("abc", "bd", "abcd"),
    ("abcd", "dxb", "acdxb"),
    ("ab", "xyz", "abxyz"),
]


@pytest.mark.parametrize(("live", "config", "merged"), ORDERS)
def test_the_order_of_merged_items(live: str, config: str, merged: str) -> None:
    def pod(names: str) -> dict[str, Any]:
        return {"spec": {"containers": [{"name": name} for name in names]}}

    found = merge(pod(live), pod(config), shape_of(POD))
    assert "".join(item["name"] for item in found["spec"]["containers"]) == merged


def test_merging_changes_neither_side() -> None:
    live, config = ports({"port": 80, "targetPort": 1}), ports({"port": 80, "targetPort": 2}, {"port": 81})
    merged = merge(live, config, shape_of(SERVICE))
    assert merged == ports({"port": 80, "targetPort": 2}, {"port": 81})
    assert live == ports({"port": 80, "targetPort": 1})
    assert config == ports({"port": 80, "targetPort": 2}, {"port": 81})
    assert merge(ABSENT, config, shape_of(SERVICE)) is config
    assert merge(live, ABSENT, shape_of(SERVICE)) is live


def test_removing_items_and_entries() -> None:
    live = {"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"ports": [{"port": 80}, {"port": 81}]}}
    gone = set_of(("f:metadata", "f:labels", "f:a"), ("f:spec", "f:ports", PORT))
    left = remove(live, gone, shape_of(SERVICE))
    assert left == {"metadata": {"labels": {"b": "2"}}, "spec": {"ports": [{"port": 81}]}}
    everything = set_of(("f:metadata", "f:labels", "f:a"), ("f:metadata", "f:labels", "f:b"))
    assert remove(live, everything, shape_of(SERVICE))["metadata"]["labels"] is None


def test_structs_on_the_way_become_members() -> None:
    fields = set_of(("f:spec", "f:ports", PORT, "f:port"), ("f:metadata", "f:labels", "f:a"))
    assert with_named_fields(fields, shape_of(SERVICE)) == {
        "f:spec": {".": {}, "f:ports": {".": {}, PORT: {"f:port": {}}}},
        "f:metadata": {".": {}, "f:labels": {".": {}, "f:a": {}}},
    }


def test_an_item_without_its_key_cannot_be_told_apart() -> None:
    with pytest.raises(ShapeError, match='omits key field "port"'):
        fields_of(ports({"name": "x"}), shape_of(SERVICE))


PROBLEMS: list[tuple[Kind, dict[str, Any], str]] = [
    (CONFIG_MAP, {"data": {"a": "b"}, "metadata": {"name": "x", "labels": None}}, ""),
    (CONFIG_MAP, {"bogus": 1}, ".bogus: field not declared in schema"),
    (CONFIG_MAP, {"data": {"a": 1}}, ".data.a: expected string, got &value.valueUnstructured{Value:1}"),
    (CONFIG_MAP, {"data": []}, ".data: expected map, got &{[]}"),
    (CONFIG_MAP, {"immutable": "yes"}, ".immutable: expected boolean, got &{yes}"),
    (
        SERVICE,
        ports({"port": "x"}),
        '.spec.ports[port="x",protocol="TCP"].port: expected numeric (int or float), got string',
    ),
    (SERVICE, {"spec": {"ports": {"port": 80}}}, ".spec.ports: expected list, got &{map[port:80]}"),
    (
        SERVICE,
        ports({"port": 80}, {"port": 80}),
        '.spec.ports: duplicate entries for key [port=80,protocol="TCP"]',
    ),
    (
        SERVICE,
        ports({"name": "x"}),
        (
            '.spec.ports: element 0: associative list with keys has an element that omits key field "port" '
            "(and doesn't have default value)"
        ),
    ),
    (
        SERVICE,
        {"spec": {"type": 1, "clusterIP": True}},
        (
            "errors:\n  .spec.type: expected string, got &value.valueUnstructured{Value:1}\n"
            "  .spec.clusterIP: expected string, got &value.valueUnstructured{Value:true}"
        ),
    ),
    (POD, {"spec": {"tolerations": [{"x": 1}]}}, ".spec.tolerations[0].x: field not declared in schema"),
    (POD, {"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}]}}, ""),
]


@pytest.mark.parametrize(("kind", "config", "text"), PROBLEMS)
def test_what_is_wrong_with_a_configuration(kind: Kind, config: dict[str, Any], text: str) -> None:
    assert problems_of(config, shape_of(kind)) == text
