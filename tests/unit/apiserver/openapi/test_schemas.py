"""What the schemas must say so that clients can validate, merge and explain."""

from __future__ import annotations

import pytest

from emulator.api.kinds import DEPLOYMENT, SCALE_KIND, SERVED, SERVICE, Kind
from emulator.api.meta import JsonObject
from emulator.apiserver.openapi.schemas import V2, V3, Dialect, schema_name, schemas

SERVICE_SPEC = "io.k8s.api.core.v1.ServiceSpec"


def properties(name: str, kind: Kind = SERVICE, dialect: Dialect = V3) -> JsonObject:
    found: JsonObject = schemas([kind], dialect, {})[name]["properties"]
    return found


def test_lists_say_how_they_merge_and_who_may_own_their_items() -> None:
    assert properties(SERVICE_SPEC)["ports"] == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/io.k8s.api.core.v1.ServicePort"},
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["port", "protocol"],
        "x-kubernetes-patch-strategy": "merge",
        "x-kubernetes-patch-merge-key": "port",
    }
    assert properties(SERVICE_SPEC)["selector"]["x-kubernetes-map-type"] == "atomic"


def test_a_union_keeps_its_keys_only() -> None:
    strategy = properties("io.k8s.api.apps.v1.DeploymentSpec", DEPLOYMENT)["strategy"]
    assert strategy["x-kubernetes-patch-strategy"] == "retainKeys"
    volumes = properties("io.k8s.api.core.v1.PodSpec", DEPLOYMENT)["volumes"]
    assert volumes["x-kubernetes-patch-strategy"] == "merge,retainKeys"


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (V3, {"allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.util.intstr.IntOrString"}]}),
        (V2, {"$ref": "#/definitions/io.k8s.apimachinery.pkg.util.intstr.IntOrString"}),
    ],
)
def test_a_reference_leaves_room_for_more_in_each_dialect(dialect: Dialect, expected: JsonObject) -> None:
    assert properties("io.k8s.api.core.v1.ServicePort", SERVICE, dialect)["targetPort"] == expected


def test_kinds_and_their_lists_say_who_they_are() -> None:
    found = schemas([SERVICE], V3, {})
    identity = found["io.k8s.api.core.v1.Service"]["x-kubernetes-group-version-kind"]
    assert identity == [{"group": "", "version": "v1", "kind": "Service"}]
    assert found["io.k8s.api.core.v1.ServiceList"]["x-kubernetes-group-version-kind"][0]["kind"] == "ServiceList"
    assert "x-kubernetes-group-version-kind" not in found[SERVICE_SPEC]
    assert found["io.k8s.api.core.v1.ServicePort"]["required"] == ["port"]


def test_descriptions_stand_where_they_are_given_and_nowhere_else() -> None:
    assert "description" not in str(schemas([SERVICE], V3, {}))
    texts = {SERVICE_SPEC: {"": "of the type", "ports": "of the field", "nothing": "of no field"}}
    spec = schemas([SERVICE], V3, texts)[SERVICE_SPEC]
    assert spec["description"] == "of the type"
    assert spec["properties"]["ports"]["description"] == "of the field"
    assert "description" not in spec["properties"]["type"]


@pytest.mark.parametrize("dialect", [V2, V3])
def test_every_reference_leads_somewhere(dialect: Dialect) -> None:
    found = schemas(SERVED, dialect, {})

    def references(node: object) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
            return own.union(*(references(value) for value in node.values()))
        return set().union(*(references(value) for value in node)) if isinstance(node, list) else set()

    assert {name.removeprefix(dialect.references) for name in references(found)} <= set(found)


def test_kinds_that_only_subresources_exchange_have_names() -> None:
    assert schema_name(SCALE_KIND) == "io.k8s.api.autoscaling.v1.Scale"
    with pytest.raises(KeyError):
        schema_name(Kind("", "v1", "PodExecOptions", "exec"))
